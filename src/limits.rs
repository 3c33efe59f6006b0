//! The limits of a server, with their units, defaults and ranges. All sizes are bytes.

// A number that an operator may set is a field of `Limits`; those that several modules need are constants of the crate. A
// number that one module needs stands there, with its reason. Knows nothing of sockets or threads; `Limits::check` holds for every server that
// was bound.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::seconds::Seconds;

/// How long the look-up of a host name may take when a server starts: as long as resolvers wait for one answer.
pub(crate) const LOOK_UP_TIMEOUT: Duration = Duration::from_secs(5);

/// In a room that is shared with other servers: how long a client that has left stays connected to get what the others
/// have sent it, while they cannot be reached.
pub(crate) const AWAY_PATIENCE: Duration = Duration::from_secs(1);

/// How long the server reads on after its last words, so that they are not lost to a connection reset.
pub(crate) const LINGER: Duration = Duration::from_secs(2);

/// A client that has not answered for this long has vanished: less than two minutes, since timers are late.
const VANISHED: Duration = Duration::from_secs(110);

/// How long a stopping server waits for one client that takes nothing: the second figure after the stop, the
/// first when that time is over. Short, since a stop that meets a client which has stopped is to take less
/// than a second; long beside a round trip on one machine.
pub(crate) const STOP_PATIENCE: RangeInclusive<Duration> = Duration::from_millis(200)..=Duration::from_millis(600);

/// How long sessions may take to end once their connections are cut at the end of a stop, an eighth of the grace period
/// at most: each runs to the end of the line that it is at, and they share the cores.
pub(crate) const CUT_TIME: Duration = Duration::from_millis(500);

/// How often a blocked writer looks whether its reader has taken anything: short enough to be exact
/// about a timeout, and paid only while a reader is behind.
pub(crate) const WRITE_TICK: Duration = Duration::from_millis(50);

/// How often the room looks at full readers while it waits for them: the pace of a slow room.
pub(crate) const PAUSE_TICK: Duration = Duration::from_millis(10);

/// The first size of a read buffer. Most clients send a line now and then; an idle one costs this.
pub(crate) const READ_BUFFER_MIN: usize = 256;

/// What a read buffer grows to while reads fill it (more only for a line that needs it): above this,
/// fewer system calls no longer show.
pub(crate) const READ_BUFFER_MAX: usize = 64 * 1024;

/// Gathered lines are given to those they are for when they pass this, even if more wait.
const BATCH: usize = 64 * 1024;

/// The most that goes into one write to a Unix socket.
const WRITE_MAX: usize = 64 * 1024;

/// The same while the reader is behind: it must be seen to read. See `Limits::write_max`.
pub(crate) const WRITE_BEHIND_MAX: usize = 16 * 1024;

/// How many bytes of lines may wait in a room for delivery. Several batches, so that senders seldom wait.
const ROOM_QUEUE: usize = 256 * 1024;

/// How much longer than the longest line an entry in the log of a joined room may be. A piece is gathered up to this size.
/// One batch is a piece if it is longer: it is passed on from half of this size on, and then holds one line more, with
/// the names and numbers around it.
pub(crate) const ENTRY_MARGIN: usize = 64 * 1024;

/// How many bytes a session writes to others before it lets the room's writer go on. Some milliseconds of work.
pub(crate) const SHARE: usize = 16 * 1024 * 1024;

/// From this size on, what waits for a client grows by as much at a time rather than doubling.
pub(crate) const OUTBOX_STEP: usize = 64 * 1024;

/// The most characters of a client's name in the log. A name has 64, which become ten times as many if all are
/// escaped.
pub(crate) const NAME_LOG_MAX: usize = 256;

/// A yield of the core that takes up to this long is cheap: less than a time slice of the scheduler.
pub(crate) const YIELD_MAX: Duration = Duration::from_millis(1);

/// A longer one has paid if sessions took at least a turn in each such time: one turn reads or writes some 64 KiB.
pub(crate) const YIELD_TURN: Duration = Duration::from_micros(100);

/// No session yields for this many times as long as a yield took that did not pay: it can cost a sixteenth.
pub(crate) const YIELD_PAUSE: u32 = 16;

/// A session's stack. Only what is touched counts as memory; commands of an embedding program run on it.
pub(crate) const STACK_SIZE: usize = 256 * 1024;

/// How many threads may wait for another client after their last, and how long. Few and short, so that
/// nothing of a rush is left over: only clients that come in quick succession are to find one.
pub(crate) const IDLE_THREADS: usize = 16;
/// See [`IDLE_THREADS`].
pub(crate) const IDLE_THREAD_TIME: Duration = Duration::from_millis(100);

/// Beside its clients, a server closes at most as many connections at a time as it may have clients, but
/// at least so many, since that takes each up to [`LINGER`]. Others are turned away without ceremony.
pub(crate) const CLOSING_MIN: usize = 256;

/// Connections that wait to be accepted. The kernel caps it at `net.core.somaxconn`, 4096 since Linux 5.4.
pub(crate) const LISTEN_BACKLOG: i32 = 4096;

/// The pause after an accept error.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A client that connects again: the first length of a pause, and the longest that it doubles to.
pub(crate) const RECONNECT_PAUSE: RangeInclusive<Duration> = Duration::from_millis(200)..=Duration::from_secs(10);

/// The same of a server that joins a room.
pub(crate) const JOIN_PAUSE: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(2);

/// The longest time that may be asked for: a year. More is "never", and could overflow a clock.
pub(crate) const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// What a server allows its clients. Nearly every field is an option of `localsocket-server`.
///
/// ```
/// use localsocket::{Config, Limits};
///
/// let config = Config { limits: Limits { max_clients: 50, ..Limits::default() }, ..Config::default() };
/// println!("memory at most {} bytes", config.worst_case_memory());
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// Connections at once. Default 1024.
    pub max_clients: usize,
    /// The longest line in bytes, its end not counted. Default 65536.
    pub max_line: usize,
    /// Room mode: the bytes that may wait for one reader. Default 1 MiB, a second's worth at 1 MB/s.
    pub max_backlog: usize,
    /// Room mode: the bytes of messages and notices that are kept for clients that missed them; at most half of
    /// `max_backlog` is kept, so that all of it fits a reader. Default 262144, seconds of a busy chat; 0 keeps nothing.
    pub history: usize,
    /// Room mode: how long a full reader may hold the room. Default 1 s.
    pub stall_timeout: Duration,
    /// Echo mode: a client that takes not a single byte of its replies for this long is disconnected. Default 30 s.
    pub write_timeout: Duration,
    /// A client that sends not a single byte for this long is disconnected. Default: never.
    pub idle_timeout: Option<Duration>,
    /// How long a client may take to send the token, if the server has one. Default 10 s: time for a person to
    /// paste it. `localsocket-server` has no option for it.
    pub authentication_timeout: Duration,
    /// How long a shutdown may take. Default 5 s, half of what container engines allow.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            max_clients: 1024,
            max_line: 65536,
            max_backlog: 1024 * 1024,
            history: 256 * 1024,
            stall_timeout: Duration::from_secs(1),
            write_timeout: Duration::from_secs(30),
            idle_timeout: None,
            authentication_timeout: Duration::from_secs(10),
            grace: Duration::from_secs(5),
        }
    }
}

/// The range of [`Limits::max_clients`]. No Linux has more threads than this.
pub const MAX_CLIENTS: RangeInclusive<usize> = 1..=4_194_304;
/// The range of [`Limits::max_line`].
pub const MAX_LINE: RangeInclusive<usize> = 1..=1 << 30;
/// The range of [`Limits::max_backlog`].
pub const MAX_BACKLOG: RangeInclusive<usize> = 1024..=LARGEST_BACKLOG;

/// A tebibyte, or the address space of a process where that is smaller.
const LARGEST_BACKLOG: usize = {
    const TEBIBYTE: u64 = 1 << 40;
    if TEBIBYTE < isize::MAX as u64 { TEBIBYTE as usize } else { isize::MAX as usize }
};

/// The range of all timeouts. A millisecond is what the kernel's timers are good for.
pub const TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(1)..=YEAR;
/// The range of [`Limits::grace`]. 0 ends all connections at once.
pub const GRACE: RangeInclusive<Duration> = Duration::ZERO..=YEAR;

impl Limits {
    /// How many bytes of lines are gathered before they are given to those they are for. In a room, a reader
    /// that has half of its backlog free must have room for them.
    pub(crate) fn batch(&self, room: bool) -> usize {
        if room { BATCH.min(self.max_backlog / 2) } else { BATCH }
    }

    /// How long bytes may be under way to a client before it counts as vanished. A client that is there and takes
    /// nothing is the same to the kernel, so the timeouts for that are not cut short.
    pub(crate) fn vanished_after(&self) -> Duration {
        VANISHED.max(self.write_timeout).max(self.stall_timeout)
    }

    /// How many bytes may wait in a room for delivery, unless one batch is longer.
    pub(crate) fn room_queue(&self) -> usize {
        ROOM_QUEUE.min(self.max_backlog / 2)
    }

    /// How many bytes of what was said a room keeps.
    pub(crate) fn room_history(&self) -> usize {
        self.history.min(self.max_backlog / 2)
    }

    /// The most that goes into one write to a Unix socket. Such a socket shows that its peer reads only when the
    /// peer has read all of a write, and in a room with a small backlog a healthy reader takes little at a time.
    pub(crate) fn write_max(&self, room: bool) -> usize {
        if room { WRITE_MAX.min(self.max_backlog / 8) } else { WRITE_MAX }
    }

    /// Checks every limit.
    ///
    /// # Errors
    /// The first field that is out of its range.
    pub fn check(&self) -> Result<(), LimitError> {
        within("max_clients", self.max_clients, &MAX_CLIENTS)?;
        within("max_line", self.max_line, &MAX_LINE)?;
        within("max_backlog", self.max_backlog, &MAX_BACKLOG)?;
        within("stall_timeout", Seconds(self.stall_timeout), &seconds(&TIMEOUT))?;
        within("write_timeout", Seconds(self.write_timeout), &seconds(&TIMEOUT))?;
        within("authentication_timeout", Seconds(self.authentication_timeout), &seconds(&TIMEOUT))?;
        within("grace", Seconds(self.grace), &seconds(&GRACE))?;
        match self.idle_timeout {
            Some(idle) => within("idle_timeout", Seconds(idle), &seconds(&TIMEOUT)),
            None => Ok(()),
        }
    }
}

/// A limit that is out of its range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitError(String);

impl fmt::Display for LimitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for LimitError {}

fn within<T: PartialOrd + fmt::Display>(name: &str, value: T, range: &RangeInclusive<T>) -> Result<(), LimitError> {
    if range.contains(&value) {
        return Ok(());
    }
    Err(LimitError(format!("{name} is out of its range: {} to {}", range.start(), range.end())))
}

fn seconds(range: &RangeInclusive<Duration>) -> RangeInclusive<Seconds> {
    Seconds(*range.start())..=Seconds(*range.end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_within_their_ranges() {
        assert_eq!(Limits::default().check(), Ok(()));
    }

    #[test]
    fn a_limit_out_of_range_is_named_with_what_is_allowed() {
        let limits = Limits { max_clients: 0, ..Limits::default() };
        assert_eq!(limits.check().unwrap_err().to_string(), "max_clients is out of its range: 1 to 4194304");
        let limits = Limits { max_backlog: 4096, ..Limits::default() };
        assert_eq!((limits.check(), limits.room_history()), (Ok(()), 2048));
        let limits = Limits { idle_timeout: Some(Duration::ZERO), ..Limits::default() };
        assert_eq!(limits.check().unwrap_err().to_string(), "idle_timeout is out of its range: 0.001 to 31536000");
    }

    #[test]
    fn a_piece_fits_into_half_of_a_backlog() {
        for max_backlog in [1024, 5000, 1 << 20] {
            let limits = Limits { max_backlog, ..Limits::default() };
            assert!(limits.batch(true) <= max_backlog / 2 && limits.write_max(true) <= max_backlog / 8);
            assert!(limits.write_max(true) > 0);
            assert_eq!((limits.batch(false), limits.write_max(false)), (BATCH, WRITE_MAX));
        }
    }
}
