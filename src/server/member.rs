//! One connected client, as the threads of the others see it.
//!
//! Holds no lock but its outbox's. The reason for its end is set once. Setting it shuts down reading, which wakes the
//! client's own thread: that reads what had arrived, and then finds the end of its input.

use std::net::Shutdown;
use std::os::fd::AsFd;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::ending::EndReason;
use super::outbox::Outbox;
use crate::os;

#[derive(Debug)]
pub(super) struct Member {
    pub(super) id: u64,
    /// Where it comes from, for the log.
    pub(super) peer: String,
    pub(super) outbox: Outbox,
    /// Whether the room's writer looks after its outbox.
    pub(super) behind: AtomicBool,
    /// Used by the room's delivery alone: how many bytes of the chunk's lines for everyone its outbox holds, plus 1; 0
    /// if delivery has not touched it.
    pub(super) mark: AtomicUsize,
    /// Whether it hears the room's lines.
    hears: AtomicBool,
    /// Reading was shut down to wake the session: the end of its input does not come from the peer.
    woken: AtomicBool,
    end: OnceLock<EndReason>,
}

impl Member {
    pub(super) fn new(id: u64, peer: String, outbox: Outbox, hears: bool) -> Member {
        Member {
            id,
            peer,
            outbox,
            behind: AtomicBool::new(false),
            mark: AtomicUsize::new(0),
            hears: AtomicBool::new(hears),
            woken: AtomicBool::new(false),
            end: OnceLock::new(),
        }
    }

    /// Ends the client for a reason, unless it has one already. Wakes its thread. Returns whether this was
    /// the first reason.
    pub(super) fn end(&self, reason: EndReason) -> bool {
        let first = self.end.set(reason).is_ok();
        self.stop_reading();
        first
    }

    /// Ends a client that found the server full, before its session has begun.
    pub(super) fn refuse(&self) {
        let _ = self.end.set(EndReason::ServerFull);
    }

    /// The reason for its end, once it has one.
    pub(super) fn end_reason(&self) -> Option<EndReason> {
        self.end.get().copied()
    }

    /// Makes its thread see the end of the input after what has arrived.
    pub(super) fn stop_reading(&self) {
        self.woken.store(true, Ordering::SeqCst);
        self.outbox.stream().shutdown(Shutdown::Read);
    }

    /// Ends the connection, both ways.
    pub(super) fn cut(&self) {
        self.outbox.stream().shutdown(Shutdown::Both);
    }

    /// Whether the peer has closed its half, so that no more is under way.
    pub(super) fn has_ended(&self) -> bool {
        os::has_ended(self.outbox.stream().as_fd()) && !self.woken.load(Ordering::SeqCst)
    }

    /// Whether it hears the room's lines.
    pub(super) fn hears(&self) -> bool {
        self.hears.load(Ordering::Relaxed)
    }

    pub(super) fn set_hears(&self, hears: bool) {
        self.hears.store(hears, Ordering::Relaxed);
    }
}
