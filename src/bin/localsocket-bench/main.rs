//! `localsocket-bench`: measures a running server, and checks every reply.
//!
//! Each client has a thread, which writes a batch, waits for replies, and writes again when half of its `--depth` is
//! free. A thread that polled several connections in turn would read some replies late and count the delay as the
//! server's latency.
//!
//! - `options.rs`: the table of options; `plan.rs`: what they ask for.
//! - `run.rs`: all clients log in, then work, then leave.
//! - `connection.rs`: one connection, on which every wait is bounded.
//! - `work.rs`: what a client sends and what it expects; `text.rs`: the texts of its messages.
//! - `latencies.rs`: how long it took, in buckets.

mod connection;
mod latencies;
mod options;
mod plan;
mod run;
mod text;
mod work;

use std::io::{self, Write as _};
use std::process::ExitCode;

use crate::options::PROGRAM;
use crate::plan::Plan;

fn main() -> ExitCode {
    PROGRAM.run(|arguments| {
        let plan = Plan::new(&arguments)?;
        let report = run::run(&plan).and_then(|figures| {
            let line = figures.report(&plan);
            io::stdout().write_all(line.as_bytes()).map_err(|error| format!("cannot write to stdout: {error}"))
        });
        Ok(match report {
            Ok(()) => ExitCode::SUCCESS,
            Err(why) => {
                let _ = writeln!(io::stderr(), "{}: {why}", PROGRAM.name);
                ExitCode::FAILURE
            }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a command line asks for.
    pub(crate) fn plan(words: &str) -> Plan {
        Plan::new(&PROGRAM.parse(words.split_whitespace().map(Into::into), |_| None).unwrap()).unwrap()
    }
}
