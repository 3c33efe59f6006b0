//! Waits for bytes from a client, for as long as the client may be silent.

use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

use crate::os;
use crate::server::ending::EndReason;
use crate::server::speaker::Speaker;
use crate::transport::Stream;

/// The receiving side of a session.
#[derive(Debug, Default)]
pub(super) struct Input {
    /// The read timeout that the socket has now.
    timeout: Option<Duration>,
}

impl Input {
    /// Reads with `read` until something comes. Returns how many bytes came; 0 is the end of the input.
    pub(super) fn read(
        &mut self,
        speaker: &mut Speaker<'_>,
        mut read: impl FnMut(&Stream) -> io::Result<usize>,
    ) -> Result<usize, EndReason> {
        let idle_timeout = speaker.hub.config.limits.idle_timeout;
        let idle_from = idle_timeout.map(|_| Instant::now());
        let mut idle_left = idle_timeout;
        loop {
            let timeout = [idle_left, speaker.time_to_authenticate()].into_iter().flatten().min();
            let stream = speaker.member.outbox.stream();
            if os::STREAMS_BLOCK && timeout != self.timeout {
                stream.set_read_timeout(timeout).map_err(|_| EndReason::NetworkError)?;
                self.timeout = timeout;
            }
            let stopped = !os::STREAMS_BLOCK && speaker.hub.sessions.wait(stream, timeout);
            let result = if stopped { Ok(0) } else { read(stream) };
            if let Some(reason) = speaker.member.end_reason() {
                return Err(reason);
            }
            if speaker.time_to_authenticate() == Some(Duration::ZERO) {
                return Err(EndReason::NotAuthenticated);
            }
            match result {
                Ok(count) => {
                    speaker.heard.bytes += count as u64;
                    return Ok(count);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // The kernel counts such times in ticks, which a virtual machine may get late and several at once. So
                // the wait can end some milliseconds before the time is over.
                Err(error)
                    if (timeout.is_some() || !os::STREAMS_BLOCK)
                        && matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    let waited = idle_from.map_or(Duration::ZERO, |from| from.elapsed());
                    idle_left = idle_timeout.map(|timeout| timeout.saturating_sub(waited));
                    if idle_left == Some(Duration::ZERO) {
                        return Err(EndReason::Idle);
                    }
                }
                Err(_) => return Err(EndReason::NetworkError),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;
    use std::sync::Arc;

    use super::*;
    use crate::server::config::Config;
    use crate::server::hub::Hub;

    /// Reads from a client whose waits all end after a fifth of their time, until it ends.
    fn reason_of_a_silent_client(config: Config) -> (EndReason, Duration) {
        let hub = Hub::new(config, UnixStream::pair().unwrap().0).unwrap();
        let (stream, _peer) = UnixStream::pair().unwrap();
        let place = hub.around.list.admit(Stream::Unix(stream), "a test".to_owned(), !hub.wants_token()).unwrap();
        let began = Instant::now();
        let mut speaker = Speaker::new(&hub, Arc::clone(&place.member));
        let early = |_: &Stream| {
            std::thread::sleep(Duration::from_millis(10));
            Err(ErrorKind::WouldBlock.into())
        };
        (Input::default().read(&mut speaker, early).unwrap_err(), began.elapsed())
    }

    #[test]
    fn a_wait_that_ends_early_ends_no_client_before_its_time() {
        let mut config = Config { token: Some("secret".to_owned().into()), ..Config::default() };
        let time = Duration::from_millis(50);
        config.limits.authentication_timeout = time;
        let (reason, waited) = reason_of_a_silent_client(config.clone());
        assert!(reason == EndReason::NotAuthenticated && waited >= time, "{reason:?} after {waited:?}");
        config.token = None;
        config.limits.idle_timeout = Some(time);
        let (reason, waited) = reason_of_a_silent_client(config);
        assert!(reason == EndReason::Idle && waited >= time, "{reason:?} after {waited:?}");
    }
}
