//! Takes connections and hands each to a thread.
//!
//! The loop sleeps in the kernel until a connection or the stop comes, and ends only when the server stops. Any error
//! is counted, logged at most once a second and waited out, during which connected clients are served. The pauses
//! double, and are short again as soon as a connection was accepted or a session has ended: the cause may be gone.

use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use super::client_list::Place;
use super::hub::Hub;
use super::throttle::Throttle;
use super::workers::Workers;
use crate::limits::{ACCEPT_PAUSE, LISTEN_BACKLOG};
use crate::os::{self, Wait};
use crate::protocol::Refusal;
use crate::transport::{Acceptor, Stream};

/// Address space that must be left when a client is let in. Without it a new thread fails, which is only an error;
/// later a small allocation would fail, which ends the process.
const HEADROOM: usize = 16 * 1024 * 1024;

/// A number of clients for which the headroom is enough in any case.
const HEADROOM_CLIENTS: usize = 16;

/// How many connections are taken from one listener before the others are looked at.
const IN_A_ROW: i32 = 64;

/// Accepts until the server stops. A byte through `wake` says that it stops, or that a connection from within the
/// process waits.
pub(super) fn run(hub: &Hub, workers: &Workers<Place>, acceptors: &[Acceptor], wake: &UnixStream) {
    let mut door = Door { hub, workers, headroom: Headroom::default(), refusals: Throttle::default() };
    let mut waits = vec![Wait::readable(wake.as_fd())];
    waits.extend(acceptors.iter().map(|acceptor| Wait::readable(acceptor.as_fd())));
    let mut pauses = AcceptPauses::default();
    let mut failures = Throttle::default();
    loop {
        let quiet = [failures.report(), door.refusals.report()].into_iter().flatten().min();
        match pauses.current() {
            None => os::poll(&mut waits, quiet),
            Some(pause) => {
                os::poll(&mut waits[..1], Some(pause));
                os::poll(&mut waits, Some(Duration::ZERO));
            }
        }
        if waits[0].is_ready() {
            let _ = os::receive_now(wake.as_fd(), &mut [0; 64]);
        }
        let stopping = hub.is_stopping();
        // When the server stops, a last round: the kernel has let these in already, and their lines may
        // have arrived.
        let in_a_row = if stopping { LISTEN_BACKLOG } else { IN_A_ROW };
        for stream in hub.arrivals() {
            door.let_in(stream, "this process".to_owned());
        }
        let (mut accepted, mut failed) = (false, false);
        for (acceptor, _) in acceptors.iter().zip(&waits[1..]).filter(|(_, wait)| stopping || wait.is_ready()) {
            for _ in 0..in_a_row {
                match acceptor.accept() {
                    Ok((stream, peer)) => {
                        accepted = true;
                        door.let_in(stream, peer);
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => {
                        failed = true;
                        failures.note(format!("cannot accept on {}: {error}", acceptor.address()));
                        break;
                    }
                }
            }
        }
        if stopping {
            return;
        }
        pauses.note(failed, accepted, hub.list.ended());
    }
}

/// How long to wait after an accept error.
#[derive(Debug, Default)]
struct AcceptPauses {
    pause: Option<Duration>,
    /// How many sessions had ended at the last failure.
    ended: u64,
}

impl AcceptPauses {
    /// The pause to make now.
    fn current(&self) -> Option<Duration> {
        self.pause
    }

    /// Notes the result of a round: whether accepting failed, whether anything was accepted, and how many sessions have
    /// ended so far.
    fn note(&mut self, failed: bool, accepted: bool, ended: u64) {
        let hope = accepted || ended != self.ended;
        self.ended = ended;
        self.pause = match self.pause {
            _ if !failed => None,
            Some(pause) if !hope => Some((2 * pause).min(*ACCEPT_PAUSE.end())),
            _ => Some(*ACCEPT_PAUSE.start()),
        };
    }
}

/// Where connections come in.
struct Door<'s> {
    hub: &'s Hub,
    workers: &'s Workers<Place>,
    headroom: Headroom,
    refusals: Throttle,
}

impl Door<'_> {
    fn let_in(&mut self, stream: Stream, peer: String) {
        if !self.headroom.is_there(self.workers.threads(), os::has_address_space) {
            self.refuse("there is no memory for more threads");
            return self.turn_away(&stream);
        }
        let place = match self.hub.list.admit(stream, peer, !self.hub.wants_token()) {
            Ok(place) => place,
            Err(stream) => {
                self.refuse("the server is full, and as many connections as it may have are closing");
                return self.turn_away(&stream);
            }
        };
        let member = Arc::clone(&place.member);
        let full = member.end_reason().is_some();
        match self.workers.start(place) {
            Ok(()) if full => self.refusals.note("refused a client: the server is full".to_owned()),
            Ok(()) => {}
            Err(error) => {
                self.refuse(&format!("cannot start a thread: {error}"));
                self.turn_away(member.outbox.stream());
            }
        }
    }

    fn refuse(&mut self, why: &str) {
        self.hub.counters.refused.add(1);
        self.refusals.note(format!("refused a client: {why}"));
    }

    /// Tells a client that it cannot come in, without waiting for anything.
    fn turn_away(&self, stream: &Stream) {
        let mut words = Vec::new();
        Refusal::ServerFull(self.hub.list.len()).write_to(&mut words);
        let _ = os::send_now(stream.as_fd(), &words);
        stream.shutdown(std::net::Shutdown::Write);
        let _ = os::receive_now(stream.as_fd(), &mut [0; 4096]);
    }
}

/// Whether there is address space for more clients.
#[derive(Debug, Default)]
struct Headroom {
    /// How many clients may come in before the next look.
    credit: usize,
    /// How many threads there have been at once. The C library keeps the stacks of ended threads for new
    /// ones, so for nearly as many (some may be just ending) there is room in any case.
    most: usize,
}

impl Headroom {
    fn is_there(&mut self, threads: usize, has_address_space: impl FnOnce(usize) -> bool) -> bool {
        if threads + HEADROOM_CLIENTS <= self.most {
            return true;
        }
        if self.credit == 0 {
            if !has_address_space(HEADROOM) {
                return false;
            }
            self.credit = HEADROOM_CLIENTS;
        }
        self.credit -= 1;
        self.most = self.most.max(threads + 1);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_until_something_gives_hope() {
        let mut pauses = AcceptPauses::default();
        let milliseconds = Duration::from_millis;
        for (failed, accepted, ended, wanted) in [
            (false, true, 0, None),
            (true, false, 0, Some(10)),
            (true, false, 0, Some(20)),
            (true, false, 0, Some(40)),
            (true, false, 1, Some(10)),
            (true, false, 1, Some(20)),
            (true, true, 1, Some(10)),
            (false, false, 1, None),
            (true, false, 1, Some(10)),
        ] {
            pauses.note(failed, accepted, ended);
            assert_eq!(pauses.current(), wanted.map(milliseconds), "{failed} {accepted} {ended}");
        }
        for _ in 0..20 {
            pauses.note(true, false, 1);
        }
        assert_eq!(pauses.current(), Some(*ACCEPT_PAUSE.end()));
    }

    #[test]
    fn address_space_is_asked_for_once_for_several_clients() {
        let mut headroom = Headroom::default();
        assert!(headroom.is_there(0, |_| true));
        for threads in 1..HEADROOM_CLIENTS {
            assert!(headroom.is_there(threads, |_| panic!("asked too early")));
        }
        assert!(!headroom.is_there(HEADROOM_CLIENTS, |_| false));
        // Stacks of threads that have ended are used again.
        assert!(headroom.is_there(0, |_| panic!("asked though there is room")));
    }
}
