//! What the signals do: SIGINT and SIGTERM stop the server, and a second one ends the process at once; SIGHUP stops it
//! too if it was started at a terminal, which has gone then, and otherwise reads the token file again.
//!
//! The thread that waits for signals does nothing that can take long, so that the next signal is heard soon.

use std::fs::File;
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::process;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use localsocket::programs::{self, Counted, Signal, Signals, cli};
use localsocket::{ServerHandle, Token};
use log::{error, info};

use crate::logging::{Log, PATIENCE};
use crate::notify;

/// A signal that comes again within this time is the same request: `timeout` and `make` signal their child, and then the
/// whole process group. Far shorter than a person takes.
const SAME_REQUEST: Duration = Duration::from_millis(50);

/// Starts the thread that handles the signals.
///
/// # Errors
/// The system has no more threads.
pub(crate) fn handle(
    signals: Signals,
    server: ServerHandle,
    token_file: Option<String>,
    log: &'static Log,
) -> io::Result<()> {
    // Asked now: a terminal that has hung up is not one any more.
    let at_terminal = is_at_terminal();
    let work = move || {
        // The first signal that stops the server, and since when it stops.
        let mut stopping: Option<(Signal, Instant)> = None;
        loop {
            match (signals.wait(), stopping) {
                (Signal::HangUp, None) if !at_terminal => match &token_file {
                    Some(path) => reload(path, &server),
                    None => info!("SIGHUP: there is no --token-file to read again"),
                },
                (Signal::HangUp, Some(_)) if !at_terminal => info!("SIGHUP is ignored: the server is stopping"),
                (first, None) => {
                    stop(first, &server);
                    // Not before: a signal that waits already when this thread gets to it again may have come right behind
                    // the first.
                    stopping = Some((first, Instant::now()));
                }
                (again, Some((first, since))) if again == first && since.elapsed() < SAME_REQUEST => {}
                (second, Some(_)) => {
                    error!("exiting at once on another signal, {second}");
                    log.flush(PATIENCE / 10);
                    process::exit(1);
                }
            }
        }
    };
    programs::start_thread("signals", work).map(drop)
}

/// Whether a terminal belongs to this process, as one of its streams or as the one that controls its session.
fn is_at_terminal() -> bool {
    io::stdin().is_terminal() || io::stderr().is_terminal() || File::open("/dev/tty").is_ok()
}

fn stop(signal: Signal, server: &ServerHandle) {
    info!("stopping on {signal}, with {}", Counted(server.clients(), "client"));
    notify("STOPPING=1");
    server.stop();
}

/// Reads the token's file again. If that fails, everything stays as it was. Not waited for: a file on a file system that does
/// not answer can take for ever.
fn reload(path: &str, server: &ServerHandle) {
    static READS: AtomicBool = AtomicBool::new(false);
    if READS.swap(true, Ordering::Relaxed) {
        return error!("SIGHUP: {path} is still being read; the token stays as it was");
    }
    let (file, server) = (PathBuf::from(path), server.clone());
    let read = move || {
        match cli::read_first_line(&file) {
            Ok(token) => {
                server.set_token(Token::from(token));
                info!("SIGHUP: the token was read again; authenticated clients stay connected");
            }
            Err(mistake) => error!("SIGHUP: {mistake}; the token stays as it was"),
        }
        READS.store(false, Ordering::Relaxed);
    };
    if let Err(error) = programs::start_thread("token", read) {
        error!("SIGHUP: cannot start a thread: {error}; the token stays as it was");
        READS.store(false, Ordering::Relaxed);
    }
}
