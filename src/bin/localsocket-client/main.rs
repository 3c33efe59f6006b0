//! `localsocket-client`: talks to the hub from a terminal or a pipe. One thread sends what comes from the
//! input, the main thread prints what comes from the server; the connection is the library's.

mod options;

use std::fmt::Display;
use std::io::{self, BufRead, BufReader, ErrorKind, IsTerminal, Read, Write};
use std::process::{self, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use localsocket::client::{OnChange, Receiver, Sender};
use localsocket::limits;
use localsocket::programs::AtomicU64;
use localsocket::programs::cli::{self, Arguments, UsageError};
use localsocket::protocol::{Command, Event};
use localsocket::{Address, Change, Client, ClientError, ClientOptions};

use crate::options::PROGRAM;

/// When so many bytes of lines are gathered they are sent, even if more are at hand.
const BATCH: usize = 64 * 1024;

fn main() -> ExitCode {
    PROGRAM.run(|arguments| {
        let address: Address = arguments.parsed("connect")?.unwrap_or_default();
        let options = options(&arguments)?;
        if arguments.has("ping") {
            return Ok(ping(&address, options));
        }
        let status = Arc::new(Status::new(address.clone(), options.reconnect));
        let on_change: OnChange = Arc::new({
            let status = Arc::clone(&status);
            move |change| status.tell(change)
        });
        let (sender, receiver) =
            match Client::connect_with(&address, ClientOptions { on_change: Some(on_change), ..options }) {
                Ok(client) => client.split(),
                Err(ClientError::NotOneLine) => return Err(UsageError("--name: it holds a line end".to_owned())),
                Err(ClientError::Refused(text)) => return Ok(refused(&text)),
                Err(error) => return Ok(fail(&error)),
            };
        let interactive = arguments.operands.is_empty() && io::stdin().is_terminal();
        let input =
            Input { verbatim: arguments.has("verbatim"), lines: arguments.operands, status: Arc::clone(&status) };
        let sending = thread::Builder::new().name("input".to_owned()).spawn(move || input.send(&sender));
        if let Err(error) = sending {
            return Ok(fail(&format!("cannot start a thread: {error}")));
        }
        Ok(receive(receiver, interactive, &status))
    })
}

fn options(arguments: &Arguments) -> Result<ClientOptions, UsageError> {
    let default = ClientOptions::default();
    let from_zero = Duration::ZERO..=*limits::TIMEOUT.end();
    let heartbeat = arguments.seconds("heartbeat", &from_zero)?.unwrap_or(Duration::from_secs(30));
    Ok(ClientOptions {
        connect_timeout: arguments.seconds("connect-timeout", &limits::TIMEOUT)?.unwrap_or(default.connect_timeout),
        wait: arguments.seconds("wait", &from_zero)?.unwrap_or(default.wait),
        token: arguments.value("token-file").map(cli::read_token).transpose()?.map(Into::into),
        name: arguments.value("name").map(str::to_owned),
        reconnect: arguments.has("reconnect"),
        heartbeat: Some(heartbeat).filter(|time| !time.is_zero()),
        on_change: None,
        ..default
    })
}

/// Writes a line to stderr. That nobody reads it is no reason to stop.
fn say(text: &dyn Display) {
    let mut line = format!("{}: ", PROGRAM.name).into_bytes();
    add_escaped(&text.to_string(), &mut line);
    line.push(b'\n');
    let _ = io::stderr().write_all(&line);
}

/// What others send must not steer the terminal.
fn add_escaped(text: &str, line: &mut Vec<u8>) {
    for c in text.chars() {
        if c.is_control() && c != '\t' {
            line.extend(c.escape_default().map(|c| c as u8));
        } else {
            line.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }
}

fn fail(why: &dyn Display) -> ExitCode {
    say(why);
    ExitCode::FAILURE
}

/// Tells on stderr what happens to the connection.
struct Status {
    address: Address,
    reconnect: bool,
    /// Somebody sits there and reads.
    for_person: bool,
    /// Lines without an answer on the connection that was lost last.
    unanswered: AtomicU64,
    /// `auth:` lines of the input whose answers are still to come.
    authenticating: AtomicU64,
    input_failed: AtomicBool,
}

impl Status {
    fn new(address: Address, reconnect: bool) -> Status {
        let for_person = io::stdin().is_terminal() && io::stderr().is_terminal();
        Status {
            address,
            reconnect,
            for_person,
            unanswered: AtomicU64::new(0),
            authenticating: AtomicU64::new(0),
            input_failed: AtomicBool::new(false),
        }
    }

    /// Whether a line is the answer to an `auth:` of the input. A person is told on stderr.
    fn is_authenticated(&self, line: &str) -> bool {
        let one_less = |count: u64| count.checked_sub(1);
        let is_it = line == "authenticated"
            && self.authenticating.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less).is_ok();
        if is_it && self.for_person {
            say(&line);
        }
        is_it
    }

    fn tell(&self, change: Change<'_>) {
        match change {
            Change::Connected if self.for_person => {
                say(&format_args!("connected to {}; help lists the commands, quit or Ctrl-D leaves", self.address));
            }
            Change::Connected => say(&format_args!("connected to {}", self.address)),
            Change::Disconnected { error, unanswered, .. } => {
                self.unanswered.store(unanswered, Ordering::SeqCst);
                let error = error.map_or(String::new(), |error| format!(": {error}"));
                let lines = match unanswered {
                    0 => String::new(),
                    1 => "; 1 line that was sent has no answer".to_owned(),
                    count => format!("; {count} lines that were sent have no answer"),
                };
                say(&format_args!("disconnected{error}{lines}"));
            }
            Change::Retrying { pause } => {
                say(&format_args!("connecting to {} again in {:.1} s", self.address, pause.as_secs_f64()));
            }
            _ => {}
        }
    }
}

/// Where lines come from.
struct Input {
    verbatim: bool,
    lines: Vec<String>,
    status: Arc<Status>,
}

impl Input {
    /// Sends everything; returns at the end of the input or of the connection.
    fn send(&self, sender: &Sender) {
        let result = if self.lines.is_empty() {
            self.send_all(BufReader::with_capacity(BATCH, io::stdin().lock()), sender)
        } else {
            self.send_all(BufReader::new(self.lines.join("\n").as_bytes()), sender)
        };
        match result {
            // The connection was over first. The receiver knows why, and says so.
            Ok(false) => return,
            Ok(true) => {}
            Err(error) => {
                say(&format_args!("cannot read the input: {error}"));
                self.status.input_failed.store(true, Ordering::SeqCst);
            }
        }
        sender.finish();
    }

    /// Sends lines to the end of the input; false if the connection ends before.
    fn send_all(&self, mut input: BufReader<impl Read>, sender: &Sender) -> io::Result<bool> {
        let mut line = Vec::new();
        let mut batch = Vec::new();
        loop {
            line.clear();
            input.read_until(b'\n', &mut line)?;
            // On a terminal, the end that came behind a piece of a line does not come again.
            let at_end = !line.ends_with(b"\n");
            self.add(&line, &mut batch);
            // Many lines are one write, but none is held back while more input is waited for.
            let more_is_here = input.buffer().contains(&b'\n') && batch.len() < BATCH;
            if !more_is_here && !batch.is_empty() {
                if sender.send_lines(&batch).is_err() {
                    return Ok(false);
                }
                batch.clear();
            }
            if at_end {
                return Ok(true);
            }
        }
    }

    /// Adds a line as it goes over the wire.
    fn add(&self, line: &[u8], batch: &mut Vec<u8>) {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            return;
        }
        let command = std::str::from_utf8(line).map_or(Command::Unknown(""), Command::parse);
        if matches!(command, Command::Auth(_)) {
            self.status.authenticating.fetch_add(1, Ordering::SeqCst);
        }
        if !self.verbatim && matches!(command, Command::Unknown(_)) {
            if self.status.for_person && line.starts_with(b"to:") {
                say(&"sent as a message; to one client alone: to:NAME:TEXT");
            }
            batch.extend_from_slice(b"msg:");
        }
        batch.extend_from_slice(line);
        batch.extend_from_slice(b"\r\n");
    }
}

/// Prints what comes until the connection ends; gives the exit code.
fn receive(mut receiver: Receiver, interactive: bool, status: &Status) -> ExitCode {
    let mut output = Output::new();
    let mut errors = false;
    let end = loop {
        let mut received = match receiver.receive(None) {
            Ok(line) => Some(line),
            Err(error) => break error,
        };
        while let Some(line) = received {
            if !status.is_authenticated(&line) {
                let is_error = matches!(Event::parse(&line), Event::Error(_));
                errors |= is_error;
                output.add(&line, is_error);
                if let (true, Some(hint)) = (is_error, hint(&line)) {
                    output.write();
                    say(&hint);
                }
            }
            received = receiver.try_receive();
        }
        output.write();
    };
    match &end {
        ClientError::Refused(text) => return refused(text),
        ClientError::Cut(piece) => {
            let _ = io::stdout().write_all(piece.as_bytes());
            say(&end);
        }
        _ => {}
    }
    let unanswered = status.reconnect && status.unanswered.load(Ordering::SeqCst) > 0;
    let input_failed = status.input_failed.load(Ordering::SeqCst);
    if errors && !interactive {
        ExitCode::from(3)
    } else if matches!(end, ClientError::Closed) && receiver.is_finished() && !unanswered && !input_failed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// The server has refused the login.
fn refused(text: &str) -> ExitCode {
    let line = format!("error: {text}");
    let mut output = Output::new();
    output.add(&line, true);
    output.write();
    if let Some(hint) = hint(&line) {
        say(&hint);
    }
    ExitCode::from(3)
}

/// What to do about an error, where that is not plain from the error itself.
fn hint(line: &str) -> Option<&'static str> {
    match line {
        "error: wrong token" => Some("the server's --token-file holds another token"),
        _ if line.starts_with("error: authenticate first") => Some("give the server's token with --token-file"),
        _ if line.starts_with("error: name ") && line.ends_with(" is taken") => {
            Some("choose another name with --name or iam:<name>")
        }
        _ if line.starts_with("error: server is full") => {
            Some("try again later, or start it with a larger --max-clients")
        }
        _ => None,
    }
}

/// Lines on their way to stdout.
struct Output {
    waiting: Vec<u8>,
    terminal: bool,
    colour: bool,
}

impl Output {
    fn new() -> Output {
        let terminal = io::stdout().is_terminal();
        // https://no-color.org: any value but the empty one.
        let colour = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Output { waiting: Vec::new(), terminal, colour }
    }

    fn add(&mut self, line: &str, is_error: bool) {
        if !self.terminal {
            self.waiting.extend_from_slice(line.as_bytes());
        } else {
            let red = is_error && self.colour;
            self.waiting.extend_from_slice(if red { b"\x1b[31m" } else { b"" });
            add_escaped(line, &mut self.waiting);
            self.waiting.extend_from_slice(if red { b"\x1b[0m" } else { b"" });
        }
        self.waiting.push(b'\n');
        if self.waiting.len() >= BATCH {
            self.write();
        }
    }

    /// Writes all. If nobody reads any more, there is nothing left to do: not an error, as in a pipe to `head`.
    fn write(&mut self) {
        let mut stdout = io::stdout().lock();
        match stdout.write_all(&self.waiting).and_then(|()| stdout.flush()) {
            Ok(()) => self.waiting.clear(),
            Err(error) if error.kind() == ErrorKind::BrokenPipe => process::exit(0),
            Err(error) => {
                say(&format_args!("cannot write to stdout: {error}"));
                process::exit(1);
            }
        }
    }
}

/// The health check: 0 if the server answers in time. Says nothing but `pong` then.
fn ping(address: &Address, options: ClientOptions) -> ExitCode {
    let timeout = options.connect_timeout;
    let answer = Client::connect_with(address, ClientOptions { heartbeat: None, reconnect: false, ..options })
        .and_then(|mut client| client.ping(timeout));
    match answer {
        Ok(()) => {
            // A health check counts by its exit code, whoever reads along.
            let _ = writeln!(io::stdout(), "pong");
            ExitCode::SUCCESS
        }
        Err(error) => fail(&format_args!("no pong from {address}: {error}")),
    }
}
