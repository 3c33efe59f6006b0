//! `localsocket-bench`: measures a running server, and checks every reply.
//!
//! Each client has a thread, which writes a batch, waits for replies, and writes again when half of its
//! `--depth` is free. With std alone a thread cannot wait for several connections. A thread that polled them in turn
//! would read some replies late and count the delay as the server's latency, while a thread that waits in its own read sees
//! them when they arrive. Switching between threads costs as much as it costs clients in separate programs, and
//! when pipelined, one write and one read serve many messages. With dozens of busy clients on two cores, the figures
//! are those of both sides together.

mod ask;
mod connection;
mod echo;
mod histogram;
mod options;
mod plan;
mod report;
mod room;
mod run;
mod texts;

use std::fmt::Display;
use std::io::{self, IsTerminal, Write as _};
use std::process::ExitCode;
use std::time::Instant;

use crate::options::PROGRAM;
use crate::plan::Plan;

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

/// Shows the progress on a terminal, on one line that is overwritten.
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
        for work in ["echo", "room", "ask"] {
            let plain = plan(&["--work", work]);
            for option in PROGRAM.options.iter().filter(|option| !["", "none"].contains(&option.default)) {
                // The one depends on the work, the other is the work.
                if option.long != "senders" && option.long != "work" {
                    let named = plan(&["--work", work, &format!("--{}", option.long), option.default]);
                    let named = Plan { began: plain.began, ..named };
                    assert_eq!(format!("{plain:?}"), format!("{named:?}"), "--{}", option.long);
                }
            }
        }
        assert_eq!(plan(&[]).work, plan::Work::Echo);
        assert_eq!((plan(&["--work", "room"]).senders, plan(&["--work", "ask"]).senders), (1, 8));
    }
}
