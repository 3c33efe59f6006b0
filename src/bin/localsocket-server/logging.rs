//! The program's log: level and modules by `RUST_LOG`, lines for people or for journald.
//!
//! Nothing that logs ever waits for the reader of stderr: lines go into a bounded queue, and one thread writes them. What
//! does not fit is dropped and counted, and the count is logged when there is room again. That thread also adds time and
//! level, so that a client's thread touches little memory for its line. Lines are at level info unless `RUST_LOG` says
//! otherwise.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant, SystemTime};
use std::{env, panic, process, thread};

use env_logger::Logger;
use localsocket::programs::cli::Patient;
use localsocket::programs::{self, Counted};
use log::{Level, LevelFilter, Metadata, Record, error, warn};

const VARIABLE: &str = "RUST_LOG";
/// How many bytes may wait to be written: some thousand lines, more than a busy server logs in a second.
const CAPACITY: usize = 256 * 1024;
/// The longest line that is kept whole. Only `RUST_LOG=trace`, which logs what clients send, has longer ones.
const LINE_MAX: usize = 4096;
/// What is written at a time.
const PIECE: usize = 16 * 1024;
/// How long the writer waits before it tries again after an error, such as a full disk.
const RETRY: Duration = Duration::from_secs(1);
/// How long the end of the process waits for what is left of the log, and how often it looks in a row if nothing is read
/// of it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(1);
const LOOKS: u32 = 100;
const LOOK: Duration = Duration::from_millis(1);

/// The running log. Clones are the same log.
#[derive(Debug, Clone)]
pub(crate) struct Log {
    filter: Arc<Logger>,
    queue: Sender<Line>,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Bytes that wait.
    held: AtomicUsize,
    /// Lines that were dropped since this was last logged.
    dropped: AtomicUsize,
    /// The last write failed: nobody can say when the next one will not.
    failing: AtomicBool,
}

#[derive(Debug)]
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
    pub(crate) fn start() -> io::Result<Log> {
        // A descriptor of its own, so that the writer never holds the lock that std has for stderr.
        let stderr = Patient(File::from(io::stderr().as_fd().try_clone_to_owned()?));
        let said = env::var_os(VARIABLE).unwrap_or_default();
        let said = said.to_string_lossy();
        // env_logger would write these to stderr itself, and wait for it.
        let (valid, mistakes): (Vec<&str>, Vec<&str>) =
            said.split(',').map(str::trim).filter(|part| !part.is_empty()).partition(|part| is_valid(part));
        let filter = env_logger::Builder::new().filter_level(LevelFilter::Info).parse_filters(&valid.join(",")).build();
        log::set_max_level(filter.filter());
        let (queue, lines) = mpsc::channel();
        let log = Log { filter: Arc::new(filter), queue, state: Arc::default() };
        let (state, form) =
            (Arc::clone(&log.state), if programs::stderr_is_journal() { for_journal } else { for_people });
        thread::Builder::new().name("log-writer".to_owned()).spawn(move || write(stderr, &lines, form, &state))?;
        log::set_boxed_logger(Box::new(log.clone())).map_err(io::Error::other)?;
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

    /// Waits until everything is written, for `patience` at most, and only for as long as something is.
    pub(crate) fn flush(&self, patience: Duration) {
        let State { held, failing, .. } = &*self.state;
        let end = Instant::now() + patience;
        let (mut before, mut looks) = (usize::MAX, 0);
        while let held @ 1.. = held.load(Ordering::Relaxed)
            && !failing.load(Ordering::Relaxed)
            && Instant::now() < end
        {
            // Counted in looks: on a busy machine both threads run less often.
            if looks % LOOKS == 0 {
                if held >= before {
                    return;
                }
                before = held;
            }
            looks += 1;
            thread::sleep(LOOK);
        }
    }

    /// Writes an error that is not a log line, after the log lines before it.
    pub(crate) fn message(&self, text: String) {
        self.push(Line { level: Level::Error, time: None, text });
    }

    /// Ends the process at once, except for what the log takes.
    pub(crate) fn exit(&self, code: i32) -> ! {
        self.flush(PATIENCE / 10);
        process::exit(code);
    }

    fn push(&self, mut line: Line) {
        if line.text.len() > LINE_MAX {
            let end = (0..=LINE_MAX).rfind(|at| line.text.is_char_boundary(*at)).unwrap_or(0);
            line.text.truncate(end);
            line.text.push_str("... (cut)");
        }
        let State { held, dropped, .. } = &*self.state;
        if held.fetch_add(line.weight(), Ordering::Relaxed) + line.weight() > CAPACITY {
            held.fetch_sub(line.weight(), Ordering::Relaxed);
            dropped.fetch_add(1, Ordering::Relaxed);
        } else {
            // Without a writer nobody will ever read the log again.
            let _ = self.queue.send(line);
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

/// Writes lines for as long as the program runs.
fn write(mut target: impl Write, lines: &Receiver<Line>, form: fn(&Line) -> String, state: &State) {
    while let Ok(first) = lines.recv() {
        let (mut piece, mut weight) = (form(&first), first.weight());
        while piece.len() < PIECE
            && let Ok(line) = lines.try_recv()
        {
            piece.push_str(&form(&line));
            weight += line.weight();
        }
        let mut rest = piece.as_bytes();
        while !rest.is_empty() {
            let written = target.write(rest).unwrap_or(0);
            rest = &rest[written..];
            state.failing.store(written == 0, Ordering::Relaxed);
            if written == 0 {
                // Whatever it is may pass: a full disk, a file at its limit, a pipe whose reader is started again.
                thread::sleep(RETRY);
            }
        }
        let held = state.held.fetch_sub(weight, Ordering::Relaxed) - weight;
        if held <= CAPACITY / 2
            && let count @ 1.. = state.dropped.swap(0, Ordering::Relaxed)
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
