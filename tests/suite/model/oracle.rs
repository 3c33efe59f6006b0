//! The rules of a room, in as few words as possible: what each client gets for what one of them says. Knows no sockets.

use super::expected::Expected::{self, Any, Line, Mark, Since, Start};
use crate::common::*;

const NO_NAME: &str = "error: say who you are first: iam:<name>";
const UNKNOWN: &str = "error: unknown command; send help for the list";
pub const INVALID_NAMES: [&str; 5] = ["", "who", "a,b", "is now ada", "x>y"];
pub const INVALID_IDS: [&str; 3] = ["", "a b", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"];

#[derive(Debug, Default)]
pub struct Client {
    pub name: Option<String>,
    announced: bool,
    deaf: bool,
    pub open: BTreeSet<String>,
    /// When it was asked last.
    asked: usize,
    pub expected: VecDeque<Expected>,
}

/// A question whose answer is owed.
#[derive(Debug)]
pub struct Question {
    /// `None` once it is withdrawn.
    pub asker: Option<u32>,
    /// The asker's name when it asked.
    pub name: String,
    pub id: String,
    pub debtor: u32,
}

#[derive(Debug, Default)]
pub struct Oracle {
    pub clients: BTreeMap<u32, Client>,
    pub questions: Vec<Question>,
    /// The clients that serve each name, in the order in which they said so.
    served: BTreeMap<String, Vec<u32>>,
    /// All lines of the room.
    pub lines: Vec<String>,
    /// What the room's marks begin with.
    pub life: String,
    pub max_line: usize,
    pub history: usize,
    is_joined: bool,
    /// In a joined room, one server decides some of what becomes of a question, and the others hear of it later. These lines
    /// come behind all else that is said in a step.
    pub late: BTreeMap<u32, Vec<String>>,
    next: u32,
    asked: usize,
}

impl Oracle {
    pub fn new(max_line: usize, history: usize, is_joined: bool) -> Oracle {
        Oracle { max_line, history, is_joined, ..Oracle::default() }
    }

    pub fn connect(&mut self) -> u32 {
        self.clients.insert(self.next, Client::default());
        self.next += 1;
        self.next - 1
    }

    pub fn called(&self, name: &str) -> Option<u32> {
        self.clients.iter().find(|(_, client)| client.name.as_deref() == Some(name)).map(|(number, _)| *number)
    }

    fn serving(&self, name: &str) -> Vec<u32> {
        self.served.get(name).cloned().unwrap_or_default()
    }

    pub fn owes(&self, debtor: u32) -> usize {
        self.questions.iter().filter(|question| question.debtor == debtor).count()
    }

    fn client(&mut self, number: u32) -> &mut Client {
        self.clients.get_mut(&number).unwrap()
    }

    fn tell(&mut self, number: u32, line: impl Into<String>) {
        self.client(number).expected.push_back(Line(line.into()));
    }

    /// Tells a client something, in a joined room at the end of the step.
    fn tell_late(&mut self, number: u32, line: String) {
        if self.is_joined {
            self.late.entry(number).or_default().push(line);
        } else {
            self.tell(number, line);
        }
    }

    /// A listener, which is one of the first clients, says something. To others it can come before or after what is late.
    pub fn all_heard(&mut self, speaker: u32, listeners: u32) {
        let line = format!("listener {speaker}: all heard");
        for (number, client) in self.clients.iter_mut().filter(|(_, client)| !client.deaf) {
            if *number < listeners {
                client.expected.push_back(Line(line.clone()));
            } else {
                self.late.entry(*number).or_default().push(line.clone());
            }
        }
        self.lines.push(line);
    }

    /// All that was late has come.
    pub fn settle(&mut self) {
        for (number, lines) in std::mem::take(&mut self.late) {
            self.client(number).expected.push_back(Any(lines));
        }
    }

    fn say(&mut self, line: String) {
        for client in self.clients.values_mut().filter(|client| !client.deaf) {
            client.expected.push_back(Line(line.clone()));
        }
        self.lines.push(line);
    }

    /// What a line of a client does.
    pub fn run(&mut self, by: u32, line: &str) {
        let (command, argument) = line.split_once(':').map_or((line, None), |(command, rest)| (command, Some(rest)));
        let name = self.clients[&by].name.clone();
        let parts = |count| -> Option<Vec<&str>> {
            Some(argument?.splitn(count, ':').collect::<Vec<_>>()).filter(|parts| parts.len() == count)
        };
        match (command, argument) {
            _ if line.is_empty() => {}
            _ if line.len() > self.max_line => {
                self.tell(by, format!("error: line too long (limit {} bytes)", self.max_line));
            }
            _ if line.contains('\u{1}') => self.tell(by, "error: line is not valid UTF-8"),
            ("ping", None) => self.tell(by, "pong"),
            ("help", None) => self.client(by).expected.push_back(Start("help: iam:<name>, msg:<text>, ")),
            ("stats", None) => self.client(by).expected.push_back(Start("stats: mode=room ")),
            ("deaf", None) => {
                self.client(by).deaf = true;
                self.tell(by, "deaf");
            }
            ("who", _) => {
                let serving = argument.map(|name| self.serving(name));
                let is_meant = |number: &u32| serving.as_ref().is_none_or(|serving| serving.contains(number));
                let clients = self.clients.iter().filter(|(number, _)| is_meant(number));
                let mut names: Vec<String> = clients.filter_map(|(_, client)| client.name.clone()).collect();
                names.sort();
                self.tell(by, format!("who: {}", names.join(", ")));
            }
            ("mark", None) => {
                let now = self.lines.len();
                self.client(by).expected.push_back(Mark(now));
            }
            ("since", Some(_)) if self.clients[&by].deaf => self.tell(by, "error: deaf clients hear no room lines"),
            ("since", Some(mark)) => {
                let now = self.lines.len();
                self.client(by).expected.push_back(Since(mark.to_owned(), now));
            }
            ("iam", Some(new)) => self.log_in(by, new.trim()),
            ("answer" | "part" | "refuse", _) => match parts(3) {
                Some(parts) => self.answer(by, command, &parts),
                None => self.tell(by, UNKNOWN),
            },
            ("to", _) if parts(2).is_none() => self.tell(by, UNKNOWN),
            ("ask", _) if parts(3).is_none() => self.tell(by, UNKNOWN),
            ("msg" | "serve", None) => self.tell(by, UNKNOWN),
            ("msg" | "to" | "ask" | "serve", _) => match (name, command) {
                (None, _) => self.tell(by, NO_NAME),
                (Some(name), "msg") => self.say(format!("{name}: {}", argument.unwrap())),
                (Some(name), "to") => {
                    let parts = parts(2).unwrap();
                    let to = parts[0].trim();
                    let Some(receiver) = self.called(to) else {
                        return self.tell(by, format!("error: nobody here is called {to}"));
                    };
                    BTreeSet::from([by, receiver])
                        .into_iter()
                        .for_each(|one| self.tell(one, format!("{name} > {to}: {}", parts[1])));
                }
                (Some(name), "ask") => self.ask(by, &name, &parts(3).unwrap()),
                (Some(_), _) => self.serve(by, argument.unwrap().trim()),
            },
            _ => self.tell(by, UNKNOWN),
        }
    }

    fn log_in(&mut self, by: u32, new: &str) {
        if INVALID_NAMES.contains(&new) {
            return self.client(by).expected.push_back(Start("error: invalid name: "));
        }
        if self.called(new).is_some_and(|other| other != by) || !self.serving(new).is_empty() {
            return self.tell(by, format!("error: name {new} is taken"));
        }
        let client = self.client(by);
        let line = match client.name.replace(new.to_owned()) {
            Some(old) => format!("{old} is now {new}"),
            None => {
                client.announced = !client.deaf;
                format!("{new} has joined")
            }
        };
        if client.deaf {
            client.expected.push_back(Line(line.clone()));
        }
        if client.announced {
            self.say(line);
        }
    }

    fn serve(&mut self, by: u32, name: &str) {
        let serves = |clients: &Vec<u32>| clients.contains(&by);
        let is_new = !self.served.get(name).is_some_and(serves);
        if INVALID_NAMES.contains(&name) {
            self.client(by).expected.push_back(Start("error: invalid name: "));
        } else if self.called(name).is_some() {
            self.tell(by, format!("error: name {name} is taken"));
        } else if is_new && self.served.values().filter(|clients| serves(clients)).count() == 16 {
            self.tell(by, "error: too many served names (limit 16)");
        } else {
            if is_new {
                self.served.entry(name.to_owned()).or_default().push(by);
            }
            self.tell(by, "serving");
        }
    }

    /// The clients that may be given a question, the first choice first.
    pub fn asked(&self, name: &str) -> Vec<u32> {
        let mut serving = self.serving(name);
        serving.sort_by_key(|number| (self.owes(*number), self.clients[number].asked));
        self.called(name).map_or(serving, |one| vec![one])
    }

    fn ask(&mut self, by: u32, name: &str, parts: &[&str]) {
        let (to, id, text) = (parts[0].trim(), parts[1], parts[2]);
        if INVALID_IDS.contains(&id) {
            return self.tell(by, "error: invalid question id");
        }
        let still_open = format!("error: question id {id} is still open");
        let open = &self.clients[&by].open;
        if open.contains(id) {
            return self.tell(by, still_open);
        }
        if open.len() == 256 {
            return self.tell(by, format!("error: question {id}: too many open questions (limit 256)"));
        }
        let asked = self.asked(to);
        let fits = |debtor: &&u32| {
            let fits = |owed: &Question| owed.debtor == **debtor && owed.name == name && owed.id == id;
            !self.questions.iter().any(fits) && self.owes(**debtor) < 4096
        };
        match (asked.iter().find(fits), asked.first()) {
            (Some(debtor), _) => {
                let question = Question { asker: Some(by), name: name.to_owned(), id: id.to_owned(), debtor: *debtor };
                self.asked += 1;
                self.client(*debtor).asked = self.asked;
                let line = format!("{name} ?> {id}: {text}");
                if self.called(to).is_some() {
                    self.tell(*debtor, line)
                } else {
                    self.tell_late(*debtor, line)
                }
                self.client(by).open.insert(id.to_owned());
                self.questions.push(question);
            }
            (None, Some(debtor)) => {
                let name = self.clients[debtor].name.clone().unwrap();
                let too_many = format!("error: question {id}: {name} owes too many answers (limit 4096)");
                let line = if self.owes(*debtor) == 4096 { too_many } else { still_open };
                if self.called(to).is_some() { self.tell_late(by, line) } else { self.tell(by, line) }
            }
            (None, None) => self.tell(by, format!("error: question {id}: nobody here is called {to}")),
        }
    }

    fn answer(&mut self, by: u32, command: &str, parts: &[&str]) {
        let (name, id, text) = (parts[0], parts[1], parts[2]);
        let place = self.questions.iter().position(|owed| owed.debtor == by && owed.name == name && owed.id == id);
        let asker = place.and_then(|place| self.questions[place].asker);
        let is_end = command != "part";
        match asker {
            None => self.tell(by, format!("error: no open question {id} of {name}")),
            Some(asker) => {
                let sign = [["+>"; 2], ["=>", "!>"]][usize::from(is_end)][usize::from(command == "refuse")];
                let answerer = self.clients[&by].name.clone().unwrap();
                self.tell(asker, format!("{answerer} {sign} {id}: {text}"));
                if is_end {
                    self.client(asker).open.remove(id);
                }
            }
        }
        if let (Some(place), true) = (place, is_end) {
            self.questions.remove(place);
        }
    }

    /// A client has gone. What it is still to get is returned.
    pub fn leave(&mut self, by: u32) -> VecDeque<Expected> {
        let client = self.clients.remove(&by).unwrap();
        self.served.values_mut().for_each(|clients| clients.retain(|one| *one != by));
        let name = client.name.unwrap_or_default();
        let mut told: BTreeMap<u32, Vec<String>> = BTreeMap::new();
        for question in &mut self.questions {
            let Question { asker, id, debtor, .. } = question;
            if *debtor == by {
                if let Some(asker) = asker.filter(|asker| *asker != by) {
                    told.entry(asker).or_default().push(format!("error: question {id}: {name} has left"));
                    self.clients.get_mut(&asker).unwrap().open.remove(id);
                }
            } else if *asker == Some(by) {
                *asker = None;
                told.entry(*debtor).or_default().push(format!("{} -> {id}: withdrawn", question.name));
            }
        }
        self.questions.retain(|question| question.debtor != by);
        if client.announced {
            let line = format!("{name} has left");
            for (number, _) in self.clients.iter().filter(|(_, client)| !client.deaf) {
                told.entry(*number).or_default().push(line.clone());
            }
            self.lines.push(line);
        }
        for (number, lines) in told {
            self.client(number).expected.push_back(Any(lines));
        }
        client.expected
    }
}
