//! What a joined room promises while everything breaks, over a real engine: three servers say numbered lines, and what
//! each has seen is compared. `LOCALSOCKET_SOAK` is how many times longer each fault lasts.

use std::collections::HashMap;

use super::order::{self, Record};
use super::real_engine::{Proxy, Random, RealEngine};
use super::*;

const NOT_PERSISTENT: &[&str] = &["--appendonly", "no"];
const EVERY_SECOND: &[&str] = &["--appendonly", "yes", "--appendfsync", "everysec"];
const ALWAYS: &[&str] = &["--appendonly", "yes", "--appendfsync", "always"];

/// Three servers under load.
struct Load {
    servers: Vec<Arc<Server>>,
    over: Arc<AtomicBool>,
    senders: Vec<thread::JoinHandle<HashMap<u64, u64>>>,
}

fn soak() -> u32 {
    std::env::var("LOCALSOCKET_SOAK").ok().and_then(|times| times.parse().ok()).unwrap_or(1)
}

impl Load {
    fn start(url: &str, settings: &Settings) -> Load {
        let servers: Vec<_> = (0..3).map(|_| Arc::new(Server::joined(url, settings.clone()))).collect();
        let over = Arc::new(AtomicBool::new(false));
        let senders = servers.iter().zip('a'..).map(|(server, name)| {
            let (server, over) = (Arc::clone(server), Arc::clone(&over));
            thread::spawn(move || send(&server, name, &over))
        });
        let senders = senders.collect();
        Load { servers, over, senders }
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

    /// Ends the load and checks what everybody has seen, where the engine has lost lines `losses` times at most. Returns
    /// how many lines were said.
    #[track_caller]
    fn check(mut self, losses: usize) -> u64 {
        self.over.store(true, Ordering::SeqCst);
        let senders = std::mem::take(&mut self.senders);
        wait_for("all senders end", || senders.iter().all(thread::JoinHandle::is_finished));
        let said: Vec<_> = senders.into_iter().map(|sender| sender.join().unwrap()).collect();
        let is_quiet = |server: &Server| {
            let state = server.joined.shared.lock();
            state.phase == Phase::Joined && state.outgoing.is_empty()
        };
        wait_for("all is said", || self.servers.iter().all(|server| is_quiet(server)));
        let place = |server: &Arc<Server>| server.joined.shared.lock().position;
        wait_for("all is seen", || self.servers.iter().all(|server| place(server) == place(&self.servers[0])));
        let records: Vec<Record> = self
            .servers
            .iter()
            .zip('a'..)
            .zip(&said)
            .map(|((server, name), said)| record(server, name, said))
            .collect();
        order::check(&records, losses).unwrap_or_else(|why| panic!("{why}"));
        said.iter().flat_map(HashMap::values).sum()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
    }
}

fn record(server: &Server, name: char, said: &HashMap<u64, u64>) -> Record {
    let seen = lock(&server.clients.seen);
    let (sender, said, runs) = (name.to_string(), said.clone(), seen.runs.clone());
    Record { sender, runs, begins: seen.begins.clone(), was_cut_off: seen.was_cut_off, said, life: seen.ends }
}

/// Says numbered lines, from the first number on in each life: a client's life ends with the membership, and what it
/// said last may be lost with it. Returns how many it has said in each life.
fn send(server: &Server, name: char, over: &AtomicBool) -> HashMap<u64, u64> {
    let mut random = Random(name as u64);
    let mut said = HashMap::new();
    while !over.load(Ordering::SeqCst) {
        let padding = "x".repeat([0, 0, 100, 3000][random.below(4) as usize]);
        // Looked at first: whoever has joined again meanwhile has another life.
        let life = server.ends();
        if server.joined.phase() == Phase::Joining {
            thread::sleep(Duration::from_millis(1));
            continue;
        }
        let number = said.entry(life).or_insert(0);
        let line = format!("{name}{life}: {number} {padding}\r\n");
        let item = Item::Lines { lines: 1, text: line.as_bytes() };
        let began = Instant::now();
        let has_ended = || server.ends() != life || began.elapsed() > DEADLINE;
        if server.joined.push(1, item, false, &has_ended).is_ok() {
            *number += 1;
        }
        if random.below(16) == 0 {
            thread::sleep(Duration::from_micros(500));
        }
    }
    said
}

#[test]
fn connections_that_are_cut_at_any_byte() {
    let Some(engine) = RealEngine::start(NOT_PERSISTENT) else { return };
    let proxy = Proxy::start(&engine.socket(), 7, 150_000);
    let load = Load::start(&proxy.url(), &settings());
    wait_for("many cuts", || proxy.cuts.load(Ordering::SeqCst) > 150 * soak() as usize);
    let servers = load.servers.clone();
    assert!(load.check(0) > 1000);
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
    load.check(0);
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
    load.check(0);
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
    load.check(1);
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
    assert_eq!(server.cut_offs(), 0, "what was confirmed is not kept, so the engine knows more than this server");
    let said = HashMap::from([(1, 20)]);
    let record = Record { life: 1, ..record(&server, 'a', &said) };
    assert_eq!(order::check(&[record], 0), Ok(()));
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
    load.check(0);
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
    load.check(0);
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
    load.check(0);
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
    wait_for("both hear it", || {
        [&server, &other].iter().all(|one| one.lines().last().is_some_and(|line| line == "eve: hello"))
    });
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
