//! One run of COMMAND for `--answer`: a question goes in, lines come out, the exit status decides.
//!
//! Whatever COMMAND does with its input and output, nothing here waits for it but its end: it need not read its
//! input, may close or fill its output, and may leave children behind that keep the output open. What it has written
//! when it ends is the answer. One thread does all that; memory is bounded by one line.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use localsocket::client::Question;
use localsocket::programs::cli::Patient;
use localsocket::programs::{Counted, Wait, poll, spawn_apart};

use crate::output::{is_ready, say_bytes, write_piece};

/// How much is read at a time, and how often after COMMAND has ended: no more fits into a pipe, unless a privileged process
/// resized it. Children that COMMAND left behind could write for ever.
const PIECE: usize = 64 * 1024;
const LEFT_IN_PIPE: usize = 1024 * 1024 / PIECE;

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
    process: Mutex<Option<Child>>,
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
        lock(&self.process).as_ref().map(Child::id).map(send);
    }

    /// How the command has ended. Told once.
    fn end(&self) -> Option<io::Result<ExitStatus>> {
        let mut process = lock(&self.process);
        let end = process.as_mut()?.try_wait().transpose()?;
        *process = None;
        Some(end)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Answers a question with what the command writes, or refuses it. `limit` is the longest line that the server takes.
/// If the question is ended meanwhile, the output is thrown away.
pub(crate) fn answer(command: &str, job: &Job, limit: usize) {
    let Some(input) = lock(&job.question).as_ref().map(|question| [question.text(), "\n"].concat()) else { return };
    let outcome = run(command, job, input.as_bytes(), limit);
    let Some(question) = job.take() else { return };
    // If its connection has ended, so has the question.
    let _ = match outcome {
        Ok(last) => question.answer(&last),
        Err(reason) => question.refuse(&reason),
    };
}

/// Runs `sh -c command` and returns the last line of its output, or why there is no answer. Earlier lines are sent as they
/// come.
fn run(command: &str, job: &Job, mut input: &[u8], limit: usize) -> Result<String, String> {
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).env("LOCALSOCKET_ASKER", &job.asker);
    shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = lock(&job.process);
    let child = process.insert(spawn_apart(&mut shell).map_err(|error| format!("cannot run sh: {error}"))?);
    let mut stdin = child.stdin.take();
    let longest = limit.saturating_sub(job.asker.len() + job.id.len() + OVERHEAD).min(LINE_MAX);
    let mut stdout = Output::new(child.stdout.take(), longest);
    let mut stderr = Output::new(child.stderr.take(), COMPLAINT_MAX);
    drop(process);
    let (mut is_too_long, mut complaint) = (false, String::new());
    let mut complain = |lines: &[u8]| {
        say_bytes(lines);
        if let Some(line) = text_of(lines).lines().rfind(|line| !line.trim().is_empty()) {
            line.clone_into(&mut complaint);
        }
    };
    let (mut ended, mut left, mut tick) = (None, LEFT_IN_PIPE, FIRST_TICK);
    let status = loop {
        ended = ended.or_else(|| job.end());
        let mut waits: Vec<Wait<'_>> = stdin.iter().map(|pipe| Wait::writable(pipe.as_fd())).collect();
        waits.extend(stdout.pipe.iter().chain(&stderr.pipe).map(|pipe| Wait::readable(pipe.0.as_fd())));
        match waits.is_empty() {
            _ if ended.is_some() => {}
            true if tick < SHORTEST_SLEEP => thread::yield_now(),
            true => thread::sleep(tick),
            false => poll(&mut waits, Some(tick)),
        }
        if let Some(pipe) = stdin.as_mut().filter(|pipe| is_ready(Wait::writable(pipe.as_fd()), Duration::ZERO)) {
            input = write_piece(pipe, input).map_or(&[], |count| &input[count..]);
            stdin = stdin.filter(|_| !input.is_empty());
        }
        // A line with nothing behind it may be the last.
        let (parts, complaints) = (stdout.read(1), stderr.read(0));
        if let Some(parts) = parts.as_deref().map(text_of) {
            is_too_long |= parts.split('\n').any(|line| line.len() > longest);
            if is_too_long {
                // Nothing more is read, so that the command ends.
                stdout.pipe = None;
            } else if let Some(parts) = parts.strip_suffix('\n') {
                let _ = lock(&job.question).as_ref().map(|question| question.part(parts));
            }
        }
        complaints.as_deref().map(&mut complain);
        let is_silent = parts.is_none() && complaints.is_none();
        match ended {
            Some(status) if is_silent || left == 0 => break status,
            Some(_) => left -= 1,
            None => tick = if is_silent { (2 * tick).min(LAST_TICK) } else { FIRST_TICK },
        }
    };
    if !stderr.bytes.is_empty() {
        complain(&[&stderr.bytes[..], b"\n"].concat());
    }
    let last = text_of(&stdout.bytes);
    let last = last.strip_suffix('\n').unwrap_or(&last);
    match status {
        _ if is_too_long || last.len() > longest => {
            let limit = Counted(limit, "byte");
            Err(format!("the answer has a line that is longer than the server allows (limit {limit})"))
        }
        Ok(status) if status.success() => Ok(last.to_owned()),
        Ok(status) => Err(reason(status, complaint)),
        Err(error) => Err(format!("the end of the command was not seen: {error}")),
    }
}

/// What a pipe has given that was not taken yet.
struct Output {
    pipe: Option<Patient<File>>,
    bytes: Vec<u8>,
    longest: usize,
}

impl Output {
    fn new(pipe: Option<impl Into<OwnedFd>>, longest: usize) -> Output {
        Output { pipe: pipe.map(|pipe| Patient(File::from(pipe.into()))), bytes: Vec::new(), longest }
    }

    /// Reads what is at hand, if there is anything. Takes whole lines, up to the last line end that has so many bytes
    /// `behind` it. A piece that is longer than a line may be counts as whole.
    fn read(&mut self, behind: usize) -> Option<Vec<u8>> {
        let is_at_hand = |pipe: &&mut Patient<File>| is_ready(Wait::readable(pipe.0.as_fd()), Duration::ZERO);
        let pipe = self.pipe.as_mut().filter(is_at_hand)?;
        let before = self.bytes.len();
        self.bytes.resize(before + PIECE, 0);
        let count = pipe.read(&mut self.bytes[before..]).unwrap_or(0);
        self.bytes.truncate(before + count);
        if count == 0 {
            self.pipe = None;
            return None;
        }
        // No line end was left before that.
        let (scanned, end) = (before.saturating_sub(behind), self.bytes.len().saturating_sub(behind));
        let line_end = self.bytes[scanned..end].iter().rposition(|byte| *byte == b'\n');
        let mut whole = line_end.map_or(0, |place| scanned + place + 1);
        if self.bytes.len() - whole > self.longest + "\r\n".len() {
            whole = self.bytes.len();
        }
        Some(self.bytes.drain(..whole).collect())
    }
}

/// Lines end in LF here.
fn text_of(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace("\r\n", "\n")
}

fn reason(status: ExitStatus, complaint: String) -> String {
    let mut reason = match status.code() {
        _ if !complaint.is_empty() => complaint,
        Some(code) => format!("exit status {code}"),
        None => format!("killed by signal {}", status.signal().unwrap_or_default()),
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

    /// What is taken of these bytes, and what is left at the end.
    fn taken(bytes: &[u8], step: usize, behind: usize) -> (Vec<String>, String) {
        let (mut there, here) = UnixStream::pair().unwrap();
        let mut output = Output::new(Some(here), 5);
        let mut taken = Vec::new();
        for piece in bytes.chunks(step) {
            there.write_all(piece).unwrap();
            taken.extend(output.read(behind).map(|lines| text_of(&lines)));
        }
        drop(there);
        assert!(output.read(behind).is_none() && output.pipe.is_none());
        taken.retain(|lines| !lines.is_empty());
        (taken, text_of(&output.bytes))
    }

    #[test]
    fn output_is_taken_in_whole_lines_and_the_last_one_is_kept_back_if_that_is_wanted() {
        for (bytes, behind, whole, rest) in [
            (&b"a\nb\n"[..], 1, "a\n", "b\n"),
            (b"a\nb\n", 0, "a\nb\n", ""),
            (b"12345\r\n\nend", 1, "12345\n\n", "end"),
            (b"a\rb\n\xff\r\n", 1, "a\rb\n", "\u{fffd}\n"),
            (b"12345\r\n", 1, "", "12345\n"),
            (b"", 1, "", ""),
        ] {
            for step in [1, 2, 3, 7, 99] {
                let (taken, left) = taken(bytes, step, behind);
                assert_eq!((&*taken.concat(), &*left), (whole, rest), "{step} bytes at a time");
            }
        }
        // What is too long does not wait for its end.
        for step in [1, 3, 99] {
            let (taken, _) = taken(b"1234567890123\nb\n", step, 1);
            assert!(taken[0].len() > 5, "{taken:?}");
        }
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
