//! `--ask`: one question after the other, and when one is put again. Pure, but for the clock, the orders to the input and
//! the connection, which is given up after a question that had no answer in time.

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
    /// The one that has ended, until that is printed.
    pub(crate) ended: Option<Ended>,
}

struct Open {
    text: String,
    deadline: Option<Instant>,
    /// When it is put again.
    again: Option<Instant>,
    /// How long to wait before that.
    pause: Duration,
    /// Why it was put again.
    failed: Option<AskError>,
}

/// How a question has ended.
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
        Asking { orders, sender: None, timeout, retry, reconnect, count: 0, open: None, ended: None }
    }

    /// There is a connection: the first, or another one.
    pub(crate) fn connect(&mut self, sender: Sender) {
        self.sender = Some(sender);
        match self.open {
            Some(_) => self.put(),
            None if self.count == 0 => self.order(Order::Read),
            // It reads already.
            None => {}
        }
    }

    /// Whether the connection was given up, and there is no other one yet.
    pub(crate) fn is_disconnected(&self) -> bool {
        self.sender.is_none()
    }

    pub(crate) fn begin(&mut self, text: String) {
        self.count += 1;
        let deadline = Instant::now().checked_add(self.timeout);
        self.open = Some(Open { text, deadline, again: None, pause: FIRST_PAUSE, failed: None });
        self.put();
    }

    /// Puts the question that is open, once there is a connection.
    fn put(&mut self) {
        let (Some(open), Some(sender)) = (&mut self.open, &self.sender) else { return };
        open.again = None;
        let left = open.deadline.map_or(Duration::MAX, |deadline| deadline.saturating_duration_since(Instant::now()));
        let order = Order::Put(sender.clone(), open.text.clone(), left);
        self.order(order);
    }

    fn order(&self, order: Order) {
        // The input ends before the loop only when there is no more of it.
        let _ = self.orders.send(order);
    }

    /// It could not be put, or has its answer: nothing else comes for it over a connection that was not given up.
    pub(crate) fn take_answer(&mut self, answer: Result<String, AskError>) {
        if !self.is_disconnected() {
            self.end(answer);
        }
    }

    /// There will be no connection any more.
    pub(crate) fn lose(&mut self) {
        self.end(Err(AskError::Client(ClientError::Closed)));
    }

    /// Whether the end has come that the last line of the input leads to.
    pub(crate) fn is_idle(&self) -> bool {
        self.open.is_none()
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        let open = self.open.as_ref()?;
        open.deadline.into_iter().chain(open.again).min()
    }

    /// Puts the question again if it is time, or ends it if its time is over.
    pub(crate) fn look_at_clock(&mut self) {
        let (Some(open), now) = (&self.open, Instant::now()) else { return };
        if open.deadline.is_some_and(|deadline| deadline <= now) {
            self.end(Err(AskError::TimedOut));
        } else if open.again.is_some_and(|again| again <= now) {
            self.put();
        }
    }

    /// The question has ended, unless it is to be put again.
    fn end(&mut self, answer: Result<String, AskError>) {
        let Some(mut open) = self.open.take() else { return };
        let is_late = open.deadline.is_some_and(|deadline| deadline <= Instant::now());
        let answer = match answer {
            // A server that takes only a part of a question in time loses the connection.
            Err(AskError::Client(_)) if is_late => Err(AskError::TimedOut),
            answer => answer,
        };
        match answer {
            Err(error) if self.retry && may_pass(&error, self.reconnect) => {
                open.again = Some(Instant::now() + open.pause);
                (open.pause, open.failed) = ((2 * open.pause).min(LAST_PAUSE), Some(error));
                self.open = Some(open);
            }
            answer => {
                // Whoever was asked and has not answered hears of it, and the server forgets the question.
                if let Err(AskError::TimedOut) = answer {
                    self.sender.take().iter().for_each(Sender::finish);
                }
                self.order(Order::Read);
                let shown: String = open.text.chars().take(SHOWN).collect();
                let more = if shown.len() < open.text.len() { "..." } else { "" };
                let question = format!("question {} ('{shown}{more}')", self.count);
                self.ended = Some(Ended { question, answer, failed: open.failed });
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
