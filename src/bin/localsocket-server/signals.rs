//! What the signals do: SIGINT and SIGTERM stop the server, and a second one ends the process at once; SIGHUP stops it
//! too if it was started at a terminal, which has gone then, and otherwise reads the token file again; SIGCHLD, in
//! process 1, collects children of others.
//!
//! The thread that waits for signals does nothing that can take long, so that the next signal is always heard.

use std::fs::File;
use std::io::{self, IsTerminal};
use std::sync::mpsc::{self, SyncSender};
use std::thread;
use std::time::{Duration, Instant};

use localsocket::programs::{Counted, Signal, Signals, cli};
use localsocket::{ServerHandle, Token};
use log::{error, info};

use crate::logging::Log;
use crate::notify;

/// A signal that comes again within this time is the same request: `timeout` and `make` signal their child, and then the
/// whole process group. Far shorter than a person takes.
const SAME_REQUEST: Duration = Duration::from_millis(50);

/// Starts the thread that handles the signals.
///
/// # Errors
/// The system has no more threads.
pub(crate) fn handle(signals: Signals, server: ServerHandle, token_file: Option<String>, log: Log) -> io::Result<()> {
    // Asked now: a terminal that has hung up is not one any more.
    let at_terminal = is_at_terminal();
    let reader = token_file.map(|path| start_token_reader(path, server.clone())).transpose()?;
    let work = move || {
        let first = loop {
            match signals.wait() {
                Signal::HangUp if !at_terminal => match &reader {
                    // A request that waits already is enough.
                    Some(reader) => drop(reader.try_send(())),
                    None => info!("SIGHUP: there is no --token-file to read again"),
                },
                signal => break signal,
            }
        };
        stop(first, &server);
        // Not before: a signal that waits already when this thread gets to it again may have come right behind the first.
        let stopping = Instant::now();
        loop {
            match signals.wait() {
                repeated if repeated == first && stopping.elapsed() < SAME_REQUEST => {}
                Signal::HangUp if !at_terminal => info!("SIGHUP is ignored: the server is stopping"),
                second => {
                    error!("exiting at once on another signal, {second}");
                    log.exit(1);
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
fn start_token_reader(path: String, server: ServerHandle) -> io::Result<SyncSender<()>> {
    let (requests, waiting) = mpsc::sync_channel(1);
    let work = move || waiting.iter().for_each(|()| reload(&path, &server));
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
