//! A room is a queue: everything that goes through it is an entry in one order.
//!
//! Sessions [submit](Room::submit) what their clients say as batches. A session that finds the room idle delivers until
//! the queue is empty or its share is done; then it hands over to the room's writer, a thread of its own. A session
//! waits only while the queue has no room for its batch: this is how readers hold senders back. When a reader has no
//! room for the next entry, delivery pauses. The writer then empties outboxes, ends the readers that the rule in
//! `pause` finds too slow, and goes on with delivery once no reader is full.
//!
//! In a joined room, what is submitted makes a detour before it comes into the queue: through a log that all servers
//! read. `batch` is what is submitted, `delivery` what is done with it, `pause` the rule for slow readers, `outgoing` and
//! `log` the detour. Lock order: `delivery`, then `queue`, the client list's, an outbox's. No thread waits for a client
//! while it holds one of them.

mod batch;
mod delivery;
mod detour;
mod history;
mod log;
mod outgoing;
pub(super) mod pause;

use std::io::{self, Write as _};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub(super) use batch::{Batch, Kind};
use delivery::{Delivery, Full, Surroundings};

use log::Log;
pub(super) use log::{Arrival, Phase, Snapshot, Task};
use pause::{Rule, Verdict, Watch};

use super::client_list::ClientList;
use super::clock::Clock;
use super::counters::Counters;
use super::ending::EndReason;
use super::lock;
use super::member::HERE;
use super::member::Member;
use super::people::People;
use super::questions::Questions;
use super::stop::Stop;
use super::yielder::Yielder;
use crate::atomic::AtomicU64;
use crate::limits::{Limits, PAUSE_TICK, SHARE, YEAR};
use crate::os::{self, Wait};

#[derive(Debug)]
pub(super) struct Room {
    around: Surroundings,
    /// How many bytes may wait in the queue, unless one batch alone is longer.
    limit: usize,
    queue: Mutex<Queue>,
    /// Notified when the queue has room again, something was delivered, or a client was ended.
    changed: Condvar,
    /// Notified when there is something for the thread that writes to the log.
    work: Condvar,
    /// The room is joined, and this server is not in it.
    joining: AtomicBool,
    /// The number of the last batch that was delivered. Written under the queue's lock.
    delivered: AtomicU64,
    delivery: Mutex<Delivering>,
    closed: AtomicBool,
    /// A byte into the first wakes the writer, which waits for the second beside the sockets.
    wake: (UnixStream, UnixStream),
    yielder: Yielder,
}

#[derive(Debug, Default)]
struct Queue {
    batch: Batch,
    /// The number of the last batch that was submitted.
    submitted: u64,
    /// The number of the last of these that is here or has left, and the sender of the last batch.
    last: u64,
    sender: u64,
    /// The detour, if the room is joined.
    log: Option<Log>,
    /// A thread delivers, or will when the pause is over.
    busy: bool,
    /// How many threads wait for `changed`.
    waiting: usize,
}

impl Queue {
    fn has_room(&self, length: usize, limit: usize) -> bool {
        match &self.log {
            Some(log) => log.outgoing.has_room(length, limit),
            None => self.batch.is_empty() || self.batch.len() + length <= limit,
        }
    }
}

#[derive(Debug)]
struct Delivering {
    delivery: Delivery,
    /// The number of the last batch in the chunk that is being delivered.
    last: u64,
    pause: Option<Pause>,
    /// The writer is to go on with delivery.
    handed_over: bool,
}

/// Why delivery waits, and for which readers.
#[derive(Debug)]
struct Pause {
    clock: Clock,
    full: Vec<(Arc<Member>, Watch)>,
    /// Other readers whose outboxes are not empty, and how far they had read when the pause began.
    behind: Vec<(Arc<Member>, u64)>,
}

impl Room {
    pub(super) fn new(
        list: Arc<ClientList>,
        people: Arc<People>,
        questions: Arc<Questions>,
        counters: Arc<Counters>,
        stop: Arc<Stop>,
        limits: &Limits,
        is_joined: bool,
    ) -> io::Result<Room> {
        let wake = UnixStream::pair()?;
        wake.0.set_nonblocking(true)?;
        let queue = Queue { log: is_joined.then(Log::default), ..Queue::default() };
        Ok(Room {
            around: Surroundings {
                list,
                people,
                questions,
                counters,
                stop,
                max_backlog: limits.max_backlog,
                own: AtomicU64::new(HERE),
            },
            limit: limits.room_queue(),
            queue: Mutex::new(queue),
            changed: Condvar::new(),
            work: Condvar::new(),
            joining: AtomicBool::new(is_joined),
            delivered: AtomicU64::new(0),
            delivery: Mutex::new(Delivering {
                delivery: Delivery::new(limits.room_history()),
                last: 0,
                pause: None,
                handed_over: false,
            }),
            closed: AtomicBool::new(false),
            wake,
            yielder: Yielder::new(),
        })
    }

    /// Puts a batch into the queue, and delivers if no other thread does; in a joined room, into the log. Waits while
    /// there is no room for it, except with last words. Returns the number of the batch, which is then empty; `Err` is the
    /// reason if the sender is ended meanwhile: it may itself be the reader that is too slow.
    pub(super) fn submit(&self, sender: &Member, batch: &mut Batch, last_words: bool) -> Result<u64, EndReason> {
        let mut queue = lock(&self.queue);
        loop {
            match sender.end_reason() {
                // What a client was told to be lost must not be said in another membership.
                Some(reason) if !last_words || reason == EndReason::CutOff => return Err(reason),
                _ if last_words || queue.has_room(batch.len(), self.limit) => break,
                _ if self.around.stop.is_talk_over() => return Err(EndReason::ShuttingDown),
                _ => queue = self.wait(queue),
            }
        }
        queue.submitted += 1;
        let number = queue.submitted;
        match &mut queue.log {
            Some(log) if log.phase == Phase::Joining && batch.is_shared() => return Err(EndReason::CutOff),
            Some(log) if batch.is_shared() || !log.outgoing.is_empty() => self.log(log, batch, number),
            _ => self.put(queue, batch, number, sender.id),
        }
        Ok(number)
    }

    /// Leaves a batch to the thread that writes to the log.
    fn log(&self, log: &mut Log, batch: &mut Batch, number: u64) {
        log.outgoing.add(batch, number);
        if std::mem::take(&mut log.speaker_waits) {
            self.work.notify_one();
        }
    }

    /// The same for what was decided on delivery.
    fn log_decided(&self, batch: &mut Batch) {
        let mut queue = lock(&self.queue);
        let number = queue.submitted;
        match &mut queue.log {
            Some(log) if log.phase != Phase::Joining => self.log(log, batch, number),
            _ => batch.clear(0),
        }
    }

    /// Puts a batch into the queue, and delivers if no other thread does.
    fn put(&self, mut queue: MutexGuard<'_, Queue>, batch: &mut Batch, number: u64, sender: u64) {
        let is_message = batch.only(Kind::Everyone).is_some();
        queue.batch.append(batch);
        queue.last = number;
        let others = std::mem::replace(&mut queue.sender, sender) != sender;
        let idle = !std::mem::replace(&mut queue.busy, true);
        drop(queue);
        if idle {
            if others && is_message {
                // Other senders that are ready to run add their batches now, which saves a write to each reader.
                self.yielder.yield_now();
            }
            self.deliver(lock(&self.delivery));
        }
    }

    fn wait<'q>(&self, mut queue: MutexGuard<'q, Queue>) -> MutexGuard<'q, Queue> {
        // A stop wakes all that wait.
        let left = match self.around.stop.has_begun() {
            true => self.around.stop.time_to_talk().saturating_duration_since(Instant::now()),
            false => YEAR,
        };
        queue.waiting += 1;
        queue = self.changed.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0;
        queue.waiting -= 1;
        queue
    }

    /// Whether the batch with this number has been delivered.
    pub(super) fn has_delivered(&self, number: u64) -> bool {
        self.delivered.load(Ordering::Acquire) >= number
    }

    /// Waits until the batch with this number has been delivered, for `patience` at most. `Err` if the sender ends
    /// meanwhile.
    pub(super) fn wait_until_delivered(
        &self,
        number: u64,
        sender: &Member,
        patience: impl Fn(Phase) -> Duration,
    ) -> Result<(), EndReason> {
        if self.has_delivered(number) {
            return Ok(());
        }
        let began = Instant::now();
        let mut queue = lock(&self.queue);
        while !self.has_delivered(number) {
            if let Some(reason) = sender.end_reason() {
                return Err(reason);
            }
            let patience = patience(queue.log.as_ref().map_or(Phase::Joined, |log| log.phase));
            let left = patience.saturating_sub(began.elapsed());
            if left.is_zero() {
                break;
            }
            queue.waiting += 1;
            queue = self.changed.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0;
            queue.waiting -= 1;
        }
        Ok(())
    }

    /// Gives a client replies while nothing of its own is in the queue. If its backlog is full, only this client waits.
    pub(super) fn reply(&self, member: &Arc<Member>, lines: &[u8], count: u64) -> Result<(), EndReason> {
        if !self.around.has_room(member, lines.len()) {
            self.wait_until_half_empty(member)?;
        }
        match member.outbox.push(lines, count) {
            Ok(0) => Ok(()),
            Ok(_) => {
                lock(&self.delivery).delivery.put_behind(member);
                self.wake_writer();
                Ok(())
            }
            Err(_) => Err(member.end_reason().unwrap_or(EndReason::NetworkError)),
        }
    }

    /// Waits until a client's backlog is at most half full, by the same rule as in a pause. Nobody else waits.
    pub(super) fn wait_until_half_empty(&self, member: &Arc<Member>) -> Result<(), EndReason> {
        let mut clock = Clock::start();
        let mut watch = Watch::begin(Duration::ZERO, member.outbox.taken().bytes);
        loop {
            let waiting = member.outbox.flush();
            if let Some(reason) = member.end_reason() {
                return Err(reason);
            }
            match waiting {
                Ok(waiting) if waiting <= self.around.max_backlog / 2 => return Ok(()),
                Ok(_) => {}
                Err(_) => return Err(EndReason::NetworkError),
            }
            let (rule, reason) = self.rule();
            if watch.judge(clock.tick(), member.outbox.taken().bytes, rule) == Verdict::TooSlow {
                self.evict(member, reason);
                return Err(reason);
            }
            os::poll(&mut [Wait::writable(member.outbox.stream().as_fd())], Some(PAUSE_TICK));
        }
    }

    /// Delivers chunk by chunk until the queue is empty, a reader has no room, or the share is done.
    fn deliver(&self, mut delivering: MutexGuard<'_, Delivering>) {
        delivering.delivery.work = 0;
        loop {
            let delivery = &mut delivering.delivery;
            let proceeded = delivery.proceed(&self.around);
            if !delivery.decided.is_empty() {
                self.log_decided(&mut delivery.decided);
            }
            if let Err(Full(full)) = proceeded {
                delivering.begin_pause(full);
                return self.wake_writer();
            }
            if std::mem::take(&mut delivering.delivery.behind_grew) {
                self.wake_writer();
            }
            let mut queue = lock(&self.queue);
            self.delivered.store(delivering.last, Ordering::Release);
            if queue.waiting > 0 {
                self.changed.notify_all();
            }
            if queue.batch.is_empty() {
                queue.busy = false;
                let mut nothing = Batch::default();
                delivering.delivery.load(&mut nothing);
                return;
            }
            delivering.delivery.load(&mut queue.batch);
            delivering.last = queue.last;
            drop(queue);
            if delivering.delivery.work >= SHARE {
                delivering.handed_over = true;
                return self.wake_writer();
            }
        }
    }

    /// Wakes the writer, and all sessions that wait.
    pub(super) fn wake(&self) {
        self.wake_writer();
        // Under the lock, so that no thread is between its check and its wait.
        let _queue = lock(&self.queue);
        self.changed.notify_all();
        self.work.notify_all();
    }

    /// Ends the writer.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.wake();
    }

    fn wake_writer(&self) {
        // If the socket is full, it is readable: the writer wakes as well.
        let _ = (&self.wake.0).write(&[0]);
    }

    /// The writer: empties outboxes, ends pauses and goes on with delivery, until the room is closed.
    pub(super) fn write_what_waits(&self) {
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
                if (paused || wait.is_ready()) && member.outbox.flush().is_err() {
                    member.end(EndReason::NetworkError);
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
}

impl Delivering {
    fn begin_pause(&mut self, full: Vec<Arc<Member>>) {
        let others = self.delivery.behind.iter().filter(|member| member.end_reason().is_none());
        let behind = others.map(|member| (Arc::clone(member), member.outbox.progress())).collect();
        let watch = |member: Arc<Member>| {
            let watch = Watch::begin(Duration::ZERO, member.outbox.taken().bytes);
            (member, watch)
        };
        self.pause = Some(Pause { clock: Clock::start(), full: full.into_iter().map(watch).collect(), behind });
    }
}
