//! What was sent over one connection, and what of it was answered. Pure.
//!
//! A client cannot tell from a line alone whether it answers something: in a room others talk in between. Two
//! things are certain. In echo mode every line but `quit` has one answer, so counting tells what has none. And a
//! bare `pong` is always an answer to a `ping` of one's own, in the order of the pings: so it is kept whose pings are
//! under way, the caller's or the library's, and the lines in front of a `pong` are known to have been dealt with.

use std::collections::VecDeque;

use super::outgoing::Batch;

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
    /// Pings of the library: how many were sent, and how many were answered.
    pub(super) own: u64,
    pub(super) own_answered: u64,
}

impl Ledger {
    /// The ledger of a new connection whose login has this many answers beside that of its ping.
    pub(super) fn new(login: u64) -> Ledger {
        Ledger { login, ..Ledger::default() }
    }

    /// The caller's lines are about to be sent.
    pub(super) fn send(&mut self, batch: &Batch) {
        self.wanted += batch.answers;
        self.pings.extend((0..batch.pings).map(|_| false));
    }

    /// The last lines could not be sent.
    pub(super) fn unsend(&mut self, batch: &Batch) {
        self.wanted -= batch.answers;
        self.pings.truncate(self.pings.len() - batch.pings);
    }

    /// A ping of the library is about to be sent.
    pub(super) fn ping(&mut self) {
        self.pings.push_back(true);
        self.own += 1;
    }

    /// The last one could not be sent.
    pub(super) fn unping(&mut self) {
        self.pings.pop_back();
        self.own -= 1;
    }

    /// A line has come. True if it is the answer to a ping of the library.
    pub(super) fn receive(&mut self, line: &str) -> bool {
        let is_own = line == "pong" && self.pings.pop_front() == Some(true);
        self.own_answered += u64::from(is_own);
        self.received += u64::from(!is_own);
        is_own
    }

    /// How many of the caller's lines have no answer. `last_words` says whether the last line that came was the
    /// server's own, and so answered nothing.
    pub(super) fn unanswered(&self, last_words: bool) -> u64 {
        let answers = self.received - u64::from(last_words && self.received > 0);
        self.wanted.saturating_sub(answers.saturating_sub(self.login))
    }
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
            ledger.send(&Batch { answers: wanted, ..Batch::default() });
            (0..received).for_each(|_| assert!(!ledger.receive("x")));
            assert_eq!(ledger.unanswered(last_words), unanswered, "{login} {wanted} {received} {last_words}");
        }
    }

    #[test]
    fn every_pong_answers_the_oldest_ping_and_those_of_the_library_are_not_counted() {
        let mut ledger = Ledger::new(1);
        ledger.ping();
        ledger.send(&Batch::of(b"ping\nmsg:x\nping\n"));
        ledger.ping();
        ledger.send(&Batch::of(b"ping\n"));
        ledger.send(&Batch::of(b"ping\nmsg:not sent\n"));
        ledger.unsend(&Batch::of(b"ping\nmsg:not sent\n"));
        ledger.ping();
        ledger.ping();
        ledger.unping();
        assert!(!ledger.receive("ada has joined"));
        let answers: Vec<_> = (0..7).map(|_| ledger.receive("pong")).collect();
        // The last one was not asked for.
        assert_eq!(answers, [true, false, false, true, false, true, false]);
        assert_eq!((ledger.own_answered, ledger.unanswered(false)), (3, 0));
    }
}
