//! What was sent over one connection, and what of it was answered. Pure.
//!
//! A client cannot tell from a line alone whether it answers something: in a room others talk in between. Two
//! things are certain. In echo mode every line but `quit` has one answer, so counting tells what has none. And a
//! bare `pong` is always an answer to a `ping` of one's own, in the order of the pings: so it is kept whose pings are
//! under way, the caller's or the library's, and the lines in front of a `pong` are known to have been dealt with.

use std::collections::VecDeque;

use super::outgoing::Batch;

/// What lines are that are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The caller's own, with answers.
    Counted,
    /// Questions and what answers them, which have no answer in the ledger's sense.
    Uncounted,
    /// Lines of the caller between two pings of the library, or such a ping alone.
    Fenced,
}

#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// Answers to the login, which come first.
    login: u64,
    /// Answers to the lines of the caller.
    wanted: u64,
    /// Lines received, but for answers to pings of the library.
    received: u64,
    /// Pings under way: whether they are the library's.
    pings: VecDeque<bool>,
    /// How many pings of the library were sent.
    pub(super) own: u64,
}

impl Ledger {
    /// The ledger of a new connection whose login has this many answers beside that of its ping.
    pub(super) fn new(login: u64) -> Ledger {
        Ledger { login, ..Ledger::default() }
    }

    /// These lines are about to be sent.
    pub(super) fn send(&mut self, batch: &Batch, kind: Kind) {
        for index in 0..batch.pings {
            self.pings.push_back(is_own(index, batch, kind));
        }
        self.own += own(batch, kind);
        self.wanted += wanted(batch, kind);
    }

    /// They could not be sent.
    pub(super) fn unsend(&mut self, batch: &Batch, kind: Kind) {
        self.pings.truncate(self.pings.len().saturating_sub(batch.pings));
        self.own -= own(batch, kind);
        self.wanted -= wanted(batch, kind);
    }

    /// A `pong` has come. True if it answers a ping of the library.
    pub(super) fn receive_pong(&mut self) -> bool {
        self.pings.pop_front() == Some(true)
    }

    /// Other lines have come, each of which may be an answer.
    pub(super) fn receive(&mut self, lines: u64) {
        self.received += lines;
    }

    /// How many of the caller's lines have no answer. `last_words` says whether the last line that came was the
    /// server's own, and so answered nothing.
    pub(super) fn unanswered(&self, last_words: bool) -> u64 {
        let answers = self.received - u64::from(last_words && self.received > 0);
        self.wanted.saturating_sub(answers.saturating_sub(self.login))
    }
}

/// Whether a ping of the batch is the library's.
fn is_own(index: usize, batch: &Batch, kind: Kind) -> bool {
    kind == Kind::Fenced && (index == 0 || index + 1 == batch.pings)
}

fn own(batch: &Batch, kind: Kind) -> u64 {
    (0..batch.pings).filter(|index| is_own(*index, batch, kind)).count() as u64
}

fn wanted(batch: &Batch, kind: Kind) -> u64 {
    if kind == Kind::Uncounted { 0 } else { batch.answers - own(batch, kind) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_to_the_login_are_not_answers_to_the_lines() {
        for (login, wanted, received, last_words, unanswered) in [
            (0, 0, 0, false, 0),
            (2, 3, 0, false, 3),
            (2, 3, 2, false, 3),
            (2, 3, 4, false, 1),
            (0, 3, 9, false, 0),
            (0, 3, 2, true, 2),
            (0, 3, 0, true, 3),
        ] {
            let mut ledger = Ledger::new(login);
            ledger.send(&Batch { answers: wanted, ..Batch::default() }, Kind::Counted);
            ledger.receive(received);
            assert_eq!(ledger.unanswered(last_words), unanswered, "{login} {wanted} {received} {last_words}");
        }
    }

    #[test]
    fn every_pong_answers_the_oldest_ping_and_those_of_the_library_are_not_counted() {
        let mut ledger = Ledger::new(1);
        let ping = Batch::of(b"ping\n");
        ledger.send(&ping, Kind::Fenced);
        ledger.send(&Batch::of(b"ping\nmsg:x\nping\n"), Kind::Counted);
        ledger.send(&ping, Kind::Fenced);
        ledger.send(&Batch::of(b"ping\n"), Kind::Counted);
        for kind in [Kind::Counted, Kind::Fenced] {
            ledger.send(&Batch::of(b"ping\nmsg:not sent\nping\n"), kind);
            ledger.unsend(&Batch::of(b"ping\nmsg:not sent\nping\n"), kind);
        }
        ledger.send(&Batch::of(b"ping\nping\nping\n"), Kind::Fenced);
        let answers: Vec<_> = (0..9).map(|_| ledger.receive_pong()).collect();
        // The last one was not asked for.
        assert_eq!(answers, [true, false, false, true, false, true, false, true, false]);
        ledger.receive(1 + 5);
        assert_eq!((ledger.own, ledger.unanswered(false)), (4, 0));
        // Nor was this one, which came before what it would have answered could not be sent.
        ledger.send(&ping, Kind::Counted);
        assert!(!ledger.receive_pong());
        ledger.unsend(&ping, Kind::Counted);
    }
}
