//! `localsocket-client`: talks to a server from a terminal, a pipe or a script. The connection is the library's.
//!
//! - `options.rs`: the table of options; `settings.rs`: what they ask for; `combinations.rs`: which of them conflict.
//! - `talk.rs`: sends the input, which `input.rs` reads, and prints what comes.
//! - `ask.rs`: `--ask`.
//! - `answer.rs`: `--answer`; `service.rs`: what waits and what runs; `command.rs`: one run of COMMAND; `lines.rs`: its
//!   output; `line_limit.rs`: lines that the server does not take; `wanted.rs`: who still waits.
//! - `output.rs`: stdout and stderr; `timestamp.rs`: the time in front of a line.
//! - `status.rs`: what happens to the connection; `exit.rs`: the exit code.

mod answer;
mod ask;
mod combinations;
mod command;
mod exit;
mod input;
mod line_limit;
mod lines;
mod options;
mod output;
mod service;
mod settings;
mod status;
mod talk;
mod timestamp;
mod wanted;

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;

use localsocket::client::OnChange;
use localsocket::programs::Signals;
use localsocket::programs::cli::Patient;
use localsocket::protocol::Refusal;
use localsocket::{Change, Client, ClientError, ClientOptions};

use crate::exit::{Course, End, Work};
use crate::options::PROGRAM;
use crate::output::{Kind, Output, say};
use crate::service::Service;
use crate::settings::{Mode, Settings};
use crate::status::{Status, hint};

fn main() -> ExitCode {
    PROGRAM.run(|arguments| {
        let settings = Settings::new(arguments)?;
        let result = match settings.mode.clone() {
            Mode::Ping => return Ok(ping(settings)),
            Mode::Talk(_) | Mode::Listen => connect(settings, None)
                .and_then(|(client, settings, status)| Ok(talk::talk(client, settings, &status)?)),
            Mode::Ask { name, timeout } => connect(settings, None)
                .and_then(|(client, settings, status)| Ok(ask::ask(client, settings, &name, timeout, &status)?)),
            Mode::Answer { command, jobs } => answer(settings, &command, jobs),
        };
        Ok(match result {
            Ok(course) => ExitCode::from(exit::code(&course)),
            Err(Failure::Refused) => {
                ExitCode::from(exit::code(&Course { end: End::NameRefused, ..Course::new(Work::Talk) }))
            }
            Err(Failure::Other(why)) => fail(&why),
        })
    })
}

/// Why there is nothing to be done.
enum Failure {
    /// The server does not let this client in. The user has been told.
    Refused,
    /// Anything else, to be told.
    Other(String),
}

impl From<String> for Failure {
    fn from(why: String) -> Failure {
        Failure::Other(why)
    }
}

fn answer(settings: Settings, command: &str, jobs: usize) -> Result<Course, Failure> {
    // Before any thread is started.
    let signals = Signals::block().map_err(|error| format!("cannot wait for signals: {error}"))?;
    let service = Service::new(command, jobs, settings.count);
    service.stop_on_signal(signals).map_err(|error| format!("cannot start a thread: {error}"))?;
    let (client, settings, status) = connect(settings, Some(&service))?;
    Ok(answer::answer(client, &settings, &service, &status)?)
}

/// Connects and logs in.
fn connect(settings: Settings, service: Option<&Arc<Service>>) -> Result<(Client, Settings, Arc<Status>), Failure> {
    let status = Arc::new(Status::new(&settings));
    let on_change: OnChange = Arc::new({
        let (status, service) = (Arc::clone(&status), service.cloned());
        move |change| {
            if let (Some(service), Change::Disconnected { .. }) = (&service, change) {
                service.forget_waiting();
            }
            status.tell(change);
        }
    });
    let options = ClientOptions { on_change: Some(on_change), ..settings.options.clone() };
    match Client::connect_with(&settings.address, options) {
        Ok(client) => Ok((client, settings, status)),
        Err(ClientError::Refused(text)) => {
            tell_refused(&text, &settings);
            Err(Failure::Refused)
        }
        Err(error) => Err(Failure::Other(error.to_string())),
    }
}

/// What the server says when it does not let this client in is a line that was received.
fn tell_refused(text: &str, settings: &Settings) {
    let line = format!("error: {text}");
    if let Mode::Talk(_) | Mode::Listen = settings.mode {
        let shown = Output::new(settings.timestamps).and_then(|mut output| {
            output.mark_arrival();
            output.add(&line, Kind::Error)?;
            output.write()
        });
        if let Err(error) = shown {
            talk::end_of_output(error);
        }
    } else {
        say(&line);
    }
    if let Some(hint) = hint(text) {
        say(&hint);
    }
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
