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

use super::engine::{Answer, Caller, ENTRY_MARGIN, Engine, Entry, Join, JoinError, Position};
use super::hub::Hub;
use super::people::Person;
use super::room::{Arrival, Batch, HERE, Kind, Phase, Room, Task, Who};
use super::throttle::Throttle;
use crate::counted::Counted;
use crate::limits::STACK_SIZE;

/// How long clients are kept while the engine cannot be reached.
const GIVE_UP: Duration = Duration::from_secs(30);
/// The pause before connecting again: the shortest, and the longest that it doubles to. Jittered.
const RETRY: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(2);
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
        let mut before = 0;
        while let Some((mut member, mut engine)) = enter(&hub, room, &join, longest, before) {
            before = member.server;
            let why = loop {
                match member.serve(room, &join, engine) {
                    Over::Lost(why) => match member.come_back(room, &join, why) {
                        Ok(back) => engine = back,
                        Err(over) => break over,
                    },
                    over => break over,
                }
            };
            let Over::CutOff(why) = why else { return };
            warn!("cut off from the other servers: {why}; all clients are ended, joining anew");
            room.cut_off();
        }
    })
}

/// Joins the room. `None` if the server stops, or must not go on.
fn enter(hub: &Hub, room: &Room, join: &Join, longest: usize, before: u64) -> Option<(Member, Engine)> {
    let name = join.url.room();
    // If an answer is lost, the next try is under the same number. Otherwise a ghost could stay in the room for a lease.
    let (server, mut retry, mut log) = (random(), Backoff::default(), Throttle::default());
    for connection in 1.. {
        let try_it = || {
            let mut engine = Engine::connect(join)?;
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
                let people = welcome.names.into_iter().map(|(name, server, client, announced)| {
                    (Who { server, client }, Person { name: Arc::from(name), announced })
                });
                let unreported = (welcome.window / 8).max(1);
                room.begin(welcome.head, welcome.servers, people.collect());
                let member = Member {
                    server,
                    connection,
                    longest: welcome.longest.max(longest),
                    lease: welcome.lease,
                    beat: Instant::now(),
                    beat_at: welcome.head.end + unreported,
                    unreported,
                    heard: Instant::now(),
                    retry: Backoff::default(),
                    log: Throttle::default(),
                };
                return Some((member, engine));
            }
            Err::<_, JoinError>(error) if before == 0 && error.is_permanent() => {
                error!("cannot join room {name}: {error}");
                hub.refuse_to_run(error);
                return None;
            }
            Err(error) => drop(log.note(format!("cannot join room {name} yet: {error}; trying again"))),
        }
        if room.pause(retry.next()) {
            return None;
        }
    }
    None
}

/// A server's membership in the room.
struct Member {
    server: u64,
    connection: u64,
    longest: usize,
    lease: Duration,
    /// A beat is due at this time, and when the log has been read so far, `unreported` bytes after the last one.
    beat: Instant,
    beat_at: u64,
    unreported: u64,
    /// When the engine answered last.
    heard: Instant,
    /// Starts anew when something was said over a link.
    retry: Backoff,
    log: Throttle,
}

impl Member {
    /// Says and follows until the link is over.
    fn serve(&mut self, room: &Room, join: &Join, engine: Engine) -> Over {
        let (server, longest) = (self.server, self.longest);
        let reader = match Engine::connect(join) {
            Ok(reader) => reader,
            Err(error) => return Over::Lost(error),
        };
        // Whoever ends first says why, and makes the other one end.
        let (over, streams) = (OnceLock::new(), [Arc::clone(engine.stream()), Arc::clone(reader.stream())]);
        let end = |why| {
            let _ = over.set(why);
            room.end_link(Task::HangUp);
            streams.iter().for_each(|stream| stream.shutdown(Shutdown::Both));
        };
        thread::scope(|scope| {
            let follower = thread::Builder::new().name("follower".to_owned()).stack_size(STACK_SIZE);
            match follower.spawn_scoped(scope, || end(follow(room, server, longest, reader))) {
                Ok(_) => end(self.say(room, engine)),
                Err(error) => end(error.into()),
            }
        });
        over.into_inner().unwrap_or(Over::Stopped)
    }

    fn say(&mut self, room: &Room, mut engine: Engine) -> Over {
        let (mut quiet, mut pause) = (Instant::now(), *FULL.start());
        loop {
            let (task, position) = room.next_task(self.beat, quiet, self.beat_at);
            let caller = Caller { server: self.server, connection: self.connection, position };
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
                    (self.beat, self.beat_at) = (Instant::now() + self.lease / 5, position.end + self.unreported);
                    self.retry = Backoff::default();
                }
                (Task::Say(number, ..), Ok(Answer::Done(..))) => {
                    if room.confirm(number).is_err() {
                        return expired();
                    }
                    (quiet, pause) = (Instant::now(), *FULL.start());
                    self.retry = Backoff::default();
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

    /// Reconnects, for as long as clients are kept without the engine.
    fn come_back(&mut self, room: &Room, join: &Join, mut why: JoinError) -> Result<Engine, Over> {
        room.set_phase(Phase::Away);
        let mut is_said = false;
        loop {
            is_said |= self.log.note(format!("lost the engine: {why}; lines wait"));
            if room.pause(self.retry.next()) {
                return Err(Over::Stopped);
            }
            self.connection += 1;
            let caller = Caller { server: self.server, connection: self.connection, position: room.position() };
            let answer = Engine::connect(join).and_then(|mut engine| Ok((engine.tell("back", caller)?, engine)));
            match answer {
                Ok((Answer::Done(number, _), engine)) if room.confirm(number).is_ok() => {
                    room.set_phase(Phase::Joined);
                    if is_said {
                        info!("the engine is back after {:.1} s", self.heard.elapsed().as_secs_f64());
                    }
                    self.heard = Instant::now();
                    return Ok(engine);
                }
                Ok(_) => return Err(expired()),
                Err(_) if self.heard.elapsed() >= GIVE_UP => {
                    return Err(Over::CutOff(format!("no engine for {} s", GIVE_UP.as_secs_f64())));
                }
                Err(error) => why = error,
            }
        }
    }
}

/// Gives what comes out of the log to the room, entry by entry. While the room waits for a slow reader, the position that
/// is reported stays where it is, and the log cannot grow beyond its window: so the slowest reader of all servers holds
/// back all senders.
fn follow(room: &Room, server: u64, longest: usize, mut engine: Engine) -> Over {
    loop {
        if !room.wait_until_idle(None) {
            return Over::Lost(JoinError::Lost("the link is over".to_owned()));
        }
        let read = engine.read_log(room.position(), longest, |position, entry| {
            let arrival = match entry {
                None => {
                    return Err(cut_off("lines are missing in the log, or no server of this version has written them"));
                }
                Some(Entry::Said { server: by, number, .. }) if by == server => Arrival::Own(number),
                Some(Entry::Said { server, data, .. }) => match Batch::read(server, data) {
                    Some(batch) => Arrival::Other(batch),
                    None => return Err(cut_off("the log holds an entry that no server of this version writes")),
                },
                Some(Entry::Gone { server: gone }) if gone == server => return Err(expired()),
                Some(Entry::Gone { server }) => {
                    let mut batch = Batch::default();
                    batch.headed(Kind::Gone, Who { server, client: HERE }, &[]);
                    Arrival::Other(batch)
                }
            };
            match room.arrive(position, arrival) {
                Err(_) => Err(cut_off("the log holds other lines under this server's name than it has said")),
                Ok(()) if room.wait_until_idle(None) => Ok(()),
                Ok(()) => Err(Over::Lost(JoinError::Lost("the link is over".to_owned()))),
            }
        });
        if let Err(over) = read {
            return over;
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
