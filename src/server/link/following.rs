//! The half of a link that reads the log.

use std::time::{Duration, Instant};

use log::info;

use super::over::Over;
use crate::limits::JOIN_PAUSE;
use crate::pauses::Pauses;
use crate::seconds::Seconds;
use crate::server::engine::{Engine, Entry, PORTION};
use crate::server::member::Who;
use crate::server::room::{Arrival, Batch, Kind, Room};

/// What it remembers from one link to the next.
pub(super) struct Following {
    longest: usize,
    /// How many entries are asked for at once: half as many after a read that has brought nothing.
    portion: usize,
    /// Since when nothing comes through, and whether the log says so.
    pub(super) away: Option<Instant>,
    pub(super) is_said: bool,
    pub(super) retry: Pauses,
}

impl Following {
    pub(super) fn new(longest: usize) -> Following {
        Following { longest, portion: PORTION, away: None, is_said: false, retry: Pauses::new(JOIN_PAUSE) }
    }

    /// Gives what comes out of the log to the room, entry by entry. While the room waits for a slow reader, the position
    /// that is reported stays where it is, and the log cannot grow beyond its window: so the slowest reader of all servers
    /// holds back all senders.
    pub(super) fn follow(&mut self, room: &Room, server: u64, mut engine: Engine) -> Over {
        loop {
            if let Err(over) = self.read(room, server, &mut engine) {
                return over;
            }
        }
    }

    fn read(&mut self, room: &Room, server: u64, engine: &mut Engine) -> Result<(), Over> {
        wait_until_idle(room)?;
        let (mut before, portion) = (room.position(), self.portion);
        // It stays so unless something comes: the engine may break off a reply that is too long.
        self.portion = (portion / 2).max(1);
        for _ in 0..engine.read_log(before, portion, self.away.is_none())? {
            let Some((position, entry)) = engine.entry(before, self.longest)? else {
                return Err(Over::CutOff(
                    "the log holds an entry that this server cannot read, or lines are missing in it",
                ));
            };
            let arrival = match entry {
                Entry::Said { server: by, number, .. } if by == server => Arrival::Own(number),
                Entry::Said { server, data, .. } => match Batch::read(server, &data) {
                    Some(batch) => Arrival::Other(batch),
                    None => return Err(Over::CutOff("the log holds an entry that no server of this version writes")),
                },
                // A server that leaves may read so itself, before the thread that has said it is told that it is done.
                Entry::Gone { server: gone } if gone == server => {
                    return Err(if room.pause(Duration::ZERO) { Over::Stopped } else { Over::EXPIRED });
                }
                Entry::Gone { server } => {
                    let mut batch = Batch::default();
                    batch.headed(Kind::Gone, Who { server, client: 0 }, &[]);
                    Arrival::Other(batch)
                }
            };
            if room.arrive(position, arrival).is_err() {
                return Err(Over::CutOff("the log holds other lines under this server's name than it has said"));
            }
            (before, self.portion) = (position, portion);
            self.note_progress(room);
            wait_until_idle(room)?;
        }
        self.portion = (portion + 1).min(PORTION);
        self.note_progress(room);
        Ok(())
    }

    /// The engine is back once the log can be read, not before: a link can hold and bring nothing.
    fn note_progress(&mut self, room: &Room) {
        if let Some(since) = self.away.take() {
            self.retry.reset();
            room.is_back();
            if std::mem::take(&mut self.is_said) {
                info!("the engine is back after {:.1} s", Seconds(since.elapsed()));
            }
        }
    }
}

fn wait_until_idle(room: &Room) -> Result<(), Over> {
    if room.wait_until_idle(None) { Ok(()) } else { Err(Over::lost("the link is over")) }
}
