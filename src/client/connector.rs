//! How connections are made: dialing, the token, the login, and what of it can succeed when it is tried again.

use std::net::Shutdown;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::connection::{Connection, Desk, time_left};
use super::error::ClientError;
use super::inbox::Inbox;
use super::login::{self, Login};
use super::options::ClientOptions;
use super::pauses::Pauses;
use super::wire::Wire;
use crate::protocol::Refusal;
use crate::token::Token;
use crate::transport::{Address, Stream};

/// A server that comes up soon should not be noticed late.
const LONGEST_FIRST_PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Connector {
    /// `None` for a connection within the process, which cannot be made again.
    pub(super) address: Option<Address>,
    pub(super) options: ClientOptions,
    /// The token of the last login.
    pub(super) token: Option<Token>,
    pub(super) pauses: Pauses,
}

impl Connector {
    /// Connects for the first time, for as long as the options allow, and logs in.
    pub(super) fn first(&mut self, address: &Address, desk: &mut Desk) -> Result<Connection, ClientError> {
        let wait = self.options.wait;
        let give_up = Instant::now().checked_add(wait);
        let mut before = None;
        loop {
            let deadline = self.deadline(give_up.filter(|_| !wait.is_zero()));
            let dialed = Stream::connect(address, time_left(deadline).unwrap_or(Duration::MAX));
            let stream = dialed.map_err(ClientError::Connect);
            let error = match stream.and_then(|stream| self.log_in_to_the_end(stream, deadline, desk)) {
                Ok(connection) => return Ok(connection),
                Err(error) => error,
            };
            let left = time_left(give_up).unwrap_or(Duration::MAX);
            if self.is_final(&error) || left.is_zero() {
                // An attempt that the end of the wait cut short tells nothing; the one before it does.
                return Err(before.filter(|_| error.is_timeout()).unwrap_or(error));
            }
            if before.is_none() || !error.is_timeout() {
                before = Some(error);
            }
            thread::sleep(self.pauses.next().min(left).min(LONGEST_FIRST_PAUSE));
        }
    }

    /// Waits until the login is done. What comes meanwhile can be received afterwards.
    pub(super) fn log_in_to_the_end(
        &mut self,
        stream: Stream,
        deadline: Option<Instant>,
        desk: &mut Desk,
    ) -> Result<Connection, ClientError> {
        let mut connection = self.log_in(stream, deadline, desk)?;
        while connection.open_since.is_none() {
            if let Err(error) = connection.read(desk, None, false) {
                connection.stream.shutdown(Shutdown::Both);
                desk.inbox = Inbox::default();
                return Err(error);
            }
        }
        Ok(connection)
    }

    /// Sends the login.
    pub(super) fn log_in(
        &mut self,
        stream: Stream,
        deadline: Option<Instant>,
        desk: &mut Desk,
    ) -> Result<Connection, ClientError> {
        self.token = match (&self.options.token, &self.options.token_file) {
            (None, Some(file)) => Some(Token::read(file).map_err(ClientError::TokenFile)?),
            (token, _) => token.clone(),
        };
        let login = Login::new(&self.options, self.token.as_ref(), desk.place.question())?;
        Connection::new(stream, login, self.options.heartbeat, deadline, desk)
    }

    /// Connects after a pause, in a thread, so that the caller can leave before that is over. False if there is no thread for
    /// it.
    pub(super) fn dial_apart(&self, wire: &Arc<Wire>, pause: Duration) -> bool {
        let Some(address) = self.address.clone() else { return false };
        let (wire, timeout) = (Arc::clone(wire), self.options.connect_timeout);
        let dial = move || {
            let state = wire.wait(Instant::now().checked_add(pause), |state| !state.is_waiting());
            if state.is_waiting() {
                drop(state);
                let deadline = Instant::now().checked_add(timeout);
                let dialed = Stream::connect(&address, timeout);
                wire.change(|state| state.dialed = Some((dialed, deadline)));
            }
        };
        thread::Builder::new().name("connecting".to_owned()).spawn(dial).is_ok()
    }

    /// Until when one attempt to connect and log in may last.
    pub(super) fn deadline(&self, limit: Option<Instant>) -> Option<Instant> {
        [Instant::now().checked_add(self.options.connect_timeout), limit].into_iter().flatten().min()
    }

    /// Whether the same login cannot succeed later.
    pub(super) fn is_final(&self, error: &ClientError) -> bool {
        let ClientError::Refused(text) = error else { return matches!(error, ClientError::TokenFile(_)) };
        let file_has_changed = || match (&self.options.token_file, &self.token) {
            (Some(file), Some(sent)) => Token::read(file).is_ok_and(|token| token != *sent),
            _ => false,
        };
        !(login::may_pass(text) || Refusal::parse(text) == Some(Refusal::WrongToken) && file_has_changed())
    }
}
