//! What an entry of the log means for this server's clients: a pure function of the log so far.
//!
//! Every server applies all entries in the same order, so all servers agree on the name of each client, on the receiver
//! of a direct message and on the question that an answer ends. It appends [`Delivery`]s for this server's own clients.
//! Does no I/O; knows neither positions in the log nor the outgoing pieces.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::delivery::{self, Delivery};
use super::entry::Item;
use super::names::{Holder, Named, Names};
use super::open_questions::OpenQuestions;
use super::piece::OwnWords;
use super::settings::GATHERED_MAX;
use crate::protocol::{Event, Refusal};

#[derive(Debug, Default)]
pub(super) struct Replica {
    names: Names,
    questions: OpenQuestions,
    /// This server's clients that do not hear the room.
    deaf: HashSet<u64>,
}

impl Replica {
    /// The room as it was when this server joined it under the name `own`.
    pub(super) fn new(own: &Arc<str>, holders: BTreeMap<Arc<str>, Holder>) -> Replica {
        Replica { names: Names::new(own, holders), ..Replica::default() }
    }

    pub(super) fn names(&self) -> &Names {
        &self.names
    }

    pub(super) fn questions_mut(&mut self) -> &mut OpenQuestions {
        &mut self.questions
    }

    /// Notes that a client does not hear the room from now on.
    pub(super) fn note_deaf(&mut self, client: u64) {
        self.deaf.insert(client);
    }

    /// Gives a client its own words.
    pub(super) fn own_words<'a>(&mut self, words: OwnWords, out: &mut Vec<Delivery<'a>>) {
        if words.deaf {
            self.note_deaf(words.client);
        }
        out.push(Delivery::Own(words));
    }

    /// A server has said an item.
    pub(super) fn said<'a>(&mut self, server: &str, item: Item<'a>, out: &mut Vec<Delivery<'a>>) {
        let is_own = self.names.is_own(server);
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
                        None => out.push(Delivery::refusal(sender, Refusal::Nobody(receiver))),
                    }
                }
            }
            Item::Question { asker, id, receiver, text } => {
                self.questions.asked(&self.names, server, (asker, id), receiver, text, out);
            }
            Item::Answer { kind, answerer, id, asker, text } => {
                self.questions.answered(&self.names, server, (kind, answerer), (asker, id), text, out);
            }
        }
    }

    /// A client has joined, was renamed or has left.
    pub(super) fn named<'a>(
        &mut self,
        server: &str,
        (client, deaf): (u64, bool),
        old: Option<&str>,
        new: Option<&str>,
        out: &mut Vec<Delivery<'a>>,
    ) {
        let is_own = self.names.is_own(server);
        let Some(named) = self.names.set(server, client, deaf, old, new) else { return };
        let Some(new) = new else {
            if !named.deaf {
                out.push(Delivery::notice(Event::Left(&named.name)));
            }
            if is_own {
                self.deaf.remove(&client);
            }
            return self.questions.left(&named, out);
        };
        let event = match old {
            None => Event::Joined(new),
            Some(old) => Event::Renamed { old, new },
        };
        if is_own {
            out.push(Delivery::Named { client, name: Arc::clone(&named.name) });
        }
        if !named.deaf {
            out.push(Delivery::notice(event));
        }
        // A deaf client hears of its own name all the same.
        if is_own && (named.deaf || self.deaf.contains(&client)) {
            out.push(Delivery::notice_to(client, event));
        }
    }

    /// A server is gone, with all its clients.
    pub(super) fn gone(&mut self, server: &str, out: &mut Vec<Delivery<'_>>) {
        let gone = self.names.remove_server(server);
        let (mut lines, mut text) = (0, Vec::new());
        for named in gone.iter().filter(|named| !named.deaf) {
            text.append(&mut delivery::line(Event::Left(&named.name)));
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
            self.questions.left(named, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::joined::entry::AnswerKind;
    use crate::server::questions::{NotAsked, QuestionId};

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
            self.0[index].questions_mut().reserve(asker, QuestionId::new(id).unwrap()).unwrap();
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
        assert_eq!(pair.0[0].questions_mut().reserve(1, QuestionId::new("1").unwrap()), Err(NotAsked::StillOpen));
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
