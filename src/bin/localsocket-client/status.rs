//! What happens to the connection: told on stderr, and remembered for the exit code.

use std::io::{self, IsTerminal};
use std::sync::atomic::{AtomicBool, Ordering};

use localsocket::programs::{AtomicU64, Counted};
use localsocket::protocol::{Command, Refusal};
use localsocket::{Address, Change};

use crate::output::say;
use crate::settings::{Mode, Settings};

/// Shared by the thread that sends and the one that receives.
pub(crate) struct Status {
    address: Address,
    /// What a person is told when there is a connection.
    hint: &'static str,
    /// Somebody sits there and reads.
    for_person: bool,
    /// Whether lines without an answer say anything: a deaf client gets no copy of what it says.
    counts_answers: bool,
    reconnect: bool,
    /// Lines without an answer on the connection that was lost last.
    unanswered: AtomicU64,
    /// The server has said that it stops, and there is no new connection yet.
    server_stopped: AtomicBool,
    /// Replies of which only the program's user knows the command, so that they are not printed.
    quiet: [(&'static str, AtomicU64); 2],
    /// The client ends by itself; what has no answer then is not waited for.
    pub(crate) leaving: AtomicBool,
    /// Input could not be read, or was left after `quit`.
    pub(crate) input_lost: AtomicBool,
}

impl Status {
    pub(crate) fn new(settings: &Settings) -> Status {
        let hint = match settings.mode {
            Mode::Talk(_) => "; help lists the commands, quit or Ctrl-D leaves",
            Mode::Ask { .. } => "; each line is a question, Ctrl-D leaves",
            _ => "; Ctrl-C leaves",
        };
        Status {
            address: settings.address.clone(),
            hint,
            for_person: io::stdin().is_terminal() && io::stderr().is_terminal(),
            counts_answers: !settings.options.deaf,
            reconnect: settings.options.reconnect,
            unanswered: AtomicU64::new(0),
            server_stopped: AtomicBool::new(false),
            quiet: [("authenticated", AtomicU64::new(0)), ("deaf", AtomicU64::new(0))],
            leaving: AtomicBool::new(false),
            input_lost: AtomicBool::new(false),
        }
    }

    pub(crate) fn tell(&self, change: Change<'_>) {
        match change {
            Change::Connected => {
                self.server_stopped.store(false, Ordering::SeqCst);
                self.unanswered.store(0, Ordering::SeqCst);
                if self.for_person {
                    say(&format_args!("connected to {}{}", self.address, self.hint));
                }
            }
            Change::Disconnected { error, unanswered, cut, .. } => {
                let unanswered = if self.counts_answers { unanswered } else { 0 };
                self.unanswered.store(unanswered, Ordering::SeqCst);
                let lines = match unanswered {
                    0 => String::new(),
                    1 => "; 1 line that was sent has no answer".to_owned(),
                    count => format!("; {count} lines that were sent have no answer"),
                };
                if let Some(piece) = cut {
                    let bytes = Counted(piece.len(), "byte");
                    say(&format_args!("the connection ended in the middle of a line, after {bytes} of it"));
                }
                match error {
                    _ if self.leaving.load(Ordering::SeqCst) => {}
                    Some(error) => say(&format_args!("disconnected: {error}{lines}")),
                    None if self.for_person || unanswered > 0 => say(&format_args!("disconnected{lines}")),
                    None => {}
                }
            }
            Change::Retrying { pause } => {
                say(&format_args!("connecting to {} again in {:.1} s", self.address, pause.as_secs_f64()));
            }
            _ => {}
        }
    }

    /// Notes a command of the input that is about to be sent.
    pub(crate) fn note_sent(&self, command: Command<'_>) {
        let reply = match command {
            Command::Auth(_) => 0,
            Command::Deaf => 1,
            _ => return,
        };
        self.quiet[reply].1.fetch_add(1, Ordering::SeqCst);
    }

    /// Whether a line is a reply that is not printed. A person is told on stderr.
    pub(crate) fn take_quiet(&self, line: &str) -> bool {
        let Some((_, count)) = self.quiet.iter().find(|(reply, _)| *reply == line) else { return false };
        let taken = count.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |count| count.checked_sub(1)).is_ok();
        if taken && self.for_person {
            say(&line);
        }
        taken
    }

    /// Notes an error that came. Returns whether it counts for the exit code as it stands: the words of a server
    /// that stops count only if there is no connection afterwards.
    pub(crate) fn note_error(&self, text: &str) -> bool {
        match Refusal::parse(text) {
            Some(Refusal::ShuttingDown | Refusal::CutOff) => {
                self.server_stopped.store(true, Ordering::SeqCst);
                return false;
            }
            // A `deaf` in echo mode is answered so.
            Some(Refusal::RoomOnly("deaf")) => {
                let one_less = |count: u64| count.checked_sub(1);
                let _ = self.quiet[1].1.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less);
            }
            _ => {}
        }
        true
    }

    pub(crate) fn server_stopped(&self) -> bool {
        self.server_stopped.load(Ordering::SeqCst)
    }

    /// Whether lines were lost with the last connection, which `--reconnect` does not send again.
    pub(crate) fn lost_lines(&self) -> bool {
        self.reconnect && self.unanswered.load(Ordering::SeqCst) > 0
    }

    /// Tells a person what became of a line that looks as if it was meant to be a command.
    pub(crate) fn explain_message(&self, line: &[u8]) {
        if self.for_person && line.starts_with(b"to:") {
            say(&"sent as a message to everyone; for one client only, type to:NAME:TEXT");
        }
    }
}

/// What to do about an error, where that is not plain from the error itself.
pub(crate) fn hint(text: &str) -> Option<&'static str> {
    match Refusal::parse(text)? {
        Refusal::WrongToken => Some("the server's --token-file holds another token"),
        Refusal::AuthenticateFirst => Some("give the server's token with --token-file"),
        Refusal::NameTaken(_) => Some("choose another name with --name or iam:<name>, or wait for it with --wait"),
        Refusal::ServerFull(_) => Some("try again later, or start it with a larger --max-clients"),
        _ => None,
    }
}
