//! The one stream of what comes in, over one connection after the other: it reads, notices that a connection has ended, and
//! makes the next one.
//!
//! Belongs to the thread that receives. Whatever it waits for, it reads on meanwhile: a server that waits for its lines to
//! be read does not read either. Every wait ends at the caller's deadline; what is under way then, a pause or an attempt to
//! connect, goes on with the next call.

use std::net::Shutdown;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::connection::{Connection, Desk, time_left};
use super::error::{AskError, ClientError};
use super::inbox::{Entry, From, Inbox, Moment};
use super::ledger::Kind;
use super::login::{self, Login};
use super::options::{ClientOptions, Ending, Incoming};
use super::outgoing::PING;
use super::pauses::Pauses;
use super::place::Place;
use super::wire::{Need, TURN, Wire};
use crate::protocol::Refusal;
use crate::token::Token;
use crate::transport::{Address, Stream};

/// A server that comes up soon should not be noticed late.
const LONGEST_FIRST_PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Feed {
    /// `None` for a connection within the process, which cannot be made again.
    address: Option<Address>,
    pub(super) options: ClientOptions,
    pub(super) wire: Arc<Wire>,
    pub(super) inbox: Inbox,
    connection: Option<Connection>,
    place: Place,
    pauses: Pauses,
    attempt: Attempt,
    /// The token of the last login.
    token: Option<Token>,
    /// Why the last connection ended, in the server's own words if there were any.
    loss: Option<ClientError>,
    /// There is no connection and there will be none.
    ended: Option<ClientError>,
}

/// What is done about a connection while there is none.
#[derive(Debug, Clone, Copy)]
enum Attempt {
    None,
    /// The next one is made at this time.
    Pause(Instant),
    /// Another thread connects. The login is to be done by this time.
    Dialing(Option<Instant>),
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.wire.end();
    }
}

impl Feed {
    pub(super) fn new(address: Option<Address>, options: ClientOptions) -> Result<Feed, ClientError> {
        let place = Place::new(&options);
        // What could not be sent is told before anything is tried.
        Login::new(&options, options.name.as_deref(), options.token.as_ref(), place.question())?;
        Ok(Feed {
            wire: Arc::new(Wire::new(options.reconnect, options.parts)),
            address,
            options,
            inbox: Inbox::default(),
            connection: None,
            place,
            pauses: Pauses::new(),
            attempt: Attempt::None,
            token: None,
            loss: None,
            ended: None,
        })
    }

    /// What comes next.
    pub(super) fn next(&mut self, deadline: Option<Instant>) -> Result<Entry, ClientError> {
        loop {
            match self.inbox.pop() {
                Some(entry) => return Ok(entry),
                None => self.step(deadline)?,
            }
        }
    }

    /// Reads what has arrived, without waiting.
    pub(super) fn look_ahead(&mut self) {
        while self.inbox.has_room() && self.step(Some(Instant::now())).is_ok() {}
    }

    /// Takes what fits out of the inbox, which grows until it has come.
    pub(super) fn find(
        &mut self,
        from: From,
        deadline: Option<Instant>,
        mut fits: impl FnMut(&Incoming) -> bool,
    ) -> Result<Entry, ClientError> {
        self.inbox.search(from);
        loop {
            if let Some(entry) = self.inbox.find(|entry| fits(&entry.incoming)) {
                return Ok(entry);
            }
            self.step_in_time(deadline)?;
        }
    }

    /// Sends lines between two pings, and waits until the server has dealt with them. Returns when their replies came, also
    /// if that was not to the end.
    pub(super) fn exchange(&mut self, lines: &[u8], deadline: Option<Instant>) -> (Moment, Result<(), ClientError>) {
        let mut moment = Moment::default();
        let result = self.try_exchange(lines, deadline, &mut moment);
        (moment, result)
    }

    fn try_exchange(
        &mut self,
        lines: &[u8],
        deadline: Option<Instant>,
        moment: &mut Moment,
    ) -> Result<(), ClientError> {
        let wire = Arc::clone(&self.wire);
        let connection = wire.connection(|need| self.wait(&need, deadline))?;
        let fenced = [PING, lines, if lines.is_empty() { lines } else { PING }].concat();
        wire.send(&fenced, Kind::Fenced, Some(connection), |need| self.wait(&need, deadline))?;
        let last = wire.state().ledger.own;
        *moment = Moment { connection, pongs: last - 1 };
        loop {
            if !self.is_connected(connection) {
                return Err(self.loss.as_ref().map_or(ClientError::Closed, ClientError::again));
            }
            if self.inbox.now.pongs >= last {
                return Ok(());
            }
            self.step_in_time(deadline)?;
        }
    }

    /// Whether this connection is still there.
    pub(super) fn is_connected(&self, connection: u64) -> bool {
        self.inbox.now.connection == connection && self.connection.is_some()
    }

    pub(super) fn send(&mut self, lines: &[u8], deadline: Option<Instant>) -> Result<(), ClientError> {
        let wire = Arc::clone(&self.wire);
        wire.send(lines, Kind::Counted, None, |need| self.wait(&need, deadline))
    }

    /// Waits for what a write needs.
    pub(super) fn wait(&mut self, need: &Need<'_>, deadline: Option<Instant>) -> Result<(), ClientError> {
        let or_write = match need {
            Need::Connection => return self.step(deadline),
            Need::Turn => {
                let turn = Instant::now() + TURN;
                return match self.step(Some(deadline.map_or(turn, |deadline| deadline.min(turn)))) {
                    Err(ClientError::TimedOut) if time_left(deadline) != Some(Duration::ZERO) => Ok(()),
                    result => result,
                };
            }
            Need::Space(_) => true,
        };
        self.inbox.make_room();
        let mut desk = Desk { wire: &self.wire, place: &mut self.place, inbox: &mut self.inbox };
        match &mut self.connection {
            Some(connection) => connection.read(&mut desk, deadline, or_write),
            None => Err(ClientError::Closed),
        }
    }

    /// One step that ends in time even if lines come all the time.
    fn step_in_time(&mut self, deadline: Option<Instant>) -> Result<(), ClientError> {
        if time_left(deadline) == Some(Duration::ZERO) {
            return Err(ClientError::TimedOut);
        }
        self.step(deadline)
    }

    /// One step: reads, waits or connects, and adds what has come to the inbox.
    fn step(&mut self, deadline: Option<Instant>) -> Result<(), ClientError> {
        if let Some(ended) = &self.ended {
            return Err(ended.again());
        }
        self.inbox.make_room();
        let mut desk = Desk { wire: &self.wire, place: &mut self.place, inbox: &mut self.inbox };
        match &mut self.connection {
            Some(connection) => match connection.read(&mut desk, deadline, false) {
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
            self.pauses.connected_for(since.elapsed());
        }
        let cut = connection.end(&mut Desk { wire: &self.wire, place: &mut self.place, inbox: &mut self.inbox });
        let last_words = connection.last_words;
        let unanswered = self.wire.lose(&connection.stream, last_words.is_some());
        for number in self.wire.questions().end_all() {
            self.inbox.push(Incoming::Answer(number, Err(AskError::Client(ClientError::Closed))));
        }
        self.loss = Some(last_words.clone().map_or(error.again(), ClientError::Refused));
        let was_asked_for = matches!(error, ClientError::Closed) && self.wire.state().finished && cut.is_none();
        let told = (!was_asked_for).then(|| error.again());
        self.inbox.push(Incoming::Disconnected(Box::new(Ending { error: told, last_words, cut, unanswered })));
        if self.is_final(&error) || !self.goes_on() {
            self.end(error);
        }
    }

    fn end(&mut self, error: ClientError) {
        self.wire.end();
        self.ended = Some(error);
    }

    fn goes_on(&self) -> bool {
        self.options.reconnect && self.address.is_some() && !self.wire.state().finished
    }

    /// Whether the same login cannot succeed later.
    fn is_final(&self, error: &ClientError) -> bool {
        let ClientError::Refused(text) = error else { return false };
        let file_has_changed = || match (&self.options.token_file, &self.token) {
            (Some(file), Some(sent)) => Token::read(file).is_ok_and(|token| token != *sent),
            _ => false,
        };
        let may_pass = login::may_pass(text) || Refusal::parse(text) == Some(Refusal::WrongToken) && file_has_changed();
        !may_pass
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
        let now = Instant::now();
        match self.attempt {
            Attempt::None => {
                let pause = self.pauses.next();
                self.inbox.push(Incoming::Retrying(pause));
                self.attempt = Attempt::Pause(now + pause);
                return Ok(());
            }
            Attempt::Pause(until) if until <= now => {
                // If there is no thread for it, the next pause follows.
                self.attempt = self.dial_apart().unwrap_or(Attempt::None);
                return Ok(());
            }
            Attempt::Pause(_) => {}
            Attempt::Dialing(until) => {
                let dialed = self.wire.state().dialed.take();
                if let Some(dialed) = dialed {
                    self.attempt = Attempt::None;
                    // Why it could not be made is told by the pauses.
                    self.connection = dialed.ok().and_then(|stream| self.log_in_on(stream, until).ok());
                    return Ok(());
                }
            }
        }
        if deadline.is_some_and(|deadline| deadline <= now) {
            return Err(ClientError::TimedOut);
        }
        let until = match self.attempt {
            Attempt::Pause(until) => Some(until),
            _ => None,
        };
        let first = [deadline, until].into_iter().flatten().min();
        self.wire.wait(first, |state| state.dialed.is_some());
        Ok(())
    }

    /// Connects in a thread, so that the caller can leave before that is over, and go on with it later.
    fn dial_apart(&self) -> Option<Attempt> {
        let (address, wire) = (self.address.clone()?, Arc::clone(&self.wire));
        let (timeout, deadline) = (self.options.connect_timeout, self.attempt_deadline(None));
        let dial = move || {
            let dialed = Stream::connect(&address, timeout);
            wire.change(|state| state.dialed = Some(dialed));
        };
        thread::Builder::new().name("connecting".to_owned()).spawn(dial).ok()?;
        Some(Attempt::Dialing(deadline))
    }

    /// Until when one attempt to connect and log in may last.
    fn attempt_deadline(&self, limit: Option<Instant>) -> Option<Instant> {
        [Instant::now().checked_add(self.options.connect_timeout), limit].into_iter().flatten().min()
    }

    fn log_in_on(&mut self, stream: Stream, deadline: Option<Instant>) -> Result<Connection, ClientError> {
        self.token = match (&self.options.token, &self.options.token_file) {
            (None, Some(file)) => Some(Token::read(file).map_err(ClientError::TokenFile)?),
            (token, _) => token.clone(),
        };
        let name = self.options.name.as_deref();
        let login = Login::new(&self.options, name, self.token.as_ref(), self.place.question())?;
        let mut desk = Desk { wire: &self.wire, place: &mut self.place, inbox: &mut self.inbox };
        Connection::new(stream, login, self.options.heartbeat, deadline, &mut desk)
    }

    /// Waits until the first login is done. What comes meanwhile can be received afterwards.
    fn log_in_over(&mut self, stream: Stream, deadline: Option<Instant>) -> Result<(), ClientError> {
        let mut connection = self.log_in_on(stream, deadline)?;
        while connection.open_since.is_none() {
            let mut desk = Desk { wire: &self.wire, place: &mut self.place, inbox: &mut self.inbox };
            if let Err(error) = connection.read(&mut desk, None, false) {
                connection.stream.shutdown(Shutdown::Both);
                self.inbox.clear();
                return Err(error);
            }
        }
        self.connection = Some(connection);
        Ok(())
    }

    /// Logs in over a connection within the process.
    pub(super) fn start_over(&mut self, stream: Stream) -> Result<(), ClientError> {
        let deadline = self.attempt_deadline(None);
        self.log_in_over(stream, deadline)
    }

    /// Connects for the first time, for as long as the options allow, and logs in.
    pub(super) fn start(&mut self, address: &Address) -> Result<(), ClientError> {
        let wait = self.options.wait;
        let give_up = Instant::now().checked_add(wait);
        let mut before = None;
        loop {
            let deadline = self.attempt_deadline(give_up.filter(|_| !wait.is_zero()));
            let dialed = Stream::connect(address, time_left(deadline).unwrap_or(Duration::MAX));
            let attempt = dialed.map_err(ClientError::Connect).and_then(|stream| self.log_in_over(stream, deadline));
            let Err(error) = attempt else { return Ok(()) };
            let is_final = self.is_final(&error) || matches!(error, ClientError::TokenFile(..));
            let left = time_left(give_up).unwrap_or(Duration::MAX);
            if !is_final && !left.is_zero() {
                before = Some(error);
                thread::sleep(self.pauses.next().min(left).min(LONGEST_FIRST_PAUSE));
                continue;
            }
            // An attempt that the end of the wait cut short tells nothing; the one before it does.
            let error = match before {
                Some(before) if error.is_timeout() => before,
                _ => error,
            };
            // There is a server, so receiving can go on trying.
            if self.options.reconnect && !is_final && !matches!(error, ClientError::Connect(_)) {
                let ending = Ending { error: Some(error), last_words: None, cut: None, unanswered: 0 };
                self.inbox.push(Incoming::Disconnected(Box::new(ending)));
                return Ok(());
            }
            return Err(error);
        }
    }
}
