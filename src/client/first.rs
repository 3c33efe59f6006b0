//! The first connection and its login, which the caller of `connect` waits for.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::error::ClientError;
use super::link::{Attempt, Link, time_left};
use super::options::Change;
use super::pauses::Pauses;
use super::reading::Reading;
use super::receiver::{Receiver, attempt_deadline};
use crate::transport::Stream;

/// A server that comes up soon should not be noticed late.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

impl Receiver {
    /// Connects for the first time, for as long as the options allow, and logs in.
    pub(super) fn start(link: Arc<Link>) -> Result<Receiver, ClientError> {
        let wait = link.options.wait;
        let give_up = Instant::now().checked_add(wait);
        let limit = give_up.filter(|_| !wait.is_zero());
        let mut pauses = Pauses::new();
        let mut receiver = None;
        let mut before = None;
        loop {
            let error = Receiver::attempt(&link, limit, &mut receiver).err();
            let (started, error) = match (receiver.take(), error) {
                (Some(started), None) => return Ok(started),
                (started, error) => (started, error.unwrap_or(ClientError::Closed)),
            };
            let refused = started.as_ref().is_some_and(|started: &Receiver| started.refused_for_good);
            let left = time_left(give_up).unwrap_or(Duration::MAX);
            if !refused && !left.is_zero() {
                receiver = started;
                before = Some(error);
                thread::sleep(pauses.next().min(left).min(LONGEST_PAUSE));
                continue;
            }
            // An attempt that the end of the wait cut short tells nothing; the one before it does.
            let error = match before {
                Some(before) if !refused && error.is_timeout() => before,
                _ => error,
            };
            return match started {
                // There is a server, so receiving can go on trying.
                Some(mut started) if !refused && link.can_reconnect() => {
                    started.starting = false;
                    let error = Some(&error);
                    link.tell(Change::Disconnected { error, unanswered: 0, last_words: None, cut: None });
                    Ok(started)
                }
                _ => Err(error),
            };
        }
    }

    /// Starts over a connection that is there already.
    pub(super) fn start_over(link: Arc<Link>, stream: Stream) -> Result<Receiver, ClientError> {
        let deadline = attempt_deadline(&link, None);
        let (stream, login) = link.adopt(stream, deadline, Attempt::First)?;
        let reading = Reading::new(&link, stream, login, deadline);
        let mut receiver = Receiver::new(link, reading);
        receiver.log_in_first()?;
        Ok(receiver)
    }

    /// Connects and logs in once. The receiver is there as soon as there was a connection.
    fn attempt(link: &Arc<Link>, limit: Option<Instant>, slot: &mut Option<Receiver>) -> Result<(), ClientError> {
        let deadline = attempt_deadline(link, limit);
        let (stream, login) = link.connect(deadline, Attempt::First)?;
        let reading = Reading::new(link, stream, login, deadline);
        let receiver = match slot.take() {
            Some(receiver) => Receiver::again(receiver, reading),
            None => Receiver::new(Arc::clone(link), reading),
        };
        slot.insert(receiver).log_in_first()
    }

    fn again(mut self, reading: Reading) -> Receiver {
        self.reading = reading;
        self.connected = true;
        self
    }

    /// Waits until the first login is done. What comes meanwhile can be received afterwards.
    fn log_in_first(&mut self) -> Result<(), ClientError> {
        if !self.reading.is_logging_in() {
            self.link.tell(Change::Connected);
        }
        while self.reading.is_logging_in() {
            match self.advance(None) {
                Ok(line) => self.aside.extend(line),
                Err(error) => {
                    self.aside.clear();
                    return Err(error);
                }
            }
        }
        self.starting = false;
        Ok(())
    }
}
