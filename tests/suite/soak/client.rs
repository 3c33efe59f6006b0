//! A client that talks, asks and answers all the time, comes back whenever its connection ends, and writes down what it
//! got on each connection.

use std::collections::{HashMap, HashSet, VecDeque};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::{DEADLINE, Random};

/// A client's name in one of its lives, never to be had again: `c` and its number, `x` and the life.
pub type Who = (u8, u32);

/// What the room was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Event {
    Joined(Who),
    Said(Who, u32),
    Left(Who),
}

/// What a client has sent that is answered in the order of the commands.
#[derive(Debug, PartialEq, Eq)]
enum Due {
    Said(u32),
    Direct(Who, u32),
    Pong,
}

/// One connection of a client, from its beginning to its end.
#[derive(Debug, Default)]
pub struct Life {
    pub who: Who,
    pub server: usize,
    pub is_live: bool,
    pub has_joined: bool,
    /// Its server is not in the room yet.
    was_refused: bool,
    /// It was told that it is cut off.
    pub cut_off: bool,
    pub said: u32,
    pub events: Vec<Event>,
    due: VecDeque<Due>,
    /// Direct messages by receiver: how many were sent, which were confirmed.
    sent: HashMap<Who, u32>,
    pub confirmed: HashMap<Who, Vec<u32>>,
    /// Direct messages by sender.
    pub received: HashMap<Who, Vec<u32>>,
    pub asked: u32,
    open: HashSet<u32>,
    pub answered: u32,
    /// Questions that were put to it.
    questions: HashSet<(Who, u32)>,
    /// Answers that are to be sent.
    answers: String,
    /// Askers that were gone when it answered.
    pub gone: HashSet<Who>,
}

impl Life {
    pub fn new(who: Who, server: usize) -> Life {
        Life { who, server, is_live: true, ..Life::default() }
    }

    /// How far it has come, for when the room does not go on.
    pub fn summary(&self) -> String {
        let Life { who, server, is_live, has_joined, was_refused, cut_off, .. } = self;
        let (due, events) = (self.due.front(), self.events.last());
        format!(
            "{who:?} at {server}: live {is_live}, joined {has_joined}, refused {was_refused}, cut off {cut_off}; waits for \
             {due:?} and {} answers; last {events:?}",
            self.open.len()
        )
    }

    /// Everything that it has sent has been answered.
    pub fn is_quiet(&self) -> bool {
        self.due.is_empty() && self.open.is_empty()
    }

    fn next(&mut self, due: &Due, line: &str) {
        assert_eq!(self.due.pop_front().as_ref(), Some(due), "out of order: {line}");
    }

    fn take(&mut self, line: &str) {
        assert!(!self.cut_off, "after the words of a cut-off: {line}");
        if let Some(error) = line.strip_prefix("error: ") {
            self.error(error, line);
        } else if line == "pong" {
            self.next(&Due::Pong, line);
        } else if let Some(who) = line.strip_suffix(" has joined") {
            let who = parse(who);
            self.has_joined |= who == self.who;
            self.events.push(Event::Joined(who));
        } else if let Some(who) = line.strip_suffix(" has left") {
            self.events.push(Event::Left(parse(who)));
        } else if let Some((who, rest)) = line.split_once(" ?> ") {
            let (id, text) = rest.split_once(": ").unwrap();
            assert!(self.questions.insert((parse(who), id.parse().unwrap())), "asked twice: {line}");
            self.answers.push_str(&format!("answer:{who}:{id}:re {text}\n"));
        } else if let Some((_, rest)) = line.split_once(" => ") {
            let (id, text) = rest.split_once(": ").unwrap();
            assert_eq!(text, format!("re question {id}"), "{line}");
            assert!(self.open.remove(&id.parse().unwrap()), "answered twice: {line}");
            self.answered += 1;
        } else if let Some((from, rest)) = line.split_once(" > ") {
            let (to, text) = rest.split_once(": ").unwrap();
            let (from, to, number) = (parse(from), parse(to), text.parse().unwrap());
            if from == self.who {
                self.next(&Due::Direct(to, number), line);
                self.confirmed.entry(to).or_default().push(number);
            } else {
                assert_eq!(to, self.who, "{line}");
                self.received.entry(from).or_default().push(number);
            }
        } else {
            let (who, text) = line.split_once(": ").unwrap();
            let (who, number) = (parse(who), text.split(' ').next().unwrap().parse().unwrap());
            if who == self.who {
                self.next(&Due::Said(number), line);
            }
            self.events.push(Event::Said(who, number));
        }
    }

    fn error(&mut self, error: &str, line: &str) {
        if error == "cut off from the other servers" {
            self.cut_off = true;
        } else if let Some(name) = error.strip_prefix("nobody here is called ") {
            let Some(Due::Direct(who, _)) = self.due.pop_front() else { panic!("out of order: {line}") };
            assert_eq!(who, parse(name), "{line}");
        } else if let Some(rest) = error.strip_prefix("question ") {
            let (id, _) = rest.split_once(": ").unwrap();
            assert!(self.open.remove(&id.parse().unwrap()), "answered twice: {line}");
        } else if let Some((_, asker)) =
            error.strip_prefix("no open question ").and_then(|rest| rest.split_once(" of "))
        {
            self.gone.insert(parse(asker));
        } else {
            assert!(error == "not joined yet" && !self.has_joined, "{line}");
            self.was_refused = true;
        }
    }

    /// Something to say, by chance.
    fn make(&mut self, random: &mut Random, others: &[Who]) -> String {
        let other = others[random.below(others.len() as u64) as usize];
        match random.below(16) {
            0 | 1 if other != self.who => {
                let number = self.sent.entry(other).or_insert(0);
                *number += 1;
                self.due.push_back(Due::Direct(other, *number - 1));
                format!("to:{}:{}\n", name(other), *number - 1)
            }
            2 if self.open.len() < 100 => {
                self.asked += 1;
                self.open.insert(self.asked);
                format!("ask:{}:{}:question {}\n", name(other), self.asked, self.asked)
            }
            3 => {
                self.due.push_back(Due::Pong);
                "ping\n".to_owned()
            }
            _ => {
                self.said += 1;
                self.due.push_back(Due::Said(self.said - 1));
                let padding = "x".repeat([0, 0, 0, 500][random.below(4) as usize]);
                format!("msg:{} {padding}\n", self.said - 1)
            }
        }
    }
}

fn name((client, life): Who) -> String {
    format!("c{client}x{life}")
}

fn parse(name: &str) -> Who {
    let parts = name.strip_prefix('c').and_then(|rest| rest.split_once('x'));
    let (client, life) = parts.unwrap_or_else(|| panic!("nobody is called {name:?}"));
    (client.parse().unwrap(), life.parse().unwrap())
}

pub struct Client {
    number: u8,
    server: usize,
    path: PathBuf,
    pub lives: Mutex<Vec<Life>>,
    /// How many lines it has got in all.
    pub seen: AtomicUsize,
    current: Mutex<Who>,
}

impl Client {
    pub fn new(number: u8, server: usize, path: PathBuf) -> Client {
        Client { number, server, path, lives: Mutex::default(), seen: AtomicUsize::new(0), current: (number, 0).into() }
    }

    /// What it has got on its last connection.
    pub fn with_last<T>(&self, read: impl FnOnce(&Life) -> T) -> Option<T> {
        self.lives.lock().unwrap().last().map(read)
    }

    /// Connects again and again until it is told to end, and then stays connected until `closed`.
    pub fn run(&self, all: &[Client], over: &AtomicBool, closed: &AtomicBool) {
        while !over.load(Ordering::SeqCst) {
            let Ok(stream) = UnixStream::connect(&self.path) else {
                thread::sleep(Duration::from_millis(20));
                continue;
            };
            let life = {
                let mut lives = self.lives.lock().unwrap();
                let who = (self.number, lives.len() as u32);
                lives.push(Life::new(who, self.server));
                who
            };
            thread::scope(|scope| {
                scope.spawn(|| self.talk(life, &stream, all, (over, closed)));
                self.listen(&stream, closed);
            });
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn last(&self) -> LastLife<'_> {
        LastLife(self.lives.lock().unwrap())
    }

    fn listen(&self, stream: &UnixStream, closed: &AtomicBool) {
        stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        let (mut reader, mut line) = (BufReader::new(stream), Vec::new());
        while !closed.load(Ordering::SeqCst) {
            match reader.read_until(b'\n', &mut line) {
                // A piece without a line end is no line.
                Ok(_) if !line.ends_with(b"\r\n") => break,
                // From now on others leave.
                Ok(_) if closed.load(Ordering::SeqCst) => break,
                Ok(_) => {
                    let text = std::str::from_utf8(&line[..line.len() - 2]).unwrap();
                    self.last().take(text);
                    self.seen.fetch_add(1, Ordering::SeqCst);
                    line.clear();
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => break,
            }
        }
        self.last().is_live = closed.load(Ordering::SeqCst);
        let _ = stream.shutdown(std::net::Shutdown::Both);
    }

    /// Only this writes, so that a server that takes nothing does not keep the client from reading.
    fn talk(&self, who: Who, mut stream: &UnixStream, all: &[Client], (over, closed): (&AtomicBool, &AtomicBool)) {
        if stream.write_all(format!("iam:{}\n", name(who)).as_bytes()).is_err() {
            return;
        }
        let began = Instant::now();
        while !self.last().has_joined {
            let (is_live, was_refused) = self.with_last(|life| (life.is_live, life.was_refused)).unwrap();
            // It comes again, with another name: this one may be held by a server that is dead.
            if !is_live || was_refused || began.elapsed() > DEADLINE {
                let _ = stream.shutdown(std::net::Shutdown::Both);
                return;
            }
            thread::sleep(Duration::from_millis(2));
        }
        *self.current.lock().unwrap() = who;
        let mut random = Random(u64::from(self.number) << 32 | u64::from(who.1));
        while !closed.load(Ordering::SeqCst) {
            let others: Vec<Who> = all.iter().map(|client| *client.current.lock().unwrap()).collect();
            let mut words = String::new();
            {
                let mut life = self.last();
                for _ in 0..=random.below(6) {
                    if life.due.len() < 300 && !over.load(Ordering::SeqCst) {
                        words.push_str(&life.make(&mut random, &others));
                    }
                }
                words.push_str(&std::mem::take(&mut life.answers));
            }
            // A client that has enough under way has nothing to write that could fail.
            if !self.last().is_live || stream.write_all(words.as_bytes()).is_err() {
                return;
            }
            thread::sleep(Duration::from_millis(random.below(50)));
        }
    }
}

struct LastLife<'l>(MutexGuard<'l, Vec<Life>>);

impl std::ops::Deref for LastLife<'_> {
    type Target = Life;

    fn deref(&self) -> &Life {
        self.0.last().unwrap()
    }
}

impl std::ops::DerefMut for LastLife<'_> {
    fn deref_mut(&mut self) -> &mut Life {
        self.0.last_mut().unwrap()
    }
}
