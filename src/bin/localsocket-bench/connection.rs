//! One connection to the server, on which every wait is bounded, and the ways in which it can fail.
//!
//! Knows how to log in and to leave, but nothing of the work in between.

use std::fmt;
use std::io::{self, ErrorKind, Write as _};
use std::time::{Duration, Instant};

use localsocket::ConnectError;
use localsocket::programs::{Line, LineReader};
use localsocket::protocol::Event;
use localsocket::transport::Stream;

use crate::plan::{Plan, Work};

/// What a line can contain besides a text: names, an id, or an error of the server.
const LINE_OVERHEAD: usize = 1024;
/// How much of a wrong line is shown.
const SHOWN: usize = 100;

/// Why a run did not succeed.
#[derive(Debug)]
pub(crate) enum Failure {
    Connect(ConnectError),
    Network(io::Error),
    /// Nothing was received, or could be sent, for this long.
    Silent(Duration),
    /// The server ended the connection.
    Closed,
    /// The server answered with an error.
    Refused(String),
    /// A line that was not expected.
    Wrong {
        got: String,
        wanted: String,
    },
    /// Two clients saw the room's lines in different orders.
    Order,
    Thread(io::Error),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Connect(error) => write!(f, "{error}"),
            Failure::Network(error) => write!(f, "{error}"),
            Failure::Silent(timeout) => write!(f, "the server has not answered for {} s", timeout.as_secs_f64()),
            Failure::Closed => f.write_str("the server ended the connection before all replies came"),
            Failure::Refused(line) => write!(f, "the server answered '{line}'"),
            Failure::Wrong { got, wanted } => write!(f, "wrong reply: got '{got}', wanted {wanted}"),
            Failure::Order => f.write_str("saw the room's lines in another order than client 0"),
            Failure::Thread(error) => write!(f, "cannot start a thread: {error}"),
        }
    }
}

impl std::error::Error for Failure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Failure::Connect(error) => Some(error),
            Failure::Network(error) | Failure::Thread(error) => Some(error),
            _ => None,
        }
    }
}

/// The failure for a line that was not expected.
pub(crate) fn wrong(got: Line<'_>, wanted: String) -> Failure {
    let got = got.start();
    let shown: String = String::from_utf8_lossy(&got[..got.len().min(SHOWN)]).escape_debug().collect();
    let got = if got.len() > SHOWN { shown + "..." } else { shown };
    if got.starts_with("error: ") { Failure::Refused(got) } else { Failure::Wrong { got, wanted } }
}

/// Whether a line is a notice about another client, which may arrive at any time.
pub(crate) fn is_notice(line: Line<'_>) -> bool {
    let Line::Text(line) = line else { return false };
    matches!(Event::parse(line), Event::Joined(_) | Event::Left(_) | Event::Renamed { .. })
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: Stream,
    reader: LineReader,
    timeout: Duration,
}

impl Connection {
    /// Connects, authenticates if there is a token, and logs in. When it returns, the server knows the client.
    pub(crate) fn open(plan: &Plan, client: usize) -> Result<Connection, Failure> {
        let stream = Stream::connect(&plan.address, plan.timeout).map_err(Failure::Connect)?;
        stream.set_read_timeout(Some(plan.timeout)).map_err(Failure::Network)?;
        stream.set_write_timeout(Some(plan.timeout)).map_err(Failure::Network)?;
        let reader = LineReader::new(plan.size + LINE_OVERHEAD);
        let mut connection = Connection { stream, reader, timeout: plan.timeout };
        if let Some(token) = &plan.token {
            connection.ask(&format!("auth:{token}"), "authenticated")?;
        }
        if plan.work == Work::Ask {
            // Before the login, so that the clients do not hear of each other.
            connection.ask("deaf", "deaf")?;
        }
        let name = plan.name(client);
        connection.ask(&format!("iam:{name}"), &format!("{name} has joined"))?;
        Ok(connection)
    }

    fn ask(&mut self, line: &str, wanted: &str) -> Result<(), Failure> {
        self.send(format!("{line}\n").as_bytes())?;
        let mut answered = false;
        while !answered {
            self.wait()?;
            while let Some(line) = self.reader.next_line() {
                if line == Line::Text(wanted) {
                    answered = true;
                } else if !is_notice(line) {
                    return Err(wrong(line, format!("'{wanted}'")));
                }
            }
        }
        Ok(())
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        match (&self.stream).write_all(bytes) {
            // The server's last words, which may give the reason, can still be read.
            Err(error) if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => Ok(()),
            result => result.map_err(|error| self.failure(error)),
        }
    }

    /// Waits until there is at least one line, and returns when it arrived. Call it only when no line is left.
    pub(crate) fn wait(&mut self) -> Result<Instant, Failure> {
        let began = Instant::now();
        loop {
            match self.reader.fill(&mut &self.stream) {
                Ok(0) => return Err(Failure::Closed),
                Ok(_) if self.reader.has_line() => return Ok(Instant::now()),
                // A line that arrives byte by byte must not keep it waiting for ever.
                Ok(_) if began.elapsed() < self.timeout => {}
                Ok(_) => return Err(Failure::Silent(self.timeout)),
                Err(error) => return Err(self.failure(error)),
            }
        }
    }

    #[inline]
    pub(crate) fn next_line(&mut self) -> Option<Line<'_>> {
        self.reader.next_line()
    }

    /// Leaves, and checks that nothing more arrives except notices about others.
    pub(crate) fn leave(&mut self) -> Result<(), Failure> {
        self.send(b"quit\n")?;
        loop {
            while let Some(line) = self.reader.next_line() {
                if !is_notice(line) {
                    return Err(wrong(line, "no more replies".to_owned()));
                }
            }
            match self.wait() {
                Ok(_) => {}
                Err(Failure::Closed) => break,
                Err(failure) => return Err(failure),
            }
        }
        match self.reader.last_line() {
            Some(line) => Err(wrong(line, "no more replies".to_owned())),
            None => Ok(()),
        }
    }

    fn failure(&self, error: io::Error) -> Failure {
        match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => Failure::Silent(self.timeout),
            _ => Failure::Network(error),
        }
    }
}

/// How many messages can be under way on a connection, and how many are.
///
/// A client sends more as soon as half of them have been answered: pipelined messages go many at a time, while the server
/// still has some to work on.
#[derive(Debug)]
pub(crate) struct Window {
    depth: usize,
    unsent: usize,
    pub(crate) under_way: usize,
}

impl Window {
    pub(crate) fn new(depth: usize, messages: usize) -> Window {
        Window { depth, unsent: messages, under_way: 0 }
    }

    /// Takes the number of messages to send now.
    pub(crate) fn take(&mut self) -> usize {
        if self.under_way > self.depth / 2 {
            return 0;
        }
        let count = (self.depth - self.under_way).min(self.unsent);
        self.unsent -= count;
        self.under_way += count;
        count
    }

    pub(crate) fn is_done(&self) -> bool {
        self.unsent + self.under_way == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_refilled_when_half_of_it_is_free() {
        let mut window = Window::new(8, 21);
        assert_eq!(window.take(), 8);
        window.under_way -= 3;
        assert_eq!(window.take(), 0);
        window.under_way -= 1;
        assert_eq!(window.take(), 4);
        window.under_way -= 8;
        assert_eq!((window.take(), window.take()), (8, 0));
        window.under_way -= 8;
        assert_eq!(window.take(), 1);
        assert!(!window.is_done());
        window.under_way -= 1;
        assert_eq!(window.take(), 0);
        assert!(window.is_done());
    }

    #[test]
    fn a_window_of_one_sends_one_at_a_time() {
        let mut window = Window::new(1, 2);
        assert_eq!((window.take(), window.take()), (1, 0));
        window.under_way -= 1;
        assert_eq!(window.take(), 1);
    }

    #[test]
    fn an_error_of_the_server_is_told_from_a_wrong_reply() {
        assert_eq!(wrong(Line::Text("error: no"), String::new()).to_string(), "the server answered 'error: no'");
        let long = "x".repeat(500);
        let failure = wrong(Line::TooLong(long.as_bytes()), "'y'".to_owned()).to_string();
        assert!(failure.starts_with("wrong reply: got 'xxx") && failure.ends_with("x...', wanted 'y'"), "{failure}");
    }
}
