//! One run of COMMAND for `--answer`: a question goes in, lines come out, the exit status decides.
//!
//! Whatever COMMAND does with its input and output, nothing here waits for it but its end: it need not read its
//! input, may close or fill its output, and may leave children behind that keep the output open. What it has written
//! when it ends is the answer. Memory is bounded by one line.

use std::io::{self, ErrorKind, Read, Write as _};
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use localsocket::client::Question;
use localsocket::programs::{Counted, Wait, kill_apart, poll, spawn_apart};

use crate::output::say_bytes;

/// The most of what is in a pipe when COMMAND ends: no more fits into one, unless a privileged process resized it.
/// Children that COMMAND left behind could write for ever.
const LEFT_IN_PIPE: usize = 1024 * 1024;

/// How often it is looked whether COMMAND has ended while something it left behind keeps its output open.
const TICK: Duration = Duration::from_millis(20);

/// The longest line of stderr that is passed on, and of stdout unless the server's limit is lower.
const LINE_MAX: usize = 64 * 1024 * 1024;

/// The longest reason of a refusal, in bytes.
const REASON_MAX: usize = 500;

/// What a line of an answer costs beside its text and the names: `answer:` and two colons.
const OVERHEAD: usize = 9;

/// Commands that run now, so that they can be killed at the end.
static RUNNING: Mutex<Vec<u32>> = Mutex::new(Vec::new());

fn running() -> MutexGuard<'static, Vec<u32>> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn kill_all() {
    running().iter().for_each(|id| kill_apart(*id));
}

/// Answers a question with what the command writes, or refuses it. `limit` is the longest line that the server takes.
pub(crate) fn answer(command: &str, question: Question, limit: usize, forgotten: &AtomicBool) {
    let longest = limit.saturating_sub(question.asker().len() + question.id().len() + OVERHEAD).min(LINE_MAX);
    let too_long =
        || format!("the answer has a line that is longer than the server allows (limit {})", Counted(limit, "byte"));
    let part = |line: &str| {
        // If its connection has ended, so has the question.
        let _ = question.part(line);
        !forgotten.load(Ordering::SeqCst)
    };
    let result = run(command, question.asker(), question.text(), longest, part);
    let _ = match result {
        Ok(Some(last)) => question.answer(&last),
        Ok(None) => question.refuse(&too_long()),
        Err(reason) => question.refuse(&reason),
    };
}

/// Runs `sh -c command` for one question and returns the last line of its output, or nothing if a line was too long;
/// earlier lines are given to `part` as they come. When that says that nobody wants more, stdout is closed.
fn run(
    command: &str,
    asker: &str,
    text: &str,
    longest: usize,
    mut part: impl FnMut(&str) -> bool,
) -> Result<Option<String>, String> {
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).env("LOCALSOCKET_ASKER", asker);
    shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = spawn_apart(&mut shell).map_err(|error| format!("cannot run sh: {error}"))?;
    let id = child.id();
    running().push(id);
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let input = [text, "\n"].concat();
    // Nobody waits for this: what the command leaves behind may keep its input open and not read it.
    let writing = thread::Builder::new().spawn(move || drop(stdin.map(|mut stdin| stdin.write_all(input.as_bytes()))));
    let (ended, mut complaint, mut last) = (AtomicBool::new(false), String::new(), None::<String>);
    let mut is_short_enough = true;
    let run = thread::scope(|scope| {
        thread::Builder::new().spawn_scoped(scope, || {
            each_line(stderr, &ended, LINE_MAX, |line| {
                say_bytes(&[line, b"\n"].concat());
                let line = text_of(line);
                complaint = if line.trim().is_empty() { std::mem::take(&mut complaint) } else { line };
                true
            })
        })?;
        let waiting = thread::Builder::new().spawn_scoped(scope, || {
            let status = child.wait();
            running().retain(|running| *running != id);
            ended.store(true, Ordering::SeqCst);
            status
        })?;
        is_short_enough = each_line(stdout, &ended, longest, |line| match last.replace(text_of(line)) {
            Some(before) => part(&before),
            None => true,
        });
        waiting.join().unwrap_or_else(|_| Err(io::Error::other("its end was not seen")))
    });
    match writing.and(run) {
        Ok(_) if !is_short_enough => Ok(None),
        Ok(status) if status.success() => Ok(Some(last.unwrap_or_default())),
        Ok(status) => Err(reason(status, complaint)),
        Err(error) => {
            kill_apart(id);
            let _ = child.wait();
            running().retain(|running| *running != id);
            Err(format!("cannot run the command: {error}"))
        }
    }
}

/// A line of the output, in which CR LF counts as LF.
fn text_of(line: &[u8]) -> String {
    String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line)).into_owned()
}

/// Reads a pipe line by line, to its end or until the command has ended and no more is in it. False if a line is longer
/// than `longest`, after which no more is read.
fn each_line(
    pipe: Option<impl Read + AsFd>,
    ended: &AtomicBool,
    longest: usize,
    mut take: impl FnMut(&[u8]) -> bool,
) -> bool {
    let Some(mut pipe) = pipe else { return true };
    let (mut line, mut buffer, mut left) = (Vec::new(), vec![0; 64 * 1024], LEFT_IN_PIPE);
    while left > 0 {
        let has_ended = ended.load(Ordering::SeqCst);
        let mut waits = [Wait::readable(pipe.as_fd())];
        poll(&mut waits, Some(if has_ended { Duration::ZERO } else { TICK }));
        let count = match waits[0].is_ready().then(|| pipe.read(&mut buffer)) {
            None if has_ended => break,
            None => continue,
            Some(Err(error)) if error.kind() == ErrorKind::Interrupted => continue,
            Some(Ok(0) | Err(_)) => break,
            Some(Ok(count)) => count,
        };
        left = if has_ended { left.saturating_sub(count) } else { left };
        for piece in buffer[..count].split_inclusive(|byte| *byte == b'\n') {
            line.extend_from_slice(piece);
            let is_whole = line.last() == Some(&b'\n');
            if line.len() - usize::from(is_whole) > longest + usize::from(line.ends_with(b"\r\n")) {
                return false;
            }
            if is_whole {
                line.pop();
                if !take(&line) {
                    return true;
                }
                line.clear();
            }
        }
    }
    if !line.is_empty() {
        take(&line);
    }
    true
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
