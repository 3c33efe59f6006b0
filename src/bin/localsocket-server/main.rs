//! `localsocket-server`: the hub as a program. Options, signals and the service manager; the rest is the
//! library's.

mod options;

use std::io::{self, Write as _};
use std::process::{self, ExitCode};
use std::thread;
use std::time::Duration;

use localsocket::limits::{self, Limits};
use localsocket::programs::cli::{self, Arguments, UsageError};
use localsocket::programs::{self, Signal, Signals};
use localsocket::{Address, Config, Dialect, Mode, Server, ServerError, ServerHandle, Token};
use log::{LevelFilter, error, info, warn};

use crate::options::PROGRAM;

/// Descriptors beside those of the clients: standard streams, listeners, and what the library needs.
const OWN_DESCRIPTORS: u64 = 32;

/// How long something may take that takes no time unless something is wrong.
const PROMPTLY: Duration = Duration::from_millis(100);

fn main() -> ExitCode {
    // First of all, so that a signal right at the start is not lost and no thread misses it.
    let signals = Signals::block();
    programs::share_one_heap();
    // So that a socket's file has its final permissions from the first moment. There are no other files.
    programs::clear_umask();
    PROGRAM.run(|arguments| {
        let config = config(&arguments)?;
        let addresses = addresses(&arguments)?;
        // What RUST_LOG does not say stays so: an empty or mistyped one silences nothing.
        env_logger::Builder::new().filter_level(LevelFilter::Info).parse_default_env().format_target(false).init();
        let signals = match signals {
            Ok(signals) => signals,
            Err(error) => return Ok(fail(&format!("cannot wait for signals: {error}"))),
        };
        make_room_for_clients(&config.limits);
        let grace = config.limits.grace;
        let server = match start(&addresses, config) {
            Ok(server) => server,
            Err(ServerError::Bind(error)) => return Ok(fail(&error.to_string())),
            Err(ServerError::System(error)) => return Ok(fail(&error.to_string())),
            Err(mistake) => return Err(UsageError(mistake.to_string())),
        };
        Ok(serve(server, signals, grace))
    })
}

fn config(arguments: &Arguments) -> Result<Config, UsageError> {
    let default = Config::default();
    let limits = Limits {
        max_clients: arguments.number("max-clients", &limits::MAX_CLIENTS)?.unwrap_or(default.limits.max_clients),
        max_line: arguments.number("max-line", &limits::MAX_LINE)?.unwrap_or(default.limits.max_line),
        max_backlog: arguments.number("max-backlog", &limits::MAX_BACKLOG)?.unwrap_or(default.limits.max_backlog),
        stall_timeout: arguments.seconds("stall-timeout", &limits::TIMEOUT)?.unwrap_or(default.limits.stall_timeout),
        write_timeout: arguments.seconds("write-timeout", &limits::TIMEOUT)?.unwrap_or(default.limits.write_timeout),
        idle_timeout: arguments.seconds("idle-timeout", &limits::TIMEOUT)?.or(default.limits.idle_timeout),
        grace: arguments.seconds("grace", &limits::GRACE)?.unwrap_or(default.limits.grace),
        ..default.limits
    };
    Ok(Config {
        mode: arguments.choice("mode", &[("echo", Mode::Echo), ("room", Mode::Room)])?.unwrap_or_default(),
        dialect: arguments
            .choice("dialect", &[("line", Dialect::Line), ("classic", Dialect::Classic)])?
            .unwrap_or_default(),
        limits,
        token: arguments.value("token-file").map(cli::read_token).transpose()?.map(Token::from),
        unix_mode: arguments.octal("unix-mode", 0o777)?.unwrap_or(default.unix_mode),
        allow_remote: arguments.has("allow-remote"),
        commands: Vec::new(),
    })
}

fn addresses(arguments: &Arguments) -> Result<Vec<Address>, UsageError> {
    if !arguments.has("listen") {
        return Ok(vec![Address::default()]);
    }
    let parse = |text: &str| text.parse().map_err(|error| UsageError(format!("--listen: {error}")));
    arguments.all("listen").map(parse).collect()
}

/// Sockets of a service manager take the place of `--listen`.
fn start(addresses: &[Address], config: Config) -> Result<Server, ServerError> {
    match programs::inherited_sockets().map_err(io::Error::other).map_err(ServerError::System)? {
        Some(sockets) => {
            info!("taking {} sockets from the service manager", sockets.len());
            Server::from_inherited(sockets, config)
        }
        None => Server::bind(addresses, config),
    }
}

fn make_room_for_clients(limits: &Limits) {
    // As many again may be closing their connections.
    let wanted = 2 * limits.max_clients as u64 + OWN_DESCRIPTORS;
    let enough = limits.max_clients as u64 + OWN_DESCRIPTORS;
    match programs::raise_descriptor_limit(wanted) {
        Ok(limit) if limit < enough => warn!(
            "this process may have {limit} descriptors, fewer than --max-clients needs ({enough}): \
             clients beyond that will wait; raise the limit with ulimit -n or LimitNOFILE="
        ),
        Ok(_) => {}
        Err(error) => warn!("cannot tell how many descriptors this process may have: {error}"),
    }
}

fn serve(server: Server, signals: Signals, grace: Duration) -> ExitCode {
    let handle = server.handle();
    let waiting =
        thread::Builder::new().name("signals".to_owned()).spawn(move || stop_on_signal(&signals, &handle, grace));
    if let Err(error) = waiting {
        return fail(&format!("cannot start a thread: {error}"));
    }
    if let Err(error) = announce(server.addresses()) {
        warn!("cannot write the addresses to stdout: {error}");
    }
    notify("READY=1");
    let result = server.run();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error.to_string()),
    }
}

fn stop_on_signal(signals: &Signals, handle: &ServerHandle, grace: Duration) {
    let first = stop_signal(signals);
    let clients = handle.clients();
    apart(move || info!("stopping on {first}, with {clients} clients"));
    apart(|| notify("STOPPING=1"));
    handle.stop();
    apart(move || {
        thread::sleep(grace + PROMPTLY);
        // All is cut off by now, so something else holds up the end: a log that nobody reads.
        process::exit(0);
    });
    let second = stop_signal(signals);
    apart(move || error!("exiting at once on another {second}"));
    process::exit(1);
}

/// Waits for the next signal that asks to stop.
fn stop_signal(signals: &Signals) -> Signal {
    loop {
        match signals.wait() {
            Signal::Child => programs::reap_children(),
            signal => return signal,
        }
    }
}

/// Does something in a thread of its own, and waits for it a moment. A log that nobody reads must not hold up
/// a stop.
fn apart(what: impl FnOnce() + Send + 'static) {
    let waiting = thread::current();
    let doing = thread::Builder::new().spawn(move || {
        what();
        waiting.unpark();
    });
    if doing.is_ok() {
        thread::park_timeout(PROMPTLY);
    }
}

fn announce(addresses: &[Address]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    for address in addresses {
        writeln!(stdout, "listening on {address}")?;
    }
    stdout.flush()
}

fn notify(state: &str) {
    if let Err(error) = programs::notify(state) {
        warn!("cannot tell the service manager {state}: {error}");
    }
}

fn fail(message: &str) -> ExitCode {
    let _ = writeln!(io::stderr(), "{}: {message}", PROGRAM.name);
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_that_the_help_text_names_are_the_defaults() {
        let plain = config(&Arguments::default()).unwrap();
        for option in PROGRAM.options.iter().filter(|option| !["never", "none", "off"].contains(&option.default)) {
            let words = [format!("--{}", option.long), option.default.to_owned()];
            let arguments = PROGRAM.parse(words.map(Into::into)).unwrap();
            let named = config(&arguments).unwrap();
            assert_eq!(format!("{plain:?}"), format!("{named:?}"), "--{}", option.long);
            assert_eq!(addresses(&arguments), addresses(&Arguments::default()));
        }
    }
}
