//! The program's log: level and modules by `RUST_LOG`, lines for people or for journald.
//!
//! Nothing that logs ever waits for the reader of stderr: lines go into a bounded queue, and one thread writes them. What
//! does not fit is dropped and counted, and the count is logged when there is room again. Lines are at level info unless
//! `RUST_LOG` says otherwise.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;
use std::{env, panic, process, thread};

use env_logger::fmt::Formatter;
use env_logger::{Builder, Target};
use localsocket::programs::cli::Patient;
use localsocket::programs::{self, Counted};
use log::{Level, LevelFilter, Record, error, warn};

const VARIABLE: &str = "RUST_LOG";
/// How many bytes may wait to be written: some thousand lines, more than a busy server logs in a second.
const CAPACITY: usize = 256 * 1024;
/// The longest line that is kept whole. Only `RUST_LOG=trace`, which logs what clients send, has longer ones.
const LINE_MAX: usize = 4096;
/// What is written at a time.
const PIECE: usize = 16 * 1024;
/// How long the writer waits before it tries again after an error, such as a full disk.
const RETRY: Duration = Duration::from_secs(1);
/// How long the end of the process waits for what is left of the log.
pub(crate) const PATIENCE: Duration = Duration::from_secs(1);

/// The running log. Clones are the same log.
#[derive(Debug, Clone)]
pub(crate) struct Log {
    queue: Sender<Message>,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    /// Bytes that wait.
    held: AtomicUsize,
    /// Lines that were dropped since this was last logged.
    dropped: AtomicUsize,
}

#[derive(Debug)]
enum Message {
    Line(Vec<u8>),
    /// Everything before it has been written when this is dropped.
    Mark(Sender<()>),
}

impl Log {
    /// Starts the log of this process.
    ///
    /// # Errors
    /// The system has no more threads or descriptors.
    pub(crate) fn start() -> io::Result<Log> {
        // A descriptor of its own, so that the writer never holds the lock that std has for stderr.
        let stderr = Patient(File::from(io::stderr().as_fd().try_clone_to_owned()?));
        let (queue, lines) = mpsc::channel();
        let log = Log { queue, counts: Arc::default() };
        let counts = Arc::clone(&log.counts);
        thread::Builder::new().name("log-writer".to_owned()).spawn(move || write(stderr, &lines, &counts))?;
        let said = env::var_os(VARIABLE).unwrap_or_default();
        let said = said.to_string_lossy();
        // Without its mistakes: env_logger would write those to stderr itself, and wait for it.
        let (valid, mistakes): (Vec<&str>, Vec<&str>) =
            said.split(',').map(str::trim).filter(|part| !part.is_empty()).partition(|part| is_valid(part));
        Builder::new()
            .filter_level(LevelFilter::Info)
            .parse_filters(&valid.join(","))
            .format(if programs::stderr_is_journal() { write_for_journal } else { write_for_people })
            .target(Target::Pipe(Box::new(log.clone())))
            .init();
        for mistake in mistakes {
            warn!("{VARIABLE}: '{}' is ignored: use LEVEL or localsocket=LEVEL", mistake.escape_debug());
        }
        let log_of_panics = log.clone();
        panic::set_hook(Box::new(move |panic| {
            let thread = thread::current();
            let name = thread.name().unwrap_or("unnamed");
            error!("thread {name} {}", panic.to_string().replace('\n', " "));
            if name == "main" {
                log_of_panics.flush(PATIENCE);
            }
        }));
        Ok(log)
    }

    /// Waits until everything is written, for `patience` at most.
    pub(crate) fn flush(&self, patience: Duration) {
        let (mark, passed) = mpsc::channel();
        let _ = self.queue.send(Message::Mark(mark));
        let _ = passed.recv_timeout(patience);
    }

    /// Writes a message that is not a log line, after the log lines before it.
    pub(crate) fn message(&self, text: &str) {
        self.push(format!("{text}\n").into_bytes());
    }

    /// Ends the process at once, except for what the log takes.
    pub(crate) fn exit(&self, code: i32) -> ! {
        self.flush(PATIENCE / 10);
        process::exit(code);
    }

    fn push(&self, mut line: Vec<u8>) {
        if line.len() > LINE_MAX {
            line.truncate(LINE_MAX);
            line = String::from_utf8_lossy(&line).into_owned().into_bytes();
            line.extend_from_slice(b"... (cut)\n");
        }
        let Counts { held, dropped } = &*self.counts;
        if held.fetch_add(line.len(), Ordering::Relaxed) + line.len() > CAPACITY {
            held.fetch_sub(line.len(), Ordering::Relaxed);
            dropped.fetch_add(1, Ordering::Relaxed);
        } else {
            // Without a writer nobody will ever read the log again.
            let _ = self.queue.send(Message::Line(line));
        }
    }
}

/// env_logger writes each line with one call.
impl Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.push(line.to_vec());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes lines until nobody will ever read them again.
fn write(mut target: impl Write, lines: &Receiver<Message>, counts: &Counts) {
    let (mut piece, mut marks) = (Vec::new(), Vec::new());
    while let Ok(first) = lines.recv() {
        let mut next = Some(first);
        while let Some(message) = next {
            match message {
                Message::Line(line) => piece.extend_from_slice(&line),
                Message::Mark(mark) => marks.push(mark),
            }
            next = if piece.len() < PIECE { lines.try_recv().ok() } else { None };
        }
        let mut rest = &*piece;
        while !rest.is_empty() {
            match target.write(rest) {
                Ok(count @ 1..) => rest = &rest[count..],
                Err(error) if error.kind() == ErrorKind::BrokenPipe => return,
                _ => thread::sleep(RETRY),
            }
        }
        let held = counts.held.fetch_sub(piece.len(), Ordering::Relaxed) - piece.len();
        piece.clear();
        marks.clear();
        if held <= CAPACITY / 2
            && let count @ 1.. = counts.dropped.swap(0, Ordering::Relaxed)
        {
            error!("dropped {} of the log, because stderr was not read", Counted(count as u64, "line"));
        }
    }
}

/// Whether a part of `RUST_LOG` is `LEVEL` or `MODULE=LEVEL` with a module of ours.
fn is_valid(part: &str) -> bool {
    let (module, level) = part.rsplit_once('=').unwrap_or(("localsocket", part));
    module.starts_with("localsocket") && level.parse::<LevelFilter>().is_ok()
}

fn write_for_people(out: &mut Formatter, record: &Record<'_>) -> io::Result<()> {
    let time = out.timestamp_seconds();
    writeln!(out, "[{time} {:<5}] {}", record.level(), record.args())
}

/// journald adds the time itself, and takes the priority from the start of a line: sd-daemon(3).
fn write_for_journal(out: &mut Formatter, record: &Record<'_>) -> io::Result<()> {
    let priority = match record.level() {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    };
    writeln!(out, "<{priority}>{}", record.args())
}
