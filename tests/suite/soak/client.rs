//! A client that talks, asks and answers all the time, goes in every way that there is, comes back whenever its connection
//! has ended, with what it missed, and writes down what it got on each connection.

use crate::common::*;
use std::sync::MutexGuard;

/// A client in one of its lives. Its name, which never comes back, is `c` and its number, `x` and the life, and once it is
/// renamed a dot and how often.
pub type Who = (u8, u32);

/// The name that several clients serve.
const POOL: &str = "pool";

/// How far a run has come: nobody goes any more, nothing new is said, and nobody listens.
pub const CALM: usize = 1;
pub const OVER: usize = 2;
pub const CLOSED: usize = 3;

/// Longer than the room waits for a reader.
const STALL: Duration = Duration::from_millis(2500);

/// What the room was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Event {
    Joined(Who),
    Said(Who, u32),
    Renamed(Who, u32),
    Left(Who),
}

/// What a client has sent that is answered in the order of the commands.
#[derive(Debug, PartialEq, Eq)]
enum Due {
    Said(u32),
    Direct(Who, u32),
    Renamed(u32),
    Pong,
    Serving,
    Mark,
    Since,
}

/// How a client goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Quit,
    HalfClose,
    /// It closes with lines unread, so that the connection is reset.
    Reset,
    /// It reads nothing for longer than the room waits, and then what it gets.
    Stall,
}

const WAYS: [Way; 4] = [Way::Quit, Way::HalfClose, Way::Reset, Way::Stall];

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
    pub too_slow: bool,
    pub said: u32,
    pub events: Vec<Event>,
    /// The mark behind the last event, once the client knows one: the life of the room and the number.
    pub mark: Option<(String, u64)>,
    /// The last event before this connection, for the time until it has got what came after it.
    pub missed: Option<(Event, String)>,
    pub resumed: bool,
    /// How often it was renamed, and how often it wanted to be.
    version: u32,
    renamed: u32,
    /// How it goes, once it does.
    pub way: Option<Way>,
    /// What was not answered when the connection ended behind a `quit` or a half close.
    pub unanswered: usize,
    /// It got the last words of a server that stops.
    pub told: bool,
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
    answers: Vec<String>,
    /// Askers that were gone when it answered, or before.
    pub gone: HashSet<Who>,
    pub withdrawn: HashSet<(Who, u32)>,
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

    fn event(&mut self, event: Event) {
        self.events.push(event);
        if let Some((_, number)) = &mut self.mark {
            *number += 1;
        }
    }

    /// Takes the answer to `mark` or `since:`.
    fn at(&mut self, mark: &str, line: &str) {
        let (room, number) = mark.split_once('.').unwrap();
        let mark = (room.to_owned(), number.parse().unwrap());
        if self.due.front() == Some(&Due::Since) {
            // What it had heard comes again. The last event on the connection before comes right before the next one.
            let (event, wanted) = self.missed.take().unwrap();
            assert_eq!(line, format!("at {wanted}"));
            (self.events, self.resumed) = (vec![event], true);
        } else {
            self.next(&Due::Mark, line);
            assert!(self.mark.as_ref().is_none_or(|known| *known == mark), "{line} instead of {:?}", self.mark);
            self.mark = Some(mark);
            return;
        }
        self.due.pop_front();
        self.mark = Some(mark);
    }

    fn take(&mut self, line: &str) {
        assert!(!self.cut_off, "after the words of a cut-off: {line}");
        if let Some(error) = line.strip_prefix("error: ") {
            self.error(error, line);
        } else if line == "pong" {
            self.next(&Due::Pong, line);
        } else if line == "serving" {
            self.next(&Due::Serving, line);
        } else if let Some(mark) = line.strip_prefix("at ") {
            self.at(mark, line);
        } else if let Some(who) = line.strip_suffix(" has joined") {
            let who = parse(who);
            self.has_joined |= who == self.who;
            self.event(Event::Joined(who));
        } else if let Some(who) = line.strip_suffix(" has left") {
            self.event(Event::Left(parse(who)));
        } else if let Some((old, new)) = line.split_once(" is now ") {
            let (who, number) = (parse(new), new.split_once('.').unwrap().1.parse().unwrap());
            assert_eq!(who, parse(old), "{line}");
            if who == self.who {
                self.next(&Due::Renamed(number), line);
                self.version = number;
            }
            self.event(Event::Renamed(who, number));
        } else if let Some((who, rest)) = line.split_once(" -> ") {
            let key = (parse(who), rest.strip_suffix(": withdrawn").unwrap().parse().unwrap());
            assert!(
                self.questions.contains(&key) && self.withdrawn.insert(key),
                "never asked, or withdrawn twice: {line}"
            );
            self.gone.insert(key.0);
        } else if let Some((_, rest)) = line.split_once(" +> ") {
            let (id, _) = rest.split_once(": ").unwrap();
            assert!(self.open.contains(&id.parse().unwrap()), "a part without a question: {line}");
        } else if let Some((who, rest)) = line.split_once(" ?> ") {
            let (id, text) = rest.split_once(": ").unwrap();
            assert!(self.questions.insert((parse(who), id.parse().unwrap())), "asked twice: {line}");
            self.answers.push(format!("part:{who}:{id}:re\nanswer:{who}:{id}:re {text}\n"));
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
            self.event(Event::Said(who, number));
        }
    }

    fn error(&mut self, error: &str, line: &str) {
        if error == "cut off from the other servers" {
            self.cut_off = true;
        } else if error == "server is shutting down" {
            self.told = true;
        } else if error == "too slow" {
            self.too_slow = true;
        } else if error.starts_with("lines since ") {
            // It goes on without them.
            self.next(&Due::Since, line);
            self.missed = None;
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

    /// The answers that are to be sent now, some of which wait for longer.
    fn answer(&mut self, random: &mut Random) -> String {
        let (now, later) = std::mem::take(&mut self.answers).into_iter().partition(|_| random.below(4) > 0);
        self.answers = later;
        let now: Vec<String> = now;
        now.concat()
    }

    /// Something to say, by chance.
    fn make(&mut self, random: &mut Random, others: &[(Who, u32)]) -> String {
        let other = others[random.below(others.len() as u64) as usize];
        let (other, name) = (other.0, name(other.0, other.1));
        match random.below(20) {
            0 | 1 if other != self.who => {
                let number = self.sent.entry(other).or_insert(0);
                *number += 1;
                self.due.push_back(Due::Direct(other, *number - 1));
                format!("to:{name}:{}\n", *number - 1)
            }
            2 if self.open.len() < 100 => {
                self.asked += 1;
                self.open.insert(self.asked);
                let name = [&name, POOL][random.below(2) as usize];
                format!("ask:{name}:{}:question {}\n", self.asked, self.asked)
            }
            3 => {
                self.due.push_back(Due::Pong);
                "ping\n".to_owned()
            }
            4 => {
                self.due.push_back(Due::Mark);
                "mark\n".to_owned()
            }
            5 if random.below(4) == 0 => {
                self.due.push_back(Due::Serving);
                format!("serve:{POOL}\n")
            }
            6 if random.below(4) == 0 => {
                self.renamed += 1;
                self.due.push_back(Due::Renamed(self.renamed));
                format!("iam:{}\n", self::name(self.who, self.renamed))
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

fn name((client, life): Who, version: u32) -> String {
    if version == 0 { format!("c{client}x{life}") } else { format!("c{client}x{life}.{version}") }
}

fn parse(name: &str) -> Who {
    let parts = name.strip_prefix('c').and_then(|rest| rest.split('.').next()?.split_once('x'));
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
    /// Its present life, and how often it was renamed in that.
    current: Mutex<(Who, u32)>,
    /// It says something each so many microseconds at most.
    pace: u64,
}

impl Client {
    pub fn new(number: u8, server: usize, path: PathBuf, pace: u64) -> Client {
        let current = ((number, 0), 0).into();
        Client { number, server, path, lives: Mutex::default(), seen: AtomicUsize::new(0), current, pace }
    }

    /// What it has got on its last connection.
    pub fn with_last<T>(&self, read: impl FnOnce(&Life) -> T) -> Option<T> {
        self.lives.lock().unwrap().last().map(read)
    }

    /// Connects again and again until it is told to end, and then stays connected until [`CLOSED`].
    pub fn run(&self, all: &[Client], phase: &AtomicUsize) {
        while phase.load(Ordering::SeqCst) < OVER {
            let Ok(stream) = UnixStream::connect(&self.path) else {
                thread::sleep(Duration::from_millis(20));
                continue;
            };
            let life = {
                let mut lives = self.lives.lock().unwrap();
                let mut life = Life::new((self.number, lives.len() as u32), self.server);
                life.missed = lives.last().and_then(|last| match (last.events.last(), &last.mark) {
                    (Some(event), Some((room, number))) => Some((*event, format!("{room}.{number}"))),
                    _ => last.missed.clone(),
                });
                let who = life.who;
                lives.push(life);
                who
            };
            thread::scope(|scope| {
                scope.spawn(|| self.talk(life, &stream, all, phase));
                self.listen(&stream, phase);
            });
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn last(&self) -> LastLife<'_> {
        LastLife(self.lives.lock().unwrap())
    }

    fn listen(&self, stream: &UnixStream, phase: &AtomicUsize) {
        stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        let (mut reader, mut line, mut has_stalled) = (BufReader::new(stream), Vec::new(), false);
        let is_slow = self.last().who.1 % 4 == 1;
        while phase.load(Ordering::SeqCst) < CLOSED {
            let way = self.last().way;
            match way {
                // Closed with lines unread, as soon as nobody holds the stream any more.
                Some(Way::Reset) => {
                    self.last().is_live = false;
                    return;
                }
                Some(Way::Stall) if !std::mem::replace(&mut has_stalled, true) => thread::sleep(STALL),
                _ if is_slow => thread::sleep(Duration::from_micros(100)),
                _ => {}
            }
            match reader.read_until(b'\n', &mut line) {
                // A piece without a line end is no line.
                Ok(_) if !line.ends_with(b"\r\n") => break,
                // From now on others leave.
                Ok(_) if phase.load(Ordering::SeqCst) == CLOSED => break,
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
        let mut life = self.last();
        life.is_live = phase.load(Ordering::SeqCst) == CLOSED;
        if matches!(life.way, Some(Way::Quit | Way::HalfClose)) && !life.too_slow {
            life.unanswered = life.due.len();
        }
        let _ = stream.shutdown(std::net::Shutdown::Both);
    }

    /// Only this writes, so that a server that takes nothing does not keep the client from reading.
    fn talk(&self, who: Who, mut stream: &UnixStream, all: &[Client], phase: &AtomicUsize) {
        if stream.write_all(format!("iam:{}\n", name(who, 0)).as_bytes()).is_err() {
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
        let first = {
            let mut life = self.last();
            let since = life.missed.as_ref().map(|(_, mark)| format!("since:{mark}\n"));
            life.due.push_back(if since.is_some() { Due::Since } else { Due::Mark });
            since.unwrap_or_else(|| "mark\n".to_owned())
        };
        let mut random = Random(u64::from(self.number) << 32 | u64::from(who.1));
        let mut words = first;
        while phase.load(Ordering::SeqCst) < CLOSED {
            // A client that has enough under way has nothing to write that could fail.
            if !self.last().is_live || stream.write_all(words.as_bytes()).is_err() {
                return;
            }
            thread::sleep(Duration::from_micros(random.below(self.pace)));
            words.clear();
            let mut life = self.last();
            *self.current.lock().unwrap() = (who, life.version);
            let others: Vec<(Who, u32)> = all.iter().map(|client| *client.current.lock().unwrap()).collect();
            for _ in 0..=random.below(6) {
                if life.due.len() < 300 && phase.load(Ordering::SeqCst) < OVER {
                    words.push_str(&life.make(&mut random, &others));
                }
            }
            words.push_str(&life.answer(&mut random));
            let is_calm = phase.load(Ordering::SeqCst) >= CALM;
            let way = match life.way {
                None if !is_calm && random.below(100) == 0 => WAYS[random.below(4) as usize],
                Some(Way::Stall) if is_calm => Way::Quit,
                _ => continue,
            };
            life.way = Some(way);
            drop(life);
            if way != Way::Stall {
                words.push_str(if way == Way::Quit { "quit\nmsg:never\n" } else { "" });
                let _ = stream.write_all(words.as_bytes());
                let _ = (way == Way::HalfClose).then(|| stream.shutdown(std::net::Shutdown::Write));
                return;
            }
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
