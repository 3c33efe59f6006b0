//! The one stream of what comes in, over one connection after the other: it reads, notices that a connection has ended, and
//! makes the next one.
//!
//! Belongs to the thread that receives. Whatever it waits for, it reads on meanwhile: a server that waits for its lines to
//! be read does not read either. Every wait ends at the caller's deadline; what is under way then, a pause or an attempt to
//! connect, goes on with the next call.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::connection::{Connection, Desk, time_left};
use super::connector::Connector;
use super::error::{AskError, ClientError};
use super::inbox::{Entry, Inbox, Moment};
use super::login::Login;
use super::options::{ClientOptions, Ending, Incoming};
use super::outgoing::PING;
use super::pauses::Pauses;
use super::place::Place;
use super::wire::{Need, Wire};
use crate::protocol::Refusal;
use crate::transport::{Address, Stream};

/// After how long a client asks again whether another thread has stopped writing.
const TURN: Duration = Duration::from_millis(5);

#[derive(Debug)]
pub(super) struct Feed {
    pub(super) connector: Connector,
    pub(super) desk: Desk,
    connection: Option<Connection>,
    /// Another thread connects.
    is_dialing: bool,
    /// How many lines of the room had been heard when the last connection ended.
    heard: Option<u64>,
    /// Why the last connection ended, in the server's own words if there were any.
    loss: Option<ClientError>,
    /// There is no connection and there will be none.
    ended: Option<ClientError>,
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.desk.wire.end();
    }
}

impl Feed {
    /// Connects and logs in.
    pub(super) fn connect(address: Address, options: ClientOptions) -> Result<Feed, ClientError> {
        let mut feed = Feed::new(Some(address.clone()), options)?;
        match feed.connector.first(&address, &mut feed.desk) {
            Ok(connection) => feed.connection = Some(connection),
            // There is a server, so receiving can go on trying.
            Err(error)
                if feed.goes_on() && !feed.connector.is_final(&error) && !matches!(error, ClientError::Connect(_)) =>
            {
                let ending = Ending { error: Some(error), last_words: None, cut: None };
                feed.desk.inbox.push(Incoming::Disconnected(Box::new(ending)));
            }
            Err(error) => return Err(error),
        }
        Ok(feed)
    }

    /// Logs in over a connection within the process.
    pub(super) fn over(stream: Stream, options: ClientOptions) -> Result<Feed, ClientError> {
        let mut feed = Feed::new(None, ClientOptions { reconnect: false, ..options })?;
        let deadline = feed.connector.deadline(None);
        feed.connection = Some(feed.connector.log_in_to_the_end(stream, deadline, &mut feed.desk)?);
        Ok(feed)
    }

    fn new(address: Option<Address>, options: ClientOptions) -> Result<Feed, ClientError> {
        let place = Place::new(&options);
        // What could not be sent is told before anything is tried.
        Login::new(&options, options.token.as_ref(), place.question())?;
        let wire = Arc::new(Wire::new(options.reconnect, options.parts));
        Ok(Feed {
            connector: Connector { address, options, token: None, pauses: Pauses::new() },
            desk: Desk { wire, place, inbox: Inbox::default() },
            connection: None,
            is_dialing: false,
            heard: None,
            loss: None,
            ended: None,
        })
    }

    /// What comes next.
    pub(super) fn next(&mut self, deadline: Option<Instant>) -> Result<Entry, ClientError> {
        self.until(deadline, |feed| feed.desk.inbox.pop())
    }

    /// Reads what has arrived, without waiting.
    pub(super) fn look_ahead(&mut self) {
        while self.desk.inbox.has_room() && self.step(Some(Instant::now())).is_ok() {}
    }

    /// Takes what fits out of the inbox, which grows until it has come.
    pub(super) fn find(
        &mut self,
        deadline: Option<Instant>,
        mut fits: impl FnMut(&Incoming) -> bool,
    ) -> Result<Entry, ClientError> {
        self.desk.inbox.search();
        self.until(deadline, |feed| feed.desk.inbox.find(|entry| fits(&entry.incoming)))
    }

    /// Sends lines between two pings, and waits until the server has dealt with them. Tells when their replies come, also if
    /// that is not to the end.
    pub(super) fn exchange(
        &mut self,
        lines: &[u8],
        deadline: Option<Instant>,
        moment: &mut Moment,
    ) -> Result<(), ClientError> {
        let wire = Arc::clone(&self.desk.wire);
        let connection = wire.connection(&mut |need| self.wait(&need, deadline))?;
        let fenced = [PING, lines, if lines.is_empty() { lines } else { PING }].concat();
        let last = wire.send(&fenced, Some(connection), &mut |need| self.wait(&need, deadline))?;
        *moment = Moment { connection, pongs: last - 1 };
        self.until(deadline, |feed| {
            if !feed.is_connected(connection) {
                return Some(Err(feed.loss.as_ref().map_or(ClientError::Closed, ClientError::again)));
            }
            (feed.desk.inbox.now.pongs >= last).then_some(Ok(()))
        })?
    }

    /// Whether this connection is still there.
    pub(super) fn is_connected(&self, connection: u64) -> bool {
        self.desk.inbox.now.connection == connection && self.connection.is_some()
    }

    pub(super) fn send(&mut self, lines: &[u8], deadline: Option<Instant>) -> Result<(), ClientError> {
        let wire = Arc::clone(&self.desk.wire);
        wire.send(lines, None, &mut |need| self.wait(&need, deadline)).map(drop)
    }

    /// Waits for what a write needs.
    pub(super) fn wait(&mut self, need: &Need<'_>, deadline: Option<Instant>) -> Result<(), ClientError> {
        if let Need::Space(_) = need {
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
    fn until<T>(
        &mut self,
        deadline: Option<Instant>,
        mut look: impl FnMut(&mut Feed) -> Option<T>,
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
    fn step(&mut self, deadline: Option<Instant>) -> Result<(), ClientError> {
        if let Some(ended) = &self.ended {
            return Err(ended.again());
        }
        self.desk.inbox.make_room();
        match &mut self.connection {
            Some(connection) => match connection.read(&mut self.desk, deadline, false) {
                Err(ClientError::TimedOut) => Err(ClientError::TimedOut),
                Err(error) => {
                    self.lose(error);
                    Ok(())
                }
                Ok(()) => Ok(()),
            },
            None => self.connect_again(deadline),
        }
    }

    /// The connection has ended.
    fn lose(&mut self, error: ClientError) {
        let Some(mut connection) = self.connection.take() else { return };
        if let Some(since) = connection.open_since {
            self.connector.pauses.connected_for(since.elapsed());
        }
        // A connection that has brought more of the room was of use, however short it was.
        let heard = self.desk.place.number();
        if self.heard.is_some() && heard > self.heard {
            self.connector.pauses = Pauses::new();
        }
        self.heard = heard;
        let cut = connection.end(&error, &mut self.desk);
        let last_words = connection.last_words;
        self.desk.wire.lose(&connection.stream);
        for number in self.desk.wire.questions().end_all() {
            self.desk.inbox.push(Incoming::Answer(number, Err(AskError::Client(ClientError::Closed))));
        }
        self.loss = Some(last_words.clone().map_or(error.again(), ClientError::Refused));
        let was_asked_for = matches!(error, ClientError::Closed) && self.desk.wire.state().finished && cut.is_none();
        let told = (!was_asked_for).then(|| error.again());
        self.desk.inbox.push(Incoming::Disconnected(Box::new(Ending { error: told, last_words, cut })));
        if self.connector.is_final(&error) || !self.goes_on() {
            self.end(error);
        }
    }

    fn end(&mut self, error: ClientError) {
        self.desk.wire.end();
        self.ended = Some(error);
    }

    fn goes_on(&self) -> bool {
        self.connector.options.reconnect && !self.desk.wire.state().finished
    }

    /// How the answering of questions has ended: the server's reason is an error unless it is no fault of this client.
    pub(super) fn end_of_service(&self) -> Result<(), ClientError> {
        match &self.loss {
            Some(error @ ClientError::Refused(text)) if Refusal::parse(text) != Some(Refusal::ShuttingDown) => {
                Err(error.again())
            }
            _ => Ok(()),
        }
    }

    /// Makes a new connection.
    fn connect_again(&mut self, deadline: Option<Instant>) -> Result<(), ClientError> {
        if !self.goes_on() {
            self.end(ClientError::Closed);
            return Ok(());
        }
        let dialed = self.desk.wire.state().dialed.take();
        if let Some((dialed, until)) = dialed {
            self.is_dialing = false;
            // Why it could not be made is told by the pauses.
            self.connection = dialed.ok().and_then(|stream| self.connector.log_in(stream, until, &mut self.desk).ok());
            return Ok(());
        }
        if !self.is_dialing {
            let pause = self.connector.pauses.next();
            self.desk.inbox.push(Incoming::Retrying(pause));
            self.is_dialing = self.connector.dial_apart(&self.desk.wire, pause);
            if !self.is_dialing {
                // Without a thread, the next pause follows.
                let until = deadline.into_iter().chain(Instant::now().checked_add(pause)).min();
                drop(self.desk.wire.wait(until, |state| !state.is_waiting()));
            }
            return Ok(());
        }
        if time_left(deadline) == Some(Duration::ZERO) {
            return Err(ClientError::TimedOut);
        }
        drop(self.desk.wire.wait(deadline, |state| state.dialed.is_some() || !state.is_waiting()));
        Ok(())
    }
}
