//! The program's log: level and modules by `RUST_LOG`, lines for people or for journald, written by `queue`.
//!
//! Nothing that logs ever waits for the reader of stderr. Lines are at level info unless `RUST_LOG` says
//! otherwise, and a mistake in `RUST_LOG` changes nothing else.

mod queue;

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;
use std::{env, panic, process, thread};

use env_logger::fmt::Formatter;
use env_logger::{Builder, Target};
use localsocket::programs::cli::Patient;
use localsocket::programs::{self, Counted, Wait};
use log::{Level, LevelFilter, Record, error, warn};
use queue::LogQueue;

const VARIABLE: &str = "RUST_LOG";

/// How long stderr may take nothing at the end of the process before what is left of the log is given up.
pub(crate) const PATIENCE: Duration = Duration::from_millis(500);

/// The running log. Clones are the same log.
#[derive(Debug, Clone)]
pub(crate) struct Log(Arc<LogQueue>);

impl Log {
    /// Starts the log of this process.
    ///
    /// # Errors
    /// The system has no more threads or descriptors.
    pub(crate) fn start() -> io::Result<Log> {
        // A descriptor of its own, so that the writer never holds the lock that std has for stderr.
        let stderr = Patient(File::from(io::stderr().as_fd().try_clone_to_owned()?));
        let report =
            |_: &LogQueue, count| error!("dropped {} of the log, because stderr was not read", Counted(count, "line"));
        let log = Log(LogQueue::start(stderr, report)?);
        let said = match env::var(VARIABLE) {
            Ok(filter) => Filter::from(&*filter),
            Err(env::VarError::NotPresent) => Filter::default(),
            Err(error) => Filter { valid: String::new(), mistakes: vec![error.to_string()] },
        };
        Builder::new()
            .filter_level(LevelFilter::Info)
            .parse_filters(&said.valid)
            .format(if programs::stderr_is_journal() { write_for_journal } else { write_for_people })
            .target(Target::Pipe(Box::new(log.clone())))
            .init();
        for mistake in said.mistakes {
            warn!("{VARIABLE}: {mistake}");
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

    /// Waits until everything is written, but not for a stderr that takes nothing for as long as `patience`.
    pub(crate) fn flush(&self, patience: Duration) {
        let stderr = io::stderr();
        self.0.flush(|| {
            let mut waits = [Wait::writable(stderr.as_fd())];
            programs::poll(&mut waits, Some(patience));
            waits[0].is_ready()
        });
    }

    /// Writes a message that is not a log line, after the log lines before it.
    pub(crate) fn message(&self, text: &str) {
        self.0.push(format!("{text}\n").as_bytes());
    }

    /// Ends the process at once, except for what the log takes.
    pub(crate) fn exit(&self, code: i32) -> ! {
        self.flush(PATIENCE / 5);
        process::exit(code);
    }
}

/// env_logger writes each line with one call.
impl Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
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

/// What `RUST_LOG` says, without its mistakes: env_logger would write those to stderr itself, and wait for it.
#[derive(Debug, Default, PartialEq)]
struct Filter {
    valid: String,
    mistakes: Vec<String>,
}

impl From<&str> for Filter {
    fn from(text: &str) -> Filter {
        let mut filter = Filter::default();
        let (directives, pattern) = text.split_once('/').map_or((text, None), |(left, right)| (left, Some(right)));
        if pattern.is_some_and(|pattern| pattern.contains('/')) {
            filter.mistakes.push(format!("ignored, it has more than one '/': {}", text.escape_debug()));
            return filter;
        }
        let mut valid = Vec::new();
        for directive in directives.split(',').map(str::trim).filter(|directive| !directive.is_empty()) {
            let (module, level) = match directive.split_once('=') {
                Some((module, level)) => (module, Some(level)),
                None if directive.parse::<LevelFilter>().is_ok() => ("", Some(directive)),
                None => (directive, None),
            };
            let shown = directive.escape_debug();
            if level.is_some_and(|level| !level.is_empty() && level.parse::<LevelFilter>().is_err()) {
                let allowed = "off, error, warn, info, debug, trace";
                filter.mistakes.push(format!("'{shown}' is ignored: the levels are {allowed}"));
                continue;
            }
            if !module.is_empty() && !module.starts_with("localsocket") {
                filter.mistakes.push(format!("'{shown}' has no effect: it is neither a level nor 'localsocket=LEVEL'"));
            }
            valid.push(directive);
        }
        filter.valid = valid.join(",");
        if let Some(pattern) = pattern {
            filter.valid.push('/');
            filter.valid.push_str(pattern);
        }
        filter
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_in_the_filter_are_left_out_and_reported() {
        for (text, valid, mistakes) in [
            ("", "", 0),
            ("debug", "debug", 0),
            ("WARN", "WARN", 0),
            ("localsocket=trace,warn", "localsocket=trace,warn", 0),
            ("localsocket::server", "localsocket::server", 0),
            ("localsocket=", "localsocket=", 0),
            ("debug/client 7", "debug/client 7", 0),
            ("debg", "debg", 1),
            ("debug, localsocket=loud ,,", "debug", 1),
            ("a=b=c", "", 1),
            ("debug/a/b", "", 1),
        ] {
            let filter = Filter::from(text);
            assert_eq!((&*filter.valid, filter.mistakes.len()), (valid, mistakes), "{text}: {filter:?}");
        }
    }
}
