//! Echo work: each client sends its texts and gets each one back, unchanged and in order.
//!
//! A message's latency runs from the write of the batch that it was in to the return of the read that
//! brought its reply.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use crate::connection::{Connection, Failure, Window, wrong};
use crate::histogram::Histogram;
use crate::plan::Plan;
use crate::texts::Texts;

/// Does one client's work.
pub(crate) fn work(
    connection: &mut Connection,
    plan: &Plan,
    client: usize,
    received: &AtomicUsize,
) -> Result<Histogram, Failure> {
    let mut latencies = Histogram::new();
    let mut window = Window::new(plan.depth, plan.share(client));
    let mut sent = Texts::new(&format!("client-{client}"), plan.size);
    let mut expected = sent.clone();
    let mut batch = Vec::new();
    let mut batches = VecDeque::new();
    loop {
        let count = window.take();
        if count > 0 {
            batch.clear();
            for _ in 0..count {
                batch.extend_from_slice(b"msg:");
                batch.extend_from_slice(sent.current());
                batch.push(b'\n');
                sent.advance();
            }
            batches.push_back((count, Instant::now()));
            connection.send(&batch)?;
        } else if window.is_done() {
            return Ok(latencies);
        }
        let arrived = connection.wait()?;
        let mut came = 0;
        while let Some(line) = connection.next_line() {
            if came == window.under_way {
                return Err(wrong(line, "no more replies".to_owned()));
            } else if line.start() != expected.current() {
                return Err(wrong(line, wanted(plan, line.start(), expected.current())));
            }
            came += 1;
            expected.advance();
        }
        window.under_way -= came;
        received.fetch_add(came, Ordering::Relaxed);
        while let Some((left, written)) = batches.front_mut() {
            let now = came.min(*left);
            latencies.record(arrived.duration_since(*written), now as u64);
            came -= now;
            *left -= now;
            if *left > 0 {
                break;
            }
            batches.pop_front();
        }
    }
}

fn wanted(plan: &Plan, got: &[u8], text: &[u8]) -> String {
    let hint = if got.starts_with(plan.family().as_bytes()) { "; is the server in room mode?" } else { "" };
    format!("'{}'{hint}", text[..text.len().min(100)].escape_ascii())
}
