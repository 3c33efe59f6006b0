//! What can happen: everything that the one loop deals with, whichever thread it comes from; and the threads that do nothing
//! but tell it: at the connection, on stdout, and of signals.

use std::iter;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::thread;

use localsocket::client::{Question, Sender};
use localsocket::programs::Signals;
use localsocket::{AskError, Client, ClientError, ClientOptions, Incoming};

use crate::command::Job;
use crate::output::wait_for_reader_to_go;
use crate::settings::{Mode, Settings};

pub(crate) enum Happening {
    /// There is a client. What it receives follows.
    Began(Sender),
    /// The server has sent something, or the connection has changed: all that was there at once.
    Came(Vec<Incoming>),
    /// `--answer`: another client asks.
    Question(Question),
    /// There is no connection and will be none.
    Over(ClientError),
    /// `--ask`: the next question is about to be put.
    Asking,
    /// `--ask`: it has no answer. If it was late, its connection is given up: when that ends, whoever was asked hears of it,
    /// and the server forgets the question.
    Failed { message: String, error: AskError, given_up: Option<Sender> },
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

/// Watches what is beside the connection.
pub(crate) fn watch(mode: &Mode, happenings: Happenings) -> Result<(), String> {
    if !matches!(mode, Mode::Answer { .. }) {
        return start("stdout", move || {
            wait_for_reader_to_go();
            let _ = happenings.send(Happening::ReaderGone);
        });
    }
    let signals = Signals::block().map_err(|error| format!("cannot wait for signals: {error}"))?;
    start("signals", move || {
        iter::repeat_with(|| signals.wait()).all(|_| happenings.send(Happening::Signal).is_ok());
    })
}

/// Connects, and receives all that comes.
pub(crate) fn connect(settings: &Settings, options: ClientOptions, happenings: Happenings) -> Result<(), String> {
    let (address, answers) = (settings.address.clone(), matches!(settings.mode, Mode::Answer { .. }));
    start("receiver", move || {
        let result = Client::connect_with(&address, options).and_then(|mut client| {
            let mut happening = Happening::Began(client.sender());
            while happenings.send(happening).is_ok() {
                happening = match client.next(None)? {
                    Incoming::Line { text, mark } if answers => match client.question(&text) {
                        Some(question) => Happening::Question(question),
                        None => Happening::Came(vec![Incoming::Line { text, mark }]),
                    },
                    first if answers => Happening::Came(vec![first]),
                    first => Happening::Came(iter::once(first).chain(iter::from_fn(|| client.try_next())).collect()),
                };
            }
            Ok(())
        });
        if let Err(error) = result {
            let _ = happenings.send(Happening::Over(error));
        }
    })
}
