//! Takes connections and hands each to a thread.
//!
//! The loop sleeps in the kernel until a connection or the stop comes, and ends only when the server stops. Any error
//! is counted, logged at most once a second and waited out, during which connected clients are served.

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

/// How many connections are taken from one listener before the others are looked at.
const IN_A_ROW: i32 = 64;

/// Accepts until the server stops. A byte through `wake` says that it stops, or that a connection from within the
/// process waits.
pub(super) fn run(hub: &Hub, workers: &Workers<Place>, acceptors: &[Acceptor], wake: &UnixStream) {
    let mut door = Door { hub, workers, log: Throttle::default() };
    let mut waits = vec![Wait::readable(wake.as_fd())];
    waits.extend(acceptors.iter().map(|acceptor| Wait::readable(acceptor.as_fd())));
    let mut failed = false;
    loop {
        let quiet = door.log.report();
        if std::mem::take(&mut failed) {
            os::poll(&mut waits[..1], Some(ACCEPT_PAUSE));
            os::poll(&mut waits, Some(Duration::ZERO));
        } else {
            os::poll(&mut waits, quiet);
        }
        if waits[0].is_ready() {
            let _ = os::receive_now(wake.as_fd(), &mut [0; 64]);
        }
        let stopping = hub.around.stop.has_begun();
        if stopping && !hub.sessions.wake_all() {
            hub.around.list.stop_reading();
        }
        // When the server stops, a last round: the kernel has let these in already, and their lines may have arrived.
        // Their sessions see by themselves that it stops.
        let in_a_row = if stopping { LISTEN_BACKLOG } else { IN_A_ROW };
        for stream in hub.arrivals(stopping) {
            door.let_in(stream, "this process".to_owned());
        }
        for (acceptor, _) in acceptors.iter().zip(&waits[1..]).filter(|(_, wait)| stopping || wait.is_ready()) {
            for _ in 0..in_a_row {
                match acceptor.accept() {
                    Ok((stream, peer)) => door.let_in(stream, peer),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    // The peer has gone meanwhile. Of one, macOS gives an address that std cannot read.
                    Err(error) if error.kind() == ErrorKind::ConnectionAborted || error.raw_os_error().is_none() => {}
                    Err(error) => {
                        failed = true;
                        door.log.note(format!("cannot accept on {}: {error}", acceptor.address()));
                        break;
                    }
                }
            }
        }
        if stopping {
            return;
        }
    }
}

/// Where connections come in.
struct Door<'s> {
    hub: &'s Hub,
    workers: &'s Workers<Place>,
    log: Throttle,
}

impl Door<'_> {
    fn let_in(&mut self, stream: Stream, peer: String) {
        if !os::has_address_space(HEADROOM) {
            return self.turn_away(&stream, "there is no memory for more threads");
        }
        let place = match self.hub.around.list.admit(stream, peer, !self.hub.wants_token()) {
            Ok(place) => place,
            Err(stream) => {
                return self
                    .turn_away(&stream, "the server is full, and as many connections as it may have are closing");
            }
        };
        let member = Arc::clone(&place.member);
        let full = member.end_reason().is_some();
        match self.workers.start(place) {
            Ok(()) if full => drop(self.log.note("refused a client: the server is full".to_owned())),
            Ok(()) => {}
            Err(error) => {
                self.turn_away(member.outbox.stream(), &format!("cannot start a thread: {error}"));
            }
        }
    }

    /// Tells a client that it cannot come in, without waiting for anything.
    fn turn_away(&mut self, stream: &Stream, why: &str) {
        self.hub.around.counters.refused.add(1);
        self.log.note(format!("refused a client: {why}"));
        let mut words = Vec::new();
        Refusal::ServerFull(self.hub.around.list.len()).write_to(&mut words);
        let _ = os::send_now(stream.as_fd(), &words);
        stream.shutdown(std::net::Shutdown::Write);
        let _ = os::receive_now(stream.as_fd(), &mut [0; 4096]);
    }
}
