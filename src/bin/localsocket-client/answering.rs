//! The questions of `--answer`: which wait, which are being answered, and when to stop.
//!
//! Every question that was taken is answered or refused, unless its connection has ended.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use localsocket::client::{Question, Sender};

use crate::command;
use crate::exit::End;
use crate::work::{Happening, Happenings, start};

/// How long commands that run are waited for at the end.
const PATIENCE: Duration = Duration::from_secs(5);

/// What questions are refused with that come too late.
const STOPPING: &str = "not answered: the service is stopping";

/// A question that is being answered.
struct Job {
    asker: String,
    id: String,
    /// Nobody waits for the answer any more.
    forgotten: Arc<AtomicBool>,
}

pub(crate) struct Answering {
    sender: Sender,
    happenings: Happenings,
    waiting: VecDeque<Question>,
    running: HashMap<u64, Job>,
    started: u64,
    /// The longest line that the server takes, once it has told.
    limit: Option<usize>,
    /// Why no more questions are taken, and until when commands may run.
    stop: Option<(End, Option<Instant>)>,
}

impl Answering {
    pub(crate) fn new(sender: Sender, happenings: Happenings) -> Answering {
        let (waiting, running) = (VecDeque::new(), HashMap::new());
        Answering { sender, happenings, waiting, running, started: 0, limit: None, stop: None }
    }

    /// Asks a server that was just connected to for the longest line that it takes. Answers are sent when that is known:
    /// one that is too long would be lost, and whoever asked would wait in vain, or get an answer with a gap.
    pub(crate) fn ask_limit(&mut self) {
        self.limit = None;
        let _ = self.sender.send("stats");
    }

    pub(crate) fn learn_limit(&mut self, line: &str) {
        if let Some(stats) = line.strip_prefix("stats: ") {
            let limit = stats.split(' ').find_map(|pair| pair.strip_prefix("max-line=")?.parse().ok());
            self.limit = Some(limit.unwrap_or(usize::MAX));
        }
    }

    /// Takes a question. After the last one, no more are taken.
    pub(crate) fn take(&mut self, question: Question, is_last: bool) {
        if self.stop.is_some() {
            let _ = question.refuse(STOPPING);
            return;
        }
        self.waiting.push_back(question);
        if is_last {
            self.stop = Some((End::Count, None));
        }
    }

    /// Starts no more commands, and gives those that run some time.
    pub(crate) fn stop(&mut self, end: End) {
        let end = self.stop.map_or(end, |(before, _)| before);
        self.stop = Some((end, Instant::now().checked_add(PATIENCE)));
        for question in self.waiting.drain(..) {
            let _ = question.refuse(STOPPING);
        }
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.stop.and_then(|(_, deadline)| deadline)
    }

    /// The asker of a question that is being answered has gone. A command that writes for ever would keep its place.
    pub(crate) fn forget(&self, asker: &str, id: &str) {
        for job in self.running.values().filter(|job| job.asker == asker && job.id == id) {
            job.forgotten.store(true, Ordering::SeqCst);
        }
    }

    /// All have ended with their connection.
    pub(crate) fn forget_all(&mut self) {
        self.running.values().for_each(|job| job.forgotten.store(true, Ordering::SeqCst));
        self.waiting.clear();
    }

    pub(crate) fn done(&mut self, job: u64) {
        self.running.remove(&job);
    }

    /// Starts commands for the questions that wait. `Err` if everything is done that was to be done.
    pub(crate) fn go_on(&mut self, command: &str, jobs: usize) -> Result<(), End> {
        while let Some(limit) = self.limit
            && self.running.len() < jobs
            && let Some(question) = self.waiting.pop_front()
        {
            self.started += 1;
            let (number, forgotten) = (self.started, Arc::new(AtomicBool::new(false)));
            let (asker, id) = (question.asker().to_owned(), question.id().to_owned());
            self.running.insert(number, Job { asker, id, forgotten: Arc::clone(&forgotten) });
            let (command, happenings) = (command.to_owned(), self.happenings.clone());
            let answer = move || {
                command::answer(&command, question, limit, &forgotten);
                let _ = happenings.send(Happening::Done(number));
            };
            if start("command", answer).is_err() {
                // The question was dropped, and so refused.
                self.running.remove(&number);
            }
        }
        match self.stop {
            Some((end, _)) if self.running.is_empty() && self.waiting.is_empty() => Err(end),
            Some((end, Some(deadline))) if deadline <= Instant::now() => {
                command::kill_all();
                Err(end)
            }
            _ => Ok(()),
        }
    }
}
