//! What a joined room promises while everything breaks, over a real engine: three servers say numbered lines, and what
//! each has seen is compared. `LOCALSOCKET_SOAK` is how many times longer each fault lasts.

use crate::atomic::AtomicU64;
use std::collections::HashMap;

use super::real_engine::{Proxy, Random, RealEngine};
use super::*;

const NOT_PERSISTENT: &[&str] = &["--appendonly", "no"];
const EVERY_SECOND: &[&str] = &["--appendonly", "yes", "--appendfsync", "everysec"];
const ALWAYS: &[&str] = &["--appendonly", "yes", "--appendfsync", "always"];

/// Three servers under load.
struct Load {
    servers: Vec<Arc<Server>>,
    over: Arc<AtomicBool>,
    said: Arc<AtomicU64>,
    senders: Vec<thread::JoinHandle<()>>,
}

fn soak() -> u32 {
    std::env::var("LOCALSOCKET_SOAK").ok().and_then(|times| times.parse().ok()).unwrap_or(1)
}

impl Load {
    fn start(url: &str, settings: &Settings) -> Load {
        let servers: Vec<_> = (0..3).map(|_| Arc::new(Server::joined(url, settings.clone()))).collect();
        let (over, said) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let senders = servers.iter().zip('a'..).map(|(server, name)| {
            let (server, over, said) = (Arc::clone(server), Arc::clone(&over), Arc::clone(&said));
            thread::spawn(move || send(&server, name, &over, &said))
        });
        let senders = senders.collect();
        Load { servers, over, said, senders }
    }

    fn run(&self, time: Duration) {
        thread::sleep(time * soak());
    }

    /// Waits until every server has seen many more lines: the room goes on.
    #[track_caller]
    fn goes_on(&self) {
        let seen = || -> Vec<usize> {
            let lines = |server: &Arc<Server>| lock(&server.clients.seen).runs.iter().map(Vec::len).sum();
            self.servers.iter().map(lines).collect()
        };
        let before = seen();
        wait_for("lines are seen again", || seen().iter().zip(&before).all(|(now, before)| *now > before + 300));
    }

    /// Ends the load and checks what everybody has seen.
    #[track_caller]
    fn check(self) -> u64 {
        self.over.store(true, Ordering::SeqCst);
        for sender in self.senders {
            sender.join().unwrap();
        }
        let is_quiet = |server: &Server| {
            let state = server.joined.shared.lock();
            state.phase == Phase::Joined && state.outgoing.is_empty()
        };
        wait_for("all is said", || self.servers.iter().all(|server| is_quiet(server)));
        let place = |server: &Arc<Server>| server.joined.shared.lock().position;
        wait_for("all is seen", || self.servers.iter().all(|server| place(server) == place(&self.servers[0])));
        let runs: Vec<Vec<Vec<String>>> =
            self.servers.iter().map(|server| lock(&server.clients.seen).runs.clone()).collect();
        check(&runs);
        self.said.load(Ordering::SeqCst)
    }
}

/// Says numbered lines, with another start after each cut-off.
fn send(server: &Server, name: char, over: &AtomicBool, said: &AtomicU64) {
    let mut random = Random(name as u64);
    let (mut life, mut number) = (0, 0);
    while !over.load(Ordering::SeqCst) {
        let padding = "x".repeat([0, 0, 100, 3000][random.below(4) as usize]);
        // A client's life ends with the membership; what it said last may be lost with it.
        let now = server.cut_offs();
        if now != life {
            (life, number) = (now, 0);
        }
        if server.joined.phase() == Phase::Joining {
            thread::sleep(Duration::from_millis(1));
            continue;
        }
        let line = format!("{name}{life}: {number} {padding}\r\n");
        let item = Item::Lines { lines: 1, text: line.as_bytes() };
        if server.joined.push(1, item, false, &|| server.cut_offs() != life).is_ok() {
            number += 1;
            said.fetch_add(1, Ordering::SeqCst);
        }
        if random.below(16) == 0 {
            thread::sleep(Duration::from_micros(500));
        }
    }
}

/// Every run is a contiguous stretch of one order, and each client's numbers in it follow each other.
#[track_caller]
fn check(servers: &[Vec<Vec<String>>]) {
    let runs: Vec<&Vec<String>> = servers.iter().flatten().filter(|run| !run.is_empty()).collect();
    for run in &runs {
        let mut last: HashMap<&str, u64> = HashMap::new();
        for line in run.iter().filter(|line| line.contains(": ")) {
            let (sender, rest) = line.split_once(": ").unwrap();
            let number: u64 = rest.split(' ').next().unwrap().parse().unwrap();
            if let Some(before) = last.insert(sender, number) {
                assert_eq!(number, before + 1, "{sender}: lost, doubled or out of order");
            }
        }
    }
    // A run that ended with a cut-off can end with lines that the engine has lost, and that nobody else has seen.
    let ended = |run: &Vec<String>| servers.iter().all(|runs| runs.last() != Some(run));
    for (index, one) in runs.iter().enumerate() {
        for other in &runs[index + 1..] {
            // They overlap where one of them begins within the other, or not at all.
            let overlap = |one: &Vec<String>, other: &Vec<String>| {
                let at = one.iter().position(|line| *line == other[0])?;
                Some(one[at..].iter().zip(other).all(|(one, other)| one == other))
            };
            if let Some(equal) = overlap(one, other).or_else(|| overlap(other, one)) {
                assert!(equal || ended(one) || ended(other), "two orders");
            }
        }
    }
}

#[test]
fn connections_that_are_cut_at_any_byte() {
    let Some(engine) = RealEngine::start(NOT_PERSISTENT) else { return };
    let proxy = Proxy::start(&engine.socket(), 7, 150_000);
    let load = Load::start(&proxy.url(), &settings());
    wait_for("many cuts", || proxy.cuts.load(Ordering::SeqCst) > 150 * u64::from(soak()));
    let servers = load.servers.clone();
    assert!(load.check() > 1000);
    // A lease is longer than any of the breaks.
    assert!(servers.iter().all(|server| server.cut_offs() == 0));
}

#[test]
fn an_engine_that_crashes_and_keeps_what_it_has_confirmed() {
    let Some(mut engine) = RealEngine::start(ALWAYS) else { return };
    let load = Load::start(&engine.url(), &settings());
    for _ in 0..2 * soak() {
        load.goes_on();
        engine.kill();
        engine.run();
    }
    load.goes_on();
    let servers = load.servers.clone();
    load.check();
    assert!(servers.iter().all(|server| server.cut_offs() == 0));
}

#[test]
fn an_engine_that_forgets_everything() {
    let Some(mut engine) = RealEngine::start(NOT_PERSISTENT) else { return };
    let load = Load::start(&engine.url(), &settings());
    load.goes_on();
    let all_are_back = |times| {
        let is_back = |server: &Server| server.cut_offs() >= times && !lock(&server.clients.seen).was_cut_off;
        wait_for("all are cut off and back", || load.servers.iter().all(|server| is_back(server)));
    };
    engine.kill();
    engine.run();
    all_are_back(1);
    assert!(engine.command("FLUSHALL").starts_with("+OK"));
    all_are_back(2);
    load.goes_on();
    load.check();
}

#[test]
fn an_engine_that_loses_the_tail_of_its_log() {
    let Some(mut engine) = RealEngine::start(EVERY_SECOND) else { return };
    let load = Load::start(&engine.url(), &settings());
    // The three servers keep up to 768 KiB of their own until it is seen. More than that has to be lost, and seen: lines
    // that nobody has seen yet are simply said again.
    for _ in 0..8 {
        load.goes_on();
    }
    engine.kill();
    engine.lose_tail(1 << 20);
    engine.run();
    load.goes_on();
    let servers = load.servers.clone();
    load.check();
    // They had given their clients lines that nobody else will ever see.
    assert!(servers.iter().any(|server| server.cut_offs() > 0));
}

#[test]
fn pieces_that_the_engine_had_confirmed_and_nobody_had_seen_are_said_again() {
    let Some(mut engine) = RealEngine::start(EVERY_SECOND) else { return };
    let server = Server::joined(&engine.url(), Settings { window: 4 << 20, ..settings() });
    server.say(1, "a1: 0").unwrap();
    wait_for("the first is seen", || server.lines().len() == 1);
    // Its reader holds the follower, so what is confirmed from now on is not seen.
    server.clients.blocked.store(true, Ordering::SeqCst);
    for number in 1..20 {
        server.say(1, &format!("a1: {number} {}", "x".repeat(2000))).unwrap();
        wait_for("it is confirmed", || {
            let mut state = server.joined.shared.lock();
            state.outgoing.next().is_none()
        });
    }
    engine.kill();
    engine.lose_tail(20_000);
    engine.run();
    wait_for("it comes back", || {
        let mut state = server.joined.shared.lock();
        state.phase == Phase::Joined && state.outgoing.next().is_none()
    });
    server.clients.blocked.store(false, Ordering::SeqCst);
    wait_for("all is seen or all are cut off", || server.lines().len() == 20 || server.cut_offs() > 0);
    check(&[lock(&server.clients.seen).runs.clone()]);
    assert_eq!(server.cut_offs(), 0);
}

#[test]
fn an_engine_that_stands_still_longer_than_a_lease() {
    let Some(engine) = RealEngine::start(NOT_PERSISTENT) else { return };
    let load = Load::start(&engine.url(), &settings());
    load.goes_on();
    engine.signal("STOP");
    load.run(2 * settings().lease);
    engine.signal("CONT");
    load.goes_on();
    let servers = load.servers.clone();
    load.check();
    assert!(servers.iter().all(|server| server.cut_offs() == 0));
}

#[test]
fn an_engine_without_scripts_or_memory() {
    let Some(engine) = RealEngine::start(NOT_PERSISTENT) else { return };
    let load = Load::start(&engine.url(), &settings());
    for _ in 0..5 {
        load.goes_on();
        engine.command("SCRIPT FLUSH");
    }
    engine.command("CONFIG SET maxmemory 500k");
    load.run(2 * settings().lease);
    engine.command("CONFIG SET maxmemory 0");
    load.goes_on();
    let servers = load.servers.clone();
    load.check();
    assert!(servers.iter().all(|server| server.cut_offs() == 0));
}

#[test]
fn a_log_that_somebody_empties_or_writes_into() {
    let Some(engine) = RealEngine::start(NOT_PERSISTENT) else { return };
    let load = Load::start(&engine.url(), &settings());
    load.goes_on();
    engine.command("XTRIM localsocket:{main}:log MAXLEN 0");
    load.goes_on();
    let before: Vec<usize> = load.servers.iter().map(|server| server.cut_offs()).collect();
    engine.command("XADD localsocket:{main}:log * h x d y");
    wait_for("all are cut off", || {
        load.servers.iter().zip(&before).all(|(server, before)| server.cut_offs() > *before)
    });
    load.goes_on();
    load.check();
}

/// Stands for a server that is gone without a word, or stopped: it neither says nor follows.
fn dead_server(engine: &RealEngine, settings: &Settings, name: &str) -> Proxy {
    let proxy = Proxy::start(&engine.socket(), 1, 1 << 40);
    let server = Server::joined(&proxy.url(), settings.clone());
    server.log_in(1, name).unwrap();
    // It never gets to say that it leaves.
    drop_connections(&proxy);
    std::mem::forget(server);
    proxy
}

fn drop_connections(proxy: &Proxy) {
    proxy.stop();
}

#[test]
fn a_server_that_dies_is_announced_within_its_lease() {
    let Some(engine) = RealEngine::start(NOT_PERSISTENT) else { return };
    let settings = Settings { give_up: Duration::from_secs(600), ..settings() };
    let server = Server::joined(&engine.url(), settings.clone());
    let _proxy = dead_server(&engine, &settings, "bob");
    let began = Instant::now();
    assert_eq!(server.log_in(1, "bob"), Err(Unsaid::Taken));
    wait_for("bob is announced", || server.lines().last().is_some_and(|line| line == "bob has left"));
    let took = began.elapsed();
    assert!(took <= settings.lease + Duration::from_secs(3), "{took:?}");
    assert_eq!(server.log_in(1, "bob"), Ok(()));
}

#[test]
fn a_room_whose_only_server_has_died_is_free_after_its_lease() {
    let Some(engine) = RealEngine::start(NOT_PERSISTENT) else { return };
    let settings = Settings { give_up: Duration::from_secs(600), ..settings() };
    let _proxy = dead_server(&engine, &settings, "bob");
    thread::sleep(settings.lease + Duration::from_millis(500));
    let began = Instant::now();
    let server = Server::joined(&engine.url(), settings.clone());
    wait_for("the name is free", || server.log_in(1, "bob").is_ok());
    assert!(began.elapsed() <= settings.lease + Duration::from_secs(2), "{:?}", began.elapsed());
    // One that dies now leaves keys behind, which nobody removes but the engine.
    let _proxy = dead_server(&engine, &settings, "eve");
    server.joined.stop(DEADLINE);
    assert_eq!(engine.command("DBSIZE"), ":2");
    let left: i64 = engine.command("PTTL localsocket:{main}:state")[1..].parse().unwrap();
    assert!(left > 0 && left <= 12 * 2500, "{left}");
    let server = Server::joined(&engine.url(), settings);
    assert_eq!(engine.command("PTTL localsocket:{main}:state"), ":-1", "it is in use again");
    drop(server);
}

#[test]
fn a_server_that_was_away_for_longer_than_its_lease_is_cut_off() {
    let Some(engine) = RealEngine::start(NOT_PERSISTENT) else { return };
    let settings = settings();
    let proxy = Proxy::start(&engine.socket(), 1, 1 << 40);
    let other = Server::joined(&engine.url(), settings.clone());
    let server = Server::joined(&proxy.url(), settings.clone());
    server.log_in(1, "bob").unwrap();
    proxy.stop();
    wait_for("it is missed", || server.joined.phase() == Phase::Away);
    assert_eq!(server.say(1, "bob: I am still here"), Ok(()));
    wait_for("bob is announced", || other.lines().last().is_some_and(|line| line == "bob has left"));
    assert_eq!(server.cut_offs(), 0);
    proxy.resume();
    wait_for("it is cut off", || server.cut_offs() == 1);
    server.wait_until_joined();
    assert_eq!(server.who(), "");
    other.say(1, "eve: hello").unwrap();
    wait_for("it hears again", || server.lines().last().is_some_and(|line| line == "eve: hello"));
    assert_eq!(other.lines(), ["bob has joined", "bob has left", "eve: hello"], "what came too late is not said");
}

#[test]
fn a_server_that_gives_up_frees_its_names_when_it_comes_back() {
    let Some(engine) = RealEngine::start(NOT_PERSISTENT) else { return };
    let settings = Settings { lease: Duration::from_secs(60), give_up: Duration::from_millis(600), ..settings() };
    let proxy = Proxy::start(&engine.socket(), 1, 1 << 40);
    let server = Server::joined(&proxy.url(), settings);
    server.log_in(1, "bob").unwrap();
    proxy.stop();
    wait_for("it gives up", || server.cut_offs() == 1);
    proxy.resume();
    server.wait_until_joined();
    assert_eq!(server.log_in(2, "bob"), Ok(()));
    wait_for("the old membership is buried", || server.joined.servers() == 1);
}
