//! The thread that writes to the log. It joins the room, sends what clients have said, one piece at a time, sends
//! beats, comes back after a break, and leaves. It alone begins and ends memberships and links; the follower only
//! reports.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::{error, info, warn};

use super::engine::{Answer, Engine, Proposal, Speaker};
use super::failure::JoinError;
use super::piece::Content;
use super::settings::{LOG_INTERVAL, Settings};
use super::shared::{Fault, Phase, Shared};
use crate::counted::Counted;

const GONE: &str = "this server was not heard for its lease, or the engine has lost lines";

/// Why a membership is over.
enum Over {
    Stopped,
    CutOff(String),
}

/// Runs until the server stops, or cannot start.
pub(super) fn run(shared: &Shared) {
    let mut before = String::new();
    let mut has_joined = false;
    while let Some((member, engine)) = join(shared, &before, has_joined) {
        has_joined = true;
        before = member.server.to_string();
        let pauses = Pauses::new(&shared.settings);
        let says = Says {
            shared,
            member,
            heard: Instant::now(),
            log: LogGate::default(),
            has_warned: false,
            pauses,
            has_said: true,
        };
        match says.run(engine) {
            Over::Stopped => return,
            Over::CutOff(why) => {
                warn!("cut off from the other servers: {why}; all clients are ended, joining anew");
                shared.cut_off();
            }
        }
    }
}

struct Member {
    server: Arc<str>,
    connection: u64,
    membership: u64,
    lease: Duration,
}

/// Lets a line into the log at most once in [`LOG_INTERVAL`].
#[derive(Default)]
struct LogGate(Option<Instant>);

impl LogGate {
    fn is_open(&mut self) -> bool {
        let open = self.0.is_none_or(|last| last.elapsed() >= LOG_INTERVAL);
        if open {
            self.0 = Some(Instant::now());
        }
        open
    }
}

/// Pauses that double, jittered, so that many servers do not come back at the same instant.
struct Pauses<'s> {
    settings: &'s Settings,
    next: Duration,
}

impl<'s> Pauses<'s> {
    fn new(settings: &'s Settings) -> Pauses<'s> {
        Pauses { settings, next: *settings.retry.start() }
    }

    fn next(&mut self) -> Duration {
        let pause = self.next;
        self.next = (2 * pause).min(*self.settings.retry.end());
        let random = RandomState::new().hash_one(0) % 1024;
        pause / 2 + (pause / 2).mul_f64(random as f64 / 1024.0)
    }
}

/// A name that no membership ever had. The keys of std's hashers are its only random numbers.
fn new_server() -> Arc<str> {
    let random = || RandomState::new().hash_one(0);
    Arc::from(format!("{:016x}{:016x}", random(), random()))
}

/// Joins the room. `None` if the server stops, or must not go on.
fn join(shared: &Shared, before: &str, has_joined: bool) -> Option<(Member, Engine)> {
    let (server, mut pauses, mut log) = (new_server(), Pauses::new(&shared.settings), LogGate::default());
    // If an answer is lost, the next try is under the same name. Otherwise a ghost could stay in the room for a lease.
    for connection in 1.. {
        if shared.lock().stopping {
            return None;
        }
        let error = match try_to_join(shared, &server, connection, before) {
            Ok(joined) => return Some(joined),
            Err(error) => error,
        };
        if !has_joined && error.is_permanent() {
            error!("cannot join room {}: {error}", shared.join.url.room);
            shared.local.refused(error);
            return None;
        }
        if log.is_open() {
            warn!("cannot join room {} yet: {error}; trying again", shared.join.url.room);
        }
        shared.pause(pauses.next());
    }
    None
}

fn try_to_join(
    shared: &Shared,
    server: &Arc<str>,
    connection: u64,
    before: &str,
) -> Result<(Member, Engine), JoinError> {
    let Shared { settings, .. } = shared;
    let mut engine = Engine::connect(&shared.join, settings)?;
    let policy = engine.eviction_policy()?;
    let speaker = Speaker { server, connection, position: Default::default() };
    let proposal = Proposal { lease: settings.lease, window: settings.window, longest: shared.longest, before };
    let welcome = engine.join(speaker, proposal)?;
    if let Some(policy) = policy.filter(|policy| policy != "noeviction") {
        warn!(
            "the engine's maxmemory-policy is {policy}: when it is out of memory it may remove the room, and then all \
             clients are cut off; set it to noeviction"
        );
    }
    let lease = welcome.lease;
    info!("joined room {} ({}): {}", shared.join.url.room, shared.join.url, Counted(welcome.servers, "server"));
    let membership = shared.begin(Arc::clone(server), connection, welcome);
    Ok((Member { server: Arc::clone(server), connection, membership, lease }, engine))
}

struct Says<'s> {
    shared: &'s Shared,
    member: Member,
    /// When the engine answered last.
    heard: Instant,
    log: LogGate,
    /// The log says that the engine is away. Without that, it need not say that it is back.
    has_warned: bool,
    pauses: Pauses<'s>,
    /// Something was said over this link, so the next one may be tried at once.
    has_said: bool,
}

enum Task {
    Leave,
    Beat,
    Items(u64),
    Name { number: u64, client: u64, deaf: bool, old: Option<Arc<str>>, new: Option<Arc<str>> },
}

impl Says<'_> {
    fn run(mut self, mut engine: Engine) -> Over {
        loop {
            let why = match self.say(&mut engine) {
                Ok(over) => return over,
                Err(why) => why,
            };
            drop(engine);
            self.shared.unlink();
            if self.log.is_open() {
                warn!("lost the engine: {why}; lines wait");
                self.has_warned = true;
            }
            engine = match self.come_back() {
                Ok(engine) => engine,
                Err(over) => return over,
            };
        }
    }

    /// Says what there is to say until the membership is over; `Err` if only the link is.
    fn say(&mut self, engine: &mut Engine) -> Result<Over, JoinError> {
        let full = &self.shared.settings.full;
        let (mut items, mut pause, mut quiet_until) = (Vec::new(), *full.start(), None);
        loop {
            let (task, speaker) = match self.next_task(&mut items, quiet_until) {
                Ok(next) => next,
                Err(Fault::Membership(why)) => return Ok(Over::CutOff(why.to_owned())),
                Err(Fault::Link(error)) => return Err(error),
            };
            let speaker = Speaker { server: &self.member.server, ..speaker };
            let answer = match &task {
                Task::Leave => engine.leave(speaker),
                Task::Beat => engine.beat(speaker),
                Task::Items(number) => engine.say(speaker, *number, &items),
                Task::Name { number, client, deaf, old, new } => {
                    let (old, new) = (old.as_deref().unwrap_or_default(), new.as_deref().unwrap_or_default());
                    engine.name(speaker, *number, (*client, *deaf), old, new)
                }
            };
            let answer = match answer {
                Err(error @ JoinError::OutOfMemory) => {
                    self.heard = Instant::now();
                    if self.log.is_open() {
                        warn!("{error}; senders wait");
                    }
                    quiet_until = Some(Instant::now() + self.shared.settings.out_of_memory);
                    continue;
                }
                answer => answer?,
            };
            self.heard = Instant::now();
            match (task, answer) {
                (_, Answer::Gone) => {
                    return Ok(Over::CutOff(GONE.to_owned()));
                }
                (_, Answer::Old) => return Err(JoinError::Lost("a later connection took over".to_owned())),
                (Task::Leave, _) => return Ok(Over::Stopped),
                (Task::Beat, Answer::Done(_, servers)) => {
                    let mut state = self.shared.lock();
                    state.servers = usize::try_from(servers).unwrap_or_default();
                    state.reported = speaker.position;
                    self.has_said = true;
                }
                (Task::Items(number) | Task::Name { number, .. }, Answer::Done(..)) => {
                    (pause, quiet_until) = (*full.start(), None);
                    self.has_said = true;
                    self.shared.lock().outgoing.confirm(number);
                }
                (Task::Name { number, .. }, Answer::Taken) => self.shared.refuse(number),
                // The log is full until the slowest reader of all servers has read on.
                _ => {
                    quiet_until = Some(Instant::now() + pause);
                    pause = (2 * pause).min(*full.end());
                }
            }
        }
    }

    /// Waits for something to do. Items are copied into `items`. Until `quiet_until` there are only beats.
    fn next_task(&self, items: &mut Vec<u8>, quiet_until: Option<Instant>) -> Result<(Task, Speaker<'static>), Fault> {
        let beat = Settings::beat(self.member.lease);
        let mut state = self.shared.lock();
        loop {
            let speaker = Speaker { server: "", connection: self.member.connection, position: state.position };
            if state.stopping {
                return Ok((Task::Leave, speaker));
            }
            if let Some(fault) = state.fault.take() {
                return Err(fault);
            }
            let unreported = state.position.end.saturating_sub(state.reported.end);
            let silent = state.beaten.elapsed();
            if silent >= beat || unreported >= (state.window / 8).max(1) {
                state.beaten = Instant::now();
                return Ok((Task::Beat, speaker));
            }
            let quiet = quiet_until.map_or(Duration::ZERO, |until| until.saturating_duration_since(Instant::now()));
            let task = if quiet.is_zero() { state.outgoing.next() } else { None };
            match task {
                Some((number, Content::Items(content))) => {
                    items.clear();
                    items.extend_from_slice(content);
                    return Ok((Task::Items(number), speaker));
                }
                Some((number, Content::Name { client, deaf, new, old })) => {
                    let (old, new) = (old.clone().flatten(), new.clone());
                    return Ok((Task::Name { number, client: *client, deaf: *deaf, old, new }, speaker));
                }
                None => {}
            }
            // A client without a name may have left: that is not sent, and its session waits for nothing any more.
            self.shared.wake_others(&state);
            let until_beat = beat - silent;
            let patience = if quiet.is_zero() { until_beat } else { until_beat.min(quiet) };
            state = self.shared.wait_for_work(state, patience);
        }
    }

    /// Reconnects, for as long as clients are kept without the engine.
    fn come_back(&mut self) -> Result<Engine, Over> {
        let settings = &self.shared.settings;
        if std::mem::take(&mut self.has_said) {
            self.pauses = Pauses::new(settings);
        } else {
            // A link that broke before anything was said over it is not tried again without a pause.
            self.shared.pause(self.pauses.next());
        }
        loop {
            if self.shared.lock().stopping {
                return Err(Over::Stopped);
            }
            match self.try_to_come_back() {
                Ok(Some(engine)) => return Ok(engine),
                Ok(None) => {
                    return Err(Over::CutOff(GONE.to_owned()));
                }
                Err(error) => {
                    if self.heard.elapsed() >= settings.give_up {
                        return Err(Over::CutOff(format!("no engine for {} s", settings.give_up.as_secs_f64())));
                    }
                    if self.log.is_open() {
                        warn!("still without the engine: {error}; lines wait");
                        self.has_warned = true;
                    }
                }
            }
            self.shared.pause(self.pauses.next());
        }
    }

    fn try_to_come_back(&mut self) -> Result<Option<Engine>, JoinError> {
        let mut engine = Engine::connect(&self.shared.join, &self.shared.settings)?;
        self.member.connection += 1;
        let position = self.shared.lock().position;
        let speaker = Speaker { server: &self.member.server, connection: self.member.connection, position };
        let Answer::Done(number, _) = engine.back(speaker)? else { return Ok(None) };
        let mut state = self.shared.lock();
        if state.outgoing.resume(number).is_err() {
            return Ok(None);
        }
        state.phase = Phase::Joined;
        state.link = self.member.connection;
        state.beaten = Instant::now();
        debug_assert_eq!(state.membership, self.member.membership);
        self.shared.wake_others(&state);
        drop(state);
        if std::mem::take(&mut self.has_warned) {
            info!(
                "the engine is back after {:.1} s; delivering the lines that waited",
                self.heard.elapsed().as_secs_f64()
            );
        }
        self.heard = Instant::now();
        Ok(Some(engine))
    }
}
