//! What a client of the long run gets on one connection, compared with what it has sent and with the rules of a room.

use crate::common::*;
use localsocket::protocol::Event;

/// A client in one of its lives. Its name, which never comes back, is `c` and its number, `x` and the life, and once it is
/// renamed a dot and how often.
pub type Who = (u8, u32);

/// The name that several clients serve.
const POOL: &str = "pool";

pub const CUT_OFF: &str = "cut off from the other servers";
pub const SHUTTING_DOWN: &str = "server is shutting down";
pub const TOO_SLOW: &str = "too slow";
/// Its server is not in the room yet.
pub const NOT_JOINED: &str = "not joined yet";

/// What the room was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Told {
    Joined(Who),
    Said(Who, u32),
    Renamed(Who, u32),
    Left(Who),
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
    /// What the server has said last of its own accord.
    pub words: String,
    pub said: u32,
    pub heard: Vec<Told>,
    /// The mark behind the last thing heard, once the client knows one: the life of the room and the number.
    pub mark: Option<(String, u64)>,
    /// What was heard last before this connection, with its mark, until it has got what came after it.
    pub missed: Option<(Told, String)>,
    /// How often it was renamed, and how often it wanted to be.
    pub version: u32,
    pub renamed: u32,
    /// How it goes, once it does.
    pub way: Option<Way>,
    /// What was not answered when the connection ended behind a `quit` or a half close.
    pub unanswered: usize,
    /// What is answered in the order of the commands: each has one reply or another. `at` stands for any mark.
    pub due: VecDeque<[String; 2]>,
    /// Direct messages by receiver: how many were sent, which were confirmed.
    pub sent: HashMap<Who, u32>,
    pub confirmed: HashMap<Who, Vec<u32>>,
    /// Direct messages by sender.
    pub received: HashMap<Who, Vec<u32>>,
    pub asked: u32,
    pub open: HashSet<u32>,
    /// Questions that were put to it, and those of them that were withdrawn.
    pub questions: HashSet<(Who, u32)>,
    pub withdrawn: HashSet<(Who, u32)>,
    /// Answers that are to be sent.
    pub answers: Vec<String>,
    /// Askers that were gone when it answered, or before.
    pub gone: HashSet<Who>,
}

impl Life {
    /// How far it has come, for when the room does not go on.
    pub fn summary(&self) -> String {
        let Life { who, server, is_live, has_joined, words, .. } = self;
        let (due, heard) = (self.due.front(), self.heard.last());
        format!(
            "{who:?} at {server}: live {is_live}, joined {has_joined}, told '{words}'; waits for {due:?} and {} answers; \
             last {heard:?}",
            self.open.len()
        )
    }

    /// Everything that it has sent has been answered.
    pub fn is_quiet(&self) -> bool {
        self.due.is_empty() && self.open.is_empty()
    }

    /// The first that it asks for: what it has missed, or its place.
    pub fn begin(&mut self) -> String {
        let (command, due) = match &self.missed {
            Some((_, mark)) => {
                (format!("since:{mark}\n"), [format!("at {mark}"), format!("error: lines since {mark} are not kept")])
            }
            None => ("mark\n".to_owned(), ["at".to_owned(), String::new()]),
        };
        self.due.push_back(due);
        command
    }

    /// The numbers of the first and of the last line of the room that it has heard, once it knows its place.
    pub fn stretch(&self) -> Option<(u64, u64)> {
        let (_, last) = self.mark.as_ref()?;
        Some((last + 1 - self.heard.len() as u64, *last))
    }

    fn hear(&mut self, told: Told) {
        self.heard.push(told);
        if let Some((_, number)) = &mut self.mark {
            *number += 1;
        }
    }

    /// Takes the reply to what it has sent, which comes in its order.
    fn reply(&mut self, line: &str) {
        let due = self.due.pop_front().unwrap_or_default();
        let (is_mark, at) = (due[0] == "at", line.strip_prefix("at "));
        assert!(due.contains(&line.to_owned()) || is_mark && at.is_some(), "{line} instead of {due:?}");
        let Some((room, number)) = at.and_then(|mark| mark.split_once('.')) else { return };
        let mark = Some((room.to_owned(), number.parse().unwrap()));
        if is_mark {
            assert!(self.mark.is_none() || self.mark == mark, "{line} instead of {:?}", self.mark);
        } else {
            // What it had heard comes again. What was last on the connection before comes right before the next one.
            self.heard = vec![self.missed.take().unwrap().0];
        }
        self.mark = mark;
    }

    /// If this client is the one, it is the reply to something.
    fn reply_to(&mut self, who: Who, line: &str) -> bool {
        let is_own = who == self.who;
        if is_own {
            self.reply(line);
        }
        is_own
    }

    pub fn take(&mut self, line: &str) {
        assert!(self.words != CUT_OFF, "after the words of a cut-off: {line}");
        let number = |text: &str| -> u32 { text.split(' ').next().unwrap().parse().unwrap() };
        match Event::parse(line) {
            Event::Error(words) => self.error(words, line),
            Event::Joined(name) => {
                self.has_joined |= parse(name) == self.who;
                self.hear(Told::Joined(parse(name)));
            }
            Event::Left(name) => self.hear(Told::Left(parse(name))),
            Event::Renamed { old, new } => {
                let (who, version) = (parse(new), number(new.split_once('.').unwrap().1));
                assert_eq!(who, parse(old), "{line}");
                if self.reply_to(who, line) {
                    self.version = version;
                }
                self.hear(Told::Renamed(who, version));
            }
            Event::Message { name, text } => {
                self.reply_to(parse(name), line);
                self.hear(Told::Said(parse(name), number(text)));
            }
            Event::Direct { sender, name, text } => {
                let (from, to) = (parse(sender), parse(name));
                if self.reply_to(from, line) {
                    self.confirmed.entry(to).or_default().push(number(text));
                } else {
                    assert_eq!(to, self.who, "{line}");
                    self.received.entry(from).or_default().push(number(text));
                }
            }
            Event::Question { asker, id, text } => {
                assert!(self.questions.insert((parse(asker), number(id))), "asked twice: {line}");
                self.answers.push(format!("part:{asker}:{id}:re\nanswer:{asker}:{id}:re {text}\n"));
            }
            Event::Part { id, .. } => assert!(self.open.contains(&number(id)), "a part without a question: {line}"),
            Event::Answer { id, text, .. } => {
                assert_eq!(text, format!("re question {id}"), "{line}");
                assert!(self.open.remove(&number(id)), "answered twice: {line}");
            }
            Event::Withdrawn { asker, id } => {
                let key = (parse(asker), number(id));
                assert!(self.questions.contains(&key), "never asked: {line}");
                assert!(self.withdrawn.insert(key), "withdrawn twice: {line}");
                self.gone.insert(key.0);
            }
            _ => self.reply(line),
        }
    }

    fn error(&mut self, words: &str, line: &str) {
        let asker = words.strip_prefix("no open question ").and_then(|rest| rest.split_once(" of "));
        if let Some((id, _)) = words.strip_prefix("question ").and_then(|rest| rest.split_once(": ")) {
            assert!(self.open.remove(&id.parse().unwrap()), "answered twice: {line}");
        } else if let Some((_, asker)) = asker {
            self.gone.insert(parse(asker));
        } else if words.starts_with("lines since ") {
            // It goes on without them.
            self.reply(line);
            self.missed = None;
        } else if words.starts_with("nobody here is called ") {
            self.reply(line);
        } else {
            let is_refused = words == NOT_JOINED && !self.has_joined;
            assert!(is_refused || [CUT_OFF, SHUTTING_DOWN, TOO_SLOW].contains(&words), "{line}");
            words.clone_into(&mut self.words);
        }
    }

    /// The answers that are to be sent now, some of which wait for longer.
    pub fn answer(&mut self, random: &mut Random) -> String {
        let all = std::mem::take(&mut self.answers).into_iter();
        let (now, later): (Vec<String>, _) = all.partition(|_| random.below(4) > 0);
        self.answers = later;
        now.concat()
    }

    /// Something to say, by chance.
    pub fn make(&mut self, random: &mut Random, others: &[(Who, u32)]) -> String {
        let other = others[random.below(others.len() as u64) as usize];
        let (other, name, own) = (other.0, name(other.0, other.1), name(self.who, self.renamed));
        let (command, reply, instead) = match random.below(20) {
            0 | 1 if other != self.who => {
                let number = self.sent.entry(other).or_insert(0);
                *number += 1;
                let nobody = format!("error: nobody here is called {name}");
                (format!("to:{name}:{number}"), format!("{own} > {name}: {number}"), nobody)
            }
            2 if self.open.len() < 100 => {
                self.asked += 1;
                self.open.insert(self.asked);
                let name = [&name, POOL][random.below(2) as usize];
                return format!("ask:{name}:{}:question {}\n", self.asked, self.asked);
            }
            3 => ("ping".to_owned(), "pong".to_owned(), String::new()),
            4 => ("mark".to_owned(), "at".to_owned(), String::new()),
            5 if random.below(4) == 0 => (format!("serve:{POOL}"), "serving".to_owned(), String::new()),
            6 if random.below(4) == 0 => {
                self.renamed += 1;
                let new = self::name(self.who, self.renamed);
                (format!("iam:{new}"), format!("{own} is now {new}"), String::new())
            }
            _ => {
                let text = format!("{} {}", self.said, "x".repeat([0, 0, 0, 500][random.below(4) as usize]));
                self.said += 1;
                (format!("msg:{text}"), format!("{own}: {text}"), String::new())
            }
        };
        self.due.push_back([reply, instead]);
        command + "\n"
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
