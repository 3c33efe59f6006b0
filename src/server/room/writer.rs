//! The room's writer: empties outboxes, ends the readers that the rule in `pause` finds too slow, and goes on with
//! delivery once no reader is full.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::pause::{Rule, Verdict, Watch};
use super::{Delivering, Room};
use crate::limits::PAUSE_TICK;
use crate::os::{self, Wait};
use crate::server::clock::Clock;
use crate::server::ending::EndReason;
use crate::server::lock;
use crate::server::member::Member;

impl Room {
    /// Works until the room is closed.
    pub(in crate::server) fn write_what_waits(&self) {
        let mut scratch = [0; 64];
        while !self.closed.load(Ordering::SeqCst) {
            let (behind, paused, at_once) = {
                let delivering = lock(&self.delivery);
                (delivering.delivery.behind.clone(), delivering.pause.is_some(), delivering.handed_over)
            };
            let mut waits = vec![Wait::readable(self.wake.1.as_fd())];
            waits.extend(behind.iter().map(|member| Wait::writable(member.outbox.stream().as_fd())));
            let timeout = if at_once { Some(Duration::ZERO) } else { paused.then_some(PAUSE_TICK) };
            os::poll(&mut waits, timeout);
            if waits[0].is_ready() {
                let _ = os::receive_now(self.wake.1.as_fd(), &mut scratch);
            }
            for (member, wait) in behind.iter().zip(&waits[1..]) {
                // During a pause all are tried, since a socket is reported writable only when a third of it is free.
                if paused || wait.is_ready() {
                    member.outbox.flush();
                }
            }
            let mut delivering = lock(&self.delivery);
            delivering.delivery.behind.retain(|member| {
                let stays = member.end_reason().is_none() && member.outbox.len() > 0;
                member.behind.store(stays, Ordering::Relaxed);
                stays
            });
            let resumed = delivering.pause.is_some() && self.is_pause_over(&mut delivering);
            if resumed || std::mem::take(&mut delivering.handed_over) {
                self.deliver(delivering);
            }
        }
    }

    /// Ends readers that are too slow. Returns whether no reader holds the room any more.
    fn is_pause_over(&self, delivering: &mut Delivering) -> bool {
        let Some(pause) = &mut delivering.pause else { return true };
        let ran = pause.clock.tick();
        let (rule, reason) = self.rule();
        let mut evicted = false;
        pause.full.retain_mut(|(member, watch)| {
            if member.end_reason().is_some() || member.outbox.len() <= self.around.max_backlog / 2 {
                return false;
            }
            let too_slow = watch.judge(ran, member.outbox.taken().bytes, rule) == Verdict::TooSlow;
            evicted |= too_slow && self.evict(member, reason);
            !too_slow
        });
        if ran >= rule.stall_timeout {
            // Readers that have stopped cost the others one pause in all, not one each.
            for (member, progress) in pause.behind.drain(..) {
                if member.outbox.len() > 0 && member.outbox.progress() == progress {
                    evicted |= self.evict(&member, reason);
                }
            }
        }
        let over = pause.full.is_empty();
        if over {
            delivering.pause = None;
        }
        if evicted {
            // They may be waiting for the queue.
            let _queue = lock(&self.queue);
            self.changed.notify_all();
        }
        over
    }

    fn rule(&self) -> (Rule, EndReason) {
        let (stall_timeout, reason) = self.around.stop.stall_timeout();
        (Rule { stall_timeout, max_backlog: self.around.max_backlog }, reason)
    }

    fn evict(&self, member: &Member, reason: EndReason) -> bool {
        let first = member.end(reason);
        if first && reason == EndReason::TooSlow {
            self.around.counters.evicted.add(1);
        }
        first
    }

    /// Waits until a client's backlog is at most half full, by the same rule as in a pause. Nobody else waits.
    pub(in crate::server) fn wait_until_half_empty(&self, member: &Arc<Member>) -> Result<(), EndReason> {
        let mut clock = Clock::start();
        let mut watch = Watch::begin(Duration::ZERO, member.outbox.taken().bytes);
        loop {
            let waiting = member.outbox.flush();
            if let Some(reason) = member.end_reason() {
                return Err(reason);
            }
            if waiting <= self.around.max_backlog / 2 {
                return Ok(());
            }
            let (rule, reason) = self.rule();
            if watch.judge(clock.tick(), member.outbox.taken().bytes, rule) == Verdict::TooSlow {
                self.evict(member, reason);
                return Err(reason);
            }
            os::poll(&mut [Wait::writable(member.outbox.stream().as_fd())], Some(PAUSE_TICK));
        }
    }
}
