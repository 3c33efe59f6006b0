//! The half of a link that writes to the log: pieces, one after the other, and beats.

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use super::over::Over;
use crate::server::engine::{Answer, Caller, Engine, Failure};
use crate::server::room::{Room, Task};
use crate::server::throttle::Throttle;

/// The pause while the log is full: the shortest, and the longest that it doubles to.
const FULL: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_millis(16);
/// The pause while the engine is out of memory.
const OUT_OF_MEMORY: Duration = Duration::from_millis(100);

/// What it remembers from one link to the next.
pub(super) struct Saying {
    /// A beat is due at this time, and when the log has been read so far, `unreported` bytes after the last one.
    beat: Instant,
    beat_at: u64,
    unreported: u64,
    lease: Duration,
    /// When the engine answered last.
    pub(super) heard: Instant,
    log: Throttle,
}

impl Saying {
    /// For a server that has read the log up to `end`.
    pub(super) fn new(end: u64, window: u64, lease: Duration) -> Saying {
        let (now, unreported) = (Instant::now(), (window / 8).max(1));
        Saying { beat: now, beat_at: end + unreported, unreported, lease, heard: now, log: Throttle::default() }
    }

    /// Says until the link is over.
    pub(super) fn say(&mut self, room: &Room, (server, connection): (u64, u64), mut engine: Engine) -> Over {
        let (mut quiet, mut pause) = (Instant::now(), *FULL.start());
        loop {
            let (task, position) = room.next_task(self.beat, quiet, self.beat_at);
            let caller = Caller { server, connection, position };
            let answer = match &task {
                Task::HangUp => return Over::lost("the log cannot be read"),
                Task::Leave => engine.tell("leave", caller, &[]),
                Task::Beat => engine.tell("beat", caller, &[]),
                Task::Say(number, data, effects) => engine.say(caller, *number, data, effects),
            };
            match (task, answer) {
                (Task::Leave, _) => return Over::Stopped,
                (_, Err(Failure::OutOfMemory(why))) => {
                    self.log.note(format!("{why}; senders wait"));
                    quiet = Instant::now() + OUT_OF_MEMORY;
                }
                (_, Err(error)) => return Over::Lost(error),
                (_, Ok(Answer::Gone)) => return Over::EXPIRED,
                (Task::Beat, Ok(Answer::Done(servers))) => {
                    room.set_servers(usize::try_from(servers).unwrap_or_default());
                    (self.beat, self.beat_at) = (Instant::now() + self.lease / 5, position.end + self.unreported);
                }
                (Task::Say(number, ..), Ok(Answer::Done(_))) => {
                    if room.confirm(number).is_err() {
                        return Over::EXPIRED;
                    }
                    (quiet, pause) = (Instant::now(), *FULL.start());
                }
                // The log is full until the slowest reader of all servers has read on.
                (_, Ok(_)) => {
                    quiet = Instant::now() + pause;
                    pause = (2 * pause).min(*FULL.end());
                }
            }
            self.heard = Instant::now();
        }
    }
}
