//! A room is a log of batches: everything that is said in it is an entry in one order.
//!
//! Sessions [submit](Room::submit) what their clients say. In a room of one server the log is a queue in memory. In a
//! joined room a batch makes a detour before it comes into that queue: through a log that all servers read.
//!
//! A session that finds the room idle delivers until the queue is empty or its share is done; then the room's writer, a
//! thread of its own, goes on. A session that submits waits only while the queue has no room for its batch: this is how
//! readers hold senders back. When a reader has no room for the next entry, delivery pauses until the writer has emptied the full
//! outboxes or ended their clients.
//!
//! Lock order: `delivery`, then `queue`, the client list's, an outbox's; the tables of names and questions are innermost.
//! No thread waits for a client while it holds one of them.

mod batch; // what is submitted: entries, also in the form that they have in the log
mod delivery; // what an entry means and who gets which lines: the only place that decides
mod detour; // the log, for the threads that write and read it
mod history; // the last lines for everyone, and marks
mod log; // what the room knows of the log
mod outgoing; // what this server has said and has not seen in the log yet
pub(super) mod pause; // the rule for slow readers
mod surroundings; // what sessions and the room share, and the rule for all that is given to anybody
mod writer; // the thread that empties outboxes and ends pauses

use std::io::{self, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub(super) use batch::{Batch, Kind};
use delivery::Delivery;
use log::Log;
pub(super) use log::{Arrival, Phase, Task};
use pause::Watch;
use surroundings::Full;
pub(super) use surroundings::Surroundings;

use super::clock::Clock;
use super::ending::EndReason;
use super::lock;
use super::member::Member;
use super::yielder::Yielder;
use crate::atomic::AtomicU64;
use crate::limits::{Limits, SHARE};

#[derive(Debug)]
pub(super) struct Room {
    around: Arc<Surroundings>,
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
    /// The number of the newest batch in the queue.
    last: u64,
    /// The sender of the newest batch.
    sender: u64,
    /// The detour, if the room is joined.
    log: Option<Log>,
    /// A thread delivers, or will when the pause is over.
    busy: bool,
    /// How many threads wait for `changed`.
    waiting: usize,
}

impl Queue {
    /// Whether there is room for a batch where it goes: in the log, or at once among what is delivered.
    fn has_room(&self, batch: &Batch, limit: usize) -> bool {
        match &self.log {
            Some(log) if batch.is_shared() || !log.outgoing.is_empty() => log.outgoing.has_room(batch.len(), limit),
            _ => self.batch.is_empty() || self.batch.len() + batch.len() <= limit,
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
    pub(super) fn new(around: Arc<Surroundings>, limits: &Limits, is_joined: bool) -> io::Result<Room> {
        let wake = UnixStream::pair()?;
        wake.0.set_nonblocking(true)?;
        let queue = Queue { log: is_joined.then(Log::default), ..Queue::default() };
        Ok(Room {
            limit: limits.room_queue(),
            queue: Mutex::new(queue),
            changed: Condvar::new(),
            work: Condvar::new(),
            joining: AtomicBool::new(is_joined),
            delivered: AtomicU64::new(0),
            delivery: Mutex::new(Delivering {
                delivery: Delivery::new(Arc::clone(&around), limits.room_history()),
                last: 0,
                pause: None,
                handed_over: false,
            }),
            closed: AtomicBool::new(false),
            wake,
            yielder: Yielder::new(),
            around,
        })
    }

    /// Puts a batch into the queue, and delivers if no other thread does; in a joined room, into the log. Waits while
    /// there is no room for it, except with last words. Returns the number of the batch, which is then empty; `Err` is the
    /// reason if the sender is ended meanwhile: it may itself be the reader that is too slow.
    pub(super) fn submit(&self, sender: &Member, batch: &mut Batch, last_words: bool) -> Result<u64, EndReason> {
        let mut queue = lock(&self.queue);
        loop {
            match sender.end_reason() {
                Some(reason) if !last_words => return Err(reason),
                // What was not said in one membership must not be said in another.
                _ if sender.is_cut_off() => return Err(EndReason::CutOff),
                _ if last_words || queue.has_room(batch, self.limit) => break,
                _ if self.around.stop.time_to_talk().is_zero() => return Err(EndReason::ShuttingDown),
                // A stop wakes all that wait.
                _ => queue = self.wait(queue, self.around.stop.time_to_talk()),
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

    /// Waits for a change of the queue.
    fn wait<'q>(&self, mut queue: MutexGuard<'q, Queue>, left: Duration) -> MutexGuard<'q, Queue> {
        queue.waiting += 1;
        queue = self.changed.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0;
        queue.waiting -= 1;
        queue
    }

    /// Whether the batch with this number has been delivered.
    pub(super) fn has_delivered(&self, number: u64) -> bool {
        self.delivered.load(Ordering::Acquire) >= number
    }

    /// Waits until the batch with this number has been delivered, unless no time is left for it. `Err` if the sender ends
    /// meanwhile.
    pub(super) fn wait_until_delivered(
        &self,
        number: u64,
        sender: &Member,
        mut time_left: impl FnMut(Phase) -> Duration,
    ) -> Result<(), EndReason> {
        if self.has_delivered(number) {
            return Ok(());
        }
        let mut queue = lock(&self.queue);
        while !self.has_delivered(number) {
            if let Some(reason) = sender.end_reason() {
                return Err(reason);
            }
            let left = time_left(queue.log.as_ref().map_or(Phase::Joined, |log| log.phase));
            if left.is_zero() {
                break;
            }
            queue = self.wait(queue, left);
        }
        Ok(())
    }

    /// Gives a client replies while nothing of its own is in the queue. If its backlog is full, only this client waits.
    pub(super) fn reply(&self, member: &Arc<Member>, lines: &[u8], count: u64) -> Result<(), EndReason> {
        if !self.around.has_room(member, lines.len()) {
            self.wait_until_half_empty(member)?;
        }
        let waiting = member.outbox.push(lines, count);
        if waiting > 0 {
            lock(&self.delivery).delivery.note(member, waiting);
            self.wake_writer();
        }
        Ok(())
    }

    /// Delivers chunk by chunk until the queue is empty, a reader has no room, or the share is done.
    fn deliver(&self, mut delivering: MutexGuard<'_, Delivering>) {
        delivering.delivery.work = 0;
        loop {
            let delivery = &mut delivering.delivery;
            let proceeded = delivery.proceed();
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
