//! One order of lines for everybody, at the pace of the slowest reader that still reads.
//!
//! Who has something to say takes a [`Turn`], one at a time, and gives its piece to each reader's outbox;
//! that never blocks. A turn is had only while all readers of the piece have room for it. If one has not,
//! a pause begins: who has something for it waits until it is under half of its backlog again. One thread,
//! the room's writer, empties the outboxes of all readers that are behind, ends the pause, and drops those
//! who let it reach the stall timeout. Lock order: `order`, then `pieces`, the client list's, an outbox's.
//! Nothing waits while it holds one of them.

use std::io::{self, Write as _};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::client_list::{Client, ClientList};
use super::ending::EndReason;
use super::lock;
use super::outbox::Sent;
use crate::limits::PAUSE_TICK;
use crate::os::{self, Wait};

#[derive(Debug)]
pub(super) struct Room {
    list: Arc<ClientList>,
    max_backlog: usize,
    order: Mutex<Order>,
    /// What senders have for everyone, until one of them has its turn and gives all of it.
    pieces: Mutex<Pieces>,
    /// So many bytes may be gathered there.
    longest_piece: usize,
    /// Notified when readers have room again or are gone.
    resumed: Condvar,
    /// Readers dropped as too slow.
    evicted: AtomicU64,
    /// A byte into the first wakes the writer, which waits for the second beside the sockets.
    wake: (UnixStream, UnixStream),
}

/// Who holds this decides what comes next.
#[derive(Debug, Default)]
struct Order {
    /// Readers for whom something waits.
    behind: Vec<Arc<Client>>,
    /// Readers that hold the room.
    full: Vec<Full>,
    /// Those behind when the pause began, and how far they had read.
    watched: Vec<(Arc<Client>, u64)>,
    /// The number of the last piece that was given.
    given: u64,
    closed: bool,
}

#[derive(Debug, Default)]
struct Pieces {
    bytes: Vec<u8>,
    lines: u64,
    /// The number of the last piece that was put in, and whose it was.
    last: u64,
    sender: u64,
}

#[derive(Debug)]
struct Full {
    client: Arc<Client>,
    since: Instant,
    /// So much waited then.
    waiting: usize,
}

/// Whom a piece is for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Audience<'a> {
    Everyone,
    One(&'a Arc<Client>),
    Both(&'a Arc<Client>, &'a Arc<Client>),
}

impl Audience<'_> {
    fn contains(self, client: &Arc<Client>) -> bool {
        match self {
            Audience::Everyone => client.hears(),
            Audience::One(one) => Arc::ptr_eq(one, client),
            Audience::Both(one, other) => Arc::ptr_eq(one, client) || Arc::ptr_eq(other, client),
        }
    }
}

impl Room {
    pub(super) fn new(list: Arc<ClientList>, max_backlog: usize, longest_piece: usize) -> io::Result<Room> {
        let wake = UnixStream::pair()?;
        wake.0.set_nonblocking(true)?;
        Ok(Room {
            list,
            max_backlog,
            order: Mutex::default(),
            pieces: Mutex::default(),
            longest_piece,
            resumed: Condvar::new(),
            evicted: AtomicU64::new(0),
            wake,
        })
    }

    pub(super) fn evicted(&self) -> u64 {
        self.evicted.load(Ordering::Relaxed)
    }

    /// Waits until everyone in the audience has room for so many bytes more. `Err` says why the sender
    /// ends, if it does meanwhile: it may itself be the reader that is too slow.
    pub(super) fn turn(&self, sender: &Client, audience: Audience<'_>, length: usize) -> Result<Turn<'_>, EndReason> {
        let mut order = lock(&self.order);
        loop {
            if let Some(reason) = sender.end_reason() {
                return Err(reason);
            }
            if !self.must_wait(&mut order, audience, length) {
                return Ok(Turn { room: self, order });
            }
            order = self.resumed.wait(order).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// A turn for what cannot wait: that a client is gone. It is short, and comes once for each. If the
    /// client ended while it waited for its turn, what it had to say comes first.
    pub(super) fn turn_at_once(&self, client: &Client) -> (Turn<'_>, Sent) {
        let mut turn = Turn { room: self, order: lock(&self.order) };
        let sent = if client.end_reason().is_some() { turn.say_pieces() } else { Sent::default() };
        (turn, sent)
    }

    /// Says a piece of so many lines to everyone. What several senders have at the same time goes as one
    /// piece, which saves a write to each reader. Returns what was sent, which may be nothing: then another
    /// sender has sent it along.
    pub(super) fn say(&self, sender: &Client, piece: &[u8], lines: u64) -> Result<Sent, EndReason> {
        let mut pieces = lock(&self.pieces);
        if pieces.bytes.len() + piece.len() > self.longest_piece {
            drop(pieces);
            let mut turn = self.turn(sender, Audience::Everyone, self.longest_piece + piece.len())?;
            return Ok(turn.say_pieces() + turn.say(Audience::Everyone, piece, lines));
        }
        pieces.bytes.extend_from_slice(piece);
        pieces.lines += lines;
        pieces.last += 1;
        let number = pieces.last;
        let others = std::mem::replace(&mut pieces.sender, sender.id) != sender.id;
        drop(pieces);
        if others {
            // Senders that are ready to run add theirs now.
            thread::yield_now();
        }
        let mut turn = self.turn(sender, Audience::Everyone, self.longest_piece)?;
        Ok(if turn.order.given < number { turn.say_pieces() } else { Sent::default() })
    }

    /// Whether a reader has no room for so many bytes; each such reader holds the room from now on.
    fn must_wait(&self, order: &mut Order, audience: Audience<'_>, length: usize) -> bool {
        let now = Instant::now();
        let paused = !order.full.is_empty();
        for client in order.behind.iter().filter(|client| audience.contains(client)) {
            let waiting = client.outbox.len();
            // At half or below a reader takes a piece of any length: one longer than the whole backlog
            // could never be sent otherwise.
            let fits = waiting + length <= self.max_backlog || waiting <= self.max_backlog / 2;
            let holds = order.full.iter().any(|full| Arc::ptr_eq(&full.client, client));
            if !fits && !holds && client.end_reason().is_none() {
                order.full.push(Full { client: Arc::clone(client), since: now, waiting });
            }
        }
        if !paused && !order.full.is_empty() {
            order.watched = order.behind.iter().map(|client| (Arc::clone(client), client.outbox.progress())).collect();
            self.wake_writer();
        }
        order.full.iter().any(|full| audience.contains(&full.client))
    }

    /// Wakes the writer, and all who wait for a turn.
    pub(super) fn wake(&self) {
        self.wake_writer();
        self.resumed.notify_all();
    }

    /// Ends the writer.
    pub(super) fn close(&self) {
        lock(&self.order).closed = true;
        self.wake_writer();
    }

    fn wake_writer(&self) {
        // If the socket is full, it is readable: the writer wakes as well.
        let _ = (&self.wake.0).write(&[0]);
    }

    /// The writer: empties outboxes until the room is closed. `stall_timeout` tells how long a full reader
    /// may hold the room, and why it ends if it does for longer.
    pub(super) fn write_what_waits(&self, stall_timeout: impl Fn() -> (Duration, EndReason)) {
        let mut scratch = [0; 64];
        loop {
            let (behind, paused) = {
                let order = lock(&self.order);
                if order.closed {
                    return;
                }
                (order.behind.clone(), !order.full.is_empty())
            };
            let mut waits = vec![Wait::readable(self.wake.1.as_fd())];
            waits.extend(behind.iter().map(|client| Wait::writable(client.outbox.stream().as_fd())));
            os::poll(&mut waits, paused.then_some(PAUSE_TICK));
            if waits[0].is_ready() {
                let _ = os::receive_now(self.wake.1.as_fd(), &mut scratch);
            }
            for (client, wait) in behind.iter().zip(&waits[1..]) {
                // During a pause all are tried: a socket is reported writable late, when a third is free.
                if (paused || wait.is_ready()) && client.outbox.flush().is_err() {
                    client.end(EndReason::NetworkError);
                }
            }
            self.tidy(&mut lock(&self.order), stall_timeout());
        }
    }

    /// Forgets who is no longer behind, ends the pause or those who made it too long.
    fn tidy(&self, order: &mut Order, (stall_timeout, reason): (Duration, EndReason)) {
        order.behind.retain(|client| client.end_reason().is_none() && client.outbox.len() > 0);
        let before = order.full.len();
        if before == 0 {
            return;
        }
        let mut evicted = false;
        order.full.retain(|full| full.client.end_reason().is_none() && full.client.outbox.len() > self.max_backlog / 2);
        if order.full.iter().any(|full| full.since.elapsed() >= stall_timeout) {
            for full in order.full.iter().filter(|full| self.has_stalled(full, stall_timeout)) {
                evicted |= self.evict(&full.client, reason);
            }
            // Readers that have stopped cost the others one pause in all, not one each.
            for (client, progress) in order.watched.drain(..) {
                if client.outbox.len() > 0 && client.outbox.progress() == progress {
                    evicted |= self.evict(&client, reason);
                }
            }
            order.full.retain(|full| full.client.end_reason().is_none());
        }
        if order.full.is_empty() {
            order.watched.clear();
        }
        // Some may wait for one reader alone, and some may be among those that were dropped.
        if evicted || order.full.len() < before {
            self.resumed.notify_all();
        }
    }

    /// Whether a reader has held the room for too long. One that has taken half of what it should have gets
    /// the same time once more: a system shows what its peer reads late, and many KiB at a time.
    fn has_stalled(&self, full: &Full, stall_timeout: Duration) -> bool {
        let held = full.since.elapsed();
        let taken = full.waiting.saturating_sub(full.client.outbox.len());
        held >= 2 * stall_timeout || held >= stall_timeout && taken < self.max_backlog / 4
    }

    fn evict(&self, client: &Client, reason: EndReason) -> bool {
        let first = client.end(reason);
        if first && reason == EndReason::TooSlow {
            self.evicted.fetch_add(1, Ordering::Relaxed);
        }
        first
    }
}

/// The right to say something now.
#[derive(Debug)]
pub(super) struct Turn<'r> {
    room: &'r Room,
    order: MutexGuard<'r, Order>,
}

impl Turn<'_> {
    /// Gives everyone what senders have gathered.
    fn say_pieces(&mut self) -> Sent {
        let mut pieces = lock(&self.room.pieces);
        self.order.given = pieces.last;
        let bytes = std::mem::take(&mut pieces.bytes);
        let lines = std::mem::take(&mut pieces.lines);
        drop(pieces);
        if bytes.is_empty() {
            return Sent::default();
        }
        let sent = self.say(Audience::Everyone, &bytes, lines);
        let mut pieces = lock(&self.room.pieces);
        if pieces.bytes.is_empty() {
            pieces.bytes = bytes;
            pieces.bytes.clear();
        }
        sent
    }

    /// Gives a piece of so many lines to everyone in the audience. Returns what that came to in all.
    pub(super) fn say(&mut self, audience: Audience<'_>, piece: &[u8], lines: u64) -> Sent {
        let mut readers = 0;
        let mut give = |client: &Arc<Client>| {
            readers += 1;
            match client.outbox.push(piece, lines) {
                Ok(0) => {}
                Ok(_) => self.order.put_behind(client, self.room),
                Err(_) => drop(client.end(EndReason::NetworkError)),
            }
        };
        match audience {
            Audience::Everyone => {
                let everyone = self.room.list.everyone();
                everyone.iter().filter(|client| client.hears() && client.end_reason().is_none()).for_each(give);
            }
            Audience::One(one) => give(one),
            Audience::Both(one, other) => {
                give(one);
                if !Arc::ptr_eq(one, other) {
                    give(other);
                }
            }
        }
        Sent { lines: readers * lines, bytes: readers * piece.len() as u64 }
    }
}

impl Order {
    fn put_behind(&mut self, client: &Arc<Client>, room: &Room) {
        if !self.behind.iter().any(|other| Arc::ptr_eq(other, client)) {
            self.behind.push(Arc::clone(client));
            room.wake_writer();
        }
    }
}
