//! What the signals do: SIGINT and SIGTERM stop the server, and a second one ends the process at once; SIGHUP stops it
//! too if it was started at a terminal, which has gone then, and otherwise reads the token file again; SIGCHLD, in
//! process 1, collects children of others.
//!
//! The thread that waits for signals does nothing that can take long, so that the next signal is always heard.

use std::fs::File;
use std::io::{self, IsTerminal, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};
use std::{process, thread};

use localsocket::programs::{Counted, Signal, Signals, cli};
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
    let mut reader = token_file.map(|path| start_token_reader(path, server.clone())).transpose()?;
    let work = move || {
        // The first signal that stops the server, and since when it stops.
        let mut stopping: Option<(Signal, Instant)> = None;
        loop {
            match (signals.wait(), stopping) {
                (Signal::HangUp, None) if !at_terminal => match &mut reader {
                    // It fails only when enough requests wait already.
                    Some(reader) => drop(reader.write(&[0])),
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
    thread::Builder::new().name("signals".to_owned()).spawn(work).map(drop)
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

/// Starts the thread that reads the token's file again on request: a file on a file system that does not answer can take
/// for ever. If that fails, everything stays as it was.
fn start_token_reader(path: String, server: ServerHandle) -> io::Result<UnixStream> {
    let (requests, waiting) = UnixStream::pair()?;
    requests.set_nonblocking(true)?;
    let work = move || {
        // All requests that have come meanwhile are one.
        while (&waiting).read(&mut [0; 64]).is_ok_and(|count| count > 0) {
            reload(&path, &server);
        }
    };
    thread::Builder::new().name("token-reader".to_owned()).spawn(work)?;
    Ok(requests)
}

fn reload(path: &str, server: &ServerHandle) {
    match cli::read_first_line(path.as_ref()) {
        Ok(token) => {
            server.set_token(Token::from(token));
            info!("SIGHUP: the token was read again; authenticated clients stay connected");
        }
        Err(mistake) => error!("SIGHUP: {mistake}; the token stays as it was"),
    }
}
