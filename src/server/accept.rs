//! Takes connections and starts a thread for each.
//!
//! The loop sleeps in the kernel until a connection or the stop comes, and ends only when the server
//! stops. Any error is counted, logged at most once a second and waited out with growing pauses, during
//! which those inside are served; when the cause is gone, it goes on by itself.

use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::warn;

use super::hub::{Counters, Hub};
use crate::limits::{ACCEPT_PAUSE, LISTEN_BACKLOG};
use crate::os::{self, Wait};
use crate::protocol::Refusal;
use crate::transport::{Listener, Stream};

/// Address space that has to be left when a client is let in. It must run out for new threads, where that
/// is an error, before it runs out for small allocations, where it would end the process.
const HEADROOM: usize = 16 * 1024 * 1024;

/// How many clients the headroom is surely enough for.
const HEADROOM_CLIENTS: usize = 16;

/// How many connections are taken from one listener before the others are looked at.
const IN_A_ROW: i32 = 64;

/// Accepts until a byte comes through `wake`.
pub(super) fn run(hub: &Arc<Hub>, listeners: &[Listener], wake: &UnixStream) {
    let mut waits = vec![Wait::readable(wake.as_fd())];
    waits.extend(listeners.iter().map(|listener| Wait::readable(listener.as_fd())));
    let mut pause = Duration::ZERO;
    let mut failures = Throttle::default();
    let mut refusals = Throttle::default();
    let mut headroom = Headroom::default();
    loop {
        let quiet = Some(failures.report().min(refusals.report())).filter(|time| *time < Duration::MAX);
        if pause.is_zero() {
            os::poll(&mut waits, quiet);
        } else {
            os::poll(&mut waits[..1], Some(pause));
            os::poll(&mut waits, Some(Duration::ZERO));
        }
        let stopping = waits[0].is_ready();
        // When the server stops, a last round: the kernel has let these in already, and their lines may
        // have arrived.
        let in_a_row = if stopping { LISTEN_BACKLOG } else { IN_A_ROW };
        let mut failed = false;
        for (listener, _) in listeners.iter().zip(&waits[1..]).filter(|(_, wait)| wait.is_ready()) {
            for _ in 0..in_a_row {
                match listener.accept() {
                    Ok((stream, peer)) => start_session(hub, stream, peer, &mut headroom, &mut refusals),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => {
                        failed = true;
                        failures.note(format!("cannot accept on {}: {error}", listener.address()));
                        break;
                    }
                }
            }
        }
        if stopping {
            return;
        }
        pause = match failed {
            true => (2 * pause).clamp(*ACCEPT_PAUSE.start(), *ACCEPT_PAUSE.end()),
            false => Duration::ZERO,
        };
    }
}

fn start_session(hub: &Arc<Hub>, stream: Stream, peer: String, headroom: &mut Headroom, refusals: &mut Throttle) {
    let mut refuse = |why: &str| {
        Counters::add(&hub.counters.refused, 1);
        refusals.note(format!("refused a client: {why}"));
    };
    if !headroom.is_there(hub.workers.threads()) {
        refuse("there is no memory for more threads");
        return turn_away(&stream, hub);
    }
    let place = match hub.list.admit(stream, peer, !hub.wants_token()) {
        Ok(place) => place,
        Err(stream) => {
            refuse("the server is full, and is telling so to as many clients as it may have");
            return turn_away(&stream, hub);
        }
    };
    let client = Arc::clone(&place.client);
    let full = client.end_reason().is_some();
    let session = hub.workers.start(hub, place);
    match session {
        Ok(()) if full => refusals.note("refused a client: the server is full".to_owned()),
        Ok(()) => {}
        Err(error) => {
            refuse(&format!("cannot start a thread: {error}"));
            turn_away(client.outbox.stream(), hub);
        }
    }
}

/// Whether there is address space for more clients.
#[derive(Debug, Default)]
struct Headroom {
    /// How many clients may come in before it is looked at again.
    credit: usize,
    /// How many threads there have been at once. The C library keeps the stacks of ended threads for new
    /// ones, so for nearly as many (some may be just ending) there is room in any case.
    most: usize,
}

impl Headroom {
    fn is_there(&mut self, threads: usize) -> bool {
        if threads + HEADROOM_CLIENTS <= self.most {
            return true;
        }
        if self.credit == 0 {
            if !os::has_address_space(HEADROOM) {
                return false;
            }
            self.credit = HEADROOM_CLIENTS;
        }
        self.credit -= 1;
        self.most = self.most.max(threads + 1);
        true
    }
}

/// Tells a client that it cannot come in, without waiting for anything.
fn turn_away(stream: &Stream, hub: &Hub) {
    let mut words = Vec::new();
    Refusal::ServerFull(hub.list.len()).write_to(&mut words);
    let _ = os::send_now(stream.as_fd(), &words);
    stream.shutdown(std::net::Shutdown::Write);
    let _ = os::receive_now(stream.as_fd(), &mut [0; 4096]);
}

/// A log line that may come often: written at most once a second, with how often it would have been.
#[derive(Debug, Default)]
struct Throttle {
    count: u64,
    text: String,
    written: Option<Instant>,
}

impl Throttle {
    const INTERVAL: Duration = Duration::from_secs(1);

    fn note(&mut self, text: String) {
        self.count += 1;
        self.text = text;
        self.report();
    }

    /// Writes what there is to write, if it is time. Returns when to come back, `MAX` if there is nothing.
    fn report(&mut self) -> Duration {
        if self.count == 0 {
            return Duration::MAX;
        }
        let since = self.written.map_or(Self::INTERVAL, |written| written.elapsed());
        if since < Self::INTERVAL {
            return Self::INTERVAL - since;
        }
        match self.count {
            1 => warn!("{}", self.text),
            count => warn!("{} ({count} times since the last such line)", self.text),
        }
        self.written = Some(Instant::now());
        self.count = 0;
        Duration::MAX
    }
}
