//! The link of a joined room to the engine: joins the room, writes to the log, follows it, comes back after a break.
//!
//! One thread does all of this, but for following, which a second one does for as long as a connection holds. Whatever
//! breaks, nothing is lost or doubled, or else all clients are ended and told that they were cut off. No lock is held
//! during a call of the engine. A membership outlives its links: `saying` and `following` are the two halves of a link,
//! `over` tells how one ended.

mod following;
mod over;
mod saying;

use std::io;
use std::net::Shutdown;
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use log::{error, info, warn};

use self::following::Following;
use self::over::Over;
use self::saying::Saying;
use super::engine::{Answer, Caller, Engine, Failure, Join, Welcome};
use super::hub::Hub;
use super::room::Room;
use super::throttle::Throttle;
use crate::counted::Counted;
use crate::limits::{ENTRY_MARGIN, JOIN_PAUSE, STACK_SIZE};
use crate::pauses::{Pauses, random};

/// How long clients are kept while the engine cannot be reached.
const GIVE_UP: Duration = Duration::from_secs(30);
/// A membership that lasted this long begins anew without a pause when it is cut off.
const LASTING: Duration = Duration::from_secs(10);

/// Starts the thread that keeps the link until the server stops. It returns why the room cannot be joined, if that has
/// stopped the server.
pub(super) fn start(hub: &Arc<Hub>, join: Join) -> io::Result<JoinHandle<Option<String>>> {
    let hub = Arc::clone(hub);
    thread::Builder::new().name("link".to_owned()).stack_size(STACK_SIZE).spawn(move || {
        let room = hub.room.as_ref()?;
        let longest = hub.config.limits.max_line.saturating_add(ENTRY_MARGIN);
        let (mut before, mut retry) = (0, Pauses::new(JOIN_PAUSE));
        loop {
            let (mut member, engine) = match enter(room, &join, longest, before, &mut retry) {
                Ok(entered) => entered,
                Err(refused) => {
                    hub.stop();
                    return refused;
                }
            };
            let began = Instant::now();
            before = member.server;
            let Over::CutOff(why) = member.stay(room, &join, engine) else { return None };
            warn!("cut off from the other servers: {why}; all clients are ended, joining anew");
            room.cut_off();
            if began.elapsed() > LASTING {
                retry.reset();
            }
        }
    })
}

/// Joins the room. `Err` if the server stops, or must not go on and why.
fn enter(
    room: &Room,
    join: &Join,
    longest: usize,
    before: u64,
    retry: &mut Pauses,
) -> Result<(Membership, Engine), Option<String>> {
    let name = &join.url.room;
    // If an answer is lost, the next try is under the same number. Otherwise a ghost could stay in the room for a lease.
    let (mut caller, mut log) = (Caller { server: random(), ..Caller::default() }, Throttle::default());
    loop {
        if room.pause(retry.next()) {
            return Err(None);
        }
        caller.connection += 1;
        let joined =
            Engine::connect(join, &[]).and_then(|mut engine| Ok((engine.join(caller, longest, before)?, engine)));
        match joined {
            Ok((welcome, mut engine)) => {
                if let Some(policy) = engine.eviction_policy().filter(|policy| policy != "noeviction") {
                    warn!(
                        "the engine's maxmemory-policy is {policy}: when it is out of memory it may remove the room, and \
                         then all clients are cut off; set it to noeviction"
                    );
                }
                info!("joined room {name} ({}): {}", join.url, Counted(welcome.servers, "server"));
                return Ok((Membership::new(caller, welcome, room), engine));
            }
            Err(Failure::Refused(why)) if before == 0 => {
                error!("cannot join room {name}: {why}");
                return Err(Some(why));
            }
            Err(error) => drop(log.note(format!("cannot join room {name} yet: {error}; trying again"))),
        }
    }
}

/// A server's membership in the room.
struct Membership {
    server: u64,
    connection: u64,
    saying: Saying,
    following: Following,
}

impl Membership {
    fn new(Caller { server, connection, .. }: Caller, welcome: Welcome, room: &Room) -> Membership {
        let saying = Saying::new(welcome.head.end, welcome.window, welcome.lease);
        let following = Following::new(welcome.longest);
        room.begin(server, welcome);
        Membership { server, connection, saying, following }
    }

    /// Keeps the membership over as many links as it takes.
    fn stay(&mut self, room: &Room, join: &Join, mut engine: Engine) -> Over {
        let (mut log, script) = (Throttle::default(), engine.script.clone());
        loop {
            let mut why = match self.serve(room, join, engine) {
                Over::Lost(why) => why,
                over => return over,
            };
            room.lose_link();
            let away = *self.following.away.get_or_insert(self.saying.heard);
            engine = loop {
                if away.elapsed() >= GIVE_UP {
                    return Over::CutOff("the engine was away for too long");
                }
                self.following.is_said |= log.note(format!("lost the engine: {why}; lines wait"));
                if room.pause(self.following.retry.next()) {
                    return Over::Stopped;
                }
                self.connection += 1;
                let caller = Caller { server: self.server, connection: self.connection, position: room.position() };
                match Engine::connect(join, &script)
                    .and_then(|mut engine| Ok((engine.tell("back", caller, &[])?, engine)))
                {
                    Ok((Answer::Done(number), engine)) if room.confirm(number).is_ok() => break engine,
                    Ok(_) => return Over::EXPIRED,
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
        // Whoever ends first says why, and makes the other one end.
        let (over, streams) = (OnceLock::new(), [Arc::clone(&engine.stream), Arc::clone(&reader.stream)]);
        let end = |why| {
            let _ = over.set(why);
            room.end_link();
            streams.iter().for_each(|stream| stream.shutdown(Shutdown::Both));
        };
        let Membership { server, connection, saying, following } = self;
        thread::scope(|scope| {
            let follower = thread::Builder::new().name("follower".to_owned()).stack_size(STACK_SIZE);
            match follower.spawn_scoped(scope, || end(following.follow(room, *server, reader))) {
                Ok(_) => end(saying.say(room, (*server, *connection), engine)),
                Err(error) => end(error.into()),
            }
        });
        over.into_inner().unwrap_or(Over::Stopped)
    }
}
