//! A bounded queue of log lines between the threads that log and the one thread that writes to stderr.
//!
//! Adding a line never waits for the reader of stderr. When the queue is full, lines are dropped and counted
//! until half of it is free again; then the count is logged. A line is kept or dropped as a whole. Knows nothing
//! of levels or formats. Its lock is held for copying only, never while writing.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How many bytes may wait to be written: some thousand lines, more than a busy server logs in a second.
const CAPACITY: usize = 256 * 1024;

/// The longest line that is kept whole. Only `RUST_LOG=trace`, which logs what clients send, has longer ones.
const LINE_MAX: usize = 32 * 1024;

/// The end of a line that was cut.
const CUT: &[u8] = b"... (cut)\n";

/// What the writer takes at a time.
const PIECE: usize = 16 * 1024;

/// How long the writer rests after a piece, unless a whole piece is there before: in a rush, waking it for every
/// single line would cost more than the line.
const REST: Duration = Duration::from_millis(5);

/// How long the writer waits before it tries again after an error, such as a full disk.
const RETRY: Duration = Duration::from_secs(1);

/// How long [`LogQueue::flush`] waits in all, at most. Long, since the writer may not get a processor for a while.
const FLUSH_TIME: Duration = Duration::from_secs(5);

/// How long nothing may be written before [`LogQueue::flush`] asks whether stderr takes anything.
const FLUSH_TICK: Duration = Duration::from_millis(20);

#[derive(Debug, Default)]
pub(crate) struct LogQueue {
    state: Mutex<State>,
    /// Notified when the writer should look: the queue is no longer empty, holds a whole piece, or is flushed.
    more: Condvar,
    /// Notified when stderr has taken something, and when the writer has nothing left to do.
    progress: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<u8>,
    /// Bytes that the writer has taken and stderr has not.
    in_flight: usize,
    /// Lines that were dropped since the last time this was logged.
    dropped: u64,
    /// The writer waits for a first line.
    idle: bool,
    /// The process is about to exit: the writer does not rest any more.
    flushing: bool,
    /// The last write failed; it is tried again.
    failing: bool,
    /// Nobody will ever read stderr again.
    closed: bool,
}

impl State {
    fn held(&self) -> usize {
        self.waiting.len() + self.in_flight
    }

    fn is_done(&self) -> bool {
        self.closed || self.failing || (self.idle && self.waiting.is_empty())
    }
}

impl LogQueue {
    /// Starts the thread that writes to `target`. It calls `report` with the number of dropped lines once there is
    /// room for a line that says so.
    ///
    /// # Errors
    /// The system has no more threads.
    pub(crate) fn start(
        target: impl Write + Send + 'static,
        report: impl Fn(&LogQueue, u64) + Send + 'static,
    ) -> io::Result<Arc<LogQueue>> {
        let queue = Arc::new(LogQueue::default());
        let writer = Arc::clone(&queue);
        let work = move || writer.write_to(target, report);
        thread::Builder::new().name("log-writer".to_owned()).spawn(work)?;
        Ok(queue)
    }

    /// Adds a line, given with its line end, or drops it if there is no room.
    pub(crate) fn push(&self, line: &[u8]) {
        let mut state = self.lock();
        if state.closed {
            return;
        }
        if state.dropped > 0 || state.held() + line.len().min(LINE_MAX) > CAPACITY {
            state.dropped += 1;
            return;
        }
        let before = state.waiting.len();
        if line.len() <= LINE_MAX {
            state.waiting.extend(line);
        } else {
            let end = (0..LINE_MAX - CUT.len()).rev().find(|end| line[*end] & 0xC0 != 0x80).unwrap_or(0);
            state.waiting.extend(&line[..end]);
            state.waiting.extend(CUT);
        }
        if state.idle || (before < PIECE && state.waiting.len() >= PIECE) {
            state.idle = false;
            self.more.notify_one();
        }
    }

    /// Waits until everything is written, unless it cannot be: `is_taken` says whether stderr takes anything, and may
    /// wait for that. (That the writer has written nothing for a moment does not say so on a busy machine.)
    pub(crate) fn flush(&self, is_taken: impl Fn() -> bool) {
        let deadline = Instant::now() + FLUSH_TIME;
        let mut state = self.lock();
        state.flushing = true;
        self.more.notify_one();
        while !state.is_done() && Instant::now() < deadline {
            let (after, waited) = self.progress.wait_timeout(state, FLUSH_TICK).unwrap_or_else(PoisonError::into_inner);
            state = after;
            if waited.timed_out() {
                drop(state);
                if !is_taken() {
                    return;
                }
                state = self.lock();
            }
        }
    }

    fn write_to(&self, mut target: impl Write, report: impl Fn(&LogQueue, u64)) {
        let mut piece = Vec::new();
        loop {
            self.next_piece(&mut piece);
            let mut rest = &*piece;
            while !rest.is_empty() {
                match target.write(rest) {
                    Ok(count @ 1..) => {
                        rest = &rest[count..];
                        self.note_write(rest.len(), true);
                    }
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) if error.kind() == ErrorKind::BrokenPipe => return self.close(),
                    Ok(_) | Err(_) => {
                        self.note_write(rest.len(), false);
                        thread::sleep(RETRY);
                    }
                }
            }
            if let Some(count) = self.take_dropped() {
                report(self, count);
            }
        }
    }

    /// Waits for lines and moves some of them into `piece`.
    fn next_piece(&self, piece: &mut Vec<u8>) {
        let rests = |state: &mut State| !state.flushing && state.waiting.len() < PIECE;
        let waited = self.more.wait_timeout_while(self.lock(), REST, rests);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.idle = state.waiting.is_empty();
        if state.idle {
            // Given back: a rush is over.
            state.waiting.shrink_to(PIECE);
            self.progress.notify_all();
        }
        state = self.more.wait_while(state, |state| state.waiting.is_empty()).unwrap_or_else(PoisonError::into_inner);
        state.idle = false;
        let count = state.waiting.len().min(PIECE);
        piece.clear();
        piece.extend(state.waiting.drain(..count));
        state.in_flight = count;
    }

    /// How many lines were dropped, if it is time to say so; then new lines are kept again.
    fn take_dropped(&self) -> Option<u64> {
        let mut state = self.lock();
        let is_time = state.dropped > 0 && state.held() <= CAPACITY / 2;
        is_time.then(|| std::mem::take(&mut state.dropped))
    }

    fn note_write(&self, left: usize, worked: bool) {
        let mut state = self.lock();
        state.in_flight = left;
        state.failing = !worked;
        self.progress.notify_all();
    }

    fn close(&self) {
        let mut state = self.lock();
        *state = State { closed: true, ..State::default() };
        self.progress.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Read};
    use std::os::unix::net::UnixStream;

    use localsocket::programs::cli::Patient;

    use super::*;

    fn start(target: impl Write + Send + 'static) -> Arc<LogQueue> {
        LogQueue::start(target, |queue, count| queue.push(format!("dropped {count}\n").as_bytes())).unwrap()
    }

    /// Reads until a line holds `last`.
    fn read_to(from: impl Read, last: &str) -> Vec<String> {
        let mut lines = Vec::new();
        for line in BufReader::new(from).lines() {
            lines.push(line.unwrap());
            if lines.last().is_some_and(|line| line.contains(last)) {
                return lines;
            }
        }
        panic!("the end came before {last}");
    }

    #[test]
    fn lines_arrive_whole_and_in_order() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let queue = start(ours);
        let reading = thread::spawn(move || read_to(theirs, "last"));
        let expected: Vec<String> =
            (0..5000).map(|n| format!("{n} {}", "x".repeat(n % 40))).chain(["last".to_owned()]).collect();
        for line in &expected {
            queue.push(format!("{line}\n").as_bytes());
        }
        assert_eq!(reading.join().unwrap(), expected);
    }

    #[test]
    fn what_does_not_fit_is_dropped_and_counted() {
        for blocking in [true, false] {
            let (ours, theirs) = UnixStream::pair().unwrap();
            ours.set_nonblocking(!blocking).unwrap();
            let queue = start(Patient(ours));
            // More than the queue and the socket hold.
            let line = "x".repeat(1000);
            for n in 0..2000 {
                queue.push(format!("{n} {line}\n").as_bytes());
            }
            assert!(queue.lock().held() <= CAPACITY);
            let mut reader = BufReader::new(theirs);
            let (mut kept, mut dropped) = (Vec::new(), 0);
            while kept.len() + dropped < 2000 {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                match line.split_once(' ').unwrap() {
                    ("dropped", count) => dropped += count.trim_end().parse::<usize>().unwrap(),
                    (number, rest) => {
                        assert_eq!(rest.len(), 1001);
                        kept.push(number.parse::<usize>().unwrap());
                    }
                }
            }
            assert!(dropped > 0 && kept.is_sorted());
            queue.push(b"after\n");
            assert_eq!(read_to(reader, "after"), ["after"]);
        }
    }

    #[test]
    fn a_flush_waits_for_a_reader_that_reads_and_not_for_another() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let queue = start(ours);
        queue.push(b"one\n");
        queue.push(b"last\n");
        queue.flush(|| true);
        theirs.set_nonblocking(true).unwrap();
        assert_eq!(read_to(theirs, "last"), ["one", "last"]);

        let (ours, theirs) = UnixStream::pair().unwrap();
        let queue = start(ours);
        (0..300).for_each(|_| queue.push(&[b'x'; 1000]));
        let began = Instant::now();
        queue.flush(|| false);
        assert!(began.elapsed() < FLUSH_TIME);
        drop(theirs);
    }

    #[test]
    fn without_a_reader_nothing_is_kept() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        drop(theirs);
        let queue = start(ours);
        queue.push(b"one\n");
        queue.flush(|| true);
        queue.push(b"two\n");
        let state = queue.lock();
        assert!(state.closed && state.held() == 0);
    }

    #[test]
    fn a_line_of_any_length_is_cut_to_a_bound() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let queue = start(ours);
        for length in [LINE_MAX / 2 - 1, LINE_MAX / 2, LINE_MAX] {
            queue.push(format!("a{}\n", "\u{e4}".repeat(length)).as_bytes());
        }
        queue.push(b"last\n");
        let lines = read_to(theirs, "last");
        assert_eq!(lines.iter().map(|line| line.ends_with("\u{e4}")).collect::<Vec<_>>(), [true, false, false, false]);
        assert!(lines.iter().all(|line| line.len() < LINE_MAX));
        assert!(lines[1].ends_with("\u{e4}... (cut)") && lines[2].ends_with("\u{e4}... (cut)"));
    }
}
