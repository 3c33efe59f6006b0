//! What is done with what the server sends, and what is said about the connection.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use localsocket::client::{Ending, Sender};
use localsocket::programs::{Counted, Seconds};
use localsocket::protocol::{Event, Mark, Refusal};
use localsocket::{AskError, ClientError, ClientOptions, Incoming};

use super::{Role, Work};
use crate::asking::News;
use crate::exit::End;
use crate::happening::{self, start};
use crate::output::say;
use crate::person::Person;
use crate::settings::{Form, Mode};

/// What begins the replies to what the program itself sends.
const STATS: &str = "stats: ";
const HELP: &str = "help: ";

impl Work<'_> {
    pub(super) fn take_all(&mut self, all: Vec<Incoming>) -> Result<(), End> {
        // What comes before the login is done comes together with that. The last one of this name is this client. With
        // `--since` it comes later.
        let connected = all.iter().position(|incoming| matches!(incoming, Incoming::Connected));
        if let (Some(connected), Some(name)) = (connected, &self.settings.options.name) {
            let joined = format!("{} has joined", name.trim());
            let count = |incoming: &Incoming| match incoming {
                Incoming::Line { text, .. } => text.split('\n').filter(|line| *line == joined).count(),
                _ => 0,
            };
            self.joins = all[..connected].iter().map(count).sum::<usize>().max(1);
            self.name = Some(name.trim().to_owned());
        }
        for incoming in all {
            match incoming {
                Incoming::Line { text, mark } => {
                    for line in text.split('\n') {
                        self.take_line(line, mark.as_ref())?;
                        if self.output.is_full() {
                            self.write()?;
                        }
                    }
                }
                Incoming::Connected => self.take_connection(),
                Incoming::Part(_, part) if !self.renews => self.output.add(&part, None),
                Incoming::Answer(_, answer) if !self.renews => {
                    if let Role::Ask { is_open, news: Ok(news) } = &mut self.role {
                        let end = answer.map(|last| {
                            self.output.add(&last, None);
                            *is_open = false;
                        });
                        let _ = news.send(News::Ended(end));
                    }
                }
                Incoming::Disconnected(ending) => self.tell_ending(*ending),
                Incoming::Retrying(pause) => {
                    let pause = Seconds(pause);
                    say(&format_args!("connecting to {} again in {pause:.1} s", self.settings.address));
                }
                Incoming::Missed(why) => say(&format_args!("lines may have been missed: {why}")),
                _ => {}
            }
        }
        Ok(())
    }

    fn take_line(&mut self, line: &str, mark: Option<&Mark>) -> Result<(), End> {
        if self.probes.first().is_some_and(|start| line.starts_with(start)) {
            return self.take_probe(line);
        }
        if let Some(text) = line.strip_prefix("error: ") {
            return self.take_error(text);
        }
        match &mut self.role {
            Role::Answer(answering) => {
                if let Event::Withdrawn { asker, id } = Event::parse(line) {
                    answering.withdraw(asker, id);
                }
            }
            Role::Print => {
                let is_notice =
                    || matches!(Event::parse(line), Event::Joined(_) | Event::Left(_) | Event::Renamed { .. });
                let is_own = self.is_own(line);
                if self.settings.no_notices && is_notice() {
                    return Ok(());
                }
                self.output.add(line, mark);
                if !is_own {
                    self.course.count()?;
                }
            }
            Role::Ask { .. } => {}
        }
        Ok(())
    }

    /// Whether a line tells only what this client did itself.
    fn is_own(&mut self, line: &str) -> bool {
        // Most lines need no more of a look than this.
        let Some(name) = self.name.as_mut().filter(|name| line.starts_with(name.as_str())) else { return false };
        match Event::parse(line) {
            Event::Message { name: sender, .. } | Event::Direct { sender, .. } if sender == name => {
                self.sent.store(false, Ordering::Relaxed);
                true
            }
            Event::Joined(joined) if joined == name && self.joins > 0 => {
                self.joins -= 1;
                self.joins == 0
            }
            Event::Renamed { old, new } if old == name => {
                new.clone_into(name);
                true
            }
            _ => false,
        }
    }

    fn take_error(&mut self, text: &str) -> Result<(), End> {
        let refusal = Refusal::parse(text);
        if refusal == Some(Refusal::AuthenticateFirst) {
            self.probes.retain(|probe| *probe != STATS);
        }
        let is_answerer = matches!(self.role, Role::Answer(_));
        match refusal {
            // The asker left before the answer came.
            Some(Refusal::NoOpenQuestion { .. }) if is_answerer => return Ok(()),
            Some(Refusal::RoomOnly(_)) if matches!(self.settings.mode, Mode::Talk(Form::To(_))) => {
                return Err(echo_mode());
            }
            // These count only if there is no connection afterwards.
            Some(Refusal::ShuttingDown | Refusal::CutOff) => self.course.server_stopped = true,
            refusal => {
                self.course.error |= !is_answerer || refusal.is_some_and(|refusal| refusal.is_last_words());
            }
        }
        self.show_error(text)
    }

    /// An error is a line that was received, where those are printed.
    fn show_error(&mut self, text: &str) -> Result<(), End> {
        let line = format!("error: {text}");
        if let Role::Print = self.role {
            self.output.add(&line, None);
            self.course.count()?;
        } else {
            say(&line);
        }
        if let Some(hint) = hint(text) {
            self.write()?;
            say(&hint);
        }
        Ok(())
    }

    /// A question has no answer, as far as the thread that asks knows. It is told when that is taken.
    pub(super) fn take_failure(&mut self, text: &str, error: &AskError, given_up: Option<Sender>) -> Result<(), End> {
        let Role::Ask { is_open, news } = &mut self.role else { return Ok(()) };
        let tell = |what| news.as_ref().map(|news| news.send(what)).map(drop).map_err(|end| *end);
        if !std::mem::take(is_open) {
            // The answer had come in time, but was not looked at: there was something to be written.
            return tell(given_up.map_or(News::Ended(Ok(())), News::Connected));
        }
        self.renews |= given_up.inspect(Sender::finish).is_some();
        say(&text);
        match error {
            AskError::TimedOut => self.course.late = true,
            // The end of the connection is told as such, unless there is to be another one.
            AskError::Client(_) if !self.settings.options.reconnect => self.course.input_lost = true,
            _ => self.course.error = true,
        }
        tell(News::Ended(Ok(())))
    }

    /// There is a connection, which is logged in.
    fn take_connection(&mut self) {
        (self.course.server_stopped, self.course.sent_in_vain) = (false, false);
        let mode = &self.settings.mode;
        if self.for_person {
            let hint = match mode {
                Mode::Talk(_) => "help lists the commands, quit or Ctrl-D leaves",
                Mode::Ask { .. } => "each line is a question, Ctrl-D leaves",
                _ => "Ctrl-C leaves",
            };
            say(&format_args!("connected to {}; {hint}", self.settings.address));
            if let Mode::Talk(_) = mode {
                say(&"start it with rlwrap in front, and what comes in does not disturb what you type");
            }
        }
        self.probes = match mode {
            Mode::Talk(_) if self.input.is_some() && self.course.person => vec![STATS, HELP],
            Mode::Answer { .. } => vec![STATS],
            _ => Vec::new(),
        };
        for probe in &self.probes {
            let _ = self.sender.as_ref().map(|sender| sender.send(probe.trim_end_matches(": ")));
        }
    }

    fn take_probe(&mut self, line: &str) -> Result<(), End> {
        self.probes.remove(0);
        if let Some(stats) = line.strip_prefix(STATS) {
            let value = |key: &str| stats.split(' ').find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='));
            let is_echo = value("mode") == Some("echo");
            match (&mut self.role, &self.settings.mode) {
                (Role::Answer(answering), _) => {
                    answering.limit = value("max-line").and_then(|limit| limit.parse().ok()).or(Some(usize::MAX));
                }
                (_, Mode::Talk(Form::To(_))) if is_echo => return Err(echo_mode()),
                _ if is_echo => say(&format_args!(
                    "the server is in echo mode, which sends each line back to you alone; {START_ROOM}"
                )),
                _ => {}
            }
        }
        if self.probes.is_empty() {
            self.start_input(line.strip_prefix(HELP));
        }
        Ok(())
    }

    /// From now on, the input is sent: that of a person, if the server has answered `help`.
    pub(super) fn start_input(&mut self, help: Option<&str>) {
        let (Some(input), Some(sender), Mode::Talk(form)) =
            (self.input.take(), self.sender.clone(), &self.settings.mode)
        else {
            return;
        };
        let person = help.filter(|_| *form != Form::Verbatim).map(|help| Person::new(help, form));
        let (form, sent) = (form.clone(), Arc::clone(&self.sent));
        if let Err(error) = start("input", move || input.send_all(&form, &sender, person, &sent)) {
            say(&error);
            self.course.input_lost = true;
        }
    }

    /// There is no connection and will be none.
    pub(super) fn end(&mut self, error: ClientError) -> Result<(), End> {
        let end = match error {
            ClientError::Closed if self.renews => return self.connect_again(),
            ClientError::Closed => End::Closed,
            ClientError::Refused(text) => self.take_refusal(&text)?,
            error => {
                if self.sender.is_none() {
                    say(&error);
                }
                End::Lost
            }
        };
        match &mut self.role {
            Role::Answer(answering) => {
                answering.stop(end);
                Ok(())
            }
            // The thread that asks tells what has become of the question.
            Role::Ask { is_open: true, news } => {
                *news = Err(end);
                Ok(())
            }
            _ => Err(end),
        }
    }

    /// The server does not let this client in, or not any more.
    fn take_refusal(&mut self, text: &str) -> Result<End, End> {
        match Refusal::parse(text) {
            Some(Refusal::RoomOnly(_)) => return Ok(echo_mode()),
            Some(Refusal::NotKept(_) | Refusal::NoHistory) => say(&text),
            _ => self.show_error(text)?,
        }
        self.course.error = true;
        Ok(End::Refused)
    }

    fn connect_again(&mut self) -> Result<(), End> {
        (self.sender, self.renews) = (None, false);
        let options = &self.settings.options;
        let wait = if options.reconnect { std::time::Duration::MAX } else { options.wait };
        let options = ClientOptions { wait, ..options.clone() };
        happening::connect(self.settings, options, self.happenings.clone()).map_err(|error| {
            say(&error);
            End::Lost
        })
    }

    pub(super) fn tell_ending(&mut self, ending: Ending) {
        if let Role::Answer(answering) = &mut self.role {
            answering.withdraw_all();
        }
        if self.renews && ending.error.is_none() {
            return;
        }
        if let Some(piece) = ending.cut {
            let reconnect = self.settings.options.reconnect;
            if let (Role::Print, false) = (&self.role, reconnect) {
                self.output.add_piece(&piece, None);
            }
            self.course.cut |= !reconnect;
            let bytes = Counted(piece.len(), "byte");
            say(&format_args!("the connection ended in the middle of a line, after {bytes} of it"));
        }
        let sent = self.sent.swap(false, Ordering::Relaxed);
        self.course.sent_in_vain = sent && self.settings.options.reconnect && ending.error.is_some();
        let lines = if self.course.sent_in_vain { "; what was sent shortly before may not have arrived" } else { "" };
        match ending.error {
            Some(error) => say(&format_args!("disconnected: {error}{lines}")),
            None if self.for_person => say(&"disconnected"),
            None => {}
        }
    }
}

const START_ROOM: &str = "a room is started with localsocket-server --mode room";

fn echo_mode() -> End {
    say(&format_args!("the server is in echo mode, and this needs a room; {START_ROOM}"));
    End::Failed
}

/// What to do about an error, where that is not plain from the error itself.
fn hint(text: &str) -> Option<&'static str> {
    match Refusal::parse(text)? {
        Refusal::WrongToken => Some("the server's --token-file holds another token"),
        Refusal::AuthenticateFirst | Refusal::AuthenticationTimeout(_) => {
            Some("give the server's token with --token-file")
        }
        Refusal::NameTaken(_) => Some("choose another name with --name or iam:<name>, or wait for it with --wait"),
        Refusal::ServerFull(_) => Some("try again later, or start it with a larger --max-clients"),
        _ => None,
    }
}
