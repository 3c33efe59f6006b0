//! The program's log: level and modules by `RUST_LOG`, lines for people or for journald.
//!
//! Nothing that logs ever waits for the reader of stderr: lines go into a bounded queue, and one thread writes them. What
//! does not fit is dropped and counted, and the count is logged when there is room again. That thread also adds time and
//! level, so that a client's thread touches little memory for its line. Lines are at level info unless `RUST_LOG` says
//! otherwise.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};
use std::{env, panic, thread};

use env_logger::Logger;
use localsocket::programs::cli::Patient;
use localsocket::programs::{self, Counted};
use log::{Level, LevelFilter, Metadata, Record, error, warn};

const VARIABLE: &str = "RUST_LOG";
/// How many bytes may wait to be written: some thousand lines, more than a busy server logs in a second.
const CAPACITY: usize = 256 * 1024;
/// The longest line that is kept whole. Only `RUST_LOG=trace`, which logs what clients send, has longer ones.
const LINE_MAX: usize = 4096;
/// How many bytes are written at a time.
const PIECE: usize = 16 * 1024;
/// How long the writer waits before it tries again after an error, such as a full disk.
const RETRY: Duration = Duration::from_secs(1);
/// How long the end of the process waits for what is left of the log, and how often it looks in a row if nothing is read
/// of it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(1);
const LOOKS: u32 = 100;
const LOOK: Duration = Duration::from_millis(1);

/// The running log.
pub(crate) struct Log {
    filter: Logger,
    queue: Mutex<Queue>,
    /// Notified when there is something to write again.
    filled: Condvar,
}

#[derive(Default)]
struct Queue {
    lines: VecDeque<Line>,
    /// Bytes that wait, or are being written.
    held: usize,
    /// Lines that were dropped since this was last logged.
    dropped: usize,
    /// The last write failed: nobody can say when the next one will not.
    failing: bool,
}

struct Line {
    level: Level,
    /// `None` for what is not a log line.
    time: Option<SystemTime>,
    text: String,
}

impl Log {
    /// Starts the log of this process.
    ///
    /// # Errors
    /// The system has no more threads or descriptors.
    pub(crate) fn start() -> io::Result<&'static Log> {
        // A descriptor of its own, so that the writer never holds the lock that std has for stderr.
        let stderr = Patient(File::from(io::stderr().as_fd().try_clone_to_owned()?));
        let said = env::var_os(VARIABLE).unwrap_or_default();
        let said = said.to_string_lossy();
        // env_logger would write these to stderr itself, and wait for it.
        let (valid, mistakes): (Vec<&str>, Vec<&str>) =
            said.split(',').map(str::trim).filter(|part| !part.is_empty()).partition(|part| is_valid(part));
        let filter = env_logger::Builder::new().filter_level(LevelFilter::Info).parse_filters(&valid.join(",")).build();
        log::set_max_level(filter.filter());
        let log: &Log = Box::leak(Box::new(Log { filter, queue: Mutex::default(), filled: Condvar::new() }));
        let form = if programs::stderr_is_journal() { for_journal } else { for_people };
        programs::start_thread("log-writer", move || log.write_to(stderr, form))?;
        log::set_logger(log).map_err(io::Error::other)?;
        for mistake in mistakes {
            warn!("{VARIABLE}: '{}' is ignored: use LEVEL or localsocket=LEVEL", mistake.escape_debug());
        }
        panic::set_hook(Box::new(move |panic| {
            let thread = thread::current();
            let name = thread.name().unwrap_or("unnamed");
            error!("thread {name} {}", panic.to_string().replace('\n', " "));
            if name == "main" {
                log.flush(PATIENCE);
            }
        }));
        Ok(log)
    }

    /// Waits until everything is written, for `patience` at most, and only for as long as something is.
    pub(crate) fn flush(&self, patience: Duration) {
        let end = Instant::now() + patience;
        // Counted in looks: on a busy machine both threads run less often.
        let (mut before, mut looks) = (usize::MAX, 0);
        while Instant::now() < end && looks < LOOKS {
            let queue = self.queue();
            if queue.held == 0 || queue.failing {
                return;
            }
            looks = if queue.held < before { 0 } else { looks + 1 };
            before = queue.held;
            drop(queue);
            thread::sleep(LOOK);
        }
    }

    /// Writes an error that is not a log line, after the log lines before it.
    pub(crate) fn message(&self, text: String) {
        self.push(Line { level: Level::Error, time: None, text });
    }

    /// It is held for moments only.
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, mut line: Line) {
        if line.text.len() > LINE_MAX {
            let end = (0..=LINE_MAX).rfind(|at| line.text.is_char_boundary(*at)).unwrap_or(0);
            line.text.truncate(end);
            line.text.push_str("... (cut)");
        }
        let mut queue = self.queue();
        if queue.held + line.weight() > CAPACITY {
            queue.dropped += 1;
            return;
        }
        queue.held += line.weight();
        queue.lines.push_back(line);
        if queue.lines.len() == 1 {
            self.filled.notify_one();
        }
    }

    /// Writes lines for as long as the program runs.
    fn write_to(&self, mut target: impl Write, form: fn(&Line) -> String) {
        loop {
            let waited = self.filled.wait_while(self.queue(), |queue| queue.lines.is_empty());
            let mut queue = waited.unwrap_or_else(PoisonError::into_inner);
            let (mut lines, mut weight) = (Vec::new(), 0);
            while weight < PIECE
                && let Some(line) = queue.lines.pop_front()
            {
                weight += line.weight();
                lines.push(line);
            }
            drop(queue);
            let piece: String = lines.iter().map(form).collect();
            let mut rest = piece.as_bytes();
            while !rest.is_empty() {
                let written = target.write(rest).unwrap_or(0);
                rest = &rest[written..];
                self.queue().failing = written == 0;
                if written == 0 {
                    // Whatever it is may pass: a full disk, a file at its limit, a pipe whose reader is started again.
                    thread::sleep(RETRY);
                }
            }
            let mut queue = self.queue();
            queue.held -= weight;
            let dropped = if queue.held <= CAPACITY / 2 { std::mem::take(&mut queue.dropped) } else { 0 };
            drop(queue);
            if dropped > 0 {
                error!("dropped {} of the log, because stderr was not read", Counted(dropped, "line"));
            }
        }
    }
}

impl Line {
    /// What it counts for in the queue.
    fn weight(&self) -> usize {
        size_of::<Line>() + self.text.len()
    }
}

impl log::Log for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.filter.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if self.filter.matches(record) {
            self.push(Line { level: record.level(), time: Some(SystemTime::now()), text: record.args().to_string() });
        }
    }

    fn flush(&self) {}
}

/// Whether a part of `RUST_LOG` is `LEVEL` or `MODULE=LEVEL` with a module of ours.
fn is_valid(part: &str) -> bool {
    let (module, level) = part.rsplit_once('=').unwrap_or(("localsocket", part));
    module.starts_with("localsocket") && level.parse::<LevelFilter>().is_ok()
}

fn for_people(line: &Line) -> String {
    match line.time {
        // To the second.
        Some(time) => format!("[{}Z {:<5}] {}\n", &programs::rfc_3339(time)[..19], line.level, line.text),
        None => format!("{}\n", line.text),
    }
}

/// journald adds the time itself, and takes the priority from the start of a line: sd-daemon(3).
fn for_journal(line: &Line) -> String {
    let priority = match line.level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    };
    format!("<{priority}>{}\n", line.text)
}
