//! The questions of `--answer`: which wait, which are being answered, and how it ends.
//!
//! Every question that was taken is answered or refused, unless its connection has ended. What waits is bounded. Nothing
//! here waits for the server: answers and refusals are sent by threads of their own.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::time::{Duration, Instant};

use localsocket::client::Question;
use localsocket::programs::{kill_apart, raise_descriptor_limit, terminate_apart};

use crate::command::{self, Job};
use crate::exit::End;
use crate::happening::{Happening, Happenings, start};

/// How many questions may wait, and how many bytes they may have in all. Others are refused.
const WAITING_MAX: usize = 1024;
const WAITING_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Descriptors for one command, and for everything else.
const DESCRIPTORS: (usize, usize) = (4, 24);

/// The steps of the end: what commands get, and how long they have then: by themselves, after SIGTERM, and to be collected
/// after SIGKILL.
const ENDING: [(fn(u32), Duration); 3] = [
    (|_| {}, Duration::from_secs(5)),
    (terminate_apart, Duration::from_secs(1)),
    (kill_apart, Duration::from_millis(500)),
];

/// A signal that comes again within this time is the same request: `timeout` and `make` signal their child, and then the
/// whole process group.
const SAME_REQUEST: Duration = Duration::from_millis(50);

/// What questions are refused with that come too late.
const STOPPING: &str = "not answered: the service is stopping";

/// What is refused, and why.
type Refused = (Arc<Job>, &'static str);

/// How far the end has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Working,
    /// The last question of `--count` was taken.
    LastTaken,
    /// No more questions are answered. Commands are at this step.
    Ending(usize),
}

pub(crate) struct Answering {
    command: String,
    jobs: usize,
    happenings: Happenings,
    /// The server bounds them: each is an answer that is owed until it is sent. A bound here could hold up the loop, for which
    /// the thread that sends them waits.
    refusals: Sender<Refused>,
    /// How many are not sent yet.
    refusing: usize,
    waiting: VecDeque<Arc<Job>>,
    running: Vec<Arc<Job>>,
    /// The longest line that the server takes. Commands are started once it is known: an answer that is too long would be
    /// lost, or get a gap.
    pub(crate) limit: Option<usize>,
    stage: Stage,
    /// Why it ends.
    end: End,
    /// When the next stage begins.
    pub(crate) deadline: Option<Instant>,
    signalled: Option<Instant>,
}

impl Answering {
    pub(crate) fn new(command: &str, jobs: usize, happenings: Happenings) -> Result<Answering, String> {
        let (each, other) = DESCRIPTORS;
        let descriptors =
            raise_descriptor_limit((each * jobs + other) as u64).map_or(usize::MAX, |limit| limit as usize);
        let (refusals, queue) = mpsc::channel::<Refused>();
        let done = happenings.clone();
        start("refusals", move || {
            for (job, reason) in queue {
                // If its connection has ended, so has the question.
                let _ = job.take().map(|question| question.refuse(reason));
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
            running: Vec::new(),
            limit: None,
            stage: Stage::Working,
            end: End::Closed,
            deadline: None,
            signalled: None,
        })
    }

    pub(crate) fn take(&mut self, question: Question) {
        let job = Arc::new(Job::new(question));
        let bytes = self.waiting.iter().chain([&job]).map(|job| job.bytes).sum::<usize>();
        if self.stage > Stage::Working {
            self.refuse(job, STOPPING);
        } else if self.waiting.len() >= WAITING_MAX || bytes > WAITING_BYTES_MAX {
            self.refuse(job, "not answered: too many questions are waiting");
        } else {
            self.waiting.push_back(job);
        }
    }

    fn refuse(&mut self, job: Arc<Job>, reason: &'static str) {
        self.refusing += usize::from(self.refusals.send((job, reason)).is_ok());
    }

    /// The asker of a question has gone. It is refused, after which the server forgets it. If its command runs already, that
    /// runs on.
    pub(crate) fn withdraw(&mut self, asker: &str, id: &str) {
        let is_it = |job: &Arc<Job>| job.asker == asker && job.id == id;
        let withdrawn: Vec<_> = self.waiting.iter().chain(&self.running).filter(|job| is_it(job)).cloned().collect();
        self.waiting.retain(|job| !is_it(job));
        withdrawn.into_iter().for_each(|job| self.refuse(job, "withdrawn"));
    }

    /// All have ended with their connection, those that are being answered too.
    pub(crate) fn withdraw_all(&mut self) {
        self.waiting.clear();
        self.limit = None;
    }

    /// A command has ended, or a refusal was sent.
    pub(crate) fn done(&mut self, job: Option<Arc<Job>>) {
        match job {
            Some(job) => self.running.retain(|running| !Arc::ptr_eq(running, &job)),
            None => self.refusing -= 1,
        }
    }

    /// Takes no more questions, but answers those that were taken.
    pub(crate) fn finish(&mut self, end: End) {
        if let Stage::Working = self.stage {
            (self.stage, self.end) = (Stage::LastTaken, end);
        }
    }

    /// Starts no more commands, and gives those that run some time.
    pub(crate) fn stop(&mut self, end: End) {
        match self.stage {
            Stage::Working => self.end = end,
            Stage::LastTaken => {}
            Stage::Ending(_) => return,
        }
        self.begin(0);
        std::mem::take(&mut self.waiting).into_iter().for_each(|job| self.refuse(job, STOPPING));
    }

    /// The first signal stops, the second one does not wait.
    pub(crate) fn take_signal(&mut self) {
        let now = Instant::now();
        let first = *self.signalled.get_or_insert(now);
        self.stop(End::Stopped);
        if self.stage == Stage::Ending(0) && now - first > SAME_REQUEST {
            self.deadline = Some(now);
        }
    }

    /// Starts commands for the questions that wait, or ends those that run. `Err` if nothing is left to be done.
    pub(crate) fn go_on(&mut self) -> Result<(), End> {
        while let Some(limit) = self.limit
            && self.running.len() < self.jobs
            && let Some(job) = self.waiting.pop_front()
        {
            self.running.push(Arc::clone(&job));
            let (command, happenings) = (self.command.clone(), self.happenings.clone());
            let answer = move || {
                command::answer(&command, &job, limit);
                let _ = happenings.send(Happening::Done(Some(job)));
            };
            if start("command", answer).is_err()
                && let Some(job) = self.running.pop()
            {
                self.refuse(job, "no answer was given");
            }
        }
        let is_idle = self.running.is_empty() && self.waiting.is_empty() && self.refusing == 0;
        let is_due = self.deadline.is_some_and(|deadline| deadline <= Instant::now());
        match self.stage {
            Stage::LastTaken | Stage::Ending(_) if is_idle => return Err(self.end),
            Stage::Ending(step) if is_due && step + 1 == ENDING.len() => return Err(self.end),
            Stage::Ending(step) if is_due => self.begin(step + 1),
            _ => {}
        }
        Ok(())
    }

    fn begin(&mut self, step: usize) {
        let (signal, patience) = ENDING[step];
        self.running.iter().for_each(|job| job.signal(signal));
        (self.stage, self.deadline) = (Stage::Ending(step), Instant::now().checked_add(patience));
    }
}
