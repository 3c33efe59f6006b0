//! What waits to be written to one client.
//!
//! Bytes go to the socket at once as far as it takes them; only the rest waits here, in order. Nothing
//! here blocks but [`Outbox::drain`], which a client's own thread calls. How much may wait is decided by
//! the callers (session and room). The lock is the innermost of all: no other is taken under it, and the
//! sends under it never wait.

use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::lock;
use crate::limits::WRITE_TICK;
use crate::os::{self, Wait};
use crate::transport::Stream;

/// Above this an empty buffer is given back.
const KEPT: usize = 4096;

#[derive(Debug)]
pub(super) struct Outbox {
    stream: Stream,
    /// So much goes into one write at most.
    send_max: usize,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    /// What comes before `start` is sent already.
    bytes: Vec<u8>,
    start: usize,
    /// Whether the last byte that the socket took was not the end of a line.
    mid_line: bool,
    /// Bytes and lines that were ever put in.
    total: Sent,
}

/// Bytes and lines on their way to clients.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Sent {
    pub(super) lines: u64,
    pub(super) bytes: u64,
}

impl std::ops::Add for Sent {
    type Output = Sent;

    fn add(self, other: Sent) -> Sent {
        Sent { lines: self.lines + other.lines, bytes: self.bytes + other.bytes }
    }
}

/// Why an outbox cannot be emptied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DrainError {
    /// The peer took nothing for as long as it may.
    TooSlow,
    /// The connection is broken.
    Broken,
}

impl Outbox {
    pub(super) fn new(stream: Stream, send_max: usize) -> Outbox {
        Outbox { stream, send_max, waiting: Mutex::default() }
    }

    pub(super) fn stream(&self) -> &Stream {
        &self.stream
    }

    /// Sends `bytes`, which hold so many lines, behind what waits already. Returns how many bytes wait now.
    pub(super) fn push(&self, bytes: &[u8], lines: u64) -> io::Result<usize> {
        let mut waiting = lock(&self.waiting);
        waiting.total.bytes += bytes.len() as u64;
        waiting.total.lines += lines;
        waiting.send(self)?;
        let sent = if waiting.is_empty() { waiting.send_from(bytes, self)? } else { 0 };
        waiting.bytes.extend_from_slice(&bytes[sent..]);
        Ok(waiting.len())
    }

    /// Sends what waits, as far as the socket takes it. Returns how many bytes wait now.
    pub(super) fn flush(&self) -> io::Result<usize> {
        self.push(&[], 0)
    }

    /// How many bytes wait.
    pub(super) fn len(&self) -> usize {
        lock(&self.waiting).len()
    }

    /// All that was ever sent or put in wait.
    pub(super) fn total(&self) -> Sent {
        lock(&self.waiting).total
    }

    /// How far the peer has read, as far as can be seen from here: a number that changes as long as it
    /// does. (For Unix sockets the kernel counts its own overhead in, so it is not a number of bytes.)
    pub(super) fn progress(&self) -> u64 {
        let waiting = lock(&self.waiting);
        waiting.total.bytes.wrapping_sub((waiting.len() + os::untaken(self.stream.as_fd())) as u64)
    }

    /// Waits until everything is sent. `patience` is asked, again and again, how long the peer may take
    /// nothing at all.
    pub(super) fn drain(&self, patience: impl Fn() -> Duration) -> Result<(), DrainError> {
        let mut before = None;
        let mut since = Instant::now();
        loop {
            match self.flush() {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(_) => return Err(DrainError::Broken),
            }
            let now = Some(self.progress());
            if now != before {
                before = now;
                since = Instant::now();
            }
            // A patience of 0 is over even for a peer that has just taken something.
            if since.elapsed() >= patience() {
                return Err(DrainError::TooSlow);
            }
            os::poll(&mut [Wait::writable(self.stream.as_fd())], Some(WRITE_TICK));
        }
    }

    /// Throws away what waits, but for the rest of a line whose beginning is sent already.
    pub(super) fn discard(&self) {
        let mut waiting = lock(&self.waiting);
        let rest = &waiting.bytes[waiting.start..];
        let keep = match rest.iter().position(|byte| *byte == b'\n') {
            Some(end) if waiting.mid_line => end + 1,
            _ => 0,
        };
        let end = waiting.start + keep;
        waiting.bytes.truncate(end);
    }
}

impl Waiting {
    fn len(&self) -> usize {
        self.bytes.len() - self.start
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Sends of the buffer what the socket takes.
    fn send(&mut self, outbox: &Outbox) -> io::Result<()> {
        if self.is_empty() {
            return Ok(());
        }
        let mut bytes = std::mem::take(&mut self.bytes);
        let sent = self.send_from(&bytes[self.start..], outbox);
        self.start += sent.as_ref().copied().unwrap_or(0);
        if self.start == bytes.len() {
            self.start = 0;
            bytes.clear();
            if bytes.capacity() > KEPT {
                bytes = Vec::new();
            }
        } else if self.start > bytes.len() / 2 {
            // Moving the smaller half, and not each time: every byte is moved once on average.
            bytes.drain(..self.start);
            self.start = 0;
        }
        self.bytes = bytes;
        sent.map(drop)
    }

    /// Sends of `bytes` what the socket takes; returns how many.
    fn send_from(&mut self, bytes: &[u8], outbox: &Outbox) -> io::Result<usize> {
        let mut sent = 0;
        while sent < bytes.len() {
            let end = bytes.len().min(sent + outbox.send_max);
            match os::send_now(outbox.stream.as_fd(), &bytes[sent..end]) {
                Ok(count) => {
                    sent += count;
                    self.mid_line = bytes[sent - 1] != b'\n';
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(sent)
    }
}
