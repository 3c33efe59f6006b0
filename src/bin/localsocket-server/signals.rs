//! What the signals do: SIGINT and SIGTERM stop the server, and a second one ends the process at once; SIGHUP stops it
//! too if it was started at a terminal, which has gone then, and otherwise reads the token file again; SIGCHLD, in
//! process 1, collects children of others.
//!
//! The thread that waits for signals does nothing that can take long, so that the next signal is always heard.

use std::fs::File;
use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
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
    let work = move || {
        let token = TokenFile { path: token_file, server: server.clone(), asked: Arc::default() };
        let first = loop {
            match signals.wait() {
                Signal::HangUp if !at_terminal => token.read_again(),
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

/// The file of the token, which may change while the server runs.
struct TokenFile {
    path: Option<String>,
    server: ServerHandle,
    /// How often it was asked for since the last time that nobody was reading it.
    asked: Arc<AtomicUsize>,
}

impl TokenFile {
    /// Reads it again, in a thread of its own: a file on a file system that does not answer can take for ever. If that
    /// fails, everything stays as it was.
    fn read_again(&self) {
        let Some(path) = self.path.clone() else {
            info!("SIGHUP: there is no --token-file to read again");
            return;
        };
        if self.asked.fetch_add(1, Ordering::AcqRel) > 0 {
            // The thread that is reading it will do so again.
            return;
        }
        let (server, asked) = (self.server.clone(), Arc::clone(&self.asked));
        let work = move || {
            loop {
                let answered = asked.load(Ordering::Acquire);
                reload(&path, &server);
                if asked.compare_exchange(answered, 0, Ordering::AcqRel, Ordering::Acquire).is_ok() {
                    break;
                }
            }
        };
        if let Err(error) = thread::Builder::new().name("token-reader".to_owned()).spawn(work) {
            self.asked.store(0, Ordering::Release);
            error!("SIGHUP: cannot start a thread to read the token file: {error}");
        }
    }
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
