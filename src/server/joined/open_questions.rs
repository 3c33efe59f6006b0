//! The open questions of a joined room, as far as this server's clients have asked them or owe the answer. Pure.
//!
//! The table itself is that of `server::questions`; in it the clients of other servers have the numbers that `names`
//! gives them. A question of an own client counts from when it is [reserved](OpenQuestions::reserve), before it is in the
//! log, so an id is used once and a client has at most [`OPEN_QUESTIONS_MAX`] questions, those under way included. Knows
//! neither what else is said in the room nor how anything is given.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::delivery::Delivery;
use super::entry::AnswerKind;
use super::names::{Named, Names, own_client};
use crate::protocol::{OPEN_QUESTIONS_MAX, QuestionEnd, Refusal};
use crate::server::questions::{NotAsked, QuestionId, Questions};

#[derive(Debug, Default)]
pub(super) struct OpenQuestions {
    questions: Questions,
    /// Questions of this server's clients that have not come back in the log yet.
    under_way: HashMap<u64, BTreeSet<QuestionId>>,
}

impl OpenQuestions {
    /// Notes that a client is about to ask. Its id stays in use until the question has come back and has ended.
    pub(super) fn reserve(&mut self, asker: u64, id: QuestionId) -> Result<(), NotAsked> {
        let under_way = self.under_way.entry(asker).or_default();
        if under_way.contains(&id) || self.questions.is_open(asker, id) {
            return Err(NotAsked::StillOpen);
        }
        if under_way.len() + self.questions.open(asker) >= OPEN_QUESTIONS_MAX {
            return Err(NotAsked::TooMany);
        }
        under_way.insert(id);
        Ok(())
    }

    /// A client of `server` has asked the client called `receiver`.
    pub(super) fn asked<'a>(
        &mut self,
        names: &Names,
        server: &str,
        (asker, text_id): (u64, &'a str),
        receiver: &'a str,
        text: &'a [u8],
        out: &mut Vec<Delivery<'a>>,
    ) {
        let is_own = names.is_own(server);
        let Some(id) = QuestionId::new(text_id) else { return };
        if is_own && let Some(under_way) = self.under_way.get_mut(&asker) {
            under_way.remove(&id);
            if under_way.is_empty() {
                self.under_way.remove(&asker);
            }
        }
        // Clients ask under a name, and their leaving comes behind their questions.
        let Some(from) = names.client(server, asker) else { return };
        let Some(to) = names.find(receiver) else {
            if is_own {
                out.push(end(asker, text_id, QuestionEnd::Nobody(receiver)));
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

    /// A client of `server` has answered a question of the client that was called `asker` when it asked.
    pub(super) fn answered<'a>(
        &mut self,
        names: &Names,
        server: &str,
        (kind, answerer): (AnswerKind, u64),
        (asker, text_id): (&'a str, &'a str),
        text: &'a [u8],
        out: &mut Vec<Delivery<'a>>,
    ) {
        let by = names.client(server, answerer).map(|named| named.number);
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
            None if names.is_own(server) => {
                out.push(Delivery::refusal(answerer, Refusal::NoOpenQuestion { id: text_id, asker }));
            }
            None => {}
        }
    }

    /// Ends the questions of a client that has left, and those to it.
    pub(super) fn left(&mut self, named: &Named, out: &mut Vec<Delivery<'_>>) {
        if let Some(client) = named.own() {
            self.under_way.remove(&client);
        }
        for (asker, id) in self.questions.gone(named.number) {
            if let Some(client) = own_client(asker) {
                out.push(end(client, id.as_str(), QuestionEnd::Left(&named.name)));
            }
        }
    }
}

fn end(asker: u64, id: &str, why: QuestionEnd<'_>) -> Delivery<'static> {
    Delivery::refusal(asker, Refusal::QuestionEnded { id, why })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::names::Holder;
    use super::*;

    fn id(text: &str) -> QuestionId {
        QuestionId::new(text).unwrap()
    }

    /// On server `A`: its own client 1, ada, and client 1 of server `B`, bob.
    fn names() -> Names {
        let holder = |server: &str| Holder { server: Arc::from(server), client: 1, deaf: false };
        let holders = BTreeMap::from([(Arc::from("ada"), holder("A")), (Arc::from("bob"), holder("B"))]);
        Names::new(&Arc::from("A"), holders)
    }

    #[test]
    fn the_number_of_open_questions_is_bounded_with_those_under_way() {
        let (mut questions, names, mut out) = (OpenQuestions::default(), names(), Vec::new());
        for number in 0..OPEN_QUESTIONS_MAX {
            let text = number.to_string();
            assert_eq!(questions.reserve(1, id(&text)), Ok(()));
            if number % 2 == 0 {
                // It has come back, and is open.
                questions.asked(&names, "A", (1, &text), "bob", b"ask", &mut Vec::new());
            }
        }
        for open in ["0", "1"] {
            assert_eq!(questions.reserve(1, id(open)), Err(NotAsked::StillOpen));
        }
        assert_eq!(questions.reserve(1, id("more")), Err(NotAsked::TooMany));
        questions.answered(&names, "B", (AnswerKind::End, 1), ("ada", "0"), b"yes", &mut out);
        assert_eq!(out, [Delivery::One { client: 1, text: b"yes".into() }]);
        assert_eq!(questions.reserve(1, id("more")), Ok(()));
    }

    #[test]
    fn a_client_that_has_left_leaves_nothing_behind() {
        let (mut questions, names) = (OpenQuestions::default(), names());
        for text in ["1", "2"] {
            questions.reserve(1, id(text)).unwrap();
        }
        questions.asked(&names, "A", (1, "1"), "bob", b"ask", &mut Vec::new());
        let mut out = Vec::new();
        questions.left(names.find("ada").unwrap(), &mut out);
        assert_eq!(out, []);
        assert!(questions.under_way.is_empty());
        questions.reserve(1, id("1")).unwrap();
    }
}
