//! One connected client, as the threads of the others see it.
//!
//! Holds no lock but its outbox's and that of its open questions. The reason for its end is set once. Setting it shuts
//! down reading, which wakes the client's own thread: that reads what had arrived, and then finds the end of its input.

use std::collections::BTreeSet;
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock};

use super::ending::EndReason;
use super::lock;
use super::outbox::Outbox;
use super::room::{HERE, Who};
use crate::os;

#[derive(Debug)]
pub(super) struct Member {
    pub(super) id: u64,
    /// Where it comes from, for the log.
    pub(super) peer: String,
    pub(super) outbox: Outbox,
    /// Whether the room's writer looks after its outbox.
    pub(super) behind: AtomicBool,
    /// Whether delivery has put something into its outbox that it has not tried to send.
    pub(super) held: AtomicBool,
    /// Whether it hears the room's lines.
    hears: AtomicBool,
    /// Reading was shut down to wake the session: the end of its input does not come from the peer.
    woken: AtomicBool,
    /// The ids of its questions, from when they are asked until their end is given to it.
    open: Mutex<BTreeSet<Box<str>>>,
    end: OnceLock<EndReason>,
}

impl Member {
    pub(super) fn new(id: u64, peer: String, outbox: Outbox, hears: bool) -> Member {
        Member {
            id,
            peer,
            outbox,
            behind: AtomicBool::new(false),
            held: AtomicBool::new(false),
            hears: AtomicBool::new(hears),
            woken: AtomicBool::new(false),
            open: Mutex::default(),
            end: OnceLock::new(),
        }
    }

    pub(super) fn who(&self) -> Who {
        Who { server: HERE, client: self.id }
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

    /// Whether reading was shut down to wake its thread.
    pub(super) fn is_woken(&self) -> bool {
        self.woken.load(Ordering::SeqCst)
    }

    /// Ends the connection, both ways.
    pub(super) fn cut(&self) {
        self.outbox.stream().shutdown(Shutdown::Both);
    }

    /// Whether the peer has closed its half, so that no more is under way.
    pub(super) fn has_ended(&self) -> bool {
        os::has_ended(self.outbox.stream().as_fd()) && !self.is_woken()
    }

    /// Whether it hears the room's lines.
    pub(super) fn hears(&self) -> bool {
        self.hears.load(Ordering::Relaxed)
    }

    pub(super) fn set_hears(&self, hears: bool) {
        self.hears.store(hears, Ordering::Relaxed);
    }

    /// Begins a question, unless one with this id is open. Returns how many were open before, `None` if this one was.
    pub(super) fn open_question(&self, id: &str, limit: usize) -> Option<usize> {
        let mut open = lock(&self.open);
        let before = open.len();
        if open.contains(id) {
            return None;
        }
        if before < limit {
            open.insert(Box::from(id));
        }
        Some(before)
    }

    pub(super) fn close_question(&self, id: &str) {
        lock(&self.open).remove(id);
    }
}
