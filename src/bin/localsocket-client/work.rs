//! The one loop of the client. Everything that happens comes to it in one queue: what the server sends, the end of the
//! input, commands that have ended, signals. Only this thread prints, counts and decides; the others read, send and run.

use std::io::{self, ErrorKind, IsTerminal};
use std::iter;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TryRecvError};
use std::thread;
use std::time::{Duration, Instant};

use localsocket::client::{Ending, Question, Sender};
use localsocket::programs::{Counted, Signals};
use localsocket::protocol::{Event, Refusal};
use localsocket::{AskError, Client, ClientError, Incoming};

use crate::answering::Answering;
use crate::asking::Asking;
use crate::command;
use crate::exit::{Course, End, Work as Kind};
use crate::input::{self, Input};
use crate::output::{Output, say};
use crate::settings::{Form, Mode, Settings};

/// How much may wait for the loop. Then the server is not read from, so a slow reader of stdout holds up the server, not
/// the memory.
const QUEUE: usize = 16;

/// How long a client that leaves by itself waits for the server to read what was sent before: a connection that is
/// closed with unread lines is reset, and a reset can overtake what was sent.
const LEAVING: Duration = Duration::from_millis(300);

/// What happens.
pub(crate) enum Happening {
    /// The server has sent something, or the connection has changed: all that was there at once.
    Came(Vec<Incoming>),
    /// Another client asks.
    Question(Question),
    /// There is no connection and will be none.
    Over(ClientError),
    /// `--ask`: a question is about to be put, counted from 1.
    Asking {
        number: usize,
        text: String,
    },
    /// It was put.
    Asked {
        number: usize,
        put: Result<u64, AskError>,
    },
    /// Input could not be read, or is left after `quit`.
    InputLost,
    /// There is no more input.
    InputOver,
    /// `--answer`: a command has ended.
    Done(u64),
    Signal,
}

pub(crate) type Happenings = SyncSender<Happening>;

/// Connects and works until there is a reason to end. `Err` says why it could not begin.
pub(crate) fn work(settings: Settings) -> Result<Course, String> {
    let (happenings, queue) = mpsc::sync_channel(QUEUE);
    let connected = Arc::new(AtomicBool::new(false));
    if let Mode::Answer { .. } = settings.mode {
        // Before any thread is started.
        let signals = Signals::block().map_err(|error| format!("cannot wait for signals: {error}"))?;
        let (happenings, connected) = (happenings.clone(), Arc::clone(&connected));
        start("signals", move || wait_for_signals(&signals, &happenings, &connected))?;
    }
    let output = Output::new(settings.timestamps).map_err(|error| format!("cannot use stdout: {error}"))?;
    let client = match Client::connect_with(&settings.address, settings.options.clone()) {
        Ok(client) => client,
        Err(ClientError::Refused(text)) => return Ok(refused(&text, &settings, output)),
        Err(error) => return Err(error.to_string()),
    };
    connected.store(true, Ordering::SeqCst);
    let sender = client.sender();
    let mut work = Work::new(&settings, sender.clone(), output, happenings.clone());
    if let Mode::Talk(_) | Mode::Ask { .. } = settings.mode {
        work.course.person = settings.lines.is_empty() && io::stdin().is_terminal();
        let line_end = if settings.mode == Mode::Talk(Form::Verbatim) { "\r\n" } else { "\n" };
        let input = Input::open(&settings.lines, line_end).map_err(|error| format!("cannot use stdin: {error}"))?;
        let (mode, happenings, places) = (settings.mode.clone(), happenings.clone(), work.asking.places());
        start("input", move || match mode {
            Mode::Ask { name, .. } => input::put_questions(input, &name, &sender, &happenings, &places),
            Mode::Talk(form) => input::send(input, &form, &sender, &happenings),
            _ => {}
        })?;
    }
    let answers = matches!(settings.mode, Mode::Answer { .. });
    start("receiver", move || receive(client, answers, &happenings))?;
    Ok(work.run(&queue))
}

pub(crate) fn start(name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), String> {
    let thread = thread::Builder::new().name(name.to_owned()).spawn(run);
    thread.map(drop).map_err(|error| format!("cannot start a thread: {error}"))
}

fn wait_for_signals(signals: &Signals, happenings: &Happenings, connected: &AtomicBool) {
    let mut signalled = false;
    loop {
        match signals.wait() {
            // The second one does not wait, and before the first connection there is nothing to wait for.
            _ if signalled || !connected.load(Ordering::SeqCst) => {
                command::kill_all();
                process::exit(0);
            }
            _ => {
                signalled = true;
                let _ = happenings.send(Happening::Signal);
            }
        }
    }
}

fn receive(mut client: Client, answers: bool, happenings: &Happenings) {
    loop {
        let happening = match client.next(None) {
            Ok(Incoming::Line { text, mark }) if answers => match client.question(&text) {
                Some(question) => Happening::Question(question),
                None => Happening::Came(vec![Incoming::Line { text, mark }]),
            },
            Ok(first) if answers => Happening::Came(vec![first]),
            Ok(first) => Happening::Came([first].into_iter().chain(iter::from_fn(|| client.try_next())).collect()),
            Err(error) => {
                let _ = happenings.send(Happening::Over(error));
                return;
            }
        };
        if happenings.send(happening).is_err() {
            return;
        }
    }
}

/// The server does not let this client in. What it says is a line that was received.
fn refused(text: &str, settings: &Settings, mut output: Output) -> Course {
    let mut course = Course { end: End::NameRefused, ..Course::new(Kind::Talk) };
    let line = format!("error: {text}");
    if let Mode::Talk(_) | Mode::Listen = settings.mode {
        if let Err(error) = output.add(&line).and_then(|()| output.write()) {
            course.end = end_of_output(&error);
        }
        course.error = true;
    } else {
        say(&line);
    }
    if let Some(hint) = hint(text) {
        say(&hint);
    }
    course
}

/// What to do about an error, where that is not plain from the error itself.
fn hint(text: &str) -> Option<&'static str> {
    match Refusal::parse(text)? {
        Refusal::WrongToken => Some("the server's --token-file holds another token"),
        Refusal::AuthenticateFirst => Some("give the server's token with --token-file"),
        Refusal::NameTaken(_) => Some("choose another name with --name or iam:<name>, or wait for it with --wait"),
        Refusal::ServerFull(_) => Some("try again later, or start it with a larger --max-clients"),
        _ => None,
    }
}

/// A reader that has gone, as in a pipe to `head`, is no error.
fn end_of_output(error: &io::Error) -> End {
    if error.kind() == ErrorKind::BrokenPipe {
        return End::ReaderGone;
    }
    say(&format_args!("cannot write to stdout: {error}"));
    End::OutputFailed
}

/// What the loop keeps.
struct Work<'a> {
    settings: &'a Settings,
    sender: Sender,
    output: Output,
    course: Course,
    deadline: Option<Instant>,
    /// How many lines of `--count` are still to come.
    left: Option<usize>,
    /// Somebody sits there and reads.
    for_person: bool,
    /// Lines without an answer on the connection that was lost last.
    unanswered: u64,
    /// The server has said that it stops, and there is no new connection yet.
    server_stopped: bool,
    leaving: bool,
    asking: Asking,
    answering: Answering,
}

impl<'a> Work<'a> {
    fn new(settings: &'a Settings, sender: Sender, output: Output, happenings: Happenings) -> Work<'a> {
        let kind = match settings.mode {
            Mode::Ask { .. } => Kind::Ask,
            Mode::Listen | Mode::Answer { .. } => Kind::Serve,
            _ => Kind::Talk,
        };
        Work {
            settings,
            answering: Answering::new(sender.clone(), happenings),
            sender,
            output,
            course: Course::new(kind),
            deadline: settings.timeout.and_then(|timeout| Instant::now().checked_add(timeout)),
            left: settings.count,
            for_person: io::stdin().is_terminal() && io::stderr().is_terminal(),
            unanswered: 0,
            server_stopped: false,
            leaving: false,
            asking: Asking::new(),
        }
    }

    fn run(mut self, queue: &Receiver<Happening>) -> Course {
        let mut end = loop {
            if let Err(end) = self.next(queue).and_then(|happening| self.take(happening)) {
                break end;
            }
        };
        if let Err(error) = self.output.write()
            && end != End::ReaderGone
            && end != End::OutputFailed
        {
            end = end_of_output(&error);
        }
        let mut course = self.course;
        course.end = end;
        course.finished |= self.sender.is_finished();
        course.input_lost |= self.settings.options.reconnect && self.unanswered > 0;
        course.error |= self.server_stopped && course.work != Kind::Serve;
        course.count_missing = self.left.is_some_and(|left| left > 0);
        if matches!(end, End::Count | End::Time | End::Stopped) {
            self.leave(queue);
        }
        course
    }

    /// What happens next. What was printed is written before it is waited for.
    fn next(&mut self, queue: &Receiver<Happening>) -> Result<Option<Happening>, End> {
        match queue.try_recv() {
            Ok(happening) => return Ok(Some(happening)),
            Err(TryRecvError::Disconnected) => return Err(End::Lost),
            Err(TryRecvError::Empty) => self.output.write().map_err(|error| end_of_output(&error))?,
        }
        let deadline = [self.deadline, self.asking.deadline(), self.answering.deadline()].into_iter().flatten().min();
        let Some(deadline) = deadline else { return queue.recv().map(Some).map_err(|_| End::Lost) };
        match queue.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(happening) => Ok(Some(happening)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(End::Lost),
        }
    }

    fn take(&mut self, happening: Option<Happening>) -> Result<(), End> {
        match happening {
            None => {}
            Some(Happening::Came(all)) => all.into_iter().try_for_each(|incoming| self.take_incoming(incoming))?,
            Some(Happening::Question(question)) => {
                self.left = self.left.map(|left| left.saturating_sub(1));
                self.answering.take(question, self.left == Some(0));
            }
            Some(Happening::Over(error)) => self.end(error)?,
            Some(Happening::Asking { number, text }) => {
                let Mode::Ask { timeout, .. } = self.settings.mode else { return Ok(()) };
                self.asking.begin(number, text, timeout);
            }
            Some(Happening::Asked { number, put }) => self.asking.put(number, put),
            Some(Happening::InputLost) => self.course.input_lost = true,
            Some(Happening::InputOver) => self.course.finished = true,
            Some(Happening::Done(job)) => self.answering.done(job),
            Some(Happening::Signal) => self.answering.stop(End::Stopped),
        }
        // What comes all the time must not make it last for ever.
        if self.deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            match self.settings.mode {
                Mode::Answer { .. } => self.answering.stop(End::Time),
                _ => return Err(End::Time),
            }
            self.deadline = None;
        }
        match &self.settings.mode {
            Mode::Ask { .. } => self.print_answers(),
            Mode::Answer { command, jobs } => self.answering.go_on(command, *jobs),
            _ => Ok(()),
        }
    }

    fn take_incoming(&mut self, incoming: Incoming) -> Result<(), End> {
        match incoming {
            Incoming::Line { text, .. } => return self.take_line(&text),
            Incoming::Answer(question, answer) => self.asking.answer(question, answer),
            change => self.tell(change),
        }
        Ok(())
    }

    fn take_line(&mut self, line: &str) -> Result<(), End> {
        let event = Event::parse(line);
        if let Event::Error(text) = event {
            return self.take_error(line, text);
        }
        match self.settings.mode {
            Mode::Answer { .. } => self.answering.learn_limit(line),
            Mode::Ask { .. } => {}
            _ => {
                let is_notice = matches!(event, Event::Joined(_) | Event::Left(_) | Event::Renamed { .. });
                if !(is_notice && self.settings.no_notices) {
                    self.print(line)?;
                }
            }
        }
        Ok(())
    }

    fn take_error(&mut self, line: &str, text: &str) -> Result<(), End> {
        let refusal = Refusal::parse(text);
        let is_answerer = matches!(self.settings.mode, Mode::Answer { .. });
        match refusal {
            // Whoever asked has gone before the answer came. That happens.
            Some(Refusal::NoOpenQuestion { id, asker }) if is_answerer => {
                self.answering.forget(asker, id);
                return Ok(());
            }
            // These count only if there is no connection afterwards.
            Some(Refusal::ShuttingDown | Refusal::CutOff) => self.server_stopped = true,
            refusal => {
                self.course.error |= !is_answerer || refusal.is_some_and(|refusal| refusal.is_last_words());
            }
        }
        if let Mode::Talk(_) | Mode::Listen = self.settings.mode {
            self.print(line)?;
            if let Some(hint) = hint(text) {
                self.output.write().map_err(|error| end_of_output(&error))?;
                say(&hint);
            }
        } else {
            say(&line);
        }
        Ok(())
    }

    fn print(&mut self, line: &str) -> Result<(), End> {
        self.output.add(line).map_err(|error| end_of_output(&error))?;
        self.left = self.left.map(|left| left.saturating_sub(1));
        if self.left == Some(0) { Err(End::Count) } else { Ok(()) }
    }

    fn print_answers(&mut self) -> Result<(), End> {
        while let Some((question, answer)) = self.asking.next() {
            match answer {
                Ok(answer) => {
                    let printed = answer.split('\n').try_for_each(|line| self.output.add(line));
                    printed.map_err(|error| end_of_output(&error))?;
                }
                Err(error) => {
                    say(&format_args!("question {question}: {error}"));
                    match error {
                        AskError::TimedOut => self.course.late = true,
                        // The end of the connection is told as such, unless there is to be another one.
                        AskError::Client(_) if !self.settings.options.reconnect => self.course.input_lost = true,
                        _ => self.course.error = true,
                    }
                }
            }
        }
        if self.course.finished && self.asking.is_empty() { Err(End::AllAsked) } else { Ok(()) }
    }

    /// There is no connection and will be none.
    fn end(&mut self, error: ClientError) -> Result<(), End> {
        let end = match error {
            ClientError::Closed => End::Closed,
            // With --reconnect: the server does not take this client any more.
            ClientError::Refused(text) => match self.settings.mode {
                Mode::Talk(_) | Mode::Listen => {
                    self.course.error = true;
                    self.output.add(&format!("error: {text}")).map_err(|error| end_of_output(&error))?;
                    End::Lost
                }
                _ => {
                    say(&format_args!("error: {text}"));
                    End::NameRefused
                }
            },
            _ => End::Lost,
        };
        match self.settings.mode {
            Mode::Answer { .. } => self.answering.stop(end),
            Mode::Ask { .. } => {
                self.print_answers()?;
                return Err(end);
            }
            _ => return Err(end),
        }
        Ok(())
    }

    /// Tells what has happened to the connection.
    fn tell(&mut self, change: Incoming) {
        let address = &self.settings.address;
        match change {
            Incoming::Connected => {
                (self.server_stopped, self.unanswered) = (false, 0);
                if let Mode::Answer { .. } = self.settings.mode {
                    self.answering.ask_limit();
                }
                if self.for_person {
                    let hint = match self.settings.mode {
                        Mode::Talk(_) => "help lists the commands, quit or Ctrl-D leaves",
                        Mode::Ask { .. } => "each line is a question, Ctrl-D leaves",
                        _ => "Ctrl-C leaves",
                    };
                    say(&format_args!("connected to {address}; {hint}"));
                }
            }
            Incoming::Disconnected(ending) => self.tell_ending(*ending),
            Incoming::Retrying(pause) => {
                say(&format_args!("connecting to {address} again in {:.1} s", pause.as_secs_f64()));
            }
            _ => {}
        }
    }

    fn tell_ending(&mut self, ending: Ending) {
        self.answering.forget_all();
        // A deaf client gets no copy of what it says.
        self.unanswered = if self.settings.options.deaf { 0 } else { ending.unanswered };
        if let Some(piece) = ending.cut {
            if let Mode::Talk(_) | Mode::Listen = self.settings.mode
                && !self.settings.options.reconnect
            {
                self.output.add_piece(&piece);
            }
            self.course.cut |= !self.settings.options.reconnect;
            let bytes = Counted(piece.len(), "byte");
            say(&format_args!("the connection ended in the middle of a line, after {bytes} of it"));
        }
        let lines = match self.unanswered {
            0 => String::new(),
            1 => "; 1 line that was sent has no answer".to_owned(),
            count => format!("; {count} lines that were sent have no answer"),
        };
        match ending.error {
            _ if self.leaving => {}
            Some(error) => say(&format_args!("disconnected: {error}{lines}")),
            None if self.for_person || !lines.is_empty() => say(&format_args!("disconnected{lines}")),
            None => {}
        }
    }

    /// Leaves cleanly, so that nothing is lost of what was sent. LINE arguments take no time, unlike other input.
    fn leave(mut self, queue: &Receiver<Happening>) {
        self.leaving = true;
        let mut deadline = Instant::now() + LEAVING;
        let mut is_sending = !self.settings.lines.is_empty() && !self.sender.is_finished();
        loop {
            if !is_sending {
                self.sender.finish();
            }
            match queue.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(Happening::InputOver) => is_sending = false,
                Ok(Happening::Came(all)) => {
                    let ends = all.into_iter().filter(|incoming| matches!(incoming, Incoming::Disconnected(_)));
                    ends.for_each(|end| self.tell(end));
                }
                Ok(Happening::Over(_)) => return,
                Ok(_) => {}
                Err(_) if is_sending => (is_sending, deadline) = (false, deadline + LEAVING),
                Err(_) => return,
            }
        }
    }
}
