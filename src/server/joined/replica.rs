//! What an entry of the log means for this server's clients: a pure function of the log so far.
//!
//! Every server applies all entries in the same order, so all agree on who has which name, whom a direct message
//! reached, which question an answer ends. Of the questions a server keeps those that its own clients have asked or
//! owe. Does no I/O; what its clients are to get is appended as [`Delivery`].

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::entry::{AnswerKind, Item};
use super::names::{Holder, Named, Names, own_client};
use super::outgoing::OwnWords;
use super::settings::GATHERED_MAX;
use crate::protocol::{Event, OPEN_QUESTIONS_MAX, QuestionEnd, Refusal};
use crate::server::questions::{NotAsked, QuestionId, Questions};

/// Something for clients of this server, with the ends of its lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::server) enum Delivery<'a> {
    /// For all that hear the room.
    Everyone { lines: u64, text: Cow<'a, [u8]> },
    /// One line for one client.
    One { client: u64, text: Cow<'a, [u8]> },
    /// A question that is given to the client that is asked.
    Question { client: u64, text: &'a [u8] },
    /// What a client caused for itself.
    Own(OwnWords),
    /// A client has this name from now on.
    Named { client: u64, name: Arc<str> },
}

#[derive(Debug, Default)]
pub(super) struct Replica {
    own: Arc<str>,
    names: Names,
    questions: Questions,
    /// Questions of this server's clients that are under way.
    asking: HashMap<u64, BTreeSet<QuestionId>>,
    /// This server's clients that hear the room no longer.
    deaf: HashSet<u64>,
}

impl Replica {
    /// The room as it was when this server joined it under the name `own`.
    pub(super) fn new(own: &Arc<str>, holders: BTreeMap<Arc<str>, Holder>) -> Replica {
        Replica { own: Arc::clone(own), names: Names::new(own, holders), ..Replica::default() }
    }

    pub(super) fn names(&self) -> &Names {
        &self.names
    }

    /// Notes that a client is about to ask. Its id stays its own until the question has come back and has ended.
    pub(super) fn reserve(&mut self, asker: u64, id: QuestionId) -> Result<(), NotAsked> {
        let asking = self.asking.entry(asker).or_default();
        if asking.contains(&id) || self.questions.is_open(asker, id) {
            return Err(NotAsked::StillOpen);
        }
        if asking.len() + self.questions.open(asker) >= OPEN_QUESTIONS_MAX {
            return Err(NotAsked::TooMany);
        }
        asking.insert(id);
        Ok(())
    }

    /// Notes that a client hears the room no longer.
    pub(super) fn note_deaf(&mut self, client: u64) {
        self.deaf.insert(client);
    }

    /// Gives a client what it caused for itself.
    pub(super) fn own_words<'a>(&mut self, words: OwnWords, out: &mut Vec<Delivery<'a>>) {
        if words.deaf {
            self.note_deaf(words.client);
        }
        out.push(Delivery::Own(words));
    }

    /// A server has said an item.
    pub(super) fn said<'a>(&mut self, server: &str, item: Item<'a>, out: &mut Vec<Delivery<'a>>) {
        let is_own = *server == *self.own;
        match item {
            Item::Lines { lines, text } => out.push(Delivery::Everyone { lines, text: text.into() }),
            Item::Direct { sender, receiver, text } => {
                let found = self.names.find(receiver);
                let client = found.and_then(Named::own);
                if let Some(client) = client {
                    out.push(Delivery::One { client, text: text.into() });
                }
                // To itself it comes once.
                if is_own && client != Some(sender) {
                    match found {
                        Some(_) => out.push(Delivery::One { client: sender, text: text.into() }),
                        None => refuse(sender, Refusal::Nobody(receiver), out),
                    }
                }
            }
            Item::Question { asker, id, receiver, text } => {
                self.asked(server, (asker, id), receiver, text, out);
            }
            Item::Answer { kind, answerer, id, asker, text } => {
                self.answered(server, kind, answerer, (asker, id), text, out);
            }
        }
    }

    fn asked<'a>(
        &mut self,
        server: &str,
        (asker, text_id): (u64, &'a str),
        receiver: &'a str,
        text: &'a [u8],
        out: &mut Vec<Delivery<'a>>,
    ) {
        let is_own = *server == *self.own;
        let Some(id) = QuestionId::new(text_id) else { return };
        if is_own && let Some(asking) = self.asking.get_mut(&asker) {
            asking.remove(&id);
            if asking.is_empty() {
                self.asking.remove(&asker);
            }
        }
        // Clients ask under a name, and their leaving comes behind their questions.
        let Some(from) = self.names.client(server, asker) else { return };
        let Some(to) = self.names.find(receiver) else {
            if is_own {
                let why = QuestionEnd::Nobody(receiver);
                refuse(asker, Refusal::QuestionEnded { id: text_id, why }, out);
            }
            return;
        };
        let (to, number) = (to.own(), to.number);
        if (is_own || to.is_some()) && self.questions.ask(from.number, Arc::clone(&from.name), id, number).is_err() {
            return;
        }
        if let Some(client) = to {
            out.push(Delivery::Question { client, text });
        }
    }

    fn answered<'a>(
        &mut self,
        server: &str,
        kind: AnswerKind,
        answerer: u64,
        (asker, text_id): (&'a str, &'a str),
        text: &'a [u8],
        out: &mut Vec<Delivery<'a>>,
    ) {
        let by = self.names.client(server, answerer).map(|named| named.number);
        let found = by.zip(QuestionId::new(text_id)).and_then(|(by, id)| match kind {
            AnswerKind::Part => self.questions.asker(by, asker, id),
            AnswerKind::End => self.questions.answer(by, asker, id),
        });
        match found {
            Some(number) => {
                if let Some(client) = own_client(number) {
                    out.push(Delivery::One { client, text: text.into() });
                }
            }
            None if *server == *self.own => refuse(answerer, Refusal::NoOpenQuestion { id: text_id, asker }, out),
            None => {}
        }
    }

    /// A client has joined, is called differently or has left.
    pub(super) fn named<'a>(
        &mut self,
        server: &str,
        (client, deaf): (u64, bool),
        old: Option<&str>,
        new: Option<&str>,
        out: &mut Vec<Delivery<'a>>,
    ) {
        let is_own = *server == *self.own;
        let Some(named) = self.names.set(server, client, deaf, old, new) else { return };
        let Some(new) = new else {
            if !named.deaf {
                out.push(everyone(Event::Left(&named.name)));
            }
            if is_own {
                self.deaf.remove(&client);
                self.asking.remove(&client);
            }
            return self.left(&named, out);
        };
        let event = match old {
            None => Event::Joined(new),
            Some(old) => Event::Renamed { old, new },
        };
        if is_own {
            out.push(Delivery::Named { client, name: Arc::clone(&named.name) });
        }
        if !named.deaf {
            out.push(everyone(event));
        }
        // A deaf client hears of its own name all the same.
        if is_own && (named.deaf || self.deaf.contains(&client)) {
            out.push(Delivery::One { client, text: line(event).into() });
        }
    }

    /// A server is gone, with all its clients.
    pub(super) fn gone(&mut self, server: &str, out: &mut Vec<Delivery<'_>>) {
        let gone = self.names.remove_server(server);
        let (mut lines, mut text) = (0, Vec::new());
        for named in gone.iter().filter(|named| !named.deaf) {
            text.append(&mut line(Event::Left(&named.name)));
            lines += 1;
            if text.len() >= GATHERED_MAX / 2 {
                out.push(Delivery::Everyone {
                    lines: std::mem::take(&mut lines),
                    text: std::mem::take(&mut text).into(),
                });
            }
        }
        if lines > 0 {
            out.push(Delivery::Everyone { lines, text: text.into() });
        }
        for named in &gone {
            self.left(named, out);
        }
    }

    /// Ends the questions of a client that has left, and those to it.
    fn left(&mut self, named: &Named, out: &mut Vec<Delivery<'_>>) {
        for (asker, id) in self.questions.gone(named.number) {
            if let Some(client) = own_client(asker) {
                let why = QuestionEnd::Left(&named.name);
                refuse(client, Refusal::QuestionEnded { id: id.as_str(), why }, out);
            }
        }
    }
}

fn line(event: Event<'_>) -> Vec<u8> {
    let mut text = Vec::new();
    event.write_to(&mut text);
    text
}

fn everyone(event: Event<'_>) -> Delivery<'static> {
    Delivery::Everyone { lines: 1, text: line(event).into() }
}

fn refuse(client: u64, refusal: Refusal<'_>, out: &mut Vec<Delivery<'_>>) {
    let mut text = Vec::new();
    refusal.write_to(&mut text);
    out.push(Delivery::One { client, text: text.into() });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two servers that apply the same entries; what each gives to its clients, in short.
    struct Pair([Replica; 2]);

    impl Pair {
        fn new() -> Pair {
            let mut pair = Pair(["A", "B"].map(|own| Replica::new(&Arc::from(own), BTreeMap::new())));
            pair.named("A", 1, false, ":ada");
            pair.named("B", 1, false, ":bob");
            pair
        }

        fn apply(&mut self, apply: impl Fn(&mut Replica, &mut Vec<Delivery<'static>>)) -> [Vec<String>; 2] {
            self.0.each_mut().map(|replica| {
                let mut out = Vec::new();
                apply(replica, &mut out);
                let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap().replace("\r\n", "|");
                out.iter()
                    .map(|delivery| match delivery {
                        Delivery::Everyone { text: bytes, lines } => format!("all({lines}): {}", text(bytes)),
                        Delivery::One { client, text: bytes } => format!("{client}: {}", text(bytes)),
                        Delivery::Question { client, text: bytes } => format!("{client}?: {}", text(bytes)),
                        Delivery::Own(words) => format!("{}!", words.client),
                        Delivery::Named { client, name } => format!("{client} is {name}"),
                    })
                    .collect()
            })
        }

        fn said(&mut self, server: &str, item: Item<'static>) -> [Vec<String>; 2] {
            self.apply(|replica, out| replica.said(server, item, out))
        }

        fn named(&mut self, server: &str, client: u64, deaf: bool, names: &str) -> [Vec<String>; 2] {
            let (old, new) = names.split_once(':').unwrap();
            let some = |name: &'static str| (!name.is_empty()).then_some(name);
            let (old, new) = (some(old.to_owned().leak()), some(new.to_owned().leak()));
            self.apply(|replica, out| replica.named(server, (client, deaf), old, new, out))
        }

        fn ask(&mut self, server: &str, asker: u64, id: &'static str, receiver: &'static str) -> [Vec<String>; 2] {
            let index = usize::from(server == "B");
            self.0[index].reserve(asker, QuestionId::new(id).unwrap()).unwrap();
            self.said(server, Item::Question { asker, id, receiver, text: b"ask" })
        }

        fn answer(&mut self, kind: AnswerKind, server: &str, answerer: u64, asker: &'static str) -> [Vec<String>; 2] {
            self.said(server, Item::Answer { kind, answerer, id: "1", asker, text: b"yes" })
        }
    }

    fn out(a: &[&str], b: &[&str]) -> [Vec<String>; 2] {
        [a, b].map(|lines| lines.iter().map(|line| (*line).to_owned()).collect())
    }

    #[test]
    fn direct_messages_reach_their_receiver_and_are_confirmed_once() {
        let mut pair = Pair::new();
        let direct = |sender, receiver| Item::Direct { sender, receiver, text: b"hi" };
        assert_eq!(pair.said("A", direct(1, "bob")), out(&["1: hi"], &["1: hi"]));
        assert_eq!(pair.said("A", direct(1, "ada")), out(&["1: hi"], &[]));
        assert_eq!(pair.said("A", direct(1, "eve")), out(&["1: error: nobody here is called eve|"], &[]));
        pair.named("B", 1, false, "bob:");
        assert_eq!(pair.said("A", direct(1, "bob")), out(&["1: error: nobody here is called bob|"], &[]));
    }

    #[test]
    fn deaf_clients_are_announced_to_themselves_alone() {
        let mut pair = Pair::new();
        assert_eq!(pair.named("B", 2, true, ":bot"), out(&[], &["2 is bot", "2: bot has joined|"]));
        assert_eq!(pair.named("B", 2, true, "bot:bit"), out(&[], &["2 is bit", "2: bot is now bit|"]));
        assert_eq!(pair.named("B", 2, true, "bit:"), out(&[], &[]));
        // One that had joined before is announced later on, and its rename is answered to it.
        let words = OwnWords { client: 1, lines: 1, text: Vec::new(), deaf: true };
        let mut sink = Vec::new();
        pair.0[1].own_words(words, &mut sink);
        let renamed = pair.named("B", 1, false, "bob:rob");
        assert_eq!(
            renamed,
            out(&["all(1): bob is now rob|"], &["1 is rob", "all(1): bob is now rob|", "1: bob is now rob|"])
        );
        assert_eq!(pair.named("B", 1, false, "rob:"), out(&["all(1): rob has left|"], &["all(1): rob has left|"]));
    }

    #[test]
    fn a_question_is_answered_across_servers() {
        let mut pair = Pair::new();
        assert_eq!(pair.ask("A", 1, "1", "bob"), out(&[], &["1?: ask"]));
        assert_eq!(pair.0[0].reserve(1, QuestionId::new("1").unwrap()), Err(NotAsked::StillOpen));
        // Another one cannot answer, nor can the name that the asker has only now.
        pair.named("A", 1, false, "ada:eve");
        assert_eq!(pair.answer(AnswerKind::End, "A", 1, "ada"), out(&["1: error: no open question 1 of ada|"], &[]));
        assert_eq!(pair.answer(AnswerKind::End, "B", 1, "eve"), out(&[], &["1: error: no open question 1 of eve|"]));
        assert_eq!(pair.answer(AnswerKind::Part, "B", 1, "ada"), out(&["1: yes"], &[]));
        assert_eq!(pair.answer(AnswerKind::End, "B", 1, "ada"), out(&["1: yes"], &[]));
        assert_eq!(pair.answer(AnswerKind::End, "B", 1, "ada"), out(&[], &["1: error: no open question 1 of ada|"]));
        assert_eq!(pair.ask("A", 1, "1", "eve"), out(&["1?: ask"], &[]), "itself");
        assert_eq!(pair.ask("A", 1, "2", "nobody"), out(&["1: error: question 2: nobody here is called nobody|"], &[]));
        assert_eq!(pair.ask("A", 1, "2", "bob"), out(&[], &["1?: ask"]), "the id is free again");
    }

    #[test]
    fn a_question_ends_when_its_receiver_is_gone_and_is_forgotten_with_its_asker() {
        let mut pair = Pair::new();
        pair.ask("A", 1, "1", "bob");
        assert_eq!(
            pair.named("B", 1, false, "bob:"),
            out(&["all(1): bob has left|", "1: error: question 1: bob has left|"], &["all(1): bob has left|"])
        );
        pair.named("B", 3, false, ":bob");
        pair.named("B", 4, true, ":ann");
        pair.ask("A", 1, "1", "bob");
        pair.ask("B", 3, "1", "ada");
        let gone = pair.apply(|replica, out| replica.gone("B", out));
        assert_eq!(gone[0], ["all(1): bob has left|", "1: error: question 1: bob has left|"]);
        assert_eq!(pair.answer(AnswerKind::End, "A", 1, "bob")[0], ["1: error: no open question 1 of bob|"]);
    }

    #[test]
    fn the_number_of_open_questions_is_bounded_with_those_under_way() {
        let mut pair = Pair::new();
        let id = |number: usize| QuestionId::new(&number.to_string()).unwrap();
        for number in 0..OPEN_QUESTIONS_MAX {
            assert_eq!(pair.0[0].reserve(1, id(number)), Ok(()));
        }
        assert_eq!(pair.0[0].reserve(1, id(0)), Err(NotAsked::StillOpen));
        assert_eq!(pair.0[0].reserve(1, id(OPEN_QUESTIONS_MAX)), Err(NotAsked::TooMany));
    }

    #[test]
    fn a_server_with_many_clients_goes_in_pieces() {
        let mut replica = Replica::new(&Arc::from("A"), BTreeMap::new());
        let mut sink = Vec::new();
        for client in 0..5000 {
            replica.named("B", (client, false), None, Some(&format!("client {client:04}")), &mut sink);
        }
        let mut out = Vec::new();
        replica.gone("B", &mut out);
        assert!(out.len() > 2);
        let mut all = Vec::new();
        for delivery in &out {
            let Delivery::Everyone { lines, text } = delivery else { panic!("{delivery:?}") };
            assert!(text.len() <= GATHERED_MAX && text.split(|byte| *byte == b'\n').count() as u64 == lines + 1);
            all.extend_from_slice(text);
        }
        let all = String::from_utf8(all).unwrap();
        assert!(all.lines().is_sorted() && all.lines().count() == 5000);
    }
}
