//! A pool of threads for jobs. Each job runs on a thread of its own, which takes another job if one comes soon.
//!
//! Starting and ending a thread costs more than a short job does, so a few threads that are done wait for a moment.
//! Knows nothing about its jobs except how to run them. The lock is held briefly, and no other is taken under it.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use super::lock;
use crate::limits::{IDLE_THREAD_TIME, IDLE_THREADS};
use crate::os;
use crate::threads::start_thread;

pub(super) struct Workers<J> {
    pool: Arc<Pool<J>>,
}

struct Pool<J> {
    run: Box<dyn Fn(J) + Send + Sync>,
    state: Mutex<State<J>>,
    /// Notified once for each job that is put in wait, and when the pool is dropped.
    changed: Condvar,
}

struct State<J> {
    threads: usize,
    /// The most threads since memory was last given back.
    most: usize,
    /// How many have ever been started, for their names.
    started: u64,
    idle: usize,
    /// Never more than there are idle threads.
    jobs: VecDeque<J>,
    closed: bool,
}

impl<J: Send + 'static> Workers<J> {
    /// A pool whose threads run jobs with `run`.
    pub(super) fn new(run: impl Fn(J) + Send + Sync + 'static) -> Workers<J> {
        let state = State { threads: 0, most: 0, started: 0, idle: 0, jobs: VecDeque::new(), closed: false };
        let pool = Pool { run: Box::new(run), state: Mutex::new(state), changed: Condvar::new() };
        Workers { pool: Arc::new(pool) }
    }

    /// Lets a thread run a job.
    ///
    /// # Errors
    /// The system has no thread left. The job is dropped.
    pub(super) fn start(&self, job: J) -> io::Result<()> {
        let mut state = lock(&self.pool.state);
        if state.idle > state.jobs.len() {
            state.jobs.push_back(job);
            drop(state);
            self.pool.changed.notify_one();
            return Ok(());
        }
        state.threads += 1;
        state.most = state.most.max(state.threads);
        state.started += 1;
        let name = format!("session-{}", state.started);
        drop(state);
        let pool = Arc::clone(&self.pool);
        let thread = start_thread(&name, move || pool.work(job));
        thread.map(drop).inspect_err(|_| lock(&self.pool.state).threads -= 1)
    }
}

impl<J> Drop for Workers<J> {
    /// Lets idle threads end. Jobs that run go on.
    fn drop(&mut self) {
        lock(&self.pool.state).closed = true;
        self.pool.changed.notify_all();
    }
}

impl<J> Pool<J> {
    fn work(&self, job: J) {
        (self.run)(job);
        while let Some(job) = self.next() {
            (self.run)(job);
        }
    }

    /// The next job for a thread that is done, if one comes soon.
    fn next(&self) -> Option<J> {
        let mut state = lock(&self.state);
        if state.idle >= IDLE_THREADS {
            state.threads -= 1;
            return None;
        }
        state.idle += 1;
        let waiting = |state: &mut State<J>| state.jobs.is_empty() && !state.closed;
        let waited = self.changed.wait_timeout_while(state, IDLE_THREAD_TIME, waiting);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.idle -= 1;
        let job = state.jobs.pop_front();
        state.threads -= usize::from(job.is_none());
        // A rush is over: the last idle thread ends.
        if job.is_none() && state.idle == 0 && state.threads <= state.most / 2 {
            state.most = state.threads;
            drop(state);
            os::trim_heap();
        }
        job
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;
    use std::time::{Duration, Instant};

    use super::*;

    const DEADLINE: Duration = Duration::from_secs(30);

    fn threads<J>(workers: &Workers<J>) -> usize {
        lock(&workers.pool.state).threads
    }

    fn wait_for(holds: impl Fn() -> bool) {
        let began = Instant::now();
        while !holds() {
            assert!(began.elapsed() < DEADLINE);
            thread::yield_now();
        }
    }

    #[test]
    fn a_thread_that_is_done_takes_the_next_job() {
        let (sender, receiver) = mpsc::channel();
        let workers = Workers::new(move |job: u32| sender.send((job, thread::current().id())).unwrap());
        workers.start(1).unwrap();
        let (job, first) = receiver.recv_timeout(DEADLINE).unwrap();
        assert_eq!(job, 1);
        // It may have given up waiting on a busy machine; then there is another.
        wait_for(|| lock(&workers.pool.state).idle == 1 || threads(&workers) == 0);
        workers.start(2).unwrap();
        let (job, second) = receiver.recv_timeout(DEADLINE).unwrap();
        assert_eq!(job, 2);
        assert!(first == second || lock(&workers.pool.state).started == 2);
        wait_for(|| threads(&workers) == 0);
    }

    #[test]
    fn jobs_that_run_at_the_same_time_have_a_thread_each_and_few_stay() {
        const JOBS: usize = IDLE_THREADS + 8;
        let barrier = Arc::new(std::sync::Barrier::new(JOBS));
        let workers = Workers::new({
            let barrier = Arc::clone(&barrier);
            move |()| {
                barrier.wait();
            }
        });
        for _ in 0..JOBS {
            workers.start(()).unwrap();
        }
        wait_for(|| threads(&workers) <= IDLE_THREADS);
        let pool = Arc::clone(&workers.pool);
        drop(workers);
        wait_for(|| lock(&pool.state).threads == 0);
    }
}
