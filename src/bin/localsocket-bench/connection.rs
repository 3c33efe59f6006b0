//! One connection to the server, on which every wait is bounded. Knows how to log in and to leave, but nothing of the work
//! in between.

use std::io::{self, ErrorKind, Write as _};
use std::time::{Duration, Instant};

use localsocket::programs::{Line, LineReader};
use localsocket::protocol::Event;
use localsocket::transport::Stream;

use crate::plan::Plan;

/// What a line can contain besides a text: a name, or an error of the server.
const LINE_OVERHEAD: usize = 1024;
/// How much of a wrong line is shown.
const SHOWN: usize = 100;

/// What to say about a line that was not expected. One that is a notice about another client may come at any time.
pub(crate) fn check_notice(line: Line<'_>, wanted: &str) -> Result<(), String> {
    if let Line::Text(text) = line
        && matches!(Event::parse(text), Event::Joined(_) | Event::Left(_) | Event::Renamed { .. })
    {
        return Ok(());
    }
    let got = line.start();
    let shown = String::from_utf8_lossy(&got[..got.len().min(SHOWN)]).escape_debug().to_string();
    let more = if got.len() > SHOWN { "..." } else { "" };
    Err(match shown.starts_with("error: ") {
        true => format!("the server answered '{shown}{more}'"),
        false => format!("wrong reply: got '{shown}{more}', wanted {wanted}"),
    })
}

pub(crate) struct Connection {
    stream: Stream,
    reader: LineReader,
    timeout: Duration,
}

impl Connection {
    /// Connects, authenticates if there is a token, and logs in. When it returns, the server knows the client.
    pub(crate) fn open(plan: &Plan, client: usize) -> Result<Connection, String> {
        let stream = Stream::connect(&plan.address, plan.timeout).map_err(|error| error.to_string())?;
        stream.set_read_timeout(Some(plan.timeout)).map_err(|error| error.to_string())?;
        stream.set_write_timeout(Some(plan.timeout)).map_err(|error| error.to_string())?;
        let reader = LineReader::new(plan.size + LINE_OVERHEAD);
        let mut connection = Connection { stream, reader, timeout: plan.timeout };
        if let Some(token) = &plan.token {
            connection.ask(&format!("auth:{token}"), "authenticated")?;
        }
        let name = format!("{}{client}", plan.family());
        connection.ask(&format!("iam:{name}"), &format!("{name} has joined"))?;
        Ok(connection)
    }

    fn ask(&mut self, line: &str, wanted: &str) -> Result<(), String> {
        self.send(format!("{line}\n").as_bytes())?;
        let mut answered = false;
        while !answered {
            self.wait_for_more()?;
            while let Some(line) = self.reader.next_line() {
                match line == Line::Text(wanted) {
                    true => answered = true,
                    false => check_notice(line, &format!("'{wanted}'"))?,
                }
            }
        }
        Ok(())
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> Result<(), String> {
        match (&self.stream).write_all(bytes) {
            // The server's last words, which may give the reason, can still be read.
            Err(error) if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => Ok(()),
            result => result.map_err(|error| self.failure(error)),
        }
    }

    /// Waits until there is at least one line, and returns when it arrived, `None` at the end of the stream. Call it
    /// only when no line is left.
    fn wait(&mut self) -> Result<Option<Instant>, String> {
        let began = Instant::now();
        loop {
            match self.reader.fill(&mut &self.stream) {
                Ok(0) => return Ok(None),
                Ok(_) if self.reader.has_line() => return Ok(Some(Instant::now())),
                // A line that arrives byte by byte must not keep it waiting for ever.
                Ok(_) if began.elapsed() < self.timeout => {}
                Ok(_) => return Err(self.failure(ErrorKind::TimedOut.into())),
                Err(error) => return Err(self.failure(error)),
            }
        }
    }

    /// The same where the stream must not end.
    pub(crate) fn wait_for_more(&mut self) -> Result<Instant, String> {
        self.wait()?.ok_or_else(|| "the server ended the connection before all replies came".to_owned())
    }

    #[inline]
    pub(crate) fn next_line(&mut self) -> Option<Line<'_>> {
        self.reader.next_line()
    }

    /// Leaves, and checks that nothing more arrives except notices about others.
    pub(crate) fn leave(&mut self) -> Result<(), String> {
        self.send(b"quit\n")?;
        loop {
            while let Some(line) = self.reader.next_line() {
                check_notice(line, "no more replies")?;
            }
            if self.wait()?.is_none() {
                return self.reader.last_line().map_or(Ok(()), |line| check_notice(line, "no more replies"));
            }
        }
    }

    fn failure(&self, error: io::Error) -> String {
        match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => {
                format!("the server has not answered for {} s", self.timeout.as_secs_f64())
            }
            _ => error.to_string(),
        }
    }
}
