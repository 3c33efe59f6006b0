//! The numbers of joined rooms, each with its unit and its reason. Operators set none of them; tests shrink them.

use std::ops::RangeInclusive;
use std::time::Duration;

/// Version of the script and of the log's entries. Servers of different versions do not mix in one room.
pub(super) const VERSION: &str = "1";

/// What a server keeps of its own clients' lines until it has seen them in the log: a few entries, so that one is
/// being gathered while another is under way, and little beside a room's backlogs.
pub(super) const KEPT_MAX: usize = 256 * 1024;

/// The most that is gathered into one entry. More does not raise the throughput.
pub(super) const GATHERED_MAX: usize = 60 * 1024;

/// How much longer than `--max-line` an entry may be. It holds a gathered batch, or one item with the longest line and
/// its names and lengths.
pub(super) const ENTRY_MARGIN: usize = 64 * 1024;

/// The most that is read of a room's names when a server joins. It protects against a broken engine, and is far beyond
/// real rooms.
pub(super) const NAMES_MAX: usize = 1 << 30;

/// Entries in one read of the log. Each read has to fit into the engine's memory beside the log.
pub(super) const READ_COUNT: &str = "32";

/// The shortest time between two log lines about an engine that cannot be reached.
pub(super) const LOG_INTERVAL: Duration = Duration::from_secs(1);

#[derive(Debug, Clone)]
pub(super) struct Settings {
    /// How long connecting, sending a command or an answer may take. Less than half a lease, so that one lost answer
    /// does not cost the membership.
    pub(super) answer: Duration,
    /// How long the engine holds back the answer of a read while there is nothing to read.
    pub(super) block: Duration,
    /// How long a server may be unheard before it is taken for dead. The first server of a room decides.
    pub(super) lease: Duration,
    /// The most bytes in the log that some server has not read yet. The first server of a room decides. 1 MiB brings
    /// 0.84 of this throughput, 16 MiB 1.03.
    pub(super) window: u64,
    /// How long clients are kept while the engine cannot be reached.
    pub(super) give_up: Duration,
    /// The pause before connecting again: the shortest, and the longest that it doubles to. Jittered.
    pub(super) retry: RangeInclusive<Duration>,
    /// The pause of a sender while the log is full: the shortest, and the longest that it doubles to.
    pub(super) full: RangeInclusive<Duration>,
    /// The pause of a sender while the engine is out of memory.
    pub(super) out_of_memory: Duration,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            answer: Duration::from_secs(2),
            block: Duration::from_secs(1),
            lease: Duration::from_secs(5),
            window: 4 << 20,
            give_up: Duration::from_secs(30),
            retry: Duration::from_millis(100)..=Duration::from_secs(2),
            full: Duration::from_millis(1)..=Duration::from_millis(16),
            out_of_memory: Duration::from_millis(100),
        }
    }
}

impl Settings {
    /// How often a server says that it is alive.
    pub(super) fn beat(lease: Duration) -> Duration {
        lease / 5
    }
}
