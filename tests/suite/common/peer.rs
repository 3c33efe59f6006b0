//! A client that checks what it reads, and shows the conversation when something is wrong.

use super::*;
use localsocket::programs::{Line, LineReader};
use std::fmt::Write as _;

/// A client that speaks raw bytes and writes down what was said.
pub struct Peer {
    pub stream: Stream,
    reader: LineReader,
    transcript: String,
}

impl Peer {
    #[track_caller]
    pub fn connect(address: &Address) -> Peer {
        Peer::over(Stream::connect(address, DEADLINE).unwrap())
    }

    /// The other side of a connection that a test has accepted itself.
    #[track_caller]
    pub fn accept(listener: &TcpListener) -> Peer {
        Peer::over(Stream::Tcp(listener.accept().unwrap().0))
    }

    fn over(stream: Stream) -> Peer {
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_write_timeout(Some(DEADLINE)).unwrap();
        Peer { stream, reader: LineReader::new(1 << 30), transcript: String::new() }
    }

    /// Connects, logs in and takes the answer.
    #[track_caller]
    pub fn named(address: &Address, name: &str) -> Peer {
        let mut peer = Peer::connect(address);
        peer.send(format!("iam:{name}\n"));
        peer.expect(&format!("{name} has joined"));
        peer
    }

    /// One that sends lines that are answered, and reads nothing, until the server takes no more.
    #[track_caller]
    pub fn stuck(address: &Address) -> Peer {
        let peer = Peer::connect(address);
        peer.fill(&format!("msg:{}\n", "0123456789".repeat(4)));
        peer
    }

    /// Sends a line until the server takes no more.
    pub fn fill(&self, line: &str) {
        self.stream.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
        let lines = line.repeat(1000);
        while (&self.stream).write_all(lines.as_bytes()).is_ok() {}
    }

    #[track_caller]
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        let shown = &bytes[..bytes.len().min(200)];
        let _ = writeln!(self.transcript, "> {}", shown.escape_ascii());
        if let Err(error) = (&self.stream).write_all(bytes) {
            panic!("cannot send: {error}\n{}", self.transcript);
        }
    }

    /// Says all of this while it takes what comes, until it is ended.
    pub fn says_all(self, lines: &str) {
        thread::scope(|scope| {
            scope.spawn(|| (&self.stream).write_all(lines.as_bytes()).unwrap());
            io::copy(&mut &self.stream, &mut io::sink()).unwrap();
        });
    }

    /// Closes the sending half.
    pub fn end_input(&mut self) {
        let _ = writeln!(self.transcript, "> (end)");
        self.stream.shutdown(std::net::Shutdown::Write);
    }

    /// The next line, `None` at the end of the stream.
    #[track_caller]
    pub fn line(&mut self) -> Option<String> {
        loop {
            if let Some(line) = self.reader.next_line() {
                let Line::Text(text) = line else { panic!("a bad line: {line:?}\n{}", self.transcript) };
                if self.transcript.len() < 20_000 {
                    let _ = writeln!(self.transcript, "< {}", text.escape_debug());
                }
                return Some(text.to_owned());
            }
            match self.reader.fill(&mut &self.stream) {
                Ok(0) => {
                    let rest = self.reader.last_line().map(|line| format!("{line:?}"));
                    assert_eq!(rest, None, "the stream ends within a line\n{}", self.transcript);
                    let _ = writeln!(self.transcript, "< (end)");
                    return None;
                }
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => panic!("no answer\n{}", self.transcript),
                Err(error) => panic!("{error}\n{}", self.transcript),
            }
        }
    }

    #[track_caller]
    pub fn expect(&mut self, wanted: &str) {
        let line = self.line();
        assert_eq!(line.as_deref(), Some(wanted), "\n{}", self.transcript);
    }

    #[track_caller]
    pub fn expect_end(&mut self) {
        let line = self.line();
        assert_eq!(line, None, "\n{}", self.transcript);
    }

    /// These lines come next, with `|` between them.
    #[track_caller]
    pub fn hears(&mut self, wanted: &str) {
        wanted.split('|').for_each(|line| self.expect(line));
    }

    /// The same, and then the end.
    #[track_caller]
    pub fn hears_last(&mut self, wanted: &str) {
        self.hears(wanted);
        self.expect_end();
    }

    /// Sends a line and takes the next.
    #[track_caller]
    pub fn ask(&mut self, line: &str) -> String {
        self.send(format!("{line}\n"));
        self.line().unwrap_or_else(|| panic!("the stream ended\n{}", self.transcript))
    }

    /// Plays a server in echo mode to a client that connects again by itself: takes its login, which begins with these lines,
    /// and gives these answers to them.
    #[track_caller]
    pub fn let_in(&mut self, lines: &[&str], answers: &str) {
        for line in lines.iter().chain(&["mark", "ping"]) {
            self.expect(line);
        }
        self.send(format!("{answers}error: mark is a room mode command\r\npong\r\n"));
    }

    /// A barrier: when it returns, all that was sent before is done.
    #[track_caller]
    pub fn ping(&mut self) {
        assert_eq!(self.ask("ping"), "pong", "\n{}", self.transcript);
    }

    /// A number from the reply to `stats`.
    #[track_caller]
    pub fn stat(&mut self, key: &str) -> u64 {
        let stats = self.ask("stats");
        let value = stats.split(' ').find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='));
        value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {key} in {stats}"))
    }
}
