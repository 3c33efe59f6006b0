//! A run from the first connection to the last: a thread for each client, and one that waits for them.
//!
//! All clients come in, then all work, then all leave, with a gate between, so that the clock sees the work
//! alone. Every wait of a client is bounded by its connection; the waiting thread gives up by itself if
//! nothing moves, whatever the reason.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use localsocket::{limits, programs};

use crate::connection::{Connection, Failure};
use crate::histogram::Histogram;
use crate::plan::{Plan, Work};
use crate::{echo, room};

/// How often progress is looked at.
const TICK: Duration = Duration::from_millis(250);

/// Descriptors beside those of the clients.
const OWN_DESCRIPTORS: u64 = 32;

/// A client goes through a few waits in a row between two signs of life.
const PATIENCE: u32 = 5;

/// What a run gave.
#[derive(Debug)]
pub(crate) struct Figures {
    pub(crate) elapsed: Duration,
    pub(crate) latencies: Histogram,
}

/// What one client's work gave.
#[derive(Debug)]
struct Done {
    at: Instant,
    latencies: Histogram,
    order: u64,
}

/// What happened to which client; `Done` after its work, `None` when it has come in or left.
type Report = (usize, Result<Option<Done>, Failure>);

#[derive(Debug)]
struct Shared {
    plan: Plan,
    gate: Barrier,
    /// Messages received by all.
    received: AtomicUsize,
}

/// Runs it; tells `progress` now and then how many messages have arrived. On a failure, clients may still
/// be at work: the process should end.
pub(crate) fn run(plan: &Plan, progress: &mut dyn FnMut(usize)) -> Result<Figures, (usize, Failure)> {
    // If this is not enough, connecting says so.
    let _ = programs::raise_descriptor_limit(plan.clients as u64 + OWN_DESCRIPTORS);
    let gate = Barrier::new(plan.clients + 1);
    let shared = Arc::new(Shared { plan: plan.clone(), gate, received: AtomicUsize::new(0) });
    let (reporter, reports) = mpsc::channel();
    for client in 0..plan.clients {
        let (shared, reporter) = (Arc::clone(&shared), reporter.clone());
        let thread = thread::Builder::new().name(format!("client-{client}")).stack_size(limits::STACK_SIZE);
        let thread = thread.spawn(move || {
            if let Err(failure) = be_client(client, &shared, &reporter) {
                let _ = reporter.send((client, Err(failure)));
            }
        });
        thread.map_err(|error| (client, Failure::Thread(error)))?;
    }
    let mut wait = || wait_for_all(&shared, &reports, progress);
    wait()?;
    let began = Instant::now();
    shared.gate.wait();
    let done = wait()?;
    shared.gate.wait();
    wait()?;

    let mut latencies = Histogram::new();
    let mut last = began;
    let mut order = None;
    for (client, done) in done.iter().enumerate().filter_map(|(client, done)| Some((client, done.as_ref()?))) {
        if *order.get_or_insert(done.order) != done.order {
            return Err((client, Failure::Order));
        }
        latencies.merge(&done.latencies);
        last = last.max(done.at);
    }
    Ok(Figures { elapsed: last.duration_since(began), latencies })
}

/// One client's thread.
fn be_client(client: usize, shared: &Shared, reporter: &mpsc::Sender<Report>) -> Result<(), Failure> {
    let report = |done| {
        // Nobody listens any more if another client has failed.
        let _ = reporter.send((client, Ok(done)));
    };
    let mut connection = Connection::open(&shared.plan, client)?;
    report(None);
    shared.gate.wait();
    let (latencies, order) = match shared.plan.work {
        Work::Echo => (echo::work(&mut connection, &shared.plan, client, &shared.received)?, 0),
        Work::Room => room::work(&mut connection, &shared.plan, client, &shared.received)?,
    };
    report(Some(Done { at: Instant::now(), latencies, order }));
    // Who leaves a room is announced; until all are done that would be work for the others.
    shared.gate.wait();
    connection.leave()?;
    report(None);
    Ok(())
}

/// Waits for a report of each client, which are given in the order of the clients, or for the first failure.
fn wait_for_all(
    shared: &Shared,
    reports: &Receiver<Report>,
    progress: &mut dyn FnMut(usize),
) -> Result<Vec<Option<Done>>, (usize, Failure)> {
    let mut all: Vec<Option<Done>> = (0..shared.plan.clients).map(|_| None).collect();
    let mut missing = all.len();
    let patience = shared.plan.timeout * PATIENCE;
    let mut moved = (Instant::now(), 0);
    while missing > 0 {
        match reports.recv_timeout(TICK) {
            Ok((client, Ok(done))) => {
                all[client] = done;
                missing -= 1;
                moved.0 = Instant::now();
            }
            Ok((client, Err(failure))) => return Err((client, failure)),
            // A timeout: this thread holds a sender too.
            Err(_) => {
                let received = shared.received.load(Ordering::Relaxed);
                if received > moved.1 {
                    moved = (Instant::now(), received);
                    progress(received);
                } else if moved.0.elapsed() > patience {
                    return Err((0, Failure::Silent(patience)));
                }
            }
        }
    }
    Ok(all)
}
