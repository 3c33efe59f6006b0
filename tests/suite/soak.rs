//! A long run with the real programs: three joined servers and twelve clients that talk all the time, while connections
//! to the engine are cut, servers are killed and stopped, and the engine is stopped and killed. No promise rests on it
//! alone: it looks for what nobody has thought of. It is ignored unless it is asked for; five minutes of it are
//!
//! ```text
//! LOCALSOCKET_SOAK=15 cargo test --release --test suite soak -- --ignored --nocapture
//! ```
//!
//! which prints the log of one server and figures. `LOCALSOCKET_SOAK` is how many times longer than 20 s it takes. With
//! `soak/network.py 20 1` before that command, the engine and each server have a network of their own, a slow one that
//! loses packets; it sets `LOCALSOCKET_SOAK_NETWORK` to the command that runs a program there, but for the number.

mod check;
mod client;

use std::panic::resume_unwind;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::{Engine, Program, Proxy, Random, ServerProgram, TempDir, wait_for};
use client::{Client, Event, Life};

const SERVERS: usize = 3;
const CLIENTS: u8 = 12;

/// Longer than the lease of a server.
const LONG: Duration = Duration::from_secs(8);

#[derive(Debug, Default)]
struct Faults {
    servers_killed: usize,
    servers_stopped: usize,
    /// Longer than a lease, by server.
    stopped_for_long: [usize; SERVERS],
    engine_killed: usize,
    engine_stopped: usize,
}

struct Servers {
    programs: Vec<ServerProgram>,
    arguments: Vec<Vec<String>>,
    /// What the first server has logged before it was killed.
    log: String,
}

impl Servers {
    fn start_again(&mut self, index: usize) {
        self.programs[index].program.signal("KILL");
        let outcome = self.programs[index].program.wait();
        if index == 0 {
            self.log.push_str(&outcome.stderr);
            self.log.push_str("(killed, and started again)\n");
        }
        self.programs[index] = start(&self.arguments[index]);
    }

    fn signal(&self, index: usize, signal: &str) {
        self.programs[index].program.signal(signal);
    }
}

fn start(command: &[String]) -> ServerProgram {
    ServerProgram::from_command(Command::new(&command[0]).args(&command[1..]))
}

/// The words that run a program in the engine's network (0), or in that of a server (from 1).
fn in_network(number: usize, program: &str) -> Vec<String> {
    let network = std::env::var("LOCALSOCKET_SOAK_NETWORK").map_or(String::new(), |way| format!("{way}{number}"));
    network.split_whitespace().chain([program]).map(str::to_owned).collect()
}

/// How the servers reach the proxy: through its socket, or from their own networks.
fn way_to(proxy: &Proxy) -> (String, Option<Program>) {
    let words = in_network(0, "socat");
    if words.len() == 1 {
        return (proxy.url(), None);
    }
    let target = proxy.url().replace("unix:", "UNIX-CONNECT:");
    let mut relay = Command::new(&words[0]);
    (
        "redis://10.77.0.1".to_owned(),
        Some(Program::spawn(relay.args(&words[1..]).args(["TCP-LISTEN:6379,fork,reuseaddr", &target]))),
    )
}

/// Does one thing that the clients must not notice, or must be told.
fn disturb(random: &mut Random, servers: &mut Servers, engine: &mut Engine, faults: &mut Faults) {
    let index = random.below(SERVERS as u64) as usize;
    match random.below(6) {
        0 => {
            servers.start_again(index);
            faults.servers_killed += 1;
        }
        1 => {
            servers.signal(index, "STOP");
            thread::sleep(Duration::from_millis(200 + random.below(2000)));
            servers.signal(index, "CONT");
            faults.servers_stopped += 1;
        }
        2 => {
            servers.signal(index, "STOP");
            thread::sleep(LONG);
            servers.signal(index, "CONT");
            faults.stopped_for_long[index] += 1;
        }
        3 => {
            engine.signal("STOP");
            thread::sleep(Duration::from_millis(500 + random.below(7500)));
            engine.signal("CONT");
            faults.engine_stopped += 1;
        }
        4 => {
            engine.kill();
            thread::sleep(Duration::from_millis(random.below(3000)));
            engine.start_again();
            faults.engine_killed += 1;
        }
        // Connections are cut all the time.
        _ => thread::sleep(Duration::from_millis(random.below(3000))),
    }
}

fn all_go_on(clients: &[Client]) {
    let seen = || clients.iter().map(|client| client.seen.load(Ordering::SeqCst)).collect::<Vec<_>>();
    let before = seen();
    wait_for("all clients get lines again", || seen().iter().zip(&before).all(|(now, before)| *now > before + 100));
}

/// Everything is said, everybody has seen it, and whoever is gone has left.
fn is_over(lives: &[&Life]) -> bool {
    let mut live = lives.iter().filter(|life| life.is_live);
    let Some(first) = live.next() else { return false };
    let gone = lives.iter().filter(|life| !life.is_live && life.has_joined);
    first.is_quiet()
        && live.all(|life| life.is_quiet() && life.events.last() == first.events.last())
        && lives.iter().filter(|life| life.is_live).count() == usize::from(CLIENTS)
        && gone.into_iter().all(|life| {
            lives.iter().any(|other| other.events.iter().rev().any(|event| *event == Event::Left(life.who)))
        })
}

/// The log says that the engine is back only after it has said that it is away.
fn check_log(log: &str) {
    let mut is_away = false;
    for line in log.lines() {
        if line.contains("the engine is back after") {
            assert!(std::mem::take(&mut is_away), "{line}\n{log}");
        }
        is_away |= line.contains("lines wait");
    }
}

#[test]
#[ignore = "takes minutes"]
fn a_room_of_three_servers_under_faults() {
    let times: u32 = std::env::var("LOCALSOCKET_SOAK").ok().and_then(|times| times.parse().ok()).unwrap_or(1);
    let Some(mut engine) = Engine::start() else { return };
    let proxy = Proxy::start(&engine.socket(), 1, 150_000);
    let directory = TempDir::new();
    let path = |server: usize| directory.join(&format!("hub-{server}.sock"));
    let (url, _relay) = way_to(&proxy);
    let arguments: Vec<Vec<String>> = (0..SERVERS)
        .map(|server| {
            let listen = format!("unix:{}", path(server).display());
            let arguments = ["--mode", "room", "--join", &url, "--listen", &listen].map(str::to_owned);
            [in_network(server + 1, env!("CARGO_BIN_EXE_localsocket-server")), arguments.to_vec()].concat()
        })
        .collect();
    let programs = arguments.iter().map(|arguments| start(arguments)).collect();
    let mut servers = Servers { programs, arguments, log: String::new() };
    let server_of = |number: u8| usize::from(number) % SERVERS;
    let clients: Vec<Client> =
        (0..CLIENTS).map(|number| Client::new(number, server_of(number), path(server_of(number)))).collect();
    let (over, closed, mut faults) = (AtomicBool::new(false), AtomicBool::new(false), Faults::default());
    thread::scope(|scope| {
        for client in &clients {
            scope.spawn(|| client.run(&clients, &over, &closed));
        }
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let (began, mut random) = (Instant::now(), Random(u64::from(times)));
            all_go_on(&clients);
            while began.elapsed() < Duration::from_secs(20) * times {
                disturb(&mut random, &mut servers, &mut engine, &mut faults);
                all_go_on(&clients);
            }
            wait_for("all are there", || {
                clients.iter().all(|client| client.with_last(|life| life.has_joined && life.is_live) == Some(true))
            });
            over.store(true, Ordering::SeqCst);
            wait_for("all is said and seen", || check::with_lives(&clients, is_over));
        }));
        over.store(true, Ordering::SeqCst);
        closed.store(true, Ordering::SeqCst);
        println!("{}{}", servers.log, servers.programs[0].program.stderr());
        for i in 1..SERVERS {
            println!("=== {i}\n{}", servers.programs[i].program.stderr());
        }
        if outcome.is_err() {
            clients.iter().for_each(|client| println!("{}", client.with_last(Life::summary).unwrap_or_default()));
        }
        outcome.unwrap_or_else(|panic| resume_unwind(panic));
    });
    check_log(&servers.programs[0].program.stderr());
    check::with_lives(&clients, |lives| {
        let sum = |count: fn(&Life) -> usize| lives.iter().map(|life| count(life)).sum::<usize>();
        println!(
            "said {}, direct messages confirmed {}, questions {} of which answered {}; lines got {}, connections {}",
            sum(|life| life.said as usize),
            sum(|life| life.confirmed.values().map(Vec::len).sum()),
            sum(|life| life.asked as usize),
            sum(|life| life.answered as usize),
            clients.iter().map(|client| client.seen.load(Ordering::SeqCst)).sum::<usize>(),
            lives.len(),
        );
        println!(
            "{} cuts, {faults:?}, told of a cut-off {}",
            proxy.cuts.load(Ordering::SeqCst),
            sum(|life| life.cut_off.into())
        );
        let lines = check::check(lives).unwrap_or_else(|why| panic!("{why}"));
        println!("{lines} lines in one order");
        for server in 0..SERVERS {
            let told = lives.iter().filter(|life| life.server == server && life.cut_off).count();
            let clients = usize::from(CLIENTS) / SERVERS;
            assert!(
                told <= clients * faults.stopped_for_long[server],
                "server {server} cut off its clients without a reason"
            );
        }
    });
}
