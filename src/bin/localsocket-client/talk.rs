//! The usual work: one thread sends the input, this one prints what comes. `--recv-only` is the same without input.

use std::io::{self, ErrorKind, IsTerminal};
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use localsocket::client::{Receiver, Sender};
use localsocket::protocol::Event;
use localsocket::{Client, ClientError};

use crate::exit::{Course, End, Work};
use crate::input::{self, Source};
use crate::output::{Kind, Output, say};
use crate::settings::{Mode, Settings};
use crate::status::{Status, hint};

/// How long a client that leaves by itself waits for the server to read what was sent before: a connection that is
/// closed with unread lines is reset, and a reset can overtake what was sent.
const LEAVING: Duration = Duration::from_millis(300);

/// Does the work over a connection that is logged in. `Err` says why it could not begin.
pub(crate) fn talk(client: Client, settings: Settings, status: &Arc<Status>) -> Result<Course, String> {
    let (sender, receiver) = client.split();
    let sender = Arc::new(sender);
    let output = Output::new(settings.timestamps).map_err(|error| format!("cannot use stdout: {error}"))?;
    let mut course = Course::new(if settings.mode == Mode::Listen { Work::Serve } else { Work::Talk });
    let (count, timeout, no_notices) = (settings.count, settings.timeout, settings.no_notices);
    let mut arguments_sent = None;
    if let Mode::Talk(form) = settings.mode {
        course.person = settings.lines.is_empty() && io::stdin().is_terminal();
        let are_arguments = !settings.lines.is_empty();
        let source = Source::new(settings.lines).map_err(|error| format!("cannot use stdin: {error}"))?;
        let (sender, status) = (Arc::clone(&sender), Arc::clone(status));
        let (sent, done) = mpsc::channel();
        let send = move || {
            input::send(source, &form, &sender, &status);
            let _ = sent.send(());
        };
        thread::Builder::new()
            .name("input".to_owned())
            .spawn(send)
            .map_err(|error| format!("cannot start a thread: {error}"))?;
        arguments_sent = Some(done).filter(|_| are_arguments);
    }
    let printing = Printing { receiver, output, left: count, no_notices, status, arguments_sent };
    Ok(printing.run(timeout, &sender, course))
}

/// What comes, on its way to stdout.
struct Printing<'a> {
    receiver: Receiver,
    output: Output,
    /// How many lines of `--count` are still to come.
    left: Option<usize>,
    no_notices: bool,
    status: &'a Status,
    /// Tells when all LINE arguments are sent, if there are any.
    arguments_sent: Option<mpsc::Receiver<()>>,
}

impl Printing<'_> {
    fn run(mut self, timeout: Option<Duration>, sender: &Sender, mut course: Course) -> Course {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        course.end = loop {
            let step = self.receive(deadline, &mut course).and_then(|()| self.output.write().map_err(end_of_output));
            if let Err(end) = step {
                break end;
            }
        };
        // What is left if it ended within a batch of lines.
        if let Err(error) = self.output.write()
            && !matches!(course.end, End::ReaderGone | End::OutputFailed)
        {
            course.end = end_of_output(error);
        }
        course.finished = self.receiver.is_finished();
        course.input_lost = self.status.input_lost.load(Ordering::SeqCst) || self.status.lost_lines();
        course.error |= self.status.server_stopped() && course.work == Work::Talk;
        course.count_missing = self.left.is_some_and(|left| left > 0);
        if matches!(course.end, End::Count | End::Time) {
            self.leave(sender);
        }
        course
    }

    /// Waits for a line, and takes those that came with it.
    fn receive(&mut self, deadline: Option<Instant>, course: &mut Course) -> Result<(), End> {
        let time_left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let mut received = match self.receiver.receive(time_left) {
            Ok(line) => Some(line),
            Err(error) => return Err(self.end(error, course)),
        };
        self.output.mark_arrival();
        while let Some(line) = received {
            self.show(&line, course)?;
            received = self.receiver.try_receive();
        }
        // Lines that come all the time must not make it last for ever.
        if time_left == Some(Duration::ZERO) { Err(End::Time) } else { Ok(()) }
    }

    fn show(&mut self, line: &str, course: &mut Course) -> Result<(), End> {
        let event = Event::parse(line);
        let is_notice = matches!(event, Event::Joined(_) | Event::Left(_) | Event::Renamed { .. });
        if self.no_notices && is_notice || self.status.take_quiet(line) {
            return Ok(());
        }
        match event {
            Event::Error(text) => {
                course.error |= self.status.note_error(text);
                self.output.add(line, Kind::Error).map_err(end_of_output)?;
                if let Some(hint) = hint(text) {
                    self.output.write().map_err(end_of_output)?;
                    say(&hint);
                }
            }
            _ => self.output.add(line, Kind::Plain).map_err(end_of_output)?,
        }
        match &mut self.left {
            Some(left) => {
                *left -= 1;
                if *left == 0 { Err(End::Count) } else { Ok(()) }
            }
            None => Ok(()),
        }
    }

    fn end(&mut self, error: ClientError, course: &mut Course) -> End {
        match error {
            ClientError::TimedOut => End::Time,
            ClientError::Closed => End::Closed,
            ClientError::Cut(piece) => {
                course.cut = true;
                self.output.mark_arrival();
                self.output.add_piece(&piece);
                End::Lost
            }
            // With --reconnect: the server does not take this client any more.
            ClientError::Refused(text) => {
                course.error = true;
                match self.output.add(&format!("error: {text}"), Kind::Error) {
                    Ok(()) => End::Lost,
                    Err(error) => end_of_output(error),
                }
            }
            _ => End::Lost,
        }
    }

    /// Leaves cleanly, so that nothing is lost of what was sent. LINE arguments take no time, unlike other input.
    fn leave(&mut self, sender: &Sender) {
        if let Some(sent) = &self.arguments_sent {
            let _ = sent.recv_timeout(LEAVING);
        }
        self.status.leaving.store(true, Ordering::SeqCst);
        sender.finish();
        let deadline = Instant::now() + LEAVING;
        while self.receiver.receive(Some(deadline.saturating_duration_since(Instant::now()))).is_ok()
            && Instant::now() < deadline
        {}
    }
}

/// A reader that has gone, as in a pipe to `head`, is no error.
pub(crate) fn end_of_output(error: io::Error) -> End {
    if error.kind() == ErrorKind::BrokenPipe {
        return End::ReaderGone;
    }
    say(&format_args!("cannot write to stdout: {error}"));
    End::OutputFailed
}
