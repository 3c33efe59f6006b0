//! A joined room without sessions: several servers' parts in one process, over a fake engine and over a real one.

mod fake_engine;
mod faults;
mod order;
mod real_engine;
mod room;
mod script;
mod shipped;
mod start;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use super::*;
use crate::server::lock;

const DEADLINE: Duration = Duration::from_secs(30);

/// Polls until it holds.
#[track_caller]
fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < DEADLINE, "waited in vain for: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// Times that let a test see a lease end. Longer than what a busy machine does to a thread.
fn settings() -> Settings {
    Settings {
        answer: Duration::from_millis(1000),
        block: Duration::from_millis(200),
        lease: Duration::from_millis(2500),
        window: 200_000,
        give_up: Duration::from_secs(20),
        retry: Duration::from_millis(5)..=Duration::from_millis(100),
        ..Settings::default()
    }
}

/// Stands for a server's clients: writes down what they get.
#[derive(Default)]
pub(super) struct Clients {
    seen: Mutex<Seen>,
    /// Readers hold the room.
    blocked: AtomicBool,
    /// Ending all clients takes until this is false, and has begun.
    slow_to_end: AtomicBool,
    is_ending: AtomicBool,
}

#[derive(Default)]
struct Seen {
    /// What all that hear the room got, from one cut-off to the next.
    runs: Vec<Vec<String>>,
    /// What `ends` was when each of them began.
    begins: Vec<u64>,
    single: Vec<(u64, String)>,
    cut_offs: usize,
    was_cut_off: bool,
    /// How many times all were told to end, which is more than once in a cut-off.
    ends: u64,
    refused: Option<String>,
}

impl Local for Clients {
    fn deliver(&self, deliveries: &[Delivery<'_>]) {
        let began = Instant::now();
        while self.blocked.load(Ordering::SeqCst) && began.elapsed() < DEADLINE {
            thread::sleep(Duration::from_millis(1));
        }
        let mut seen = lock(&self.seen);
        for delivery in deliveries {
            let text = |text: &[u8]| String::from_utf8(text.to_vec()).unwrap();
            match delivery {
                Delivery::Everyone { lines, text: bytes } => {
                    let text = text(bytes);
                    assert_eq!(text.lines().count() as u64, *lines);
                    if seen.runs.is_empty() || std::mem::take(&mut seen.was_cut_off) {
                        seen.runs.push(Vec::new());
                        let ends = seen.ends;
                        seen.begins.push(ends);
                    }
                    seen.runs.last_mut().unwrap().extend(text.lines().map(str::to_owned));
                }
                Delivery::One { client, text: bytes } => seen.single.push((*client, text(bytes))),
                Delivery::Question { client, text: bytes } => seen.single.push((*client, text(bytes))),
                Delivery::Own(words) => seen.single.push((words.client, text(&words.text))),
                Delivery::Named { .. } => {}
            }
        }
    }

    fn cut_off_all(&self) {
        self.is_ending.store(true, Ordering::SeqCst);
        wait_for("clients may be ended", || !self.slow_to_end.load(Ordering::SeqCst));
        let mut seen = lock(&self.seen);
        if !seen.was_cut_off {
            seen.cut_offs += 1;
        }
        seen.was_cut_off = true;
        seen.ends += 1;
    }

    fn refused(&self, error: JoinError) {
        lock(&self.seen).refused = Some(error.to_string());
    }
}

/// A server without sessions.
struct Server {
    joined: Joined,
    clients: Arc<Clients>,
}

impl Server {
    fn start(url: &str, settings: Settings) -> Server {
        Server::start_with(Join::from(url.parse::<JoinUrl>().unwrap()), settings)
    }

    fn start_with(join: Join, settings: Settings) -> Server {
        let clients = Arc::new(Clients::default());
        let joined = Joined::start_with(join, settings, 65536, Arc::clone(&clients) as Arc<dyn Local>).unwrap();
        Server { joined, clients }
    }

    #[track_caller]
    fn joined(url: &str, settings: Settings) -> Server {
        let server = Server::start(url, settings);
        server.wait_until_joined();
        server
    }

    #[track_caller]
    fn wait_until_joined(&self) {
        wait_for("the server has joined", || self.joined.phase() == Phase::Joined);
    }

    fn say(&self, client: u64, line: &str) -> Result<(), Unsaid> {
        let text = format!("{line}\r\n");
        self.push(client, Item::Lines { lines: 1, text: text.as_bytes() })
    }

    fn push(&self, client: u64, item: Item<'_>) -> Result<(), Unsaid> {
        let began = Instant::now();
        if let Some(words) = self.joined.push(client, item, false, &|| began.elapsed() > DEADLINE)? {
            self.clients.deliver(&[Delivery::Own(words)]);
        }
        Ok(())
    }

    fn own(&self, client: u64, text: &str) {
        let words = OwnWords { client, lines: 1, text: text.as_bytes().to_vec(), deaf: text == "deaf" };
        let began = Instant::now();
        if let Some(words) = self.joined.push_own(words, false, &|| began.elapsed() > DEADLINE).unwrap() {
            self.clients.deliver(&[Delivery::Own(words)]);
        }
    }

    fn log_in(&self, client: u64, name: &str) -> Result<(), Unsaid> {
        let began = Instant::now();
        self.joined.log_in(client, &Arc::from(name), false, &|| began.elapsed() > DEADLINE)
    }

    fn who(&self) -> String {
        let mut out = Vec::new();
        self.joined.write_names(&mut out);
        String::from_utf8(out).unwrap()
    }

    fn lines(&self) -> Vec<String> {
        lock(&self.clients.seen).runs.last().cloned().unwrap_or_default()
    }

    fn single(&self, client: u64) -> Vec<String> {
        let seen = lock(&self.clients.seen);
        seen.single.iter().filter(|(to, _)| *to == client).map(|(_, text)| text.trim_end().to_owned()).collect()
    }

    fn cut_offs(&self) -> usize {
        lock(&self.clients.seen).cut_offs
    }

    /// Grows with each cut-off, and never while a membership goes on.
    fn ends(&self) -> u64 {
        lock(&self.clients.seen).ends
    }

    fn refusal(&self) -> Option<String> {
        lock(&self.clients.seen).refused.clone()
    }
}
