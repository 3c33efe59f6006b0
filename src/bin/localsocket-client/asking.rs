//! The questions of `--ask`, whose answers are printed in the order of the questions.
//!
//! Questions whose answers are not printed yet are bounded, so a slow answer holds up the input, not the memory.

use std::collections::{HashMap, VecDeque};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::time::{Duration, Instant};

use localsocket::AskError;

/// How many questions may be open at a time.
const WINDOW: usize = 64;

/// The most of a question that is shown in a message about it, in characters.
const SHOWN: usize = 60;

type Answer = Result<String, AskError>;

struct Open {
    number: usize,
    text: String,
    deadline: Option<Instant>,
    /// What the library has made of it, as soon as it was put.
    put: Option<Result<u64, AskError>>,
}

pub(crate) struct Asking {
    open: VecDeque<Open>,
    answers: HashMap<u64, Answer>,
    places: SyncSender<()>,
    free: Receiver<()>,
}

impl Asking {
    pub(crate) fn new() -> Asking {
        let (places, free) = mpsc::sync_channel(WINDOW);
        Asking { open: VecDeque::new(), answers: HashMap::new(), places, free }
    }

    /// Places for questions: one is taken before each, and given back with its answer.
    pub(crate) fn places(&self) -> SyncSender<()> {
        self.places.clone()
    }

    pub(crate) fn begin(&mut self, number: usize, text: String, timeout: Duration) {
        self.open.push_back(Open { number, text, deadline: Instant::now().checked_add(timeout), put: None });
    }

    pub(crate) fn put(&mut self, number: usize, put: Result<u64, AskError>) {
        match self.open.iter_mut().find(|open| open.number == number) {
            Some(open) => open.put = Some(put),
            // Its time was over before it was put.
            None => drop(put.map(|question| self.answers.remove(&question))),
        }
    }

    pub(crate) fn answer(&mut self, question: u64, answer: Answer) {
        self.answers.insert(question, answer);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.open.front().and_then(|open| open.deadline)
    }

    /// The next question that has ended, and how.
    pub(crate) fn next(&mut self) -> Option<(String, Answer)> {
        let open = self.open.front_mut()?;
        let answer = match open.put.take() {
            Some(Ok(question)) => match self.answers.remove(&question) {
                Some(answer) => answer,
                None => {
                    open.put = Some(Ok(question));
                    overdue(open.deadline)?
                }
            },
            Some(Err(error)) => Err(error),
            None => overdue(open.deadline)?,
        };
        let open = self.open.pop_front()?;
        let _ = self.free.try_recv();
        let shown: String = open.text.chars().take(SHOWN).collect();
        let more = if shown.len() < open.text.len() { "..." } else { "" };
        Some((format!("{} ('{shown}{more}')", open.number), answer))
    }
}

fn overdue(deadline: Option<Instant>) -> Option<Answer> {
    deadline.is_some_and(|deadline| deadline <= Instant::now()).then_some(Err(AskError::TimedOut))
}
