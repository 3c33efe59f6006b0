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

use std::fmt::Display;
use std::io::{self, Write as _};
use std::process::{self, ExitCode};

use localsocket::programs::cli::Patient;

use crate::options::PROGRAM;
use crate::plan::Plan;

fn main() -> ExitCode {
    PROGRAM.run(|arguments| {
        let plan = Plan::new(&arguments)?;
        let line = run::run(&plan).report(&plan);
        match Patient(io::stdout()).write_all(line.as_bytes()) {
            Ok(()) => Ok(ExitCode::SUCCESS),
            Err(error) => fail(&format_args!("cannot write to stdout: {error}")),
        }
    })
}

/// Says why, and ends the process. What fails after that is not told.
fn fail(why: &dyn Display) -> ! {
    let mut stderr = io::stderr().lock();
    let _ = writeln!(stderr, "{}: {why}", PROGRAM.name);
    process::exit(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a command line asks for.
    pub(crate) fn plan(words: &str) -> Plan {
        Plan::new(&PROGRAM.parse(words.split_whitespace().map(Into::into), |_| None).unwrap()).unwrap()
    }
}
