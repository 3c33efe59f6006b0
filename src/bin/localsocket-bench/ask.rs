//! Ask work: some clients ask, the others answer, and every question and every answer is checked.
//!
//! An asker has up to `depth` questions open, each with its own id and text. An answer counts only if it comes from
//! the client that was asked, with the id of an open question and the text of that question. An
//! answerer sends back the text of a question, and checks that each of its askers' questions arrives once and in
//! order. All clients are deaf. A question's latency runs from the write of the batch that it was in to the return of
//! the read that brought its answer.

use std::io::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use crate::connection::{Connection, Failure, Window, wrong};
use crate::histogram::Histogram;
use crate::plan::Plan;
use crate::texts::{COUNTER, Texts, count_up};

/// Does one client's work.
pub(crate) fn work(
    connection: &mut Connection,
    plan: &Plan,
    client: usize,
    received: &AtomicUsize,
) -> Result<Histogram, Failure> {
    if client < plan.senders {
        ask(connection, plan, client, received)
    } else {
        answer(connection, plan, client).map(|()| Histogram::new())
    }
}

fn ask(connection: &mut Connection, plan: &Plan, client: usize, received: &AtomicUsize) -> Result<Histogram, Failure> {
    let mut latencies = Histogram::new();
    let mut window = Window::new(plan.depth, plan.share(client));
    let mut asker = Asker::new(plan, client);
    let mut batch = Vec::new();
    loop {
        let count = window.take();
        if count > 0 {
            batch.clear();
            let now = Instant::now();
            (0..count).for_each(|_| asker.ask(now, &mut batch));
            connection.send(&batch)?;
        } else if window.is_done() {
            return Ok(latencies);
        }
        let arrived = connection.wait()?;
        let mut came = 0;
        while let Some(line) = connection.next_line() {
            let Some(asked) = asker.accept(line.start()) else {
                return Err(wrong(line, "the answer to an open question".to_owned()));
            };
            latencies.record(arrived.duration_since(asked), 1);
            came += 1;
        }
        window.under_way -= came;
        received.fetch_add(came, Ordering::Relaxed);
    }
}

fn answer(connection: &mut Connection, plan: &Plan, client: usize) -> Result<(), Failure> {
    let mut answerer = Answerer::new(plan, client);
    let mut batch = Vec::new();
    while answerer.left > 0 {
        connection.wait()?;
        batch.clear();
        while let Some(line) = connection.next_line() {
            if answerer.answer(line.start(), &mut batch).is_none() {
                return Err(wrong(line, "the next question of an asker".to_owned()));
            }
        }
        connection.send(&batch)?;
    }
    Ok(())
}

/// Who asks whom: the clients that an asker asks, one after another in turn. Each answerer has an asker, each
/// asker an answerer, and the work is spread as evenly as that allows.
fn answerers_of(plan: &Plan, asker: usize) -> Vec<usize> {
    let answerers = plan.clients - plan.senders;
    let first = plan.senders + asker % answerers;
    (first..plan.clients).step_by(plan.senders).collect()
}

/// An open question.
#[derive(Debug, Clone)]
struct Question {
    counter: [u8; COUNTER],
    answerer: usize,
    asked: Instant,
}

/// Makes one client's questions and checks the answers.
#[derive(Debug)]
struct Asker {
    family: String,
    answerers: Vec<usize>,
    asked: usize,
    texts: Texts,
    next: [u8; COUNTER],
    /// Open questions by id. An id is used again as soon as its question has ended.
    open: Vec<Option<Question>>,
    free: Vec<usize>,
}

impl Asker {
    fn new(plan: &Plan, client: usize) -> Asker {
        Asker {
            family: plan.family(),
            answerers: answerers_of(plan, client),
            asked: 0,
            texts: Texts::new(&mark(client), plan.size),
            next: [b'0'; COUNTER],
            open: vec![None; plan.depth],
            free: (0..plan.depth).rev().collect(),
        }
    }

    /// Appends the next question. Call it only while fewer than `depth` are open.
    fn ask(&mut self, now: Instant, batch: &mut Vec<u8>) {
        let Some(id) = self.free.pop() else { return };
        let answerer = self.answerers[self.asked % self.answerers.len()];
        self.asked += 1;
        let _ = write!(batch, "ask:{}{answerer}:{id}:", self.family);
        batch.extend_from_slice(self.texts.with_counter(&self.next));
        batch.push(b'\n');
        self.open[id] = Some(Question { counter: self.next, answerer, asked: now });
        count_up(&mut self.next);
    }

    /// Takes a line. Gives the time of the question that it answers, `None` if it is not the right answer to an
    /// open one.
    fn accept(&mut self, line: &[u8]) -> Option<Instant> {
        let (answerer, rest) = number(line.strip_prefix(self.family.as_bytes())?)?;
        let (id, rest) = number(rest.strip_prefix(b" => ")?)?;
        let text = rest.strip_prefix(b": ")?;
        let question = self.open.get_mut(id)?.take()?;
        self.free.push(id);
        let right = question.answerer == answerer && text == self.texts.with_counter(&question.counter);
        right.then_some(question.asked)
    }
}

/// What an answerer expects of one of its askers.
#[derive(Debug)]
struct Asking {
    asker: usize,
    texts: Texts,
    /// How many answerers take turns: with N of them, this one gets every Nth question.
    turns: usize,
}

/// Checks the questions to one client and answers them.
#[derive(Debug)]
struct Answerer {
    family: String,
    askers: Vec<Asking>,
    /// How many questions are still to come.
    left: usize,
}

impl Answerer {
    fn new(plan: &Plan, client: usize) -> Answerer {
        let (mut askers, mut left) = (Vec::new(), 0);
        for asker in 0..plan.senders {
            let answerers = answerers_of(plan, asker);
            let Some(turn) = answerers.iter().position(|answerer| *answerer == client) else { continue };
            let turns = answerers.len();
            let mut texts = Texts::new(&mark(asker), plan.size);
            (0..turn).for_each(|_| texts.advance());
            askers.push(Asking { asker, texts, turns });
            left += plan.share(asker).saturating_sub(turn).div_ceil(turns);
        }
        Answerer { family: plan.family(), askers, left }
    }

    /// Takes a line and appends the answer, `None` if it is not the next question of an asker.
    fn answer(&mut self, line: &[u8], batch: &mut Vec<u8>) -> Option<()> {
        let (asker, rest) = number(line.strip_prefix(self.family.as_bytes())?)?;
        let (id, rest) = number(rest.strip_prefix(b" ?> ")?)?;
        let text = rest.strip_prefix(b": ")?;
        let found = self.askers.binary_search_by_key(&asker, |asking| asking.asker).ok()?;
        let asking = &mut self.askers[found];
        if text != asking.texts.current() {
            return None;
        }
        (0..asking.turns).for_each(|_| asking.texts.advance());
        self.left = self.left.checked_sub(1)?;
        let _ = write!(batch, "answer:{}{asker}:{id}:", self.family);
        batch.extend_from_slice(text);
        batch.push(b'\n');
        Some(())
    }
}

/// What distinguishes an asker's texts from those of the others.
fn mark(asker: usize) -> String {
    format!("client-{asker}")
}

/// The number in decimal digits at the start of `bytes`, and what follows it.
fn number(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let digits = bytes.iter().take_while(|byte| byte.is_ascii_digit()).take(COUNTER).count();
    let number = bytes[..digits].iter().fold(0, |sum, digit| sum * 10 + usize::from(digit - b'0'));
    (digits > 0).then_some((number, &bytes[digits..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Work;

    fn plan(clients: usize, senders: usize, messages: usize) -> Plan {
        Plan { work: Work::Ask, clients, senders, messages, size: 24, depth: 4, ..Plan::default() }
    }

    /// What the server makes of a command of `client`: the receiver, and the line that it gets.
    fn deliver(plan: &Plan, client: usize, command: &str) -> (usize, String) {
        let mut parts = command.splitn(4, ':');
        let mark = if parts.next() == Some("ask") { "?>" } else { "=>" };
        let receiver = parts.next().unwrap().strip_prefix(&plan.family()).unwrap().parse().unwrap();
        let (id, text) = (parts.next().unwrap(), parts.next().unwrap());
        (receiver, format!("{} {mark} {id}: {text}", plan.name(client)))
    }

    fn lines(batch: &[u8]) -> Vec<String> {
        std::str::from_utf8(batch).unwrap().lines().map(str::to_owned).collect()
    }

    #[test]
    fn every_question_reaches_an_answerer_and_is_answered() {
        for (clients, senders, messages) in [(2, 1, 10), (4, 2, 11), (5, 1, 13), (7, 2, 9), (7, 5, 23), (16, 8, 3)] {
            let plan = plan(clients, senders, messages);
            let mut answerers: Vec<Answerer> = (0..clients).map(|client| Answerer::new(&plan, client)).collect();
            assert_eq!(answerers.iter().map(|answerer| answerer.left).sum::<usize>(), messages);
            for client in 0..senders {
                let mut asker = Asker::new(&plan, client);
                for _ in 0..plan.share(client) {
                    let (mut asked, mut answered) = (Vec::new(), Vec::new());
                    let now = Instant::now();
                    asker.ask(now, &mut asked);
                    let (answerer, question) = deliver(&plan, client, &lines(&asked)[0]);
                    assert!(answerer >= senders);
                    answerers[answerer].answer(question.as_bytes(), &mut answered).unwrap();
                    let (receiver, answer) = deliver(&plan, answerer, &lines(&answered)[0]);
                    assert_eq!((receiver, asker.accept(answer.as_bytes())), (client, Some(now)), "{answer}");
                }
            }
            assert!(answerers.iter().all(|answerer| answerer.left == 0));
        }
    }

    #[test]
    fn everyone_has_work() {
        for (clients, senders) in [(2, 1), (9, 2), (9, 7), (16, 8)] {
            let plan = plan(clients, senders, clients * 2);
            assert!((senders..clients).all(|client| Answerer::new(&plan, client).left > 0), "{clients} {senders}");
            assert!((0..senders).all(|client| !answerers_of(&plan, client).is_empty()), "{clients} {senders}");
        }
    }

    #[test]
    fn answers_may_come_in_any_order_but_only_right_and_once() {
        let plan = plan(3, 1, 10);
        let family = plan.family();
        let texts = ["000000000 client-0 abcde", "000000001 client-0 abcde", "000000002 client-0 abcde"];
        let answer = |name: usize, id: usize, text: usize| format!("{family}{name} => {id}: {}", texts[text]);
        let asker = || {
            let (mut asker, mut batch) = (Asker::new(&plan, 0), Vec::new());
            (0..3).for_each(|_| asker.ask(Instant::now(), &mut batch));
            assert_eq!(lines(&batch)[1], format!("ask:{family}2:1:{}", texts[1]));
            asker
        };
        let mut right = asker();
        for (name, id) in [(1, 2), (1, 0), (2, 1)] {
            assert!(right.accept(answer(name, id, id).as_bytes()).is_some());
            assert_eq!(right.accept(answer(name, id, id).as_bytes()), None, "a second answer");
        }
        for line in [
            answer(2, 0, 0),
            answer(1, 0, 1),
            answer(1, 3, 0),
            answer(1, 4, 0),
            answer(1, 0, 0) + "x",
            answer(1, 0, 0).replace("=>", "+>"),
            answer(1, 0, 0).replace("=>", "!>"),
            answer(1, 0, 0).replace("client-0", "client-1"),
            format!("{family}1 => : {}", texts[0]),
            format!("{family}1: {}", texts[0]),
            format!("error: question 0: {family}1 has left"),
            String::new(),
        ] {
            assert_eq!(asker().accept(line.as_bytes()), None, "{line}");
        }
    }

    #[test]
    fn questions_have_to_come_once_and_in_order() {
        let plan = plan(3, 2, 10);
        let family = plan.family();
        let question =
            |asker: usize, number: usize| format!("{family}{asker} ?> 7: 00000000{number} client-{asker} abcde");
        let take = |lines: &[String]| {
            let (mut answerer, mut batch) = (Answerer::new(&plan, 2), Vec::new());
            lines.iter().all(|line| answerer.answer(line.as_bytes(), &mut batch).is_some())
        };
        assert!(take(&[question(0, 0), question(1, 0), question(1, 1), question(0, 1)]));
        for wrong in [
            vec![question(0, 1)],
            vec![question(0, 0), question(0, 0)],
            vec![question(2, 0)],
            vec![question(0, 0).replace("client-0", "client-1")],
            vec![question(0, 0).replace("?>", "=>")],
            (0..6).map(|number| question(0, number)).chain((0..5).map(|number| question(1, number))).collect(),
        ] {
            assert!(!take(&wrong), "{wrong:?}");
        }
    }
}
