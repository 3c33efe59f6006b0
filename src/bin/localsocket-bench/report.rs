//! The figures of a run, as text for people and as JSON for programs.

use std::fmt::Write as _;

use localsocket::programs::Counted;

use crate::histogram::{RELATIVE_ERROR, show};
use crate::plan::{Plan, Work};
use crate::run::Figures;

const PERCENTILES: [(&str, f64); 4] = [("p50", 50.0), ("p90", 90.0), ("p99", 99.0), ("p99.9", 99.9)];

/// Messages, deliveries and megabytes of delivered texts, each per second.
fn rates(plan: &Plan, figures: &Figures) -> (f64, f64, f64) {
    // The clock may not advance during a single message.
    let seconds = figures.elapsed.as_secs_f64().max(1e-9);
    let deliveries = plan.deliveries() as f64 / seconds;
    (plan.messages as f64 / seconds, deliveries, deliveries * plan.size as f64 / 1e6)
}

/// What is measured, in one line.
fn title(plan: &Plan) -> String {
    let Plan { address, clients, senders, messages, size, depth, .. } = plan;
    let (work, unit) = match plan.work {
        Work::Echo => (format!("echo, {}", Counted(*clients, "client")), "message"),
        Work::Room => (format!("room, {} to {}", Counted(*senders, "sender"), Counted(*clients, "client")), "message"),
        Work::Ask => {
            let (askers, others) = (Counted(*senders, "client"), Counted(clients - senders, "other"));
            (format!("ask, {askers} to {others}"), "question")
        }
    };
    let (messages, size) = (Counted(*messages, unit), Counted(*size, "byte"));
    format!("{address}: {work}, {messages} of {size}, depth {depth}")
}

/// For people.
pub(crate) fn text(plan: &Plan, figures: &Figures) -> String {
    let (messages, deliveries, megabytes) = rates(plan, figures);
    let Figures { elapsed, latencies } = figures;
    let mut text = format!("{}\n", title(plan));
    let _ = match plan.work {
        Work::Echo => writeln!(text, "all replies came, right and in order\n"),
        Work::Room => writeln!(text, "all lines came to all, right and in one order\n"),
        Work::Ask => writeln!(text, "every question got its answer, right and once\n"),
    };
    let unit = if plan.work == Work::Ask { "questions" } else { "messages" };
    let _ = write!(text, "throughput  {messages:.0} {unit}/s, ");
    if plan.work == Work::Room {
        let _ = write!(text, "{deliveries:.0} deliveries/s, ");
    }
    let _ = writeln!(text, "{megabytes:.2} MB/s, in {:.2} s", elapsed.as_secs_f64());
    let _ = write!(text, "latency     ");
    for (name, percent) in PERCENTILES {
        let _ = write!(text, "{name} {}, ", show(latencies.percentile(percent)));
    }
    let _ = writeln!(text, "max {} (within {:.1} %)\n", show(latencies.max()), RELATIVE_ERROR * 100.0);
    text + &latencies.draw()
}

/// For programs: one object on one line. Latencies are in microseconds.
pub(crate) fn json(plan: &Plan, figures: &Figures) -> String {
    let (messages, deliveries, megabytes) = rates(plan, figures);
    let Figures { elapsed, latencies } = figures;
    let work = match plan.work {
        Work::Echo => "echo",
        Work::Room => "room",
        Work::Ask => "ask",
    };
    let mut text = format!("{{\"address\":{},\"work\":\"{work}\"", quoted(&plan.address.to_string()));
    for (name, count) in [
        ("clients", plan.clients),
        ("senders", plan.senders),
        ("messages", plan.messages),
        ("deliveries", plan.deliveries()),
        ("size", plan.size),
        ("depth", plan.depth),
    ] {
        let _ = write!(text, ",\"{name}\":{count}");
    }
    let _ = write!(
        text,
        ",\"seconds\":{:.6},\"messages_per_second\":{messages:.1},\"deliveries_per_second\":{deliveries:.1},\
         \"megabytes_per_second\":{megabytes:.3},\"latency_microseconds\":{{",
        elapsed.as_secs_f64(),
    );
    for (name, percent) in PERCENTILES {
        let _ = write!(text, "\"{name}\":{:.3},", latencies.percentile(percent).as_nanos() as f64 / 1e3);
    }
    let _ = writeln!(text, "\"max\":{:.3}}}}}", latencies.max().as_nanos() as f64 / 1e3);
    text
}

fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted + "\""
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::histogram::Histogram;

    fn figures() -> Figures {
        let mut latencies = Histogram::new();
        latencies.record(Duration::from_nanos(50), 99);
        latencies.record(Duration::from_millis(2), 1);
        Figures { elapsed: Duration::from_millis(500), latencies }
    }

    #[test]
    fn json_is_one_object_on_one_line() {
        let plan = Plan { messages: 100, ..Plan::default() };
        assert_eq!(
            json(&plan, &figures()),
            "{\"address\":\"127.0.0.1:12345\",\"work\":\"echo\",\"clients\":16,\"senders\":16,\"messages\":100,\
             \"deliveries\":100,\"size\":32,\"depth\":1,\"seconds\":0.500000,\"messages_per_second\":200.0,\
             \"deliveries_per_second\":200.0,\"megabytes_per_second\":0.006,\"latency_microseconds\":{\
             \"p50\":0.050,\"p90\":0.050,\"p99\":0.050,\"p99.9\":2000.000,\"max\":2000.000}}\n"
        );
    }

    #[test]
    fn json_strings_are_escaped() {
        assert_eq!(quoted("unix:/a\"b\\c\n\u{e4}"), "\"unix:/a\\\"b\\\\c\\u000a\u{e4}\"");
    }

    #[test]
    fn questions_are_counted_once() {
        let plan = Plan { work: Work::Ask, clients: 10, senders: 4, messages: 100, ..Plan::default() };
        let text = text(&plan, &figures());
        assert!(text.contains("ask, 4 clients to 6 others, 100 questions of 32 bytes"), "{text}");
        assert!(text.contains("\nevery question got its answer, right and once\n"), "{text}");
        assert!(text.contains("throughput  200 questions/s, 0.01 MB/s, in 0.50 s"), "{text}");
    }

    #[test]
    fn a_room_counts_what_is_sent_and_what_is_delivered() {
        let plan = Plan { work: Work::Room, clients: 10, senders: 1, messages: 100, ..Plan::default() };
        let text = text(&plan, &figures());
        assert!(text.contains("room, 1 sender to 10 clients, 100 messages of 32 bytes"), "{text}");
        assert!(text.contains("200 messages/s, 2000 deliveries/s, 0.06 MB/s, in 0.50 s"), "{text}");
        assert!(
            text.contains("p50 50.0 ns, p90 50.0 ns, p99 50.0 ns, p99.9 2.00 ms, max 2.00 ms (within 0.8 %)"),
            "{text}"
        );
    }
}
