//! One connected client, as the threads of the others see it.
//!
//! Holds no lock but its outbox's and that of its open questions. The reason for its end is set once. Setting it shuts
//! down reading, which wakes the client's own thread: that reads what had arrived, and then finds the end of its input.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock};

use super::ending::EndReason;
use super::lock;
use super::outbox::Outbox;
use crate::os;
use crate::protocol::{OPEN_QUESTIONS_MAX, QuestionEnd, Refusal};

/// A client of any server of the room. `Display` writes the two numbers with a space between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Who {
    /// [`HERE`], or the random number of another server.
    pub(super) server: u64,
    pub(super) client: u64,
}

/// This server, as it calls itself.
pub(super) const HERE: u64 = 0;

impl Who {
    pub(super) fn is_here(self) -> bool {
        self.server == HERE
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.server, self.client)
    }
}

/// The questions of a client that it has not received the end of.
#[derive(Debug, Default)]
struct Open {
    /// The number of the last question. A number is never used again, an id can be.
    last: u64,
    /// The number of the question with each id.
    numbers: BTreeMap<Box<str>, u64>,
}

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
    /// It has sent the token, or need not send one.
    authenticated: AtomicBool,
    /// Reading was shut down to wake the session: the end of its input does not come from the peer.
    woken: AtomicBool,
    open: Mutex<Open>,
    end: OnceLock<EndReason>,
    /// Its server was cut off, perhaps after it had ended for another reason.
    cut_off: AtomicBool,
}

impl Member {
    pub(super) fn new(id: u64, peer: String, outbox: Outbox, authenticated: bool) -> Member {
        Member {
            id,
            peer,
            outbox,
            behind: AtomicBool::new(false),
            held: AtomicBool::new(false),
            hears: AtomicBool::new(authenticated),
            authenticated: AtomicBool::new(authenticated),
            woken: AtomicBool::new(false),
            open: Mutex::default(),
            end: OnceLock::new(),
            cut_off: AtomicBool::new(false),
        }
    }

    pub(super) fn who(&self) -> Who {
        Who { server: HERE, client: self.id }
    }

    /// Ends the client for a reason, unless it has one already. Wakes its thread. Returns whether this was
    /// the first reason.
    pub(super) fn end(&self, reason: EndReason) -> bool {
        self.cut_off.fetch_or(reason == EndReason::CutOff, Ordering::SeqCst);
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

    /// Whether its server was cut off from the others while it was connected.
    pub(super) fn is_cut_off(&self) -> bool {
        self.cut_off.load(Ordering::SeqCst)
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

    pub(super) fn is_authenticated(&self) -> bool {
        self.authenticated.load(Ordering::Relaxed)
    }

    pub(super) fn authenticate(&self) {
        self.authenticated.store(true, Ordering::Relaxed);
    }

    /// Whether it hears the room's lines.
    pub(super) fn hears(&self) -> bool {
        self.hears.load(Ordering::Relaxed)
    }

    pub(super) fn set_hears(&self, hears: bool) {
        self.hears.store(hears, Ordering::Relaxed);
    }

    /// Begins a question. Returns its number.
    pub(super) fn open_question<'a>(&self, id: &'a str) -> Result<u64, Refusal<'a>> {
        let mut open = lock(&self.open);
        let Open { last, numbers } = &mut *open;
        let count = numbers.len();
        match numbers.entry(Box::from(id)) {
            Entry::Occupied(_) => Err(Refusal::QuestionOpen(id)),
            Entry::Vacant(_) if count >= OPEN_QUESTIONS_MAX => {
                Err(Refusal::QuestionEnded { id, why: QuestionEnd::TooMany(OPEN_QUESTIONS_MAX) })
            }
            Entry::Vacant(place) => {
                *last += 1;
                Ok(*place.insert(*last))
            }
        }
    }

    /// Ends a question. False if it has ended already: every question has exactly one end.
    pub(super) fn close_question(&self, id: &str, number: u64) -> bool {
        let mut open = lock(&self.open);
        let is_open = open.numbers.get(id) == Some(&number);
        if is_open {
            open.numbers.remove(id);
        }
        is_open
    }
}
