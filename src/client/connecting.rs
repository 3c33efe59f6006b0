//! How a client makes its connections: dialing, the token, the login, and what of it can succeed when it is tried again.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::Client;
use super::connection::{Connection, Desk};
use super::error::ClientError;
use super::inbox::Inbox;
use super::login::{Login, may_pass};
use super::options::{ClientOptions, Ending, Incoming};
use super::place::Place;
use super::wire::{Wire, time_left};
use crate::limits::RECONNECT_PAUSE;
use crate::pauses::Pauses;
use crate::protocol::Refusal;
use crate::threads::start_thread;
use crate::token::Token;
use crate::transport::{Address, Stream};

/// A server that comes up soon should not be noticed late.
const LONGEST_FIRST_PAUSE: Duration = Duration::from_secs(1);

impl Client {
    pub(super) fn new(address: Option<Address>, options: ClientOptions) -> Result<Client, ClientError> {
        let (place, inbox) = (Place::new(&options), Inbox::new(options.together));
        // What could not be sent is told before anything is tried.
        Login::new(&options, options.token.as_ref(), &place)?;
        let wire = Arc::new(Wire::new(options.reconnect, options.parts));
        Ok(Client {
            address,
            options,
            token: None,
            pauses: Pauses::new(RECONNECT_PAUSE),
            desk: Desk { wire, place, inbox, login: None, last_words: None },
            connection: None,
            is_dialing: false,
            loss: None,
            ended: None,
        })
    }

    /// Connects for the first time, for as long as the options allow, and logs in.
    pub(super) fn connect_first(&mut self, address: &Address) -> Result<(), ClientError> {
        let (wait, connect_timeout) = (self.options.wait, self.options.connect_timeout);
        let give_up = Instant::now().checked_add(wait);
        let left = || time_left(give_up).unwrap_or(Duration::MAX);
        let mut before = None;
        loop {
            let time = if wait.is_zero() { connect_timeout } else { connect_timeout.min(left()) };
            let deadline = Instant::now().checked_add(time);
            let stream = Stream::connect(address, time).map_err(ClientError::Connect);
            let connected = stream.and_then(|stream| self.log_in_to_the_end(stream, deadline));
            let Err(error) = connected else { return Ok(()) };
            let (is_final, left) = (self.is_final(&error), left());
            if !is_final && !left.is_zero() {
                before = Some(error);
                thread::sleep(self.pauses.next().min(left).min(LONGEST_FIRST_PAUSE));
                continue;
            }
            // The end of the wait has cut the last attempt short; the one before it tells more.
            let error = before.filter(|_| !is_final).unwrap_or(error);
            if is_final || !self.goes_on() || matches!(error, ClientError::Connect(_)) {
                return Err(error);
            }
            // There is a server, so receiving can go on trying.
            let ending = Ending { error: Some(error), last_words: None, cut: None };
            self.desk.inbox.push(Incoming::Disconnected(Box::new(ending)));
            return Ok(());
        }
    }

    /// Waits until the login is done. What comes meanwhile can be received afterwards.
    pub(super) fn log_in_to_the_end(&mut self, stream: Stream, deadline: Option<Instant>) -> Result<(), ClientError> {
        let mut connection = self.begin_login(stream, deadline)?;
        while self.desk.login.is_some() {
            connection.read(&mut self.desk, None, false)?;
            if let Some(error) = connection.failed.take() {
                self.desk.inbox = Inbox::new(self.options.together);
                return Err(error);
            }
        }
        self.connection = Some(connection);
        Ok(())
    }

    fn begin_login(&mut self, stream: Stream, deadline: Option<Instant>) -> Result<Connection, ClientError> {
        self.token = match (&self.options.token, &self.options.token_file) {
            (None, Some(file)) => Some(Token::read(file).map_err(ClientError::TokenFile)?),
            (token, _) => token.clone(),
        };
        let login = Login::new(&self.options, self.token.as_ref(), &self.desk.place)?;
        Connection::new(stream, login, self.options.heartbeat, deadline, &mut self.desk)
    }

    /// Makes a new connection. A pause and an attempt that outlast the deadline go on with the next call.
    pub(super) fn connect_again(&mut self, deadline: Option<Instant>) -> Result<(), ClientError> {
        if !self.goes_on() {
            self.end(ClientError::Closed);
        } else if self.is_dialing {
            let mut state = self.desk.wire.wait(deadline, |state| state.dialed.is_some() || !state.is_waiting());
            let dialed = state.dialed.take();
            drop(state);
            if let Some((dialed, deadline)) = dialed {
                self.is_dialing = false;
                // Why it could not be made is told by the pauses.
                self.connection = dialed.ok().and_then(|stream| self.begin_login(stream, deadline).ok());
            } else if time_left(deadline) == Some(Duration::ZERO) {
                return Err(ClientError::TimedOut);
            }
        } else {
            let pause = self.pauses.next();
            self.desk.inbox.push(Incoming::Retrying(pause));
            self.is_dialing = self.dial_apart(pause);
            if !self.is_dialing {
                // Without a thread, the next pause follows.
                let until = deadline.into_iter().chain(Instant::now().checked_add(pause)).min();
                drop(self.desk.wire.wait(until, |state| !state.is_waiting()));
            }
        }
        Ok(())
    }

    /// Connects after a pause, in a thread, so that the caller can leave before that is over. False if there is no thread for
    /// it.
    fn dial_apart(&self, pause: Duration) -> bool {
        let Some(address) = self.address.clone() else { return false };
        let (wire, timeout) = (Arc::clone(&self.desk.wire), self.options.connect_timeout);
        let dial = move || {
            let is_wanted = wire.wait(Instant::now().checked_add(pause), |state| !state.is_waiting()).is_waiting();
            if is_wanted {
                let deadline = Instant::now().checked_add(timeout);
                let dialed = Stream::connect(&address, timeout);
                wire.change(|state| state.dialed = Some((dialed, deadline)));
            }
        };
        start_thread("connecting", dial).is_ok()
    }

    pub(super) fn goes_on(&self) -> bool {
        self.options.reconnect && !self.desk.wire.state().finished
    }

    /// Whether the same login cannot succeed later.
    pub(super) fn is_final(&self, error: &ClientError) -> bool {
        let ClientError::Refused(text) = error else { return matches!(error, ClientError::TokenFile(_)) };
        let has_changed = |file| Token::read(file).is_ok_and(|token| Some(token) != self.token);
        !match Refusal::parse(text) {
            Some(Refusal::WrongToken) => self.options.token_file.as_deref().is_some_and(has_changed),
            refusal => refusal.is_some_and(may_pass),
        }
    }
}
