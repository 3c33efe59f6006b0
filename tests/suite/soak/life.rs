//! What a client of the long run gets on one connection, compared with what it has sent and with the rules of a room.

use crate::common::*;

/// A client in one of its lives. Its name, which never comes back, is `c` and its number, `x` and the life, and once it is
/// renamed a dot and how often.
pub type Who = (u8, u32);

/// The name that several clients serve.
const POOL: &str = "pool";

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
pub enum Due {
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

pub const WAYS: [Way; 4] = [Way::Quit, Way::HalfClose, Way::Reset, Way::Stall];

/// One connection of a client, from its beginning to its end.
#[derive(Debug, Default)]
pub struct Life {
    pub who: Who,
    pub server: usize,
    pub is_live: bool,
    pub has_joined: bool,
    /// Its server is not in the room yet.
    pub was_refused: bool,
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
    pub version: u32,
    pub renamed: u32,
    /// How it goes, once it does.
    pub way: Option<Way>,
    /// What was not answered when the connection ended behind a `quit` or a half close.
    pub unanswered: usize,
    /// It got the last words of a server that stops.
    pub told: bool,
    pub due: VecDeque<Due>,
    /// Direct messages by receiver: how many were sent, which were confirmed.
    pub sent: HashMap<Who, u32>,
    pub confirmed: HashMap<Who, Vec<u32>>,
    /// Direct messages by sender.
    pub received: HashMap<Who, Vec<u32>>,
    pub asked: u32,
    pub open: HashSet<u32>,
    pub answered: u32,
    /// Questions that were put to it.
    pub questions: HashSet<(Who, u32)>,
    /// Answers that are to be sent.
    pub answers: Vec<String>,
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

    pub fn take(&mut self, line: &str) {
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
    pub fn answer(&mut self, random: &mut Random) -> String {
        let (now, later) = std::mem::take(&mut self.answers).into_iter().partition(|_| random.below(4) > 0);
        self.answers = later;
        let now: Vec<String> = now;
        now.concat()
    }

    /// Something to say, by chance.
    pub fn make(&mut self, random: &mut Random, others: &[(Who, u32)]) -> String {
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

pub fn name((client, life): Who, version: u32) -> String {
    if version == 0 { format!("c{client}x{life}") } else { format!("c{client}x{life}.{version}") }
}

fn parse(name: &str) -> Who {
    let parts = name.strip_prefix('c').and_then(|rest| rest.split('.').next()?.split_once('x'));
    let (client, life) = parts.unwrap_or_else(|| panic!("nobody is called {name:?}"));
    (client.parse().unwrap(), life.parse().unwrap())
}
