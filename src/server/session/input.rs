//! Waits for bytes from a client, for as long as the client may be silent.

use std::io::{self, ErrorKind};
use std::time::Duration;

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
    /// Reads once with `read`. Returns how many bytes came; 0 is the end of the input.
    pub(super) fn read(
        &mut self,
        speaker: &mut Speaker<'_>,
        read: impl FnOnce(&Stream) -> io::Result<usize>,
    ) -> Result<usize, EndReason> {
        let idle_timeout = speaker.hub.config.limits.idle_timeout;
        let timeout = [idle_timeout, speaker.time_to_authenticate()].into_iter().flatten().min();
        let stream = speaker.member.outbox.stream();
        if timeout != self.timeout {
            stream.set_read_timeout(timeout).map_err(|_| EndReason::NetworkError)?;
            self.timeout = timeout;
        }
        let result = read(stream);
        if let Some(reason) = speaker.member.end_reason() {
            return Err(reason);
        }
        if speaker.time_to_authenticate() == Some(Duration::ZERO) {
            return Err(EndReason::NotAuthenticated);
        }
        match result {
            Ok(count) => {
                speaker.heard.bytes += count as u64;
                Ok(count)
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Err(EndReason::Idle),
            Err(_) => Err(EndReason::NetworkError),
        }
    }
}
