//! `--ask`: one question after the other, and when one is put again. Pure, but for the clock and the orders to the input.

use std::sync::mpsc::Sender as Orders;
use std::time::{Duration, Instant};

use localsocket::client::Sender;
use localsocket::{AskError, ClientError};

use crate::input::Order;

/// The most of a question that is shown in a message about it, in characters.
const SHOWN: usize = 60;

/// How long to wait before a question is put again: at first, and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LAST_PAUSE: Duration = Duration::from_secs(1);

pub(crate) struct Asking {
    /// What the input is to do.
    orders: Orders<Order>,
    /// The connection, if there is one.
    sender: Option<Sender>,
    timeout: Duration,
    retry: bool,
    reconnect: bool,
    /// How many questions there were.
    count: usize,
    open: Option<Open>,
    /// The library's number of the last one that is over.
    over: u64,
}

struct Open {
    text: String,
    deadline: Option<Instant>,
    state: State,
    /// How long to wait before it is put again.
    pause: Duration,
    /// Why it was put again.
    failed: Option<AskError>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// It waits for a connection.
    Waiting,
    /// It is being put, which ends by the deadline.
    Putting,
    Put(u64),
    /// It is put again then.
    Pausing(Instant),
}

/// How a question has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// What to call it.
    pub(crate) question: String,
    /// The last line of the answer.
    pub(crate) answer: Result<String, AskError>,
    /// Why it was put more than once.
    pub(crate) failed: Option<AskError>,
}

impl Asking {
    pub(crate) fn new(orders: Orders<Order>, timeout: Duration, retry: bool, reconnect: bool) -> Asking {
        Asking { orders, sender: None, timeout, retry, reconnect, count: 0, open: None, over: 0 }
    }

    /// There is a connection: the first, or another one.
    pub(crate) fn connect(&mut self, sender: Sender) {
        // Each client counts its questions anew.
        (self.sender, self.over) = (Some(sender), 0);
        match self.open {
            Some(_) => self.put(),
            None if self.count == 0 => self.order(Order::Read),
            // It reads already.
            None => {}
        }
    }

    /// Gives up the connection, so that those who were asked and have not answered hear of it, and the server forgets.
    pub(crate) fn disconnect(&mut self) {
        if let Some(sender) = self.sender.take() {
            sender.finish();
        }
    }

    pub(crate) fn begin(&mut self, text: String) {
        self.count += 1;
        let (deadline, state) = (Instant::now().checked_add(self.timeout), State::Waiting);
        self.open = Some(Open { text, deadline, state, pause: FIRST_PAUSE, failed: None });
        self.put();
    }

    fn put(&mut self) {
        let (Some(open), Some(sender)) = (&mut self.open, &self.sender) else { return };
        open.state = State::Putting;
        let left = open.deadline.map_or(Duration::MAX, |deadline| deadline.saturating_duration_since(Instant::now()));
        let order = Order::Put(sender.clone(), open.text.clone(), left);
        self.order(order);
    }

    fn order(&self, order: Order) {
        // The input ends before the loop only when there is no more of it.
        let _ = self.orders.send(order);
    }

    /// It was put, or could not be.
    pub(crate) fn was_put(&mut self, put: Result<u64, AskError>) -> Option<Ended> {
        match put {
            // Its answer may have been quicker.
            Ok(number) => {
                let open = self.open.as_mut().filter(|_| number > self.over)?;
                open.state = State::Put(number);
                None
            }
            Err(error) => self.end(Err(error)),
        }
    }

    /// Whether a part of an answer is for the question that is open.
    pub(crate) fn wants(&self, number: u64) -> bool {
        number > self.over
    }

    pub(crate) fn take_answer(&mut self, number: u64, answer: Result<String, AskError>) -> Option<Ended> {
        if !self.wants(number) {
            return None;
        }
        self.over = number;
        self.end(answer)
    }

    /// There will be no connection any more.
    pub(crate) fn lose(&mut self) -> Option<Ended> {
        self.end(Err(AskError::Client(ClientError::Closed)))
    }

    /// Whether the end has come that the last line of the input leads to.
    pub(crate) fn is_idle(&self) -> bool {
        self.open.is_none()
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        let open = self.open.as_ref()?;
        match open.state {
            State::Putting => None,
            State::Pausing(until) => open.deadline.map_or(Some(until), |deadline| Some(deadline.min(until))),
            State::Waiting | State::Put(_) => open.deadline,
        }
    }

    /// Puts the question again if it is time, or ends it if its time is over.
    pub(crate) fn look_at_clock(&mut self) -> Option<Ended> {
        let now = Instant::now();
        self.deadline().filter(|deadline| *deadline <= now)?;
        let open = self.open.as_ref()?;
        match open.state {
            State::Pausing(_) if open.deadline.is_none_or(|deadline| deadline > now) => {
                self.put();
                return None;
            }
            State::Put(number) => self.over = number,
            _ => {}
        }
        self.end(Err(AskError::TimedOut))
    }

    /// The question has ended, unless it is to be put again.
    fn end(&mut self, answer: Result<String, AskError>) -> Option<Ended> {
        let mut open = self.open.take()?;
        let is_late = open.deadline.is_some_and(|deadline| deadline <= Instant::now());
        let answer = match answer {
            // A server that takes only a part of a question in time loses the connection.
            Err(AskError::Client(_)) if is_late => Err(AskError::TimedOut),
            answer => answer,
        };
        match answer {
            Err(error) if self.retry && may_pass(&error, self.reconnect) => {
                open.state = State::Pausing(Instant::now() + open.pause);
                (open.pause, open.failed) = ((2 * open.pause).min(LAST_PAUSE), Some(error));
                self.open = Some(open);
                None
            }
            answer => {
                self.order(Order::Read);
                let shown: String = open.text.chars().take(SHOWN).collect();
                let more = if shown.len() < open.text.len() { "..." } else { "" };
                let question = format!("question {} ('{shown}{more}')", self.count);
                Some(Ended { question, answer, failed: open.failed })
            }
        }
    }
}

/// Whether a question that has failed so can have an answer when it is put again.
fn may_pass(error: &AskError, reconnect: bool) -> bool {
    match error {
        AskError::Failed(why) => why.starts_with("nobody here is called ") || why.ends_with(" has left"),
        AskError::Client(_) => reconnect,
        _ => false,
    }
}
