//! What is to be measured: the options, checked.

use std::process;
use std::time::{Duration, Instant};

use localsocket::programs::cli::{Arguments, UsageError};
use localsocket::{Address, limits};

use crate::text;

/// The most bytes that one connection has under way. The socket buffers of one direction hold that much, on TCP and
/// Unix. So a client's write never waits for the server, and the two cannot wait for each other.
const WINDOW_BYTES: usize = 64 * 1024;

/// What a message needs besides its text: the command, or the name of its sender, and the line end.
const EXTRA: usize = 32;

/// What the clients do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// Every client sends messages, which come back to it.
    Echo,
    /// Some clients send messages, which all receive.
    Room,
}

#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) address: Address,
    pub(crate) work: Work,
    pub(crate) clients: usize,
    /// How many of the clients send: the first ones. In echo work all send.
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

impl Plan {
    pub(crate) fn new(arguments: &Arguments) -> Result<Plan, UsageError> {
        let work = arguments.choice("work", &[("echo", Work::Echo), ("room", Work::Room)])?;
        let clients = arguments.number("clients", &(1..=100_000))?;
        let senders = match work {
            Work::Room => arguments.number("senders", &(1..=clients))?,
            Work::Echo if arguments.has("senders") => {
                return Err(UsageError("--senders needs --work room; in echo work all clients send".to_owned()));
            }
            Work::Echo => clients,
        };
        let size = arguments.number("size", &(text::SHORTEST..=WINDOW_BYTES - EXTRA))?;
        let deepest = WINDOW_BYTES / (size + EXTRA);
        Ok(Plan {
            address: arguments.parsed("connect")?,
            work,
            clients,
            senders,
            messages: arguments.number("messages", &(1..=text::MOST))?,
            size,
            depth: arguments.number("depth", &(1..=deepest))?,
            timeout: arguments.seconds("timeout", &limits::TIMEOUT)?,
            token: arguments.first_line("token-file")?,
            began: Instant::now(),
        })
    }

    /// The number of the first message that a client sends. Numbers are never used twice in a run.
    pub(crate) fn first(&self, client: usize) -> usize {
        let client = client.min(self.senders);
        self.messages / self.senders * client + client.min(self.messages % self.senders)
    }

    /// How many messages a client sends.
    pub(crate) fn share(&self, client: usize) -> usize {
        self.first(client + 1) - self.first(client)
    }

    /// The start of all clients' names. It differs from that of other runs at the same time.
    pub(crate) fn family(&self) -> String {
        format!("bench-{}-", process::id())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::plan;

    #[test]
    fn what_is_not_said_has_its_default() {
        let echo = plan("");
        assert_eq!((echo.work, echo.clients, echo.senders), (Work::Echo, 16, 16));
        assert_eq!((echo.messages, echo.size, echo.depth), (100_000, 32, 1));
        assert_eq!((echo.address, echo.timeout, echo.token), (Address::default(), Duration::from_secs(10), None));
        assert_eq!(plan("--work=room").senders, 1);
    }

    #[test]
    fn all_messages_are_shared_out() {
        for (clients, senders, messages) in [(1, 1, 1), (3, 3, 10), (5, 2, 7), (16, 16, 3)] {
            let plan = plan(&format!("--work=room --clients={clients} --senders={senders} --messages={messages}"));
            let shares: Vec<usize> = (0..clients).map(|client| plan.share(client)).collect();
            assert_eq!(shares.iter().sum::<usize>(), messages, "{shares:?}");
            assert!(shares[senders..].iter().all(|share| *share == 0), "{shares:?}");
            assert!(shares[0] - shares[senders - 1] <= 1, "{shares:?}");
        }
    }
}
