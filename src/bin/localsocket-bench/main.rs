//! `localsocket-bench`: measures a running server, and checks every reply.
//!
//! A thread for each client, which writes a batch, waits for replies, and writes again when half of its
//! `--depth` is free. With std alone a thread cannot wait for several connections; one that went round them
//! would read some replies later than they came, and that would count as the server's latency. A thread that
//! waits in its own read sees them when they come. Switching between threads costs what it costs
//! clients that are programs of their own; pipelined, a write and a read serve many messages. Where that is
//! too much, with dozens of busy clients on two cores, the figures are those of both sides together.

mod connection;
mod echo;
mod histogram;
mod plan;
mod report;
mod room;
mod run;
mod texts;

use std::fmt::Display;
use std::io::{self, IsTerminal, Write as _};
use std::process::ExitCode;
use std::time::Instant;

use localsocket::programs::cli::{Opt, Program};

use crate::plan::Plan;

const PROGRAM: Program = Program {
    name: "localsocket-bench",
    operands: "",
    about: "Measures how fast a running localsocket-server is, and checks that every reply comes and is right.",
    options: &[
        Opt::with_value("connect", "ADDRESS", "the server", "127.0.0.1:12345").or_letter('c'),
        Opt::with_value("work", "echo|room", "room: the server has to run with --mode room", "echo"),
        Opt::with_value("clients", "N", "connections, each with a thread of its own", "16"),
        Opt::with_value("senders", "N", "room work: how many of the clients send; all receive", "1"),
        Opt::with_value("messages", "N", "messages sent in all", "100000"),
        Opt::with_value("size", "BYTES", "length of a message's text", "32"),
        Opt::with_value("depth", "N", "messages under way on one connection", "1"),
        Opt::with_value("timeout", "SECONDS", "how long the server may be silent", "10"),
        Opt::with_value("token-file", "PATH", "authenticate first, with this file's first line", "none"),
        Opt::flag("json", "print one JSON object instead of text", ""),
    ],
    notes: "ADDRESS is HOST:PORT, [IPV6]:PORT or unix:PATH. Latency runs from the write of a message, or of the\n\
            batch that it goes with, to its arrival; in a room each client's arrival counts. So a greater depth\n\
            brings throughput and costs latency. A client writes again when half of its depth is free; all it\n\
            has under way fits into 64 KiB. MB/s are texts received, 10^6 bytes. Clients and server share the\n\
            machine: give both their own cores, or compare like with like. Exit codes: 0 all replies were\n\
            right; 1 one was wrong or missing, or there was no connection; 2 wrong usage.",
};

fn main() -> ExitCode {
    PROGRAM.run(|arguments| {
        let plan = Plan::new(&arguments)?;
        let result = run::run(&plan, &mut progress(&plan));
        clear_progress();
        let figures = match result {
            Ok(figures) => figures,
            Err((client, failure)) => return Ok(fail(&format_args!("client {client}: {failure}"))),
        };
        let report = if arguments.has("json") { report::json } else { report::text };
        match io::stdout().write_all(report(&plan, &figures).as_bytes()) {
            Ok(()) => Ok(ExitCode::SUCCESS),
            Err(error) => Ok(fail(&format_args!("cannot write to stdout: {error}"))),
        }
    })
}

fn fail(why: &dyn Display) -> ExitCode {
    let _ = writeln!(io::stderr(), "{}: {why}", PROGRAM.name);
    ExitCode::FAILURE
}

/// Shows on a terminal how far the run is, on one line that is written over and over.
fn progress(plan: &Plan) -> impl FnMut(usize) {
    let terminal = io::stderr().is_terminal();
    let all = plan.deliveries();
    let mut last = (Instant::now(), 0);
    move |received| {
        if terminal {
            let rate = (received - last.1) as f64 / last.0.elapsed().as_secs_f64();
            let percent = received as f64 / all as f64 * 100.0;
            let _ = write!(io::stderr(), "\r\x1b[K{percent:3.0} %  {received} of {all} lines received, {rate:.0}/s");
            last = (Instant::now(), received);
        }
    }
}

fn clear_progress() {
    if io::stderr().is_terminal() {
        let _ = write!(io::stderr(), "\r\x1b[K");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_that_the_help_text_names_are_the_defaults() {
        let plan = |words: &[&str]| Plan::new(&PROGRAM.parse(words.iter().map(Into::into)).unwrap()).unwrap();
        // `--senders` is for rooms only.
        for (work, skipped) in [("echo", "senders"), ("room", "work")] {
            let plain = plan(&["--work", work]);
            for option in PROGRAM.options.iter().filter(|option| !["", "none"].contains(&option.default)) {
                if option.long != skipped {
                    let named = plan(&["--work", work, &format!("--{}", option.long), option.default]);
                    let named = Plan { began: plain.began, ..named };
                    assert_eq!(format!("{plain:?}"), format!("{named:?}"), "--{}", option.long);
                }
            }
        }
    }
}
