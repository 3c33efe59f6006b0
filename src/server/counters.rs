//! What `stats` reports besides the client list: plain counters, shared by all threads of a server.
//!
//! "Out" counts what the sockets took. It is added before the bytes are sent, so that a client that has read a reply
//! finds it counted in `stats`; what the socket did not take is taken away again.

use std::sync::atomic::Ordering;

use crate::atomic::AtomicU64;

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) accepted: Counter,
    pub(super) refused: Counter,
    pub(super) evicted: Counter,
    pub(super) lines_in: Counter,
    pub(super) bytes_in: Counter,
    pub(super) lines_out: Counter,
    pub(super) bytes_out: Counter,
    /// Questions that were given to a client.
    pub(super) asked: Counter,
}

/// A counter. Only its value matters: no other memory access is ordered by it.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Lines and the bytes that they hold.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Traffic {
    pub(super) lines: u64,
    pub(super) bytes: u64,
}

impl Traffic {
    /// What came on top of `before`. Where it is less, adding the result takes the difference away.
    pub(super) fn since(self, before: Traffic) -> Traffic {
        Traffic { lines: self.lines.wrapping_sub(before.lines), bytes: self.bytes.wrapping_sub(before.bytes) }
    }
}

impl Counters {
    pub(super) fn add_out(&self, traffic: Traffic) {
        self.lines_out.add(traffic.lines);
        self.bytes_out.add(traffic.bytes);
    }

    pub(super) fn add_in(&self, traffic: Traffic) {
        self.lines_in.add(traffic.lines);
        self.bytes_in.add(traffic.bytes);
    }
}
