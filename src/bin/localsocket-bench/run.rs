//! A run from the first connection to the last: one thread for each client, and one that waits for them.
//!
//! All clients log in, then all work, then all leave. They wait for each other in between, so that only the work is
//! timed. A connection bounds every wait of its client. The first failure ends the process.

use std::fmt::{Display, Write as _};
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use localsocket::programs;

use crate::connection::Connection;
use crate::fail;
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

/// The result of one client's work, with the times since the start of the program.
struct Done {
    began: Duration,
    ended: Duration,
    latencies: Latencies,
    order: u64,
}

pub(crate) fn run(plan: &Plan) -> Figures {
    // If this is not enough, connecting fails with the reason.
    let _ = programs::raise_descriptor_limit(plan.clients as u64 + OWN_DESCRIPTORS);
    let gate = &Barrier::new(plan.clients);
    thread::scope(|scope| {
        let start = |client| {
            let thread = thread::Builder::new().name(format!("client-{client}")).stack_size(STACK_SIZE);
            let thread = thread.spawn_scoped(scope, move || be_client(client, plan, gate));
            thread.unwrap_or_else(|error| fail_as(client, &format_args!("cannot start a thread: {error}")))
        };
        let threads: Vec<_> = (0..plan.clients).map(start).collect();
        let (mut began, mut ended, mut latencies, mut order) = (Duration::MAX, Duration::ZERO, Latencies::new(), None);
        for (client, thread) in threads.into_iter().enumerate() {
            let done = thread.join().unwrap_or_else(|_| fail_as(client, &"its thread has panicked"));
            if plan.work == Work::Room && *order.get_or_insert(done.order) != done.order {
                fail_as(client, &"saw the room's lines in another order than client 0");
            }
            (began, ended) = (began.min(done.began), ended.max(done.ended));
            latencies.add(&done.latencies);
        }
        Figures { elapsed: ended.saturating_sub(began), latencies }
    })
}

/// One client's thread. Its connection is still open when a failure is told: the server may end other connections when it is
/// closed, and their failures must not come first.
fn be_client(number: usize, plan: &Plan, gate: &Barrier) -> Done {
    let mut connection = Connection::open(plan, number).unwrap_or_else(|why| fail_as(number, &why));
    let mut client = Client::new(plan, number);
    gate.wait();
    let began = plan.began.elapsed();
    let latencies = client.work(&mut connection).unwrap_or_else(|why| fail_as(number, &why));
    let ended = plan.began.elapsed();
    // A client that leaves a room is announced, which would be work for clients that are not done yet.
    gate.wait();
    connection.leave().unwrap_or_else(|why| fail_as(number, &why));
    Done { began, ended, latencies, order: client.order }
}

fn fail_as(client: usize, why: &dyn Display) -> ! {
    fail(&format_args!("client {client}: {why}"))
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
