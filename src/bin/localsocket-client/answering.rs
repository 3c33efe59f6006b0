//! The questions of `--answer`: which wait, which are being answered, and how it ends.
//!
//! Every question that was taken is answered or refused, unless its connection has ended. What waits is bounded. Nothing
//! here waits for the server: answers and refusals are sent by threads of their own.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, SyncSender};
use std::time::{Duration, Instant};

use localsocket::client::Question;
use localsocket::programs::raise_descriptor_limit;

use crate::command;
use crate::exit::End;
use crate::happening::{Happening, Happenings, start};

/// How many questions may wait, and how many bytes they may have in all. Others are refused.
const WAITING_MAX: usize = 1024;
const WAITING_BYTES_MAX: usize = 16 * 1024 * 1024;

/// How many refusals may wait to be sent before no more questions are taken.
const REFUSALS_MAX: usize = 256;

/// Descriptors for one command, and for everything else.
const DESCRIPTORS: (usize, usize) = (4, 24);

/// How long commands have at the end: by themselves, after SIGTERM, and to be collected after SIGKILL.
const PATIENCE: Duration = Duration::from_secs(5);
const PATIENCE_TERMINATED: Duration = Duration::from_secs(1);
const PATIENCE_KILLED: Duration = Duration::from_millis(500);

/// A signal that comes again within this time is the same request: `timeout` and `make` signal their child, and then the
/// whole process group.
const SAME_REQUEST: Duration = Duration::from_millis(50);

/// What questions are refused with that come too late.
const STOPPING: &str = "not answered: the service is stopping";

/// What is refused: a question, and why.
type Refused = (Question, &'static str);

/// A question that is being answered.
struct Job {
    asker: String,
    id: String,
    /// Nobody waits for the answer any more.
    forgotten: Arc<AtomicBool>,
}

/// How far the end has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Working,
    /// The last question of `--count` was taken.
    LastTaken,
    /// No more questions are answered, and commands have some time.
    Stopping,
    Terminated,
    Killed,
}

pub(crate) struct Answering {
    command: String,
    jobs: usize,
    happenings: Happenings,
    refusals: SyncSender<Refused>,
    /// How many are not sent yet.
    refusing: usize,
    waiting: VecDeque<Question>,
    running: HashMap<u64, Job>,
    started: u64,
    /// The longest line that the server takes, once it has told. An answer that is too long would be lost, or get a gap.
    limit: Option<usize>,
    stage: Stage,
    /// Why it ends.
    end: End,
    /// When the next stage begins.
    deadline: Option<Instant>,
    signalled: Option<Instant>,
}

impl Answering {
    pub(crate) fn new(command: &str, jobs: usize, happenings: Happenings) -> Result<Answering, String> {
        let (each, other) = DESCRIPTORS;
        let descriptors =
            raise_descriptor_limit((each * jobs + other) as u64).map_or(usize::MAX, |limit| limit as usize);
        let (refusals, queue) = mpsc::sync_channel::<Refused>(REFUSALS_MAX);
        let done = happenings.clone();
        start("refusals", move || {
            for (question, reason) in queue {
                // If its connection has ended, so has the question.
                let _ = question.refuse(reason);
                let _ = done.send(Happening::Done(None));
            }
        })?;
        Ok(Answering {
            command: command.to_owned(),
            jobs: jobs.min(descriptors.saturating_sub(other) / each).max(1),
            happenings,
            refusals,
            refusing: 0,
            waiting: VecDeque::new(),
            running: HashMap::new(),
            started: 0,
            limit: None,
            stage: Stage::Working,
            end: End::Closed,
            deadline: None,
            signalled: None,
        })
    }

    /// Answers are sent when the limit of the server is known.
    pub(crate) fn set_limit(&mut self, limit: Option<usize>) {
        self.limit = limit;
    }

    pub(crate) fn take(&mut self, question: Question) {
        let bytes = |question: &Question| question.asker().len() + question.id().len() + question.text().len();
        let waiting = self.waiting.iter().map(bytes).sum::<usize>() + bytes(&question);
        if self.stage > Stage::Working {
            self.refuse(question, STOPPING);
        } else if self.waiting.len() >= WAITING_MAX || waiting > WAITING_BYTES_MAX {
            self.refuse(question, "not answered: too many questions are waiting");
        } else {
            self.waiting.push_back(question);
        }
    }

    fn refuse(&mut self, question: Question, reason: &'static str) {
        self.refusing += usize::from(self.refusals.send((question, reason)).is_ok());
    }

    /// The asker of a question has gone. If it waits it is refused, after which the server forgets it.
    pub(crate) fn withdraw(&mut self, asker: &str, id: &str) {
        while let Some(place) =
            self.waiting.iter().position(|question| question.asker() == asker && question.id() == id)
        {
            if let Some(question) = self.waiting.remove(place) {
                self.refuse(question, "withdrawn");
            }
        }
        for job in self.running.values().filter(|job| job.asker == asker && job.id == id) {
            job.forgotten.store(true, Ordering::SeqCst);
        }
    }

    /// All have ended with their connection.
    pub(crate) fn withdraw_all(&mut self) {
        self.running.values().for_each(|job| job.forgotten.store(true, Ordering::SeqCst));
        self.waiting.clear();
        self.limit = None;
    }

    /// A command has ended, or a refusal was sent.
    pub(crate) fn done(&mut self, job: Option<u64>) {
        match job {
            Some(job) => drop(self.running.remove(&job)),
            None => self.refusing -= 1,
        }
    }

    /// Takes no more questions, but answers those that were taken.
    pub(crate) fn finish(&mut self, end: End) {
        (self.stage, self.end) = (Stage::LastTaken, end);
    }

    /// Starts no more commands, and gives those that run some time.
    pub(crate) fn stop(&mut self, end: End) {
        if self.stage >= Stage::Stopping {
            return;
        }
        if self.stage == Stage::Working {
            self.end = end;
        }
        (self.stage, self.deadline) = (Stage::Stopping, Instant::now().checked_add(PATIENCE));
        for question in std::mem::take(&mut self.waiting) {
            self.refuse(question, STOPPING);
        }
    }

    /// The first signal stops, the second one does not wait.
    pub(crate) fn take_signal(&mut self) {
        let now = Instant::now();
        let first = *self.signalled.get_or_insert(now);
        self.stop(End::Stopped);
        if self.stage == Stage::Stopping && now - first > SAME_REQUEST {
            self.deadline = Some(now);
        }
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Starts commands for the questions that wait, or ends those that run. `Err` if nothing is left to be done.
    pub(crate) fn go_on(&mut self) -> Result<(), End> {
        while let Some(limit) = self.limit
            && self.running.len() < self.jobs
            && let Some(question) = self.waiting.pop_front()
        {
            self.answer(question, limit);
        }
        let is_due = self.deadline.is_some_and(|deadline| deadline <= Instant::now());
        let patience = match self.stage {
            Stage::Working => return Ok(()),
            _ if self.running.is_empty() && self.waiting.is_empty() && self.refusing == 0 => return Err(self.end),
            _ if !is_due => return Ok(()),
            Stage::LastTaken | Stage::Stopping => {
                command::terminate_all();
                self.stage = Stage::Terminated;
                PATIENCE_TERMINATED
            }
            Stage::Terminated => {
                command::kill_all();
                self.stage = Stage::Killed;
                PATIENCE_KILLED
            }
            Stage::Killed => return Err(self.end),
        };
        self.deadline = Instant::now().checked_add(patience);
        Ok(())
    }

    fn answer(&mut self, question: Question, limit: usize) {
        self.started += 1;
        let (number, forgotten) = (self.started, Arc::new(AtomicBool::new(false)));
        let (asker, id) = (question.asker().to_owned(), question.id().to_owned());
        self.running.insert(number, Job { asker, id, forgotten: Arc::clone(&forgotten) });
        let (command, happenings) = (self.command.clone(), self.happenings.clone());
        let answer = move || {
            command::answer(&command, question, limit, &forgotten);
            let _ = happenings.send(Happening::Done(Some(number)));
        };
        if start("command", answer).is_err() {
            // The question was dropped, and so refused.
            self.running.remove(&number);
        }
    }
}
