//! What can happen: everything that the one loop deals with, whichever thread it comes from.

use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::thread;

use localsocket::client::{Question, Sender};
use localsocket::{AskError, ClientError, Incoming};

use crate::command::Job;

pub(crate) enum Happening {
    /// There is a client. What it receives follows.
    Began(Sender),
    /// The server has sent something, or the connection has changed: all that was there at once.
    Came(Vec<Incoming>),
    /// `--answer`: another client asks.
    Question(Question),
    /// There is no connection and will be none.
    Over(ClientError),
    /// `--ask`: the next line of the input, which is about to be put as a question.
    Asking(String),
    /// `--ask`: the question was put, and has this number.
    Asked(Result<u64, AskError>),
    /// Input could not be read, or is left after `quit`.
    InputLost,
    /// There is no more input.
    InputOver,
    /// `--answer`: the command for this question has ended, or a refusal was sent.
    Done(Option<Arc<Job>>),
    /// Nobody can read stdout any more.
    ReaderGone,
    /// SIGTERM, SIGINT or SIGHUP. Only `--answer` waits for them.
    Signal,
}

pub(crate) type Happenings = SyncSender<Happening>;

/// Starts a thread of the program. None is waited for: the loop decides when it is over.
pub(crate) fn start(name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), String> {
    let thread = thread::Builder::new().name(name.to_owned()).spawn(run);
    thread.map(drop).map_err(|error| format!("cannot start a thread: {error}"))
}
