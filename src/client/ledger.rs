//! What was sent over one connection, and what of it was answered. Pure.
//!
//! A client cannot tell from a line alone whether it answers something: in a room others talk in between. Two
//! things are certain. In echo mode every line but `quit` has one answer, so counting tells what has none. And a
//! bare `pong` is always an answer to a `ping` of one's own, in the order of the pings: so the pings that are under
//! way are kept with their purpose, and the lines in front of a `pong` are known to have been dealt with.

use std::collections::VecDeque;

use super::outgoing::Batch;

/// Why a `ping` was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// The caller sent it, and receives its answer.
    Caller,
    /// To hear whether the server is there.
    Heartbeat,
    /// Behind the login that comes first on a connection.
    Login,
    /// To know when everything sent before it was dealt with.
    Fence(u64),
}

#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// Answers to the login, which come first.
    login: u64,
    /// Answers to the lines of the caller.
    wanted: u64,
    /// Lines received, but for answers to pings of this library.
    received: u64,
    /// Pings under way: their purpose, and how many of the same in a row.
    pings: VecDeque<(Purpose, u64)>,
}

impl Ledger {
    /// The ledger of a new connection whose login has this many answers beside that of its ping.
    pub(super) fn new(login: u64) -> Ledger {
        Ledger { login, ..Ledger::default() }
    }

    /// The caller's lines were sent.
    pub(super) fn sent(&mut self, batch: Batch) {
        self.wanted += batch.answers;
        self.pinged(Purpose::Caller, batch.pings);
    }

    /// Pings were sent.
    pub(super) fn pinged(&mut self, purpose: Purpose, count: u64) {
        match self.pings.back_mut() {
            _ if count == 0 => {}
            Some((last, pings)) if *last == purpose => *pings += count,
            _ => self.pings.push_back((purpose, count)),
        }
    }

    /// A line has come. Tells what it was for if it is the answer to a ping of this library.
    pub(super) fn received(&mut self, line: &str) -> Option<Purpose> {
        if line == "pong"
            && let Some((purpose, pings)) = self.pings.front_mut()
        {
            let purpose = *purpose;
            *pings -= 1;
            if *pings == 0 {
                self.pings.pop_front();
            }
            if purpose != Purpose::Caller {
                return Some(purpose);
            }
        }
        self.received += 1;
        None
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
            ledger.sent(Batch { answers: wanted, ..Batch::default() });
            (0..received).for_each(|_| assert_eq!(ledger.received("x"), None));
            assert_eq!(ledger.unanswered(last_words), unanswered, "{login} {wanted} {received} {last_words}");
        }
    }

    #[test]
    fn every_pong_answers_the_oldest_ping() {
        let mut ledger = Ledger::new(1);
        ledger.pinged(Purpose::Login, 1);
        ledger.sent(Batch::of(b"ping\nmsg:x\nping\n"));
        ledger.pinged(Purpose::Heartbeat, 1);
        ledger.sent(Batch::of(b"ping\n"));
        ledger.pinged(Purpose::Fence(7), 1);
        assert_eq!(ledger.received("ada has joined"), None);
        let answers: Vec<_> = (0..7).map(|_| ledger.received("pong")).collect();
        let (heartbeat, fence) = (Some(Purpose::Heartbeat), Some(Purpose::Fence(7)));
        // The last one was not asked for.
        assert_eq!(answers, [Some(Purpose::Login), None, None, heartbeat, None, fence, None]);
        assert_eq!(ledger.unanswered(false), 0);
    }

    #[test]
    fn pings_of_the_library_are_not_counted() {
        let mut ledger = Ledger::new(0);
        ledger.sent(Batch::of(b"msg:a\nmsg:b\n"));
        ledger.pinged(Purpose::Heartbeat, 1);
        assert_eq!(ledger.received("a"), None);
        assert_eq!(ledger.unanswered(false), 1);
        assert_eq!(ledger.received("b"), None);
        assert_eq!(ledger.received("pong"), Some(Purpose::Heartbeat));
        assert_eq!(ledger.unanswered(false), 0);
    }
}
