//! The detour that everything takes in a joined room before it is delivered: through the log.
//!
//! The room's side of it, for the threads of `link`: one takes what is to be written to the log, the other puts into the
//! queue what has come out of it.

use super::log::{Arrival, Log, Phase, Task};
use super::outgoing::Mismatch;
use super::{Batch, Kind, Queue, Room};
use crate::limits::YEAR;
use crate::server::ending::EndReason;
use crate::server::engine::{Position, Welcome};
use crate::server::lock;
use crate::server::member::Who;
use crate::server::people::Person;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

impl Room {
    /// Whether the room is joined, and this server is not in it.
    pub(in crate::server) fn is_joining(&self) -> bool {
        self.joining.load(Ordering::Relaxed)
    }

    /// If the room is joined: how many servers share it, and whether this one reaches them.
    pub(in crate::server) fn shared(&self) -> Option<(usize, bool)> {
        lock(&self.queue).log.as_ref().map(|log| (log.servers, log.phase == Phase::Joined))
    }

    /// Does something with the state of the detour, and wakes whoever waits for it.
    fn with_log(&self, change: impl FnOnce(&mut Log)) {
        if let Some(log) = &mut lock(&self.queue).log {
            change(log);
        }
        self.changed.notify_all();
        self.work.notify_all();
    }

    /// This server has joined; the others call it `own`.
    pub(in crate::server) fn begin(&self, own: u64, welcome: Welcome) {
        let Welcome { head: position, servers, names, served, life, lines, .. } = welcome;
        for (name, server, client, announced) in names {
            let person = Person { name: Arc::from(name), announced, asked: 0 };
            self.around.people.set(Who { server, client }, person);
        }
        for (name, server, client) in served {
            // What the engine has noted was allowed.
            let _ = self.around.people.serve(Who { server, client }, &name);
        }
        self.around.own.store(own, Ordering::Relaxed);
        lock(&self.delivery).delivery.history.begin(&life, lines);
        self.with_log(|log| {
            *log = Log { phase: Phase::Joined, position, servers, leaves: log.leaves, ..Log::default() }
        });
        // Last: until then, a client is told that the server has not joined yet, and not that it is cut off.
        self.joining.store(false, Ordering::Relaxed);
    }

    /// The engine is lost. The next link can begin.
    pub(in crate::server) fn lose_link(&self) {
        self.with_log(|log| {
            (log.phase, log.link_ends) = (Phase::Away, false);
            log.outgoing.gather_less();
        });
    }

    /// What is in the log comes through.
    pub(in crate::server) fn is_back(&self) {
        self.with_log(|log| log.phase = Phase::Joined);
    }

    /// Ends the work of the threads of a link.
    pub(in crate::server) fn end_link(&self) {
        self.with_log(|log| log.link_ends = true);
    }

    /// The server stops: the last that is written to the log says so.
    pub(in crate::server) fn leave(&self) {
        self.with_log(|log| log.leaves = true);
    }

    pub(in crate::server) fn set_servers(&self, servers: usize) {
        self.with_log(|log| log.servers = servers);
    }

    pub(in crate::server) fn position(&self) -> Position {
        lock(&self.queue).log.as_ref().map(|log| log.position).unwrap_or_default()
    }

    /// The engine has the pieces of this server up to this number, and no more.
    pub(in crate::server) fn confirm(&self, number: u64) -> Result<(), Mismatch> {
        lock(&self.queue).log.as_mut().map_or(Ok(()), |log| log.outgoing.confirm(number))
    }

    /// Waits for something to do: a beat is due at `beat`, and when the log has been read up to `beat_at`; pieces may be said
    /// from `quiet` on.
    pub(in crate::server) fn next_task(&self, beat: Instant, quiet: Instant, beat_at: u64) -> (Task, Position) {
        let mut queue = lock(&self.queue);
        loop {
            let now = Instant::now();
            let Some(log) = &mut queue.log else { return (Task::Leave, Position::default()) };
            if log.leaves || log.link_ends {
                return (if log.leaves { Task::Leave } else { Task::HangUp }, log.position);
            }
            if now >= beat || log.position.end >= beat_at {
                return (Task::Beat, log.position);
            }
            let mut wake = beat;
            if !log.outgoing.is_empty() && now < quiet {
                wake = beat.min(quiet);
            } else if let Some((number, piece)) = log.outgoing.next() {
                let mut data = Vec::with_capacity(piece.batch.len());
                piece.batch.write_to(&mut data);
                return (Task::Say(number, data, piece.batch.effects()), log.position);
            }
            log.speaker_waits = true;
            log.beat_at = beat_at;
            queue = self.work.wait_timeout(queue, wake - now).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits, unless the server leaves. Returns whether it does.
    pub(in crate::server) fn pause(&self, time: Duration) -> bool {
        let stays = |queue: &mut Queue| queue.log.as_ref().is_some_and(|log| !log.leaves);
        let waited = self.work.wait_timeout_while(lock(&self.queue), time, stays);
        !stays(&mut waited.unwrap_or_else(PoisonError::into_inner).0)
    }

    /// Puts what has come out of the log into the queue.
    pub(in crate::server) fn arrive(&self, position: Position, arrival: Arrival) -> Result<(), Mismatch> {
        let mut queue = lock(&self.queue);
        let last = queue.last;
        let Some(log) = &mut queue.log else { return Ok(()) };
        let (mut batch, last) = match arrival {
            Arrival::Own(number) => log.outgoing.take(number).map(|piece| (piece.batch, piece.last))?,
            Arrival::Other(batch) => (batch, last),
        };
        log.position = position;
        if log.speaker_waits && position.end >= log.beat_at {
            self.work.notify_one();
        }
        self.put(queue, &mut batch, last, 0);
        Ok(())
    }

    /// Waits until all of the queue has been delivered: for `patience`, or unless the link is to end. Returns whether it
    /// has.
    pub(in crate::server) fn wait_until_idle(&self, patience: Option<Duration>) -> bool {
        let mut queue = lock(&self.queue);
        queue.waiting += 1;
        let waits = |queue: &mut Queue| {
            let ends = queue.log.as_ref().is_some_and(|log| log.leaves || log.link_ends);
            queue.busy && (patience.is_some() || !ends)
        };
        let waited = self.changed.wait_timeout_while(queue, patience.unwrap_or(YEAR), waits);
        let mut queue = waited.unwrap_or_else(PoisonError::into_inner).0;
        queue.waiting -= 1;
        !queue.busy
    }

    /// Ends the membership, and all clients with it. When this returns, no client that comes in hears any line of it.
    pub(in crate::server) fn cut_off(&self) {
        let end_all = || {
            self.around.list.end_all(EndReason::CutOff);
            self.wake();
        };
        // First, so that a client that was in the room is told this, and not that the server has not joined yet.
        end_all();
        self.joining.store(true, Ordering::Relaxed);
        self.with_log(|log| *log = Log { leaves: log.leaves, ..Log::default() });
        while !self.wait_until_idle(Some(Duration::from_millis(20))) {
            end_all();
        }
        let delivering = lock(&self.delivery);
        self.around.questions.clear();
        self.around.people.clear();
        let queue = lock(&self.queue);
        self.delivered.store(queue.submitted, Ordering::Release);
        drop((queue, delivering));
        // Clients that came in before that was done may have heard some of it.
        end_all();
    }
}

impl Batch {
    /// What the engine has to know to tell a server that joins later: how many lines are for everyone, and then for each
    /// name that is taken, given back or served its kind, its client and the name.
    fn effects(&self) -> Vec<String> {
        let (mut lines, mut effects) = (0, vec![String::new()]);
        for index in 0..self.entries() {
            let (entry, head, _) = self.entry(index);
            match entry.kind {
                Kind::Everyone => lines += entry.lines,
                Kind::LogIn | Kind::LogInDeaf | Kind::Leave | Kind::Serve => {
                    let kind = char::from(entry.kind as u8);
                    effects.extend([kind.to_string(), entry.sender.client.to_string(), head.to_owned()]);
                }
                _ => {}
            }
        }
        effects[0] = lines.to_string();
        effects
    }
}
