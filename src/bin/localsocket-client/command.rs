//! One run of COMMAND for `--answer`: a question goes in, lines come out, the exit status decides.
//!
//! Whatever COMMAND does with its input and output, nothing here waits for it but its end: it need not read its
//! input, may close or fill its output, and may leave children behind that keep the output open. What it has written
//! when it ends is the answer. Memory is bounded by one line. Knows nothing of connections.

use std::fmt;
use std::io::{self, PipeReader, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use localsocket::programs::{Wait, kill_apart, poll, spawn_apart};

use crate::lines::Lines;

/// A pipe that can be written takes this much at once (`PIPE_BUF`, pipe(7)).
const PIPE_WRITE: usize = 4096;

/// The most of what is in a pipe when COMMAND ends: no more fits into one, unless a privileged process resized it.
/// Children that COMMAND left behind could write for ever.
const LEFT_IN_PIPE: usize = 1024 * 1024;

/// The longest reason of a refusal, in bytes.
const REASON_MAX: usize = 500;

/// Commands that run now, so that they can be killed at the end.
#[derive(Debug, Default)]
pub(crate) struct Running(Mutex<Vec<u32>>);

impl Running {
    pub(crate) fn kill_all(&self) {
        for id in &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            kill_apart(*id);
        }
    }

    fn add(&self, id: u32) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(id);
    }

    fn remove(&self, id: u32) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|running| *running != id);
    }
}

/// Whether more of an answer is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    More,
    NoMore,
}

/// Why a question is refused.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refused(pub(crate) String);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Runs `sh -c command` for one question and returns the last line of its output; earlier lines are given to `part`
/// as they come, what it writes to stderr to `errors`. When `part` says that nobody wants more, its stdout is closed.
pub(crate) fn run(
    command: &str,
    asker: &str,
    text: &str,
    running: &Arc<Running>,
    mut part: impl FnMut(&str) -> Next,
    mut errors: impl FnMut(&[u8]),
) -> Result<String, Refused> {
    let fail = |what: &str, error: io::Error| Refused(format!("cannot {what}: {error}"));
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).env("LOCALSOCKET_ASKER", asker);
    shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = spawn_apart(&mut shell).map_err(|error| fail("run sh", error))?;
    let id = child.id();
    running.add(id);
    let (mut stdin, mut stdout, mut stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let ended = match watch(child, running) {
        Ok(ended) => ended,
        Err(error) => {
            kill_apart(id);
            running.remove(id);
            return Err(fail("watch the command", error));
        }
    };
    let input = [text.as_bytes(), b"\n"].concat();
    let mut unwritten = &input[..];
    let mut answer = Lines::default();
    let mut complaint = Lines::default();
    let mut buffer = vec![0; 64 * 1024];
    let mut last_round = false;
    let mut left = LEFT_IN_PIPE;
    loop {
        let mut waits = [
            Some(Wait::readable(ended.pipe.as_fd())),
            stdin.as_ref().map(|stdin| Wait::writable(stdin.as_fd())),
            stdout.as_ref().map(|stdout| Wait::readable(stdout.as_fd())),
            stderr.as_ref().map(|stderr| Wait::readable(stderr.as_fd())),
        ];
        let [has_ended, takes, gives, complains] = ready(&mut waits, last_round.then_some(Duration::ZERO));
        if takes && let Some(pipe) = &mut stdin {
            match pipe.write(&unwritten[..unwritten.len().min(PIPE_WRITE)]) {
                Ok(count) => unwritten = &unwritten[count..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // It does not want the question.
                Err(_) => unwritten = &[],
            }
            if unwritten.is_empty() {
                stdin = None;
            }
        }
        let mut came = 0;
        if gives {
            let bytes = take(&mut stdout, &mut buffer);
            came += bytes.len();
            let mut next = Next::More;
            answer.add(bytes, |line| next = part(line));
            if next == Next::NoMore {
                stdout = None;
            }
        }
        if complains {
            let bytes = take(&mut stderr, &mut buffer);
            came += bytes.len();
            errors(bytes);
            complaint.add(bytes, |_| ());
        }
        if answer.is_too_long() {
            kill_apart(id);
            return Err(Refused("a line of the answer is too long".to_owned()));
        }
        // What was written before the end is read to its end, and no more.
        left = left.saturating_sub(if last_round { came } else { 0 });
        if last_round && (came == 0 || left == 0) {
            break;
        }
        last_round |= has_ended;
    }
    let status = ended.status.join().unwrap_or_else(|_| Err(io::Error::other("its end was not seen")));
    match status {
        Ok(status) if status.success() => Ok(answer.last(&mut |line: &str| _ = part(line))),
        Ok(status) => Err(Refused(reason(status, complaint.last_not_empty()))),
        Err(error) => Err(fail("wait for the command", error)),
    }
}

/// Polls those that there are.
fn ready(waits: &mut [Option<Wait<'_>>; 4], timeout: Option<Duration>) -> [bool; 4] {
    let mut present: Vec<(usize, Wait<'_>)> =
        waits.iter_mut().enumerate().filter_map(|(index, wait)| Some((index, wait.take()?))).collect();
    let mut result = [false; 4];
    let (indices, mut present): (Vec<usize>, Vec<Wait<'_>>) = present.drain(..).unzip();
    poll(&mut present, timeout);
    for (index, wait) in indices.into_iter().zip(present) {
        result[index] = wait.is_ready();
    }
    result
}

/// What is in a pipe, which is closed at its end.
fn take<'a>(pipe: &mut Option<impl Read>, buffer: &'a mut [u8]) -> &'a [u8] {
    let Some(open) = pipe else { return &[] };
    match open.read(buffer) {
        Ok(0) => *pipe = None,
        Ok(count) => return &buffer[..count],
        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
        Err(_) => *pipe = None,
    }
    &[]
}

/// The end of a child, which a thread waits for.
struct End {
    /// Readable when the child has ended.
    pipe: PipeReader,
    status: thread::JoinHandle<io::Result<ExitStatus>>,
}

fn watch(mut child: Child, running: &Arc<Running>) -> io::Result<End> {
    let (pipe, ended) = io::pipe()?;
    let running = Arc::clone(running);
    let wait = move || {
        let id = child.id();
        let status = child.wait();
        running.remove(id);
        drop(ended);
        status
    };
    let status = thread::Builder::new().name("command".to_owned()).stack_size(64 * 1024).spawn(wait)?;
    Ok(End { pipe, status })
}

fn reason(status: ExitStatus, complaint: Option<String>) -> String {
    let mut reason = match (complaint, status.code(), status.signal()) {
        (Some(line), _, _) => line,
        (None, Some(code), _) => format!("exit status {code}"),
        (None, None, Some(signal)) => format!("killed by signal {signal}"),
        (None, None, None) => status.to_string(),
    };
    let end = (0..=REASON_MAX.min(reason.len())).rev().find(|end| reason.is_char_boundary(*end));
    reason.truncate(end.unwrap_or(0));
    reason
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    /// Parts, result, stderr.
    fn answer(command: &str, text: &str) -> (Vec<String>, Result<String, Refused>, String) {
        let (mut parts, mut errors) = (Vec::new(), Vec::new());
        let began = Instant::now();
        let part = |line: &str| {
            parts.push(line.to_owned());
            if line == "enough" { Next::NoMore } else { Next::More }
        };
        let result = run(command, "ada; `id`", text, &Arc::default(), part, |bytes| errors.extend_from_slice(bytes));
        assert!(began.elapsed() < Duration::from_secs(30), "{command} took too long");
        (parts, result, String::from_utf8_lossy(&errors).into_owned())
    }

    #[track_caller]
    fn expect(command: &str, text: &str, parts: &[&str], last: &str) {
        assert_eq!(
            answer(command, text),
            (parts.iter().map(ToString::to_string).collect(), Ok(last.to_owned()), String::new())
        );
    }

    #[test]
    fn output_is_the_answer_and_its_last_line_is_the_last() {
        expect("cat", "hello", &[], "hello");
        expect("printf 'a\\r\\nb\\n\\nc'", "", &["a", "b", ""], "c");
        expect("printf 'a\\n\\n'", "", &["a"], "");
        expect("printf '\\377'", "", &[], "\u{fffd}");
        expect("true", "x", &[], "");
        expect("echo \"$LOCALSOCKET_ASKER\"", "x", &[], "ada; `id`");
    }

    #[test]
    fn a_question_is_never_part_of_a_command() {
        let text = "$(touch /tmp/x) `id` '\"; exit 3\\ -n %s \r \u{1b}[31m";
        expect("cat", text, &[], text.strip_suffix('\r').unwrap_or(text));
        expect("read -r line; printf '%s\\n' \"$line\"", "-e a\\nb", &[], "-e a\\nb");
    }

    #[test]
    fn an_exit_status_refuses() {
        for (command, reason) in [
            ("exit 3", "exit status 3"),
            ("echo no; echo why >&2; printf 'because\\r\\n\\n' >&2; exit 1", "because"),
            ("kill -9 $$", "killed by signal 9"),
            ("cat; no-such-command-here", "not found"),
        ] {
            let Refused(given) = answer(command, "x").1.unwrap_err();
            assert!(given.ends_with(reason), "{command}: {given}");
        }
        let Refused(given) = answer("printf '%9000s' x | tr ' ' y >&2; exit 1", "").1.unwrap_err();
        assert_eq!(given, "y".repeat(REASON_MAX));
        assert_eq!(answer("echo noise >&2; echo fine", ""), (vec![], Ok("fine".to_owned()), "noise\n".to_owned()));
    }

    #[test]
    fn whatever_it_does_with_its_streams_it_is_over_when_it_ends() {
        let long = "x".repeat(3_000_000);
        // Never reads, closes at once, writes much before it reads, leaves somebody behind with all streams.
        expect("true", &long, &[], "");
        expect("exec <&-; echo done", &long, &[], "done");
        let (parts, last, _) = answer("seq 400000; cat >/dev/null; echo end", &long);
        assert_eq!((parts.len(), last), (400_000, Ok("end".to_owned())));
        // Not left behind for long: it has what descriptors the test was started with.
        let began = Instant::now();
        expect("sleep 10 & echo $$ >/dev/null; echo early", "", &[], "early");
        assert!(began.elapsed() < Duration::from_secs(10));
        assert!(answer("(while :; do echo more; done) & sleep 0.1", "").1.is_ok());
        expect("exec >&- 2>&-; cat >/dev/null", &long, &[], "");
        expect("wc -c", &long, &[], "3000001");
    }

    #[test]
    fn a_command_whose_output_nobody_wants_any_more_is_told_by_the_system() {
        assert_eq!(answer("exec yes enough", "").1, Err(Refused("killed by signal 13".to_owned())));
    }

    #[test]
    fn no_descriptor_but_the_three_is_left_open_in_it() {
        // Whoever started the test may have left descriptors to it.
        let inherited = Command::new("ls").arg("/proc/self/fd").output().unwrap().stdout;
        let inherited: Vec<String> = String::from_utf8_lossy(&inherited).lines().map(str::to_owned).collect();
        let (mut lines, last, errors) = answer("exec ls /proc/self/fd", "");
        lines.push(last.unwrap());
        assert_eq!((lines, errors), (inherited, String::new()));
    }
}
