//! The threads that only tell what happens: at the connection, on stdout, and which signals come.

use std::iter;

use localsocket::programs::Signals;
use localsocket::{Client, ClientOptions, Incoming};

use crate::happening::{Happening, Happenings, start};
use crate::output::wait_for_reader_to_go;
use crate::settings::{Mode, Settings};

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
        loop {
            signals.wait();
            if happenings.send(Happening::Signal).is_err() {
                return;
            }
        }
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
                    first => Happening::Came(together(first, iter::from_fn(|| client.try_next()))),
                };
            }
            Ok(())
        });
        if let Err(error) = result {
            let _ = happenings.send(Happening::Over(error));
        }
    })
}

/// All that is at hand. Lines without a mark that follow each other become one text, with an LF in between: a thread that
/// hands over a million lines hands over a few hundred texts.
fn together(first: Incoming, rest: impl Iterator<Item = Incoming>) -> Vec<Incoming> {
    let mut all = vec![first];
    for next in rest {
        match (all.last_mut(), next) {
            (Some(Incoming::Line { text, mark: None }), Incoming::Line { text: next, mark: None }) => {
                text.push('\n');
                text.push_str(&next);
            }
            (_, next) => all.push(next),
        }
    }
    all
}
