//! The bytes that wait to be written to one client.
//!
//! New bytes go to the socket at once, as far as it takes them; the rest waits here, in order. Only [`Outbox::drain`],
//! which a client's own thread calls, ever blocks. How much may wait is up to the callers (speaker and room). The lock
//! is the innermost of all: no other is taken under it, and the sends under it never wait.
//!
//! A connection that cannot be written to any more is no error here. What is pushed into it is lost, but lines from the
//! client may have arrived before it broke: only the end of its input ends the client.

use std::io::ErrorKind;
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::clock::Clock;
use super::counters::{Counters, Traffic};
use super::lock;
use crate::limits::{OUTBOX_STEP, WRITE_BEHIND_MAX, WRITE_TICK};
use crate::os::{self, Wait};
use crate::transport::Stream;

/// An empty buffer with more capacity than this is given back.
const KEPT: usize = 4096;

#[derive(Debug)]
pub(super) struct Outbox {
    stream: Stream,
    /// The most that goes into one write to a Unix socket.
    write_max: usize,
    counters: Arc<Counters>,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    /// The bytes before `start` are sent already.
    bytes: Vec<u8>,
    start: usize,
    /// Whether the socket has not taken all of the last write.
    behind: bool,
    /// Whether the last byte that the socket took was not the end of a line.
    mid_line: bool,
    /// Nothing can be sent any more.
    broken: bool,
    /// What the socket has ever taken.
    taken: Traffic,
}

impl Outbox {
    /// `write_max` is the most that goes into one write to a Unix socket.
    pub(super) fn new(stream: Stream, write_max: usize, counters: Arc<Counters>) -> Outbox {
        // It cannot fail for an open socket.
        let _ = stream.never_wait();
        Outbox { stream, write_max, counters, waiting: Mutex::default() }
    }

    pub(super) fn stream(&self) -> &Stream {
        &self.stream
    }

    /// Sends `bytes`, which hold `lines` lines, after what waits already. Returns how many bytes wait now.
    pub(super) fn push(&self, bytes: &[u8], lines: u64) -> usize {
        let mut waiting = lock(&self.waiting);
        waiting.send_waiting(self);
        let sent = if waiting.len() == 0 { waiting.send(bytes, Some(lines), self) } else { 0 };
        waiting.append(&bytes[sent..]);
        waiting.len()
    }

    /// Adds bytes after those that wait, without sending: the caller adds more, and then calls [`Outbox::flush`].
    pub(super) fn hold(&self, bytes: &[u8]) {
        lock(&self.waiting).append(bytes);
    }

    /// Sends the bytes that wait, as far as the socket takes them. Returns how many wait now.
    pub(super) fn flush(&self) -> usize {
        let mut waiting = lock(&self.waiting);
        waiting.send_waiting(self);
        waiting.len()
    }

    /// How many bytes wait.
    pub(super) fn len(&self) -> usize {
        lock(&self.waiting).len()
    }

    /// Whether nothing can be sent any more.
    pub(super) fn is_broken(&self) -> bool {
        lock(&self.waiting).broken
    }

    /// Whether no more memory is held than an idle client may hold.
    pub(super) fn is_small(&self) -> bool {
        lock(&self.waiting).bytes.capacity() <= KEPT
    }

    /// What the socket has ever taken.
    pub(super) fn taken(&self) -> Traffic {
        lock(&self.waiting).taken
    }

    /// A number that changes whenever the peer has read something. (For Unix sockets the kernel counts its own overhead
    /// too, so it is not a number of bytes.)
    pub(super) fn progress(&self) -> u64 {
        let waiting = lock(&self.waiting);
        // What the socket took says nearly as much, where the system does not tell more.
        waiting.taken.bytes.wrapping_sub(os::untaken(self.stream.as_fd()).unwrap_or(0) as u64)
    }

    /// Waits until nothing waits any more; false if the peer was too slow for that. `patience` is called again and
    /// again: it returns how long the peer may go without taking a byte. Only time in which this process ran counts.
    pub(super) fn drain(&self, patience: impl Fn() -> Duration) -> bool {
        let mut clock = Clock::start();
        let mut before = None;
        let mut since = Duration::ZERO;
        while self.flush() > 0 {
            let (now, ran) = (Some(self.progress()), clock.tick());
            if now != before {
                before = now;
                since = ran;
            }
            // A patience of 0 is over even for a peer that has just taken something.
            if ran - since >= patience() {
                return false;
            }
            os::poll(&mut [Wait::writable(self.stream.as_fd())], Some(WRITE_TICK));
        }
        true
    }

    /// Throws away what waits, except for the rest of a line whose beginning has been sent.
    pub(super) fn discard(&self) {
        let mut waiting = lock(&self.waiting);
        let rest = &waiting.bytes[waiting.start..];
        let keep = match os::find(b'\n', rest) {
            Some(end) if waiting.mid_line => end + 1,
            _ => 0,
        };
        // The buffer, which may be large, is given back.
        waiting.bytes = rest[..keep].to_vec();
        waiting.start = 0;
    }

    /// Throws away all that waits, because nothing more can be sent.
    pub(super) fn abandon(&self) {
        let mut waiting = lock(&self.waiting);
        waiting.bytes = Vec::new();
        waiting.start = 0;
    }
}

impl Waiting {
    fn len(&self) -> usize {
        self.bytes.len() - self.start
    }

    /// Adds bytes after the others. A large buffer grows in steps, because doubling would hold up to twice the bytes
    /// that wait. It is cleared of sent bytes first if they are worth it.
    fn append(&mut self, bytes: &[u8]) {
        if self.broken {
            return;
        }
        if self.bytes.len() + bytes.len() > self.bytes.capacity().max(OUTBOX_STEP) {
            if self.start >= self.len() / 4 {
                self.bytes.drain(..self.start);
                self.start = 0;
            }
            let needed = self.bytes.len() + bytes.len();
            self.bytes.reserve_exact(needed.next_multiple_of(OUTBOX_STEP) - self.bytes.len());
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// Sends as much of the buffer as the socket takes.
    fn send_waiting(&mut self, outbox: &Outbox) {
        if self.len() == 0 {
            return;
        }
        let mut bytes = std::mem::take(&mut self.bytes);
        self.start += self.send(&bytes[self.start..], None, outbox);
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
    }

    /// Sends as many of `bytes` as the socket takes, and returns how many need not wait: all of them if it is broken.
    /// `lines` is the number of lines in them, if it is known.
    fn send(&mut self, bytes: &[u8], lines: Option<u64>, outbox: &Outbox) -> usize {
        let mut sent = 0;
        while sent < bytes.len() && !self.broken {
            let size = match &outbox.stream {
                Stream::Tcp(_) => usize::MAX,
                // It shows that its peer reads only when the peer has read all of a write, and a slow reader must be
                // seen to read.
                Stream::Unix(_) if self.behind => outbox.write_max.min(WRITE_BEHIND_MAX),
                Stream::Unix(_) => outbox.write_max,
            };
            let piece = &bytes[sent..bytes.len().min(sent.saturating_add(size))];
            let known = lines.filter(|_| piece.len() == bytes.len());
            // For a peer that is behind, the same bytes are tried again and again; only those that are taken are
            // counted.
            let count = |bytes: &[u8]| Traffic { lines: count_lines(bytes), bytes: bytes.len() as u64 };
            let before = match (self.behind, known) {
                (true, _) => Traffic::default(),
                (false, Some(lines)) => Traffic { lines, bytes: piece.len() as u64 },
                (false, None) => count(piece),
            };
            outbox.counters.add_out(before);
            let result = os::send_now(outbox.stream.as_fd(), piece);
            let taken = result.as_ref().copied().unwrap_or(0);
            let mut after = before;
            if self.behind || taken < piece.len() {
                after = count(&piece[..taken]);
                outbox.counters.add_out(after.since(before));
            }
            self.taken.lines += after.lines;
            self.taken.bytes += after.bytes;
            if taken > 0 {
                sent += taken;
                self.mid_line = piece[taken - 1] != b'\n';
            }
            self.behind = taken < piece.len();
            match result {
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() != ErrorKind::Interrupted => {
                    self.broken = true;
                    // The peer sees the end of the stream.
                    outbox.stream.shutdown(Shutdown::Write);
                }
                _ => {}
            }
        }
        if self.broken { bytes.len() } else { sent }
    }
}

fn count_lines(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|byte| **byte == b'\n').count() as u64
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    /// An outbox and its reader; the socket between them takes some hundred KiB.
    fn outbox(write_max: usize) -> (Outbox, std::os::unix::net::UnixStream, Arc<Counters>) {
        let (own, peer) = std::os::unix::net::UnixStream::pair().unwrap();
        let counters = Arc::<Counters>::default();
        (Outbox::new(Stream::Unix(own), write_max, Arc::clone(&counters)), peer, counters)
    }

    /// Lines that tell their number.
    fn lines(count: usize) -> Vec<u8> {
        (0..count).flat_map(|number| format!("line {number}\r\n").into_bytes()).collect()
    }

    /// What comes while this holds, and is flushed meanwhile.
    fn read_while(
        outbox: &Outbox,
        peer: &mut std::os::unix::net::UnixStream,
        holds: impl Fn(&[u8]) -> bool,
    ) -> Vec<u8> {
        let (mut seen, mut buffer) = (Vec::new(), vec![0; 100_000]);
        while holds(&seen) {
            let count = peer.read(&mut buffer).unwrap();
            seen.extend_from_slice(&buffer[..count]);
            outbox.flush();
        }
        seen
    }

    #[test]
    fn what_the_socket_does_not_take_waits_in_order_and_counts_when_it_is_taken() {
        let (outbox, mut peer, counters) = outbox(1 << 16);
        let all = lines(200_000);
        let (first, second) = all.split_at(all.len() / 2);
        let cut = first.iter().filter(|byte| **byte == b'\n').count() as u64;
        let waiting = outbox.push(first, cut);
        assert!(waiting > 0 && waiting < first.len());
        let taken = outbox.taken();
        assert_eq!(taken.bytes, (first.len() - waiting) as u64);
        assert_eq!((counters.bytes_out.get(), counters.lines_out.get()), (taken.bytes, taken.lines));
        outbox.hold(second);
        assert_eq!(outbox.len(), waiting + second.len());
        assert!(read_while(&outbox, &mut peer, |seen| seen.len() < all.len()) == all);
        assert_eq!(outbox.taken(), Traffic { lines: 200_000, bytes: all.len() as u64 });
        assert_eq!((counters.bytes_out.get(), counters.lines_out.get()), (all.len() as u64, 200_000));
    }

    #[test]
    fn only_the_rest_of_a_line_that_has_begun_outlives_a_discard() {
        let (outbox, mut peer, _) = outbox(7);
        outbox.stream().set_write_timeout(None).unwrap();
        let all = lines(200_000);
        outbox.push(&all, 200_000);
        assert!(!outbox.is_small());
        outbox.discard();
        assert!(outbox.is_small());
        let rest = outbox.len();
        assert!(rest < "line 199999\r\n".len());
        outbox.hold(b"end\r\n");
        let seen = read_while(&outbox, &mut peer, |seen| !seen.ends_with(b"end\r\n"));
        let seen = seen.strip_suffix(b"end\r\n").unwrap();
        assert!(seen.ends_with(b"\r\n") && all.starts_with(seen));
    }

    #[test]
    fn draining_ends_when_the_peer_takes_no_byte_or_is_gone() {
        let (outbox, peer, counters) = outbox(1 << 16);
        outbox.push(&lines(200_000), 200_000);
        assert!(!outbox.drain(|| Duration::from_millis(60)));
        assert!(!outbox.is_broken());
        let taken = outbox.taken();
        drop(peer);
        assert!(outbox.drain(|| Duration::from_secs(60)));
        // Nothing is kept for a peer that is gone, nor counted.
        outbox.hold(b"one\r\n");
        assert_eq!((outbox.push(b"two\r\n", 1), outbox.is_small(), outbox.is_broken()), (0, true, true));
        assert_eq!((outbox.taken(), counters.bytes_out.get()), (taken, taken.bytes));
    }

    #[test]
    fn an_emptied_buffer_is_given_back() {
        let (outbox, mut peer, _) = outbox(1 << 16);
        outbox.hold(&lines(5000));
        outbox.flush();
        let mut buffer = vec![0; 100_000];
        assert!(peer.read(&mut buffer).unwrap() > 0);
        assert_eq!(lock(&outbox.waiting).bytes.capacity(), 0);
    }
}
