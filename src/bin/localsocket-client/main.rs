//! `localsocket-client`: talks to a server from a terminal, a pipe or a script. The connection is the library's.
//!
//! - `options.rs`: the table of options; `settings.rs`: what they ask for.
//! - `happening.rs`: what can happen, and the threads that tell it.
//! - `work.rs`: the one loop, to which all that comes; `work/received.rs`: what it does with what the server sends.
//! - `input.rs`: the thread that sends the input; `person.rs`: what a person is asked before a line is sent.
//! - `output.rs`: stdout and stderr.
//! - `asking.rs`: the thread that puts the questions of `--ask`.
//! - `answering.rs`: what `--answer` keeps; `command.rs`: one run of COMMAND.
//! - `exit.rs`: the exit code; `process_1.rs`: the program as the first process of a container.

mod answering;
mod asking;
mod command;
mod exit;
mod happening;
mod input;
mod options;
mod output;
mod person;
mod process_1;
mod settings;
mod work;

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use localsocket::programs::cli::Patient;
use localsocket::protocol::Refusal;
use localsocket::{Client, ClientError, ClientOptions};

use crate::options::PROGRAM;
use crate::output::say;
use crate::settings::{Mode, Settings};

fn main() -> ExitCode {
    process_1::run_below().unwrap_or_else(|| {
        PROGRAM.run(|arguments| {
            let settings = Settings::new(arguments)?;
            if settings.mode == Mode::Ping {
                return Ok(ping(settings));
            }
            let course = work::work(&settings).inspect_err(|why| say(why));
            Ok(ExitCode::from(course.map_or(1, |course| exit::code(&course))))
        })
    })
}

/// The health check: 0 if the server answers in time, 4 if the time of `--timeout` is over first. Says nothing but `pong`
/// then. A server that is full is alive.
fn ping(settings: Settings) -> ExitCode {
    let Settings { address, options: given, timeout, .. } = settings;
    let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let left = || deadline.map_or(Duration::MAX, |deadline| deadline.saturating_duration_since(Instant::now()));
    let (connect_timeout, wait) = (given.connect_timeout.min(left()), given.wait.min(left()));
    let options = ClientOptions { connect_timeout, wait, token_file: given.token_file, ..ClientOptions::default() };
    match Client::connect_with(&address, options).and_then(|mut client| client.ping(connect_timeout.min(left()))) {
        Ok(()) => {
            // A health check counts by its exit code, whoever reads along.
            let _ = Patient(io::stdout().lock()).write_all(b"pong\n");
            ExitCode::SUCCESS
        }
        Err(ClientError::Refused(text)) if matches!(Refusal::parse(&text), Some(Refusal::ServerFull(_))) => {
            say(&format_args!("{address} is alive, but {text}"));
            ExitCode::SUCCESS
        }
        Err(error) => {
            say(&format_args!("no pong from {address}: {error}"));
            ExitCode::from(if left().is_zero() { 4 } else { 1 })
        }
    }
}
