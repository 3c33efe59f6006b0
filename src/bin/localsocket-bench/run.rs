//! A run from the first connection to the last: one thread for each client, and one that waits for them.
//!
//! All clients log in, then all work, then all leave. They wait for each other in between, so that only the work
//! is timed. A connection bounds every wait of its client. The waiting thread gives up by itself if nothing
//! moves, whatever the reason.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use localsocket::programs;

use crate::connection::{Connection, Failure};
use crate::histogram::Histogram;
use crate::plan::{Plan, Work};
use crate::{ask, echo, room};

/// How often progress is checked.
const TICK: Duration = Duration::from_millis(250);

/// Descriptors besides those of the clients.
const OWN_DESCRIPTORS: u64 = 32;

/// A client's stack. Only what is touched counts as memory.
const STACK_SIZE: usize = 256 * 1024;

/// A client can have a few waits in a row between two reports.
const PATIENCE: u32 = 5;

/// The result of a run.
#[derive(Debug)]
pub(crate) struct Figures {
    pub(crate) elapsed: Duration,
    pub(crate) latencies: Histogram,
}

/// The result of one client's work.
#[derive(Debug)]
struct Done {
    at: Instant,
    latencies: Histogram,
    order: u64,
}

/// A client and what happened to it: `Done` after its work, `None` when it has logged in or left.
type Report = (usize, Result<Option<Done>, Failure>);

#[derive(Debug)]
struct Shared {
    plan: Plan,
    gate: Barrier,
    /// Messages received by all.
    received: AtomicUsize,
}

/// Runs the plan, and reports now and then to `progress` how many messages have arrived. After a failure, clients
/// may still be working: the process should end.
pub(crate) fn run(plan: &Plan, progress: &mut dyn FnMut(usize)) -> Result<Figures, (usize, Failure)> {
    // If this is not enough, connecting fails with the reason.
    let _ = programs::raise_descriptor_limit(plan.clients as u64 + OWN_DESCRIPTORS);
    let gate = Barrier::new(plan.clients + 1);
    let shared = Arc::new(Shared { plan: plan.clone(), gate, received: AtomicUsize::new(0) });
    let (reporter, reports) = mpsc::channel();
    for client in 0..plan.clients {
        let (shared, reporter) = (Arc::clone(&shared), reporter.clone());
        let thread = thread::Builder::new().name(format!("client-{client}")).stack_size(STACK_SIZE);
        let thread = thread.spawn(move || {
            // Closed after the failure is reported: the server may end other connections because of it, and their
            // failures must not come first.
            let mut connection = None;
            if let Err(failure) = be_client(client, &shared, &reporter, &mut connection) {
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
fn be_client(
    client: usize,
    shared: &Shared,
    reporter: &mpsc::Sender<Report>,
    connection: &mut Option<Connection>,
) -> Result<(), Failure> {
    let report = |done| {
        // The receiver is gone if another client has failed.
        let _ = reporter.send((client, Ok(done)));
    };
    let connection = connection.insert(Connection::open(&shared.plan, client)?);
    report(None);
    shared.gate.wait();
    let (latencies, order) = match shared.plan.work {
        Work::Echo => (echo::work(connection, &shared.plan, client, &shared.received)?, 0),
        Work::Room => room::work(connection, &shared.plan, client, &shared.received)?,
        Work::Ask => (ask::work(connection, &shared.plan, client, &shared.received)?, 0),
    };
    report(Some(Done { at: Instant::now(), latencies, order }));
    // A client that leaves a room is announced, which would be work for clients that are not done yet.
    shared.gate.wait();
    connection.leave()?;
    report(None);
    Ok(())
}

/// Waits for a report from each client, or for the first failure. Returns the reports in the order of the clients.
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
            // A timeout, because this thread holds a sender too.
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
