//! A run from the first connection to the last: one thread for each client, and one that waits for them.
//!
//! All clients log in, then all work, then all leave. They wait for each other in between, so that only the work is
//! timed. A connection bounds every wait of its client.

use std::fmt::Write as _;
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use localsocket::programs;

use crate::connection::Connection;
use crate::latencies::Latencies;
use crate::plan::{Plan, Work};
use crate::work::Client;

/// Descriptors besides those of the clients.
const OWN_DESCRIPTORS: u64 = 32;

/// A client's stack. Only what is touched counts as memory.
const STACK_SIZE: usize = 256 * 1024;

/// The result of a run.
pub(crate) struct Figures {
    elapsed: Duration,
    latencies: Latencies,
}

/// The result of one client's work.
struct Done {
    at: Instant,
    latencies: Latencies,
    order: u64,
}

/// A client and what happened to it: `Done` after its work, `None` when it has logged in or left.
type Report = (usize, Result<Option<Done>, String>);

/// Runs the plan. After a failure, clients may still be working: the process should end.
pub(crate) fn run(plan: &Plan) -> Result<Figures, String> {
    // If this is not enough, connecting fails with the reason.
    let _ = programs::raise_descriptor_limit(plan.clients as u64 + OWN_DESCRIPTORS);
    let shared = Arc::new((plan.clone(), Barrier::new(plan.clients + 1)));
    let (reporter, reports) = mpsc::channel();
    for client in 0..plan.clients {
        let (shared, reporter) = (Arc::clone(&shared), reporter.clone());
        let be_client = move || {
            // Closed after the failure is reported: the server may end other connections because of it, and their
            // failures must not come first.
            let mut connection = None;
            if let Err(failure) = be_client(client, &shared.0, &shared.1, &reporter, &mut connection) {
                let _ = reporter.send((client, Err(failure)));
            }
        };
        let thread = thread::Builder::new().name(format!("client-{client}")).stack_size(STACK_SIZE);
        thread.spawn(be_client).map_err(|error| format!("client {client}: cannot start a thread: {error}"))?;
    }
    let gate = &shared.1;
    wait_for_all(plan, &reports)?;
    let began = Instant::now();
    gate.wait();
    let done = wait_for_all(plan, &reports)?;
    gate.wait();
    wait_for_all(plan, &reports)?;

    let (mut latencies, mut last, mut order) = (Latencies::new(), began, None);
    for (client, done) in done {
        if plan.work == Work::Room && *order.get_or_insert(done.order) != done.order {
            return Err(format!("client {client}: saw the room's lines in another order than client 0"));
        }
        latencies.add(&done.latencies);
        last = last.max(done.at);
    }
    Ok(Figures { elapsed: last.duration_since(began), latencies })
}

/// One client's thread.
fn be_client(
    number: usize,
    plan: &Plan,
    gate: &Barrier,
    reporter: &mpsc::Sender<Report>,
    connection: &mut Option<Connection>,
) -> Result<(), String> {
    let report = |done| {
        // The receiver is gone if another client has failed.
        let _ = reporter.send((number, Ok(done)));
    };
    let connection = connection.insert(Connection::open(plan, number)?);
    report(None);
    gate.wait();
    let mut client = Client::new(plan, number);
    let latencies = client.work(connection)?;
    report(Some(Done { at: Instant::now(), latencies, order: client.order }));
    // A client that leaves a room is announced, which would be work for clients that are not done yet.
    gate.wait();
    connection.leave()?;
    report(None);
    Ok(())
}

/// Waits for a report from each client, or for the first failure. Returns the results in the order of the clients.
fn wait_for_all(plan: &Plan, reports: &Receiver<Report>) -> Result<Vec<(usize, Done)>, String> {
    let mut all = Vec::new();
    for (client, report) in reports.iter().take(plan.clients) {
        let done = report.map_err(|failure| format!("client {client}: {failure}"))?;
        all.extend(done.map(|done| (client, done)));
    }
    all.sort_by_key(|(client, _)| *client);
    Ok(all)
}

impl Figures {
    /// All there is to say, as `key=value` pairs on one line. Latencies are in microseconds.
    pub(crate) fn report(&self, plan: &Plan) -> String {
        let Plan { address, clients, senders, messages, size, depth, .. } = plan;
        let (work, deliveries) = match plan.work {
            Work::Echo => ("echo", *messages),
            Work::Room => ("room", messages * clients),
        };
        // The clock may not advance during a single message.
        let seconds = self.elapsed.as_secs_f64().max(1e-9);
        let (per_second, delivered) = (*messages as f64 / seconds, deliveries as f64 / seconds);
        let mut line = format!(
            "work={work} address={address} clients={clients} senders={senders} messages={messages} size={size} \
             depth={depth} seconds={seconds:.3} messages/s={per_second:.0} deliveries/s={delivered:.0}"
        );
        for percent in [50.0, 90.0, 99.0, 99.9] {
            let _ = write!(line, " p{percent}={:.1}", self.latencies.percentile(percent) as f64 / 1e3);
        }
        let _ = writeln!(line, " max={:.1}", self.latencies.max as f64 / 1e3);
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::plan;

    #[test]
    fn a_room_counts_what_is_sent_and_what_is_delivered() {
        let mut latencies = Latencies::new();
        latencies.record(Duration::from_micros(40));
        let figures = Figures { elapsed: Duration::from_secs(2), latencies };
        let line = figures.report(&plan("--work=room --clients=10 --messages=1000"));
        let wanted = "work=room address=127.0.0.1:12345 clients=10 senders=1 messages=1000 size=32 depth=1 \
                      seconds=2.000 messages/s=500 deliveries/s=5000 p50=40.0 p90=40.0 p99=40.0 p99.9=40.0 max=40.0\n";
        assert_eq!(line, wanted);
    }
}
