//! The one stream of what comes in, over one connection after the other: it is read, and the end of a connection noticed.
//!
//! Whatever a client waits for, it reads on meanwhile: a server that waits for its lines to be read does not read either.
//! Every wait ends at the caller's deadline.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Client;
use super::error::{AskError, ClientError};
use super::options::{Ending, Incoming};
use super::wire::{Phase, time_left};
use crate::transport::Stream;

/// After how long a client asks again whether another thread has stopped writing.
const TURN: Duration = Duration::from_millis(5);

impl Client {
    /// Takes what fits out of the inbox, which grows until it has come.
    pub(super) fn find(
        &mut self,
        deadline: Option<Instant>,
        mut fits: impl FnMut(&Incoming) -> bool,
    ) -> Result<Incoming, ClientError> {
        let mut seen = 0;
        self.until(deadline, |client| client.desk.inbox.find(&mut seen, &mut fits))
    }

    /// Whether this connection is still there.
    pub(super) fn is_connected(&self, connection: u64) -> bool {
        self.desk.inbox.now.connection == connection && self.connection.is_some()
    }

    /// Sends lines over any connection or over a certain one. Returns how many of the library's pings were sent over that.
    pub(super) fn send_over(
        &mut self,
        lines: &[u8],
        over: Option<u64>,
        deadline: Option<Instant>,
    ) -> Result<u64, ClientError> {
        let wire = Arc::clone(&self.desk.wire);
        wire.send(lines, over, &mut |full| self.wait(full, deadline))
    }

    /// Waits for what a write needs; see [`Waiting`](super::wire::Waiting).
    pub(super) fn wait(&mut self, full: Option<&Stream>, deadline: Option<Instant>) -> Result<(), ClientError> {
        if full.is_some() {
            self.desk.inbox.make_room();
            let connection = self.connection.as_mut().ok_or(ClientError::Closed)?;
            return connection.read(&mut self.desk, deadline, true);
        }
        // Nothing that comes in tells when another thread has stopped writing.
        let turn = self.connection.as_ref().map(|_| Instant::now() + TURN);
        match self.step(deadline.into_iter().chain(turn).min()) {
            Err(ClientError::TimedOut) if time_left(deadline) != Some(Duration::ZERO) => Ok(()),
            result => result,
        }
    }

    /// Goes on until there is what is looked for. What comes all the time must not make that last for ever.
    pub(super) fn until<T>(
        &mut self,
        deadline: Option<Instant>,
        mut look: impl FnMut(&mut Client) -> Option<T>,
    ) -> Result<T, ClientError> {
        let mut is_over = false;
        loop {
            match look(self) {
                Some(found) => return Ok(found),
                None if is_over => return Err(ClientError::TimedOut),
                None => is_over = time_left(deadline) == Some(Duration::ZERO),
            }
            self.step(deadline)?;
        }
    }

    /// One step: reads, waits or connects, and adds what has come to the inbox.
    pub(super) fn step(&mut self, deadline: Option<Instant>) -> Result<(), ClientError> {
        if let Some(ended) = &self.ended {
            return Err(ended.again());
        }
        self.desk.inbox.make_room();
        let Some(connection) = &mut self.connection else { return self.connect_again(deadline) };
        connection.read(&mut self.desk, deadline, false)?;
        if let Some(error) = connection.failed.take() {
            self.lose(error);
        }
        Ok(())
    }

    /// The connection has ended.
    fn lose(&mut self, error: ClientError) {
        let Some(mut connection) = self.connection.take() else { return };
        // A server that accepts and drops is called less and less often, unless that has brought more of the room.
        if self.desk.login.is_none() && connection.since.elapsed() > self.pauses.last
            || connection.heard.is_some_and(|heard| self.desk.place.number() > Some(heard))
        {
            self.pauses.reset();
        }
        self.desk.end();
        let last_words = self.desk.last_words.take();
        let cut = if matches!(error, ClientError::Refused(_)) { None } else { connection.cut() };
        // Ends a write that waits, so that it is known what it could not send.
        drop(connection);
        for number in self.desk.wire.lose() {
            self.desk.inbox.push(Incoming::Answer(number, Err(AskError::Client(ClientError::Closed))));
        }
        self.loss = Some(last_words.clone().map_or(error.again(), ClientError::Refused));
        let was_asked_for = matches!(error, ClientError::Closed) && self.desk.wire.state().finished && cut.is_none();
        let told = (!was_asked_for).then(|| error.again());
        self.desk.inbox.push(Incoming::Disconnected(Box::new(Ending { error: told, last_words, cut })));
        if self.is_final(&error) || !self.goes_on() {
            self.end(error);
        }
    }

    /// There will be no connection any more.
    pub(super) fn end(&mut self, error: ClientError) {
        self.desk.wire.change(|state| state.phase = Phase::Over);
        self.ended = Some(error);
    }
}
