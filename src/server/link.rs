//! The link of a joined room to the engine: joins the room, writes to the log, follows it, comes back after a break.
//!
//! One thread does all of this, but for following, which a second one does for as long as a connection holds. Whatever
//! breaks, nothing is lost or doubled, or else all clients are ended and told that they were cut off. No lock is held
//! during a call of the engine.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::Shutdown;
use std::ops::RangeInclusive;
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use log::{error, info, warn};

use super::engine::{Answer, Caller, Engine, Entry, Join, JoinError, PORTION, Position, Welcome};
use super::hub::Hub;
use super::member::Who;
use super::people::Person;
use super::room::{Arrival, Batch, Kind, Room, Snapshot, Task};
use super::throttle::Throttle;
use crate::counted::Counted;
use crate::limits::{ENTRY_MARGIN, STACK_SIZE};

/// How long clients are kept while the engine cannot be reached.
const GIVE_UP: Duration = Duration::from_secs(30);
/// The pause before connecting again: the shortest, and the longest that it doubles to. Jittered.
const RETRY: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(2);
/// A membership that lasted this long begins anew without a pause when it is cut off.
const LASTING: Duration = Duration::from_secs(10);
/// The pause of a sender while the log is full: the shortest, and the longest that it doubles to.
const FULL: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_millis(16);
/// The pause of a sender while the engine is out of memory.
const OUT_OF_MEMORY: Duration = Duration::from_millis(100);

/// Why a link is over.
enum Over {
    /// The server stops.
    Stopped,
    /// The connection cannot be used any more; the membership goes on.
    Lost(JoinError),
    /// The membership is over.
    CutOff(String),
}

impl From<JoinError> for Over {
    fn from(error: JoinError) -> Over {
        Over::Lost(error)
    }
}

impl From<io::Error> for Over {
    fn from(error: io::Error) -> Over {
        Over::Lost(error.into())
    }
}

fn cut_off(why: &str) -> Over {
    Over::CutOff(why.to_owned())
}

fn expired() -> Over {
    cut_off("this server was not heard for its lease, or the engine has lost lines")
}

/// Starts the thread that keeps the link until the server stops.
pub(super) fn start(hub: &Arc<Hub>, join: Join) -> io::Result<JoinHandle<()>> {
    let hub = Arc::clone(hub);
    thread::Builder::new().name("link".to_owned()).stack_size(STACK_SIZE).spawn(move || {
        let Some(room) = &hub.room else { return };
        let longest = hub.config.limits.max_line.saturating_add(ENTRY_MARGIN);
        let (mut before, mut retry) = (0, Backoff::default());
        while let Some((mut member, engine)) = enter(&hub, room, &join, longest, before, &mut retry) {
            let began = Instant::now();
            before = member.server;
            let Over::CutOff(why) = member.stay(room, &join, engine) else { return };
            warn!("cut off from the other servers: {why}; all clients are ended, joining anew");
            room.cut_off();
            if began.elapsed() > LASTING {
                retry = Backoff::default();
            }
        }
    })
}

/// Joins the room. `None` if the server stops, or must not go on.
fn enter(
    hub: &Hub,
    room: &Room,
    join: &Join,
    longest: usize,
    before: u64,
    retry: &mut Backoff,
) -> Option<(Member, Engine)> {
    let name = join.url.room();
    // If an answer is lost, the next try is under the same number. Otherwise a ghost could stay in the room for a lease.
    let (server, mut log) = (random(), Throttle::default());
    for connection in 1.. {
        if room.pause(retry.next()) {
            return None;
        }
        let try_it = || {
            let mut engine = Engine::connect(join, &[])?;
            let policy = engine.eviction_policy()?;
            let welcome = engine.join(Caller { server, connection, position: Position::default() }, longest, before)?;
            Ok((engine, policy, welcome))
        };
        match try_it() {
            Ok((engine, policy, welcome)) => {
                if let Some(policy) = policy.filter(|policy| policy != "noeviction") {
                    warn!(
                        "the engine's maxmemory-policy is {policy}: when it is out of memory it may remove the room, and \
                         then all clients are cut off; set it to noeviction"
                    );
                }
                info!("joined room {name} ({}): {}", join.url, Counted(welcome.servers, "server"));
                return Some((Member::new(server, connection, welcome, room), engine));
            }
            Err::<_, JoinError>(error) if before == 0 && error.is_permanent() => {
                error!("cannot join room {name}: {error}");
                hub.refuse_to_run(error);
                return None;
            }
            Err(error) => drop(log.note(format!("cannot join room {name} yet: {error}; trying again"))),
        }
    }
    None
}

/// A server's membership in the room.
struct Member {
    server: u64,
    connection: u64,
    lease: Duration,
    saying: Saying,
    following: Following,
}

/// What the thread that writes to the log remembers from one link to the next.
struct Saying {
    /// A beat is due at this time, and when the log has been read so far, `unreported` bytes after the last one.
    beat: Instant,
    beat_at: u64,
    unreported: u64,
    /// When the engine answered last.
    heard: Instant,
    log: Throttle,
}

/// What the thread that reads the log remembers from one link to the next.
struct Following {
    longest: usize,
    /// How many entries are asked for at once: half as many after a read that has brought nothing.
    portion: usize,
    /// Since when nothing comes through, and whether the log says so.
    away: Option<Instant>,
    is_said: bool,
    retry: Backoff,
}

impl Member {
    fn new(server: u64, connection: u64, welcome: Welcome, room: &Room) -> Member {
        let people = welcome.names.into_iter().map(|(name, server, client, announced)| {
            (Who { server, client }, Person { name: Arc::from(name), announced, asked: 0 })
        });
        let served = welcome.served.into_iter().map(|(name, server, client)| (Who { server, client }, name));
        room.begin(Snapshot {
            own: server,
            position: welcome.head,
            servers: welcome.servers,
            people: people.collect(),
            served: served.collect(),
            life: welcome.life,
            lines: welcome.lines,
        });
        let (now, unreported) = (Instant::now(), (welcome.window / 8).max(1));
        let beat_at = welcome.head.end + unreported;
        Member {
            server,
            connection,
            lease: welcome.lease,
            saying: Saying { beat: now, beat_at, unreported, heard: now, log: Throttle::default() },
            following: Following {
                longest: welcome.longest,
                portion: PORTION,
                away: None,
                is_said: false,
                retry: Backoff::default(),
            },
        }
    }

    /// Keeps the membership over as many links as it takes.
    fn stay(&mut self, room: &Room, join: &Join, mut engine: Engine) -> Over {
        let (mut log, script) = (Throttle::default(), engine.script().to_vec());
        loop {
            let mut why = match self.serve(room, join, engine) {
                Over::Lost(why) => why,
                over => return over,
            };
            room.lose_link();
            let away = *self.following.away.get_or_insert(self.saying.heard);
            engine = loop {
                if away.elapsed() >= GIVE_UP {
                    return Over::CutOff(format!("no engine for {} s", GIVE_UP.as_secs_f64()));
                }
                self.following.is_said |= log.note(format!("lost the engine: {why}; lines wait"));
                if room.pause(self.following.retry.next()) {
                    return Over::Stopped;
                }
                self.connection += 1;
                let caller = Caller { server: self.server, connection: self.connection, position: room.position() };
                match Engine::connect(join, &script).and_then(|mut engine| Ok((engine.tell("back", caller)?, engine))) {
                    Ok((Answer::Done(number, _), engine)) if room.confirm(number).is_ok() => break engine,
                    Ok(_) => return expired(),
                    Err(error) => why = error,
                }
            };
        }
    }

    /// Says and follows until the link is over.
    fn serve(&mut self, room: &Room, join: &Join, engine: Engine) -> Over {
        let reader = match Engine::connect(join, &[]) {
            Ok(reader) => reader,
            Err(error) => return Over::Lost(error),
        };
        room.begin_link();
        // Whoever ends first says why, and makes the other one end.
        let (over, streams) = (OnceLock::new(), [Arc::clone(engine.stream()), Arc::clone(reader.stream())]);
        let end = |why| {
            let _ = over.set(why);
            room.end_link(Task::HangUp);
            streams.iter().for_each(|stream| stream.shutdown(Shutdown::Both));
        };
        let Member { server, connection, lease, saying, following } = self;
        thread::scope(|scope| {
            let follower = thread::Builder::new().name("follower".to_owned()).stack_size(STACK_SIZE);
            match follower.spawn_scoped(scope, || end(following.follow(room, *server, reader))) {
                Ok(_) => end(saying.say(room, (*server, *connection), *lease, engine)),
                Err(error) => end(error.into()),
            }
        });
        over.into_inner().unwrap_or(Over::Stopped)
    }
}

impl Saying {
    fn say(&mut self, room: &Room, (server, connection): (u64, u64), lease: Duration, mut engine: Engine) -> Over {
        let (mut quiet, mut pause) = (Instant::now(), *FULL.start());
        loop {
            let (task, position) = room.next_task(self.beat, quiet, self.beat_at);
            let caller = Caller { server, connection, position };
            let answer = match &task {
                Task::HangUp => return Over::Lost(JoinError::Lost("the log cannot be read".to_owned())),
                Task::Leave => engine.tell("leave", caller),
                Task::Beat => engine.tell("beat", caller),
                Task::Say(number, data, names) => engine.say(caller, *number, data, names),
            };
            match (task, answer) {
                (Task::Leave, _) => return Over::Stopped,
                (_, Err(error @ JoinError::OutOfMemory)) => {
                    self.log.note(format!("{error}; senders wait"));
                    quiet = Instant::now() + OUT_OF_MEMORY;
                }
                (_, Err(error)) => return Over::Lost(error),
                (_, Ok(Answer::Gone)) => return expired(),
                (_, Ok(Answer::Old)) => return Over::Lost(JoinError::Lost("a later connection took over".to_owned())),
                (Task::Beat, Ok(Answer::Done(_, servers))) => {
                    room.set_servers(usize::try_from(servers).unwrap_or_default());
                    (self.beat, self.beat_at) = (Instant::now() + lease / 5, position.end + self.unreported);
                }
                (Task::Say(number, ..), Ok(Answer::Done(..))) => {
                    if room.confirm(number).is_err() {
                        return expired();
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

impl Following {
    /// Gives what comes out of the log to the room, entry by entry. While the room waits for a slow reader, the position
    /// that is reported stays where it is, and the log cannot grow beyond its window: so the slowest reader of all servers
    /// holds back all senders.
    fn follow(&mut self, room: &Room, server: u64, mut engine: Engine) -> Over {
        let over = || Over::Lost(JoinError::Lost("the link is over".to_owned()));
        loop {
            if !room.wait_until_idle(None) {
                return over();
            }
            let (position, longest, portion, waits) =
                (room.position(), self.longest, self.portion, self.away.is_none());
            let mut is_empty = true;
            let read = engine.read_log(position, longest, portion, waits, |entry| {
                let Some((position, entry)) = entry else {
                    return Err(cut_off(
                        "the log holds an entry that this server cannot read, or lines are missing in it",
                    ));
                };
                let arrival = match entry {
                    Entry::Said { server: by, number, .. } if by == server => Arrival::Own(number),
                    Entry::Said { server, data, .. } => match Batch::read(server, data) {
                        Some(batch) => Arrival::Other(batch),
                        None => return Err(cut_off("the log holds an entry that no server of this version writes")),
                    },
                    Entry::Gone { server: gone } if gone == server => return Err(expired()),
                    Entry::Gone { server } => {
                        let mut batch = Batch::default();
                        batch.headed(Kind::Gone, Who { server, client: 0 }, format_args!(""));
                        Arrival::Other(batch)
                    }
                };
                if room.arrive(position, arrival).is_err() {
                    return Err(cut_off("the log holds other lines under this server's name than it has said"));
                }
                is_empty = false;
                self.note_progress(room);
                if room.wait_until_idle(None) { Ok(()) } else { Err(over()) }
            });
            match read {
                Ok(()) => {
                    self.note_progress(room);
                    self.portion = (portion + 1).min(PORTION);
                }
                Err(over) => {
                    // The engine may have broken it off because it is too long.
                    if is_empty {
                        self.portion = (portion / 2).max(1);
                    }
                    return over;
                }
            }
        }
    }

    /// The engine is back once the log can be read, not before: a link can hold and bring nothing.
    fn note_progress(&mut self, room: &Room) {
        if let Some(since) = self.away.take() {
            self.retry = Backoff::default();
            room.is_back();
            if std::mem::take(&mut self.is_said) {
                info!("the engine is back after {:.1} s", since.elapsed().as_secs_f64());
            }
        }
    }
}

/// Pauses that double after a first one of nothing, jittered, so that many servers do not come back at the same instant.
struct Backoff(Duration);

impl Default for Backoff {
    fn default() -> Backoff {
        Backoff(Duration::ZERO)
    }
}

impl Backoff {
    fn next(&mut self) -> Duration {
        let pause = self.0;
        self.0 = (2 * pause).clamp(*RETRY.start(), *RETRY.end());
        pause / 2 + (pause / 2).mul_f64((random() % 1024) as f64 / 1024.0)
    }
}

/// The keys of std's hashers are its only random numbers. Never [`HERE`].
fn random() -> u64 {
    RandomState::new().hash_one(0) | 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_limit_and_are_jittered() {
        let mut backoff = Backoff::default();
        assert_eq!(backoff.next(), Duration::ZERO);
        for most in [100, 200, 400, 800, 1600, 2000, 2000].map(Duration::from_millis) {
            let pause = backoff.next();
            assert!(pause >= most / 2 && pause <= most, "{pause:?} of {most:?}");
        }
        let pauses: std::collections::HashSet<Duration> = (0..20).map(|_| backoff.next()).collect();
        assert!(pauses.len() > 10, "{pauses:?}");
    }
}
