//! What `--answer` keeps between its threads: questions that wait, commands that run, and whether it is to stop.
//!
//! One thread receives, one waits for signals, and one for each command that runs. When there is a reason to stop, no
//! command is started any more, and those that run get some time. Every question that was taken is answered or refused,
//! unless its connection has ended. The state's lock is never held while anything is sent.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use localsocket::client::{Question, Sender};
use localsocket::programs::Signals;
use localsocket::protocol::Command;

use crate::command::{self, Next, Refused, Running};
use crate::exit::End;
use crate::line_limit::{self, LineLimit};
use crate::output::Forwarded;
use crate::wanted::Wanted;

/// How long commands that run are waited for at the end.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a command takes to end that was killed.
const AFTER_KILL: Duration = Duration::from_millis(500);

/// What questions are refused with that come too late.
const STOPPING: &str = "not answered: the service is stopping";

#[derive(Default)]
pub(crate) struct State {
    waiting: VecDeque<Question>,
    /// Threads that run commands.
    workers: usize,
    /// How many questions have been taken.
    pub(crate) taken: usize,
    stop: Option<Stop>,
    /// How many pings this service has sent, and how many have been answered or were lost with their connection.
    pings: u64,
    pongs: u64,
    /// The connection has ended.
    pub(crate) over: bool,
}

/// Why no more questions are taken.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stop {
    pub(crate) end: End,
    /// Questions that wait are answered nevertheless, however long it takes.
    pub(crate) waiting_too: bool,
}

/// Shared by all threads.
pub(crate) struct Service {
    command: String,
    jobs: usize,
    count: Option<usize>,
    state: Mutex<State>,
    changed: Condvar,
    running: Arc<Running>,
    pub(crate) line_limit: LineLimit,
    pub(crate) wanted: Wanted,
    /// Set when there is a connection.
    pub(crate) sender: OnceLock<Sender>,
    /// Held while a ping is sent.
    pinging: Mutex<()>,
}

impl Service {
    pub(crate) fn new(command: &str, jobs: usize, count: Option<usize>) -> Arc<Service> {
        Arc::new(Service {
            command: command.to_owned(),
            jobs,
            count,
            state: Mutex::default(),
            changed: Condvar::new(),
            running: Arc::default(),
            line_limit: LineLimit::default(),
            wanted: Wanted::default(),
            sender: OnceLock::new(),
            pinging: Mutex::default(),
        })
    }

    /// Waits for signals from now on, also while there is no connection yet.
    pub(crate) fn stop_on_signal(self: &Arc<Self>, signals: Signals) -> std::io::Result<()> {
        let service = Arc::clone(self);
        let wait = move || {
            let mut signalled = false;
            loop {
                signals.wait();
                match () {
                    // The second one does not wait, and before the first connection there is nothing to wait for.
                    _ if signalled || service.sender.get().is_none() => {
                        service.running.kill_all();
                        std::process::exit(0);
                    }
                    _ => {
                        signalled = true;
                        service.stop(Stop { end: End::Stopped, waiting_too: false });
                    }
                }
            }
        };
        thread::Builder::new().name("signals".to_owned()).spawn(wait).map(drop)
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn stop(&self, stop: Stop) {
        let mut state = self.state();
        state.stop = match state.stop {
            // A signal ends the wait for questions that are still to be answered.
            Some(before) => Some(Stop { waiting_too: before.waiting_too && stop.waiting_too, ..before }),
            None => Some(stop),
        };
        let keeps_waiting = state.stop.is_some_and(|stop| stop.waiting_too);
        let refused = if keeps_waiting { VecDeque::new() } else { std::mem::take(&mut state.waiting) };
        drop(state);
        self.changed.notify_all();
        refuse_all(refused);
    }

    /// Forgets what was waited for over a connection that has ended.
    pub(crate) fn forget_waiting(&self) {
        self.line_limit.forget();
        self.wanted.end_all();
        let mut state = self.state();
        state.pongs = state.pings;
        let forgotten = std::mem::take(&mut state.waiting);
        drop(state);
        self.changed.notify_all();
        drop(forgotten);
    }

    pub(crate) fn take(self: &Arc<Self>, question: Question) {
        let mut state = self.state();
        if state.stop.is_some() {
            drop(state);
            let _ = question.refuse(STOPPING);
            return;
        }
        state.waiting.push_back(question);
        state.taken += 1;
        let last = self.count == Some(state.taken);
        let needs_worker = state.workers < self.jobs;
        state.workers += usize::from(needs_worker);
        drop(state);
        if last {
            self.stop(Stop { end: End::Count, waiting_too: true });
        }
        if needs_worker {
            let service = Arc::clone(self);
            if let Err(error) = thread::Builder::new().name("worker".to_owned()).spawn(move || service.work()) {
                self.do_without_worker(&error);
            }
        }
    }

    /// No thread could be started. If there are others, the question waits for them.
    fn do_without_worker(&self, error: &std::io::Error) {
        let mut state = self.state();
        state.workers -= 1;
        let refused = if state.workers == 0 { state.waiting.pop_back() } else { None };
        drop(state);
        self.changed.notify_all();
        if let Some(question) = refused {
            let _ = question.refuse(&format!("cannot start a thread: {error}"));
        }
    }

    /// Answers questions as long as some wait.
    fn work(&self) {
        loop {
            let mut state = self.state();
            let Some(question) = state.waiting.pop_front() else {
                state.workers -= 1;
                drop(state);
                self.changed.notify_all();
                return;
            };
            drop(state);
            self.answer(question);
        }
    }

    fn answer(&self, question: Question) {
        let mut errors = Forwarded::default();
        let (asker, id, text) = (question.asker(), question.id(), question.text());
        let answering = self.wanted.begin(asker, id);
        let mut longest = 0;
        let mut part = |line: &str| {
            let length = Command::Part { asker, id, text: line }.to_string().len();
            longest = longest.max(length);
            if self.line_limit.admit(asker, id, length).is_ok() {
                // If its connection has ended, so has the question.
                let _ = question.part(line);
            }
            if answering.is_wanted() { Next::More } else { Next::NoMore }
        };
        let result = command::run(&self.command, asker, text, &self.running, &mut part, |bytes| errors.add(bytes));
        errors.finish();
        if self.line_limit.is_in_doubt(longest) {
            self.wait_for_pong();
        }
        let result = result.and_then(|last| {
            let length = Command::Answer { asker, id, text: &last }.to_string().len();
            match self.line_limit.settle(longest).and_then(|()| self.line_limit.admit(asker, id, length)) {
                Ok(()) => Ok(last),
                Err(limit) => Err(Refused(line_limit::reason(limit))),
            }
        });
        let _ = match result {
            Ok(last) => question.answer(&last),
            Err(Refused(reason)) => question.refuse(&reason),
        };
    }

    /// Waits until the server has dealt with everything that was sent.
    fn wait_for_pong(&self) {
        let Some(sender) = self.sender.get() else { return };
        let ticket = {
            // So that the numbers are in the order of the pings.
            let _pinging = self.pinging.lock().unwrap_or_else(PoisonError::into_inner);
            let ticket = {
                let mut state = self.state();
                state.pings += 1;
                state.pings
            };
            if sender.send(Command::Ping).is_err() {
                return;
            }
            ticket
        };
        self.wait_until(Instant::now() + PATIENCE, |state| state.pongs >= ticket || state.over);
    }

    pub(crate) fn note_pong(&self) {
        let mut state = self.state();
        state.pongs = (state.pongs + 1).min(state.pings);
        drop(state);
        self.changed.notify_all();
    }

    /// Waits for a reason to stop, then for commands that run. `deadline` is that of `--timeout`.
    pub(crate) fn wait(&self, deadline: Option<Instant>) -> End {
        let mut state = self.state();
        let stop = loop {
            if let Some(stop) = state.stop {
                break stop;
            }
            match deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())) {
                Some(Duration::ZERO) => {
                    drop(state);
                    self.stop(Stop { end: End::Time, waiting_too: false });
                    state = self.state();
                }
                Some(left) => state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0,
                None => state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        };
        drop(state);
        if !self.wait_for_workers() {
            self.running.kill_all();
            self.wait_until(Instant::now() + AFTER_KILL, |state| state.workers == 0);
        }
        stop.end
    }

    /// False if the time for it is over.
    fn wait_for_workers(&self) -> bool {
        let mut state = self.state();
        // As long as questions that wait are to be answered, the time does not run.
        while state.workers > 0 && !state.over && state.stop.is_some_and(|stop| stop.waiting_too) {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        drop(state);
        self.wait_until(Instant::now() + PATIENCE, |state| state.workers == 0)
    }

    pub(crate) fn wait_until(&self, deadline: Instant, holds: impl Fn(&State) -> bool) -> bool {
        let mut state = self.state();
        while !holds(&state) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}

fn refuse_all(questions: VecDeque<Question>) {
    for question in questions {
        let _ = question.refuse(STOPPING);
    }
}
