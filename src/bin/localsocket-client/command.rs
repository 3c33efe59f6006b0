//! One run of COMMAND for `--answer`: a question goes in, lines come out, the exit status decides.
//!
//! Whatever COMMAND does with its input and output, nothing here waits for it but its end: it need not read its
//! input, may close or fill its output, and may leave children behind that keep the output open. What it has written
//! when it ends is the answer. One thread does all that; memory is bounded by one line.

use std::io::{self, ErrorKind, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use localsocket::client::Question;
use localsocket::programs::{Counted, Wait, poll, spawn_apart};

use crate::output::{say_bytes, write_piece};

/// The most of what is in a pipe when COMMAND ends: no more fits into one, unless a privileged process resized it.
/// Children that COMMAND left behind could write for ever.
const LEFT_IN_PIPE: usize = 1024 * 1024;

/// How often it is looked whether COMMAND has ended, at first and while nothing happens: something that it left behind
/// may keep its output open. One that has just closed its output ends before the shortest sleep is over.
const FIRST_TICK: Duration = Duration::from_micros(1);
const SHORTEST_SLEEP: Duration = Duration::from_micros(100);
const LAST_TICK: Duration = Duration::from_millis(50);

/// The longest line of stdout, unless the server's limit is lower.
const LINE_MAX: usize = 64 * 1024 * 1024;

/// The longest line of stderr that is passed on as a whole.
const COMPLAINT_MAX: usize = 64 * 1024;

/// The longest reason of a refusal, in bytes.
const REASON_MAX: usize = 500;

/// What a line of an answer costs beside its text and the names: `answer:` and two colons.
const OVERHEAD: usize = 9;

/// A question until it is ended, by its command or by a refusal that comes first. Nothing is sent for it afterwards: another
/// question can have its asker and id.
pub(crate) struct Job {
    pub(crate) asker: String,
    pub(crate) id: String,
    pub(crate) bytes: usize,
    question: Mutex<Option<Question>>,
    /// The command, until its end was seen: after that, another process can have its id.
    process: Mutex<Option<u32>>,
}

impl Job {
    pub(crate) fn new(question: Question) -> Job {
        let (asker, id) = (question.asker().to_owned(), question.id().to_owned());
        let bytes = asker.len() + id.len() + question.text().len();
        Job { asker, id, bytes, question: Mutex::new(Some(question)), process: Mutex::new(None) }
    }

    /// To be ended. May wait until a part of the answer is sent.
    pub(crate) fn take(&self) -> Option<Question> {
        lock(&self.question).take()
    }

    /// Does something to the command, if it runs.
    pub(crate) fn signal(&self, send: impl FnOnce(u32)) {
        lock(&self.process).map(send);
    }

    fn start(&self, shell: &mut Command) -> io::Result<Child> {
        let mut process = lock(&self.process);
        let child = spawn_apart(shell)?;
        *process = Some(child.id());
        Ok(child)
    }

    /// How the command has ended, if it has.
    fn status_of(&self, child: &mut Child) -> Option<io::Result<ExitStatus>> {
        let mut process = lock(&self.process);
        let ended = child.try_wait().transpose()?;
        *process = None;
        Some(ended)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Answers a question with what the command writes, or refuses it. `limit` is the longest line that the server takes.
/// If the question is ended meanwhile, the output is thrown away.
pub(crate) fn answer(command: &str, job: &Job, limit: usize) {
    let Some(input) = lock(&job.question).as_ref().map(|question| [question.text(), "\n"].concat()) else { return };
    let longest = limit.saturating_sub(job.asker.len() + job.id.len() + OVERHEAD).min(LINE_MAX);
    let outcome = run(command, job, input.as_bytes(), longest);
    let Some(question) = job.take() else { return };
    // If its connection has ended, so has the question.
    let _ = match outcome {
        Ok(Some(last)) => question.answer(&last),
        Ok(None) => {
            let limit = Counted(limit, "byte");
            question.refuse(&format!("the answer has a line that is longer than the server allows (limit {limit})"))
        }
        Err(reason) => question.refuse(&reason),
    };
}

/// Runs `sh -c command` and returns the last line of its output, or nothing if a line was too long. Earlier lines are
/// sent as they come.
fn run(command: &str, job: &Job, input: &[u8], longest: usize) -> Result<Option<String>, String> {
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).env("LOCALSOCKET_ASKER", &job.asker);
    shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = job.start(&mut shell).map_err(|error| format!("cannot run sh: {error}"))?;
    let (mut stdin, mut written) = (child.stdin.take(), 0);
    let mut stdout = Lines::new(child.stdout.take(), longest);
    let mut stderr = Lines::new(child.stderr.take(), COMPLAINT_MAX);
    let (mut answer, mut is_too_long, mut complaint) = (Vec::new(), false, String::new());
    let mut complain = |line: &[u8]| {
        say_bytes(&[line, b"\n"].concat());
        complaint =
            Some(text_of(line)).filter(|line| !line.trim().is_empty()).unwrap_or(std::mem::take(&mut complaint));
    };
    let (mut buffer, mut left, mut tick) = (vec![0; 64 * 1024], LEFT_IN_PIPE, FIRST_TICK);
    let status = loop {
        let ended = job.status_of(&mut child);
        let pipes = [stdin.as_ref().map(AsFd::as_fd), stdout.descriptor(), stderr.descriptor()];
        let [can_write, can_read, has_complained] = wait(pipes, if ended.is_some() { Duration::ZERO } else { tick });
        if let Some(pipe) = stdin.as_mut().filter(|_| can_write) {
            let rest = &input[written..];
            written += write_piece(pipe, rest).unwrap_or(rest.len());
            stdin = stdin.filter(|_| written < input.len());
        }
        let mut count = 0;
        if can_read {
            count += stdout.read(&mut buffer, |line| {
                is_too_long |= line.len() > longest;
                answer.push(text_of(line));
            });
            if is_too_long {
                // Nothing more is read, so that the command ends.
                stdout = Lines::new(None, longest);
            }
            if let Some(last) = answer.pop() {
                if !answer.is_empty() {
                    let _ = lock(&job.question).as_ref().map(|question| question.part(&answer.join("\n")));
                }
                answer.clear();
                answer.push(last);
            }
        }
        if has_complained {
            count += stderr.read(&mut buffer, &mut complain);
        }
        match ended {
            Some(status) if count == 0 || left < count => break status,
            Some(_) => left -= count,
            None if count > 0 => tick = FIRST_TICK,
            None => tick = (2 * tick).min(LAST_TICK),
        }
    };
    stdout.end(|line| {
        is_too_long |= line.len() > longest;
        answer.push(text_of(line));
    });
    stderr.end(complain);
    match status {
        _ if is_too_long => Ok(None),
        Ok(status) if status.success() => Ok(Some(answer.join("\n"))),
        Ok(status) => Err(reason(status, complaint)),
        Err(error) => Err(format!("the end of the command was not seen: {error}")),
    }
}

/// Waits until one of the pipes is ready, and tells which are.
fn wait<const N: usize>(pipes: [Option<BorrowedFd<'_>>; N], patience: Duration) -> [bool; N] {
    let mut waits: Vec<Wait<'_>> = Vec::with_capacity(N);
    for (number, pipe) in pipes.iter().enumerate() {
        waits.extend(pipe.map(|pipe| if number == 0 { Wait::writable(pipe) } else { Wait::readable(pipe) }));
    }
    match waits.is_empty() {
        true if patience < SHORTEST_SLEEP => thread::yield_now(),
        true => thread::sleep(patience),
        false => poll(&mut waits, Some(patience)),
    }
    let mut ready = waits.iter().map(Wait::is_ready);
    pipes.map(|pipe| pipe.is_some() && ready.next().unwrap_or(false))
}

/// What a pipe gives, line by line.
struct Lines<P> {
    pipe: Option<P>,
    line: Vec<u8>,
    longest: usize,
}

impl<P: Read + AsFd> Lines<P> {
    fn new(pipe: Option<P>, longest: usize) -> Lines<P> {
        Lines { pipe, line: Vec::new(), longest }
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.pipe.as_ref().map(AsFd::as_fd)
    }

    /// Reads what is at hand, and gives out whole lines without their ends, in which CR LF counts as LF, and a line that
    /// becomes too long piece by piece, each longer than the longest line. Returns how many bytes there were.
    fn read(&mut self, buffer: &mut [u8], mut take: impl FnMut(&[u8])) -> usize {
        let count = match self.pipe.as_mut().map(|pipe| pipe.read(buffer)) {
            Some(Ok(count @ 1..)) => count,
            Some(Err(error)) if error.kind() == ErrorKind::Interrupted => 0,
            _ => {
                self.pipe = None;
                0
            }
        };
        for piece in buffer[..count].split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(piece);
            let line = self.line.strip_suffix(b"\n");
            let line = line.map(|line| line.strip_suffix(b"\r").unwrap_or(line));
            // A CR at the end can be half a line end.
            if line.is_some() || self.line.len() > self.longest + 1 {
                take(line.unwrap_or(&self.line));
                self.line.clear();
            }
        }
        count
    }

    /// Gives out what stands behind the last line end.
    fn end(&mut self, mut take: impl FnMut(&[u8])) {
        if !self.line.is_empty() {
            take(&self.line);
        }
    }
}

fn text_of(line: &[u8]) -> String {
    String::from_utf8_lossy(line).into_owned()
}

fn reason(status: ExitStatus, complaint: String) -> String {
    let mut reason = match (complaint.is_empty(), status.code(), status.signal()) {
        (false, _, _) => complaint,
        (true, Some(code), _) => format!("exit status {code}"),
        (true, None, Some(signal)) => format!("killed by signal {signal}"),
        (true, None, None) => status.to_string(),
    };
    let end = (0..=REASON_MAX.min(reason.len())).rev().find(|end| reason.is_char_boundary(*end));
    reason.truncate(end.unwrap_or(0));
    reason
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::net::UnixStream;

    use super::*;

    /// The lines that a pipe gives which gets these bytes.
    fn lines(bytes: &[u8]) -> Vec<String> {
        let (mut there, here) = UnixStream::pair().unwrap();
        there.write_all(bytes).unwrap();
        drop(there);
        let mut lines = Lines::new(Some(here), 5);
        let mut taken = Vec::new();
        while lines.pipe.is_some() {
            // At all chunk sizes the outcome is the same.
            lines.read(&mut [0; 3], |line| taken.push(text_of(line)));
        }
        lines.end(|line| taken.push(text_of(line)));
        taken
    }

    #[test]
    fn output_is_taken_line_by_line() {
        for (bytes, wanted) in [
            (&b"a\nb\n"[..], &["a", "b"][..]),
            (b"12345\r\n\nend", &["12345", "", "end"]),
            (b"a\rb\n\xff\n", &["a\rb", "\u{fffd}"]),
            (b"a\n123456\nb\n", &["a", "123456", "b"]),
            (b"", &[]),
        ] {
            assert_eq!(lines(bytes), wanted);
        }
        let taken = lines(b"1234567890123\nb\n");
        assert!(taken[0].len() > 5, "{taken:?}");
        assert_eq!((taken.concat(), taken.last().map(String::as_str)), ("1234567890123b".to_owned(), Some("b")));
    }

    #[test]
    fn the_reason_is_what_was_complained_or_how_it_ended() {
        for (status, complaint, wanted) in [
            (0x100, "no", "no"),
            (0x700, "", "exit status 7"),
            (9, "", "killed by signal 9"),
            (0x100, "\u{e4}".repeat(300).as_str(), "\u{e4}".repeat(250).as_str()),
        ] {
            assert_eq!(reason(ExitStatus::from_raw(status), complaint.to_owned()), wanted);
        }
    }
}
