//! `localsocket-client`: talks to a server from a terminal, a pipe or a script. The connection is the library's.
//!
//! - `options.rs`: the table of options; `settings.rs`: what they ask for.
//! - `work.rs`: the one loop, to which everything comes in one queue: from the server, the input, commands and signals.
//! - `input.rs`: the thread that sends the input; `output.rs`: stdout and stderr; `timestamp.rs`: the time of a line.
//! - `asking.rs`: what `--ask` keeps; `answering.rs`: what `--answer` keeps; `command.rs`: one run of COMMAND.
//! - `exit.rs`: the exit code.

mod answering;
mod asking;
mod command;
mod exit;
mod input;
mod options;
mod output;
mod settings;
mod timestamp;
mod work;

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

use localsocket::programs::cli::Patient;
use localsocket::protocol::Refusal;
use localsocket::{Client, ClientError, ClientOptions};

use crate::options::PROGRAM;
use crate::output::say;
use crate::settings::{Mode, Settings};

fn main() -> ExitCode {
    PROGRAM.run(|arguments| {
        let settings = Settings::new(arguments)?;
        Ok(match settings.mode {
            Mode::Ping => ping(settings),
            _ => work::work(settings).map_or_else(|why| fail(&why), |course| ExitCode::from(exit::code(&course))),
        })
    })
}

fn fail(why: &dyn Display) -> ExitCode {
    say(why);
    ExitCode::FAILURE
}

/// The health check: 0 if the server answers in time. Says nothing but `pong` then. A server that is full is alive.
fn ping(settings: Settings) -> ExitCode {
    let options = ClientOptions { heartbeat: None, reconnect: false, name: None, deaf: false, ..settings.options };
    let timeout = options.connect_timeout;
    match Client::connect_with(&settings.address, options).and_then(|mut client| client.ping(timeout)) {
        Ok(()) => {
            // A health check counts by its exit code, whoever reads along.
            let _ = Patient(io::stdout().lock()).write_all(b"pong\n");
            ExitCode::SUCCESS
        }
        Err(ClientError::Refused(text)) if matches!(Refusal::parse(&text), Some(Refusal::ServerFull(_))) => {
            say(&format_args!("{} is alive, but {text}", settings.address));
            ExitCode::SUCCESS
        }
        Err(error) => fail(&format_args!("no pong from {}: {error}", settings.address)),
    }
}
