//! The one loop of the client. Everything that happens comes to it in one queue: what the server sends, the end of the
//! input, commands that have ended, signals. Only this thread prints, counts and decides; the others read, send and run.

mod received;

use std::io::{self, ErrorKind, IsTerminal};
use std::iter;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use localsocket::client::Sender;

use crate::answering::Answering;
use crate::asking::{Asking, News};
use crate::exit::{Course, End};
use crate::happening::{self, Happening, Happenings, start};
use crate::input::Input;
use crate::output::{Output, say};
use crate::settings::{Form, Mode, Settings};

/// How much may wait for the loop. Then the server is not read from, so a slow reader of stdout holds up the server, not
/// the memory.
const QUEUE: usize = 16;

/// How long a client that leaves by itself waits for the server to read what was sent before: a connection that is
/// closed with unread lines is reset, and a reset can overtake what was sent.
const LEAVING: Duration = Duration::from_millis(300);

/// Connects and works until there is a reason to end. `Err` says why it could not begin.
pub(crate) fn work(settings: &Settings) -> Result<Course, String> {
    let (happenings, queue) = mpsc::sync_channel(QUEUE);
    // Before any other thread is started, since signals are blocked for it.
    happening::watch(&settings.mode, happenings.clone())?;
    let work = Work::new(settings, happenings.clone())?;
    happening::connect(settings, settings.options.clone(), happenings)?;
    Ok(work.run(&queue))
}

/// What is done with what comes.
enum Role {
    Print,
    /// Whether a question is open, and where the thread that puts it is told the news. If there will be none, why it ends
    /// once that thread has told of the end of the question.
    Ask {
        is_open: bool,
        news: Result<mpsc::Sender<News>, End>,
    },
    Answer(Answering),
}

/// What the loop keeps.
struct Work<'a> {
    settings: &'a Settings,
    happenings: Happenings,
    output: Output,
    course: Course,
    role: Role,
    sender: Option<Sender>,
    /// The input, until it is read by a thread of its own.
    input: Option<Input>,
    /// How the replies begin that are not for the user: to what the program itself has sent on this connection.
    probes: Vec<&'static str>,
    /// `--ask`: a question was late, so its connection is about to end, and another one follows.
    renews: bool,
    deadline: Option<Instant>,
    /// Somebody sits there, reads, and is not only after one reply.
    for_person: bool,
    /// The name of this client, if it was given as an option.
    name: Option<String>,
    /// How many of this name are still to join: the last is this client.
    joins: usize,
    /// The input has sent lines, of which nothing has come back yet. In a room one's own messages do.
    sent: Arc<AtomicBool>,
}

impl<'a> Work<'a> {
    fn new(settings: &'a Settings, happenings: Happenings) -> Result<Work<'a>, String> {
        let has_input = matches!(settings.mode, Mode::Talk(_) | Mode::Ask { .. });
        let line_end = if settings.mode == Mode::Talk(Form::Verbatim) { "\r\n" } else { "\n" };
        let input = has_input.then(|| Input::open(&settings.lines, line_end, happenings.clone()));
        let mut input = input.transpose().map_err(|error| format!("cannot use stdin: {error}"))?;
        let role = match &settings.mode {
            Mode::Ask { name, timeout, retry } => {
                let (sender, news) = mpsc::channel();
                let (name, reconnect) = (name.clone(), settings.options.reconnect);
                let asking = Asking { name, timeout: *timeout, retry: *retry, reconnect, news, sender: None };
                let input = input.take();
                start("input", move || input.map_or((), |input| asking.ask_all(input)))?;
                Role::Ask { is_open: false, news: Ok(sender) }
            }
            Mode::Answer { command, jobs } => Role::Answer(Answering::new(command, *jobs, happenings.clone())?),
            _ => Role::Print,
        };
        Ok(Work {
            settings,
            happenings,
            output: Output::new(settings.timestamps, settings.options.marks)
                .map_err(|error| format!("cannot use stdout: {error}"))?,
            course: Course {
                person: has_input && settings.lines.is_empty() && io::stdin().is_terminal(),
                serves: !has_input,
                left: settings.count,
                ..Course::default()
            },
            role,
            sender: None,
            sent: Arc::default(),
            input,
            probes: Vec::new(),
            renews: false,
            deadline: None,
            for_person: settings.lines.is_empty() && io::stdin().is_terminal() && io::stderr().is_terminal(),
            name: None,
            joins: 0,
        })
    }

    fn run(mut self, queue: &Receiver<Happening>) -> Course {
        let mut end = loop {
            if let Err(end) = self.next(queue).and_then(|happening| self.take(happening)) {
                break end;
            }
        };
        // What is left is written, but not waited for when the time is over.
        if end != End::ReaderGone
            && let Err(failed) = self.write()
            && failed != End::Time
        {
            end = failed;
        }
        let is_finished = self.sender.as_ref().is_some_and(Sender::is_finished);
        let course = Course { end, finished: self.course.finished || is_finished, ..self.course };
        if let (Some(count), Some(left @ 1..), End::Closed | End::Lost) = (self.settings.count, course.left, end) {
            say(&format_args!("only {} of the {count} lines of --count came", count - left));
        }
        if matches!(end, End::Count | End::Time | End::Stopped | End::ReaderGone) {
            self.leave(queue);
        }
        course
    }

    /// What happens next. What was printed is written before it is waited for.
    fn next(&mut self, queue: &Receiver<Happening>) -> Result<Option<Happening>, End> {
        if let Ok(happening) = queue.try_recv() {
            return Ok(Some(happening));
        }
        self.write()?;
        let of_role = if let Role::Answer(answering) = &self.role { answering.deadline } else { None };
        let deadline = self.deadline.into_iter().chain(of_role).min();
        let left = deadline.map_or(Duration::MAX, |deadline| deadline.saturating_duration_since(Instant::now()));
        // The queue does not end, as it can be added to from here.
        Ok(queue.recv_timeout(left).ok())
    }

    /// Writes what was printed. Meanwhile nothing is received, which must not look like silence to the server.
    fn write(&mut self) -> Result<(), End> {
        let keep_alive = || self.sender.iter().for_each(Sender::keep_alive);
        let written = self.output.write(self.deadline, self.settings.options.heartbeat, keep_alive);
        written.map_err(|error| match error.kind() {
            ErrorKind::TimedOut => End::Time,
            // As in a pipe to `head`: that is no error.
            ErrorKind::BrokenPipe => End::ReaderGone,
            _ => {
                say(&format_args!("cannot write to stdout: {error}"));
                End::Failed
            }
        })
    }

    fn take(&mut self, happening: Option<Happening>) -> Result<(), End> {
        match (happening, &mut self.role) {
            (Some(Happening::Began(sender)), role) => {
                if let Role::Ask { news: Ok(news), .. } = role {
                    let _ = news.send(News::Connected(sender.clone()));
                }
                if self.sender.replace(sender).is_none() {
                    self.deadline = self.settings.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
                    if !self.course.person {
                        self.start_input(None);
                    }
                }
            }
            (Some(Happening::Came(all)), _) => self.take_all(all)?,
            (Some(Happening::Over(error)), _) => self.end(error)?,
            (Some(Happening::InputLost), _) => self.course.input_lost = true,
            (Some(Happening::InputOver), _) => self.course.finished = true,
            (Some(Happening::ReaderGone), _) => return Err(End::ReaderGone),
            (Some(Happening::Asking), Role::Ask { is_open, .. }) => *is_open = true,
            (Some(Happening::Failed { message, error, given_up }), Role::Ask { .. }) => {
                self.take_failure(&message, &error, given_up)?;
            }
            (Some(Happening::Question(question)), Role::Answer(answering)) => {
                answering.take(question);
                if let Err(end) = self.course.count() {
                    answering.finish(end);
                }
            }
            (Some(Happening::Done(job)), Role::Answer(answering)) => answering.done(job),
            (Some(Happening::Signal), Role::Answer(answering)) => answering.take_signal(),
            _ => {}
        }
        // What comes all the time must not make it last for ever.
        let is_over = self.deadline.is_some_and(|deadline| deadline <= Instant::now());
        match &mut self.role {
            Role::Print if is_over => Err(End::Time),
            Role::Ask { .. } if self.course.finished => Err(End::Closed),
            Role::Answer(answering) => {
                if is_over && self.deadline.take().is_some() {
                    answering.stop(End::Time);
                }
                answering.go_on()
            }
            _ if self.output.is_full() => self.write(),
            _ => Ok(()),
        }
    }

    /// Leaves cleanly, so that nothing is lost of what was sent. LINE arguments take no time, unlike other input.
    fn leave(self, queue: &Receiver<Happening>) {
        let Some(sender) = self.sender else { return };
        let wait_for = |is_it: fn(&Happening) -> bool| {
            let deadline = Instant::now() + LEAVING;
            let next = || queue.recv_timeout(deadline.saturating_duration_since(Instant::now())).ok();
            iter::from_fn(next).find(is_it)
        };
        let is_sending = !self.settings.lines.is_empty() && !sender.is_finished();
        let last = is_sending.then(|| wait_for(|next| matches!(next, Happening::InputOver | Happening::Over(_))));
        sender.finish();
        if !matches!(last.flatten(), Some(Happening::Over(_))) {
            wait_for(|next| matches!(next, Happening::Over(_)));
        }
    }
}
