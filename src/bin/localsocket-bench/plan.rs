//! What is to be measured: the options, checked.

use std::ops::RangeInclusive;
use std::process;
use std::time::{Duration, Instant};

use localsocket::programs::cli::{self, Arguments, UsageError};
use localsocket::protocol::OPEN_QUESTIONS_MAX;
use localsocket::{Address, limits};

use crate::texts::{COUNTER, STAMPED_MIN};

/// The most bytes that one connection has under way. The socket buffers of one direction hold that much, on TCP and
/// Unix. So a client's write never waits for the server, and the two cannot wait for each other.
const WINDOW_BYTES: usize = 64 * 1024;

/// What a message needs besides its text: `msg:` and LF.
const MESSAGE_EXTRA: usize = 5;
/// What a question needs besides its text: the command, a name, an id and LF.
const QUESTION_EXTRA: usize = 59;

const CLIENTS: RangeInclusive<usize> = 1..=100_000;
/// As many as the counter in a text can distinguish.
const MESSAGES: RangeInclusive<usize> = 1..=10usize.pow(COUNTER as u32) - 1;

/// What the clients do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// Every client sends messages, which come back to it.
    Echo,
    /// Some clients send messages, which all receive.
    Room,
    /// Some clients ask questions, which the others answer.
    Ask,
}

#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) address: Address,
    pub(crate) work: Work,
    pub(crate) clients: usize,
    /// How many of the clients send or ask: the first ones. In echo work all send.
    pub(crate) senders: usize,
    /// Messages sent in all.
    pub(crate) messages: usize,
    pub(crate) size: usize,
    pub(crate) depth: usize,
    pub(crate) timeout: Duration,
    pub(crate) token: Option<String>,
    /// The start of the times in texts.
    pub(crate) began: Instant,
}

impl Default for Plan {
    fn default() -> Plan {
        Plan {
            address: Address::default(),
            work: Work::Echo,
            clients: 16,
            senders: 16,
            messages: 100_000,
            size: 32,
            depth: 1,
            timeout: Duration::from_secs(10),
            token: None,
            began: Instant::now(),
        }
    }
}

impl Plan {
    pub(crate) fn new(arguments: &Arguments) -> Result<Plan, UsageError> {
        let default = Plan::default();
        let kinds = [("echo", Work::Echo), ("room", Work::Room), ("ask", Work::Ask)];
        let work = arguments.choice("work", &kinds)?.unwrap_or(default.work);
        // A question takes two.
        let others = usize::from(work == Work::Ask);
        let clients = arguments.number("clients", &(1 + others..=*CLIENTS.end()))?.unwrap_or(default.clients);
        let senders = match (work, arguments.number("senders", &(1..=clients - others))?) {
            (Work::Room, senders) => senders.unwrap_or(1),
            (Work::Ask, senders) => senders.unwrap_or(clients / 2),
            (Work::Echo, None) => clients,
            (Work::Echo, Some(_)) => {
                return Err(UsageError("--senders needs --work room or ask; in echo work all clients send".to_owned()));
            }
        };
        let (least, extra, most) = match work {
            Work::Echo => (1, MESSAGE_EXTRA, usize::MAX),
            Work::Room => (STAMPED_MIN, MESSAGE_EXTRA, usize::MAX),
            Work::Ask => (1, QUESTION_EXTRA, OPEN_QUESTIONS_MAX),
        };
        let size = arguments.number("size", &(least..=WINDOW_BYTES - extra))?.unwrap_or(default.size);
        let deepest = (WINDOW_BYTES / (size + extra)).min(most);
        Ok(Plan {
            address: arguments.parsed("connect")?.unwrap_or(default.address),
            work,
            clients,
            senders,
            messages: arguments.number("messages", &MESSAGES)?.unwrap_or(default.messages),
            size,
            depth: arguments.number("depth", &(1..=deepest))?.unwrap_or(default.depth),
            timeout: arguments.seconds("timeout", &limits::TIMEOUT)?.unwrap_or(default.timeout),
            token: arguments.value("token-file").map(cli::read_token).transpose()?,
            began: default.began,
        })
    }

    /// How many messages a client sends.
    pub(crate) fn share(&self, client: usize) -> usize {
        if client >= self.senders {
            return 0;
        }
        self.messages / self.senders + usize::from(client < self.messages % self.senders)
    }

    /// How many messages or answers the clients receive.
    pub(crate) fn deliveries(&self) -> usize {
        match self.work {
            Work::Echo | Work::Ask => self.messages,
            Work::Room => self.messages * self.clients,
        }
    }

    /// The start of all clients' names. It differs from that of other runs at the same time.
    pub(crate) fn family(&self) -> String {
        format!("bench-{}-", process::id())
    }

    pub(crate) fn name(&self, client: usize) -> String {
        format!("{}{client}", self.family())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_messages_are_shared_out() {
        for (clients, senders, messages) in [(1, 1, 1), (3, 3, 10), (5, 2, 7), (16, 16, 3)] {
            let plan = Plan { clients, senders, messages, ..Plan::default() };
            let shares: Vec<usize> = (0..clients).map(|client| plan.share(client)).collect();
            assert_eq!(shares.iter().sum::<usize>(), messages, "{shares:?}");
            assert!(shares[senders..].iter().all(|share| *share == 0), "{shares:?}");
            assert!(shares[0] - shares[senders - 1] <= 1, "{shares:?}");
        }
    }
}
