//! Random commands of several clients against a small model of a room, on one server and on two joined ones whose
//! connections to the engine are cut. A step is what one client says in one go, cut into pieces or not, and how the client
//! ends, if it does. After each step all clients have got exactly the lines that the [`oracle`] foresees.
//!
//! Runs repeat by their seed. A longer one, with 300,000 commands and the seed 7, is
//!
//! ```text
//! LOCALSOCKET_MODEL=7:300000 cargo test --release --test suite model -- --nocapture
//! ```

mod expected;
mod oracle;

use crate::common::*;
use oracle::{INVALID_IDS, INVALID_NAMES, Oracle};

const NAMES: [&str; 8] = ["ada", "bob", "eve", "fay", "gil", "I am login!", "pool", "jobs"];
const IDS: [&str; 6] = ["1", "2", "3", "q-4", "a.5_", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"];
const CLIENTS: usize = 10;

/// How a client ends after a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    No,
    Quit,
    /// It closes its sending half, behind a last line that has no line end.
    HalfClose,
    /// It goes with lines unread, so that its connection is reset.
    Reset,
}

struct Run {
    servers: Vec<TestServer>,
    /// By the client's number: its server and its connection. The first client of each server only listens, and speaks to
    /// find out what has been heard.
    peers: BTreeMap<u32, (usize, Peer)>,
    oracle: Oracle,
    random: Random,
    seed: u64,
    /// What the present step says.
    burst: Vec<String>,
    /// What was done last.
    done: VecDeque<String>,
    said: usize,
}

impl Drop for Run {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.done.iter().for_each(|step| println!("{step}"));
            println!("the seed is {}, {} commands were said", self.seed, self.said);
        }
    }
}

impl Run {
    fn start(configs: Vec<Config>, seed: u64) -> Run {
        let Limits { max_line, history, .. } = configs[0].limits;
        let servers: Vec<TestServer> = configs.into_iter().map(TestServer::start).collect();
        if servers.len() > 1 {
            wait_for("all have joined", || {
                servers.iter().all(|server| server.handle.stats().shared == Some((servers.len(), true)))
            });
        }
        let oracle = Oracle::new(max_line, history, servers.len() > 1);
        let peers = BTreeMap::new();
        let (random, burst, done) = (Random(seed), Vec::new(), VecDeque::new());
        let mut run = Run { servers, peers, oracle, random, seed, burst, done, said: 0 };
        for server in 0..run.servers.len() {
            run.connect(server);
        }
        for listener in 0..run.servers.len() as u32 {
            run.say(listener, format!("iam:listener {listener}"));
            run.say(listener, "mark".to_owned());
            run.step(listener, End::No);
        }
        run
    }

    fn below(&mut self, bound: usize) -> usize {
        self.random.below(bound as u64) as usize
    }

    fn pick(&mut self, all: &[&str]) -> String {
        all[self.below(all.len())].to_owned()
    }

    fn connect(&mut self, server: usize) -> u32 {
        let TestServer { tcp, unix, .. } = &self.servers[server];
        let address = if self.random.below(2) == 0 { tcp } else { unix };
        let mut peer = Peer::connect(address);
        peer.ping();
        let number = self.oracle.connect();
        self.done.push_back(format!("{number} connects to {address}, server {server}"));
        self.peers.insert(number, (server, peer));
        number
    }

    fn say(&mut self, by: u32, command: String) {
        self.oracle.run(by, &command);
        self.burst.push(command);
    }

    /// One client says what it has to say in one go, and all get what is theirs.
    fn step(&mut self, by: u32, end: End) {
        let commands = std::mem::take(&mut self.burst);
        // What a peer's kernel still holds of a connection that is reset is lost.
        let piece = if end == End::Reset { 0 } else { [1, 2, 7, 50, 0, 0, 0, 0, 0, 0, 0, 0][self.below(12)] };
        self.done.push_back(format!("{by}, pieces of {piece}: {commands:?} {end:?}"));
        self.done.drain(..self.done.len().saturating_sub(40));
        self.said += commands.len();
        let mut bytes = Vec::new();
        for command in commands {
            // A line that is not UTF-8 has this in it.
            bytes.extend(command.bytes().map(|byte| if byte == 1 { 0xff } else { byte }));
            bytes.extend_from_slice(if self.random.below(4) == 0 { b"\r\n" } else { b"\n" });
        }
        match end {
            End::No => {
                bytes.extend_from_slice(b"ping\n");
                self.oracle.run(by, "ping");
            }
            End::Quit => bytes.extend_from_slice(b"quit\nmsg:never\n"),
            End::HalfClose => {
                bytes.extend_from_slice(b"msg:last\r");
                self.oracle.run(by, "msg:last");
            }
            End::Reset => {}
        }
        let (server, peer) = self.peers.get_mut(&by).unwrap();
        let server = *server;
        bytes.chunks(if piece == 0 { bytes.len().max(1) } else { piece }).for_each(|piece| peer.send(piece));
        if end == End::No {
            self.take(by);
        } else {
            let expected = self.oracle.leave(by);
            let (_, mut peer) = self.peers.remove(&by).unwrap();
            if end != End::Reset {
                if end == End::HalfClose {
                    peer.end_input();
                }
                self.oracle.check(expected, || peer.line().unwrap_or_default());
                peer.expect_end();
            }
            drop(peer);
            let (handle, left) = (&self.servers[server].handle, self.peers.values().filter(|(at, _)| *at == server));
            let left = left.count();
            wait_for("the client to be gone", || handle.clients() == left);
        }
        // What a listener says is heard, on each server, behind all that was said before. What one server decides then is
        // in the log by the time that all of them have said something, and has come when they have done so again.
        let listeners = self.servers.len() as u32;
        let speakers: Vec<u32> = match () {
            _ if !self.oracle.late.is_empty() => (0..listeners).chain(0..listeners).collect(),
            _ if end == End::Reset || listeners > 1 => vec![server as u32],
            _ => Vec::new(),
        };
        for speaker in speakers {
            self.oracle.all_heard(speaker, listeners);
            self.peers.get_mut(&speaker).unwrap().1.send("msg:all heard\n");
            (0..listeners).for_each(|listener| self.take(listener));
        }
        self.oracle.settle();
        let all: Vec<u32> = self.peers.keys().copied().collect();
        all.iter().for_each(|number| self.take(*number));
        // And nothing else.
        for number in &all {
            self.oracle.run(*number, "ping");
            self.peers.get_mut(number).unwrap().1.send("ping\n");
        }
        all.iter().for_each(|number| self.take(*number));
    }

    /// Takes what is expected for a client.
    fn take(&mut self, number: u32) {
        let Some(client) = self.oracle.clients.get_mut(&number) else { return };
        let expected = std::mem::take(&mut client.expected);
        let peer = &mut self.peers.get_mut(&number).unwrap().1;
        self.oracle.check(expected, || peer.line().unwrap_or_default());
    }

    /// A name to take, seldom one that is served.
    fn name(&mut self) -> String {
        let count = if self.below(16) == 0 { NAMES.len() } else { NAMES.len() - 2 };
        self.pick(&NAMES[..count])
    }

    fn text(&mut self) -> String {
        let padding = [1, 1, 10, 120][self.below(4)];
        let (sign, padding) = (self.pick(&["", ": \t", " > b: ", " \u{e4} "]), "x".repeat(self.below(padding)));
        format!("{}{sign}{padding}", self.said)
    }

    /// A command by chance. `used` are the ids that the client has used in this step: whether they are open is not
    /// certain before the step is over.
    fn command(&mut self, by: u32, used: &mut BTreeSet<String>) -> String {
        let (name, text) = (self.name(), self.text());
        let someone = self.pick(&[&name, &name, "pool", "pool", "jobs", "s1", " bob ", "nobody"]);
        match self.below(100) {
            0..8 => format!("iam:{}", if self.below(8) == 0 { self.pick(&INVALID_NAMES) } else { name }),
            8..27 => format!("msg:{text}"),
            27..37 => format!("to:{someone}:{text}"),
            37..53 => {
                let id = if self.below(20) == 0 { self.pick(&INVALID_IDS) } else { self.pick(&IDS) };
                if !used.insert(id.clone()) || self.oracle.clients[&by].open.len() > 200 {
                    return "ping".to_owned();
                }
                format!("ask:{someone}:{id}:{text}")
            }
            53..72 => {
                let command = self.pick(&["answer", "answer", "part", "refuse"]);
                let owed = self.oracle.questions.iter().filter(|owed| owed.debtor == by);
                let owed: Vec<_> = owed.map(|owed| (owed.name.clone(), owed.id.clone())).collect();
                let (asker, id) = match owed.get(self.below(owed.len() + 1)) {
                    Some(owed) => owed.clone(),
                    None => (name, self.pick(&IDS)),
                };
                let command = format!("{command}:{asker}:{id}:{text}");
                used.insert(id);
                command
            }
            72 => self.pick(&["deaf", "help", "stats"]),
            73..80 => {
                let own = format!("s{}", self.below(18));
                let other = if self.servers.len() == 1 { name } else { own.clone() };
                format!("serve:{}", self.pick(&["pool", "pool", "jobs", &own, &own, &other, "a,b"]))
            }
            80..84 => "who".to_owned(),
            84..87 => self.pick(&["who:pool", "who:jobs", "who:s1", "who:ada"]),
            87..90 => "mark".to_owned(),
            90..95 => {
                let (life, now) = (self.oracle.life.clone(), self.oracle.lines.len());
                let mark = format!("{life}.{}", now.saturating_sub(self.below(60)));
                let beyond = format!("{life}.{}", now + 1 + self.below(3));
                format!("since:{}", self.pick(&[&mark, &mark, &mark, &mark, "all", "all", &beyond, "0.0", ""]))
            }
            95 => format!("msg:{}", "x".repeat(self.oracle.max_line - 4 + self.below(2))),
            96 => "msg:\u{1}".to_owned(),
            97 => {
                self.pick(&["iam", "msg", "to:bob", "ask:bob:1", "quit:", "ping:", "Ping", "\u{e4}", "auth:x", "serve"])
            }
            98 => String::new(),
            _ => "ping".to_owned(),
        }
    }

    /// Many questions to one client, from one that may leave then.
    fn flood(&mut self) {
        let (asked, by) = (self.pick(&NAMES[..8 - 2 * (self.servers.len() - 1)]), self.connect(0));
        let debtor = self.oracle.asked(&asked).first().copied();
        // Beyond the limit only if no question ends at once: the asker has to receive the end first.
        let count = if debtor.is_some_and(|debtor| self.oracle.owes(debtor) < 3800) { 258 } else { 256 };
        self.say(by, format!("iam:f{by}"));
        (0..count).for_each(|number| self.say(by, format!("ask:{asked}:f{number}:")));
        let end = [End::No, End::Quit, End::Reset][if self.oracle.late.is_empty() { self.below(3) } else { 0 }];
        self.step(by, end);
    }

    fn go_on(&mut self, commands: usize) {
        while self.said < commands {
            let server = self.below(self.servers.len());
            match self.below(1000) {
                0..2 => self.flood(),
                2 if self.said > 20_000 => (0..20).for_each(|_| self.flood()),
                _ if self.peers.len() < CLIENTS && self.below(3) == 0 => {
                    let (by, name) = (self.connect(server), self.name());
                    self.say(by, format!("iam:{name}"));
                    self.step(by, End::No);
                }
                _ => {
                    let others: Vec<u32> = self.peers.keys().copied().skip(self.servers.len()).collect();
                    if others.is_empty() {
                        continue;
                    }
                    let by = others[self.below(others.len())];
                    let before = self.peers.len();
                    let end = [End::Quit, End::HalfClose, End::Reset].get(self.below(60 - 2 * before.min(20)));
                    let mut end = end.copied().unwrap_or(End::No);
                    let mut used = BTreeSet::new();
                    if self.below(100) == 0 {
                        (0..18).for_each(|number| self.say(by, format!("serve:s{number}")));
                    }
                    for _ in 0..1 + self.below(6) {
                        let command = self.command(by, &mut used);
                        self.say(by, command);
                        if !self.oracle.late.is_empty() {
                            end = End::No;
                            break;
                        }
                    }
                    self.step(by, end);
                }
            }
        }
    }
}

fn config(join: Option<&str>) -> Config {
    // Small enough that lines are too long, and that marks are too old.
    let limits = Limits { max_line: 300, max_backlog: 1 << 20, history: 1500, ..Limits::default() };
    let join = join.map(|url| Join::from(url.parse::<JoinUrl>().unwrap()));
    Config { mode: Mode::Room, limits, join, ..Config::default() }
}

fn run(configs: Vec<Config>, seed: u64, commands: usize) {
    let mut run = Run::start(configs, seed);
    run.go_on(commands);
    println!("{} commands, {} lines in the room", run.said, run.oracle.lines.len());
}

/// The seed and the number of commands, unless a longer run is asked for.
fn asked_for(commands: usize) -> (u64, usize) {
    let value = std::env::var("LOCALSOCKET_MODEL").unwrap_or(format!("1:{commands}"));
    let (seed, commands) = value.split_once(':').unwrap();
    (seed.parse().unwrap(), commands.parse().unwrap())
}

#[test]
fn one_server_does_what_the_model_foresees() {
    let (seed, commands) = asked_for(4000);
    run(vec![config(None)], seed, commands);
}

#[test]
fn two_joined_servers_do_what_the_model_foresees() {
    let Some(engine) = Engine::start() else { return };
    let (seed, commands) = asked_for(1500);
    let proxy = Proxy::start(&engine.socket(), seed, 40_000);
    run(vec![config(Some(&proxy.url())), config(Some(&proxy.url()))], seed, commands);
    println!("{} cuts", proxy.cuts.load(Ordering::SeqCst));
}
