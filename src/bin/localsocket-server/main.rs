//! `localsocket-server`: the hub as a program. Its options, its log, signals and the service manager are here;
//! everything else is the library's.
//!
//! - `options`: the table of options
//! - `settings`: what a command line asks for
//! - `logging`: the log, which never holds up the service
//! - `signals`: stop, read the token again
//!
//! Nothing here waits for stdout, stderr or the service manager without a limit.

mod logging;
mod options;
mod settings;
mod signals;

use std::fs::File;
use std::io::{self, ErrorKind, Write as _};
use std::os::fd::AsFd as _;
use std::process::ExitCode;
use std::time::Duration;

use localsocket::limits::Limits;
use localsocket::programs::cli::{Patient, UsageError};
use localsocket::programs::{self, Counted, Signals};
use localsocket::{Address, Config, Server, ServerError};
use log::{info, warn};
use logging::Log;
use options::PROGRAM;
use settings::Settings;

/// Descriptors beside those of the clients: standard streams, listeners, and what the library needs.
const OWN_DESCRIPTORS: u64 = 32;

/// How long the service manager may take to make room for a report.
const NOTIFY_TIME: Duration = Duration::from_secs(20);

/// How long stdout may take to accept the addresses.
const ANNOUNCE_TIME: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    // Before anything else, so that no signal is lost and every thread inherits the mask.
    let signals = Signals::block();
    programs::share_one_heap();
    programs::forget_children();
    programs::survive_full_files();
    PROGRAM.run(|arguments| {
        let settings = Settings::new(&arguments)?;
        let started = signals.and_then(|signals| Ok((signals, Log::start()?)));
        let (signals, log) = match started {
            Ok(started) => started,
            Err(error) => {
                let _ = writeln!(io::stderr(), "{}: cannot start: {error}", PROGRAM.name);
                return Ok(ExitCode::FAILURE);
            }
        };
        let outcome = match serve(settings, signals, log) {
            Ok(()) => Ok(ExitCode::SUCCESS),
            Err(error @ (ServerError::Bind(_) | ServerError::System(_))) => {
                log.message(format!("{}: {error}", PROGRAM.name));
                Ok(ExitCode::FAILURE)
            }
            Err(ServerError::Remote(address)) => Err(UsageError(format!(
                "{address} can be reached from other machines: give a token with --token-file PATH, or --allow-remote \
                 if the network itself keeps strangers out, as the network of a container does"
            ))),
            Err(mistake) => Err(UsageError(mistake.to_string())),
        };
        log.flush(logging::PATIENCE);
        outcome
    })
}

/// Serves until a signal stops the server.
fn serve(settings: Settings, signals: Signals, log: &'static Log) -> Result<(), ServerError> {
    let Settings { addresses, config, token_file, warnings } = settings;
    warnings.iter().for_each(|warning| warn!("{warning}"));
    make_room_for_clients(&config.limits);
    // So that a socket's file has its final permissions from the moment it is created. The program makes no other files.
    programs::permit_only(config.unix_mode);
    let server = bind(&addresses, config)?;
    signals::handle(signals, server.handle(), token_file, log)
        .map_err(|error| other(format!("cannot start a thread: {error}")))?;
    if let Err(error) = announce(server.addresses()) {
        warn!("cannot write the addresses to stdout: {error}");
    }
    notify("READY=1");
    server.run().map_err(ServerError::System)
}

/// Sockets from a service manager take the place of `--listen`.
fn bind(addresses: &[Address], config: Config) -> Result<Server, ServerError> {
    match programs::inherited_sockets().map_err(other)? {
        Some(sockets) => {
            info!("taking {} from the service manager", Counted(sockets.len(), "socket"));
            Server::from_listeners(sockets, config)
        }
        None => Server::bind(addresses, config),
    }
}

fn other(message: String) -> ServerError {
    ServerError::System(io::Error::other(message))
}

fn make_room_for_clients(limits: &Limits) {
    let enough = limits.max_clients as u64 + OWN_DESCRIPTORS;
    // As many again may be closing their connections.
    match programs::raise_descriptor_limit(enough + limits.max_clients as u64) {
        Ok(limit) if limit < enough => warn!(
            "the limit of {limit} descriptors is too low for --max-clients, which needs {enough}: \
             clients beyond the limit will wait; raise it with ulimit -n or LimitNOFILE="
        ),
        Ok(_) => {}
        Err(error) => warn!("cannot find out how many descriptors this process may have: {error}"),
    }
}

/// Writes the addresses to stdout, which must not keep the server from its work if it takes nothing.
fn announce(addresses: &[Address]) -> io::Result<()> {
    let lines: String = addresses.iter().map(|address| format!("listening on {address}\n")).collect();
    // Not through std's buffer, which would keep what cannot be written.
    let mut stdout = Patient(File::from(io::stdout().as_fd().try_clone_to_owned()?));
    programs::in_time(ANNOUNCE_TIME, move || stdout.write_all(lines.as_bytes()))
}

/// Reports a state to the service manager. One whose queue is full is tried for some seconds more, by a thread of its
/// own.
fn notify(state: &'static str) {
    let warn = move |error| warn!("cannot report {state} to the service manager: {error}");
    match programs::notify(state, Duration::ZERO) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::WouldBlock => {
            let work = move || programs::notify(state, NOTIFY_TIME).unwrap_or_else(warn);
            programs::start_thread("notify", work).map(drop).unwrap_or_else(warn);
        }
        Err(error) => warn(error),
    }
}
