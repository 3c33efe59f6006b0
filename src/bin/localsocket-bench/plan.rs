//! What is to be measured: the options, checked.

use std::ops::RangeInclusive;
use std::process;
use std::time::{Duration, Instant};

use localsocket::programs::cli::{self, Arguments, UsageError};
use localsocket::{Address, limits};

use crate::texts::{COUNTER, STAMPED_MIN};

/// The most bytes that one connection has under way. The socket buffers hold so much, on TCP and Unix, one
/// way alone: a write of a client never waits for the server, so the two can never wait for each other.
const WINDOW_BYTES: usize = 64 * 1024;

/// What a text needs on its way to the server: `msg:` and LF.
const LINE_EXTRA: usize = 5;

const CLIENTS: RangeInclusive<usize> = 1..=100_000;
/// As many as a text's counter tells apart.
const MESSAGES: RangeInclusive<usize> = 1..=10usize.pow(COUNTER as u32) - 1;

/// Who gets a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    Echo,
    Room,
}

#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) address: Address,
    pub(crate) work: Work,
    pub(crate) clients: usize,
    /// Of the clients, the first so many send. In echo work all do.
    pub(crate) senders: usize,
    /// Messages sent in all.
    pub(crate) messages: usize,
    pub(crate) size: usize,
    pub(crate) depth: usize,
    pub(crate) timeout: Duration,
    pub(crate) token: Option<String>,
    /// When times in texts begin to count.
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
        let work = arguments.choice("work", &[("echo", Work::Echo), ("room", Work::Room)])?.unwrap_or(default.work);
        let clients = arguments.number("clients", &CLIENTS)?.unwrap_or(default.clients);
        let senders = match (work, arguments.number("senders", &(1..=clients))?) {
            (Work::Room, senders) => senders.unwrap_or(1),
            (Work::Echo, None) => clients,
            (Work::Echo, Some(_)) => {
                return Err(UsageError("--senders is for --work room; in echo work all send".to_owned()));
            }
        };
        let least = if work == Work::Room { STAMPED_MIN } else { 1 };
        let size = arguments.number("size", &(least..=WINDOW_BYTES - LINE_EXTRA))?.unwrap_or(default.size);
        let deepest = WINDOW_BYTES / (size + LINE_EXTRA);
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

    /// How many messages the server has to deliver.
    pub(crate) fn deliveries(&self) -> usize {
        match self.work {
            Work::Echo => self.messages,
            Work::Room => self.messages * self.clients,
        }
    }

    /// What all clients' names begin with: another's than those of another run at the same time.
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
