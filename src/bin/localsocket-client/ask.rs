//! `--ask`: each line of the input is a question to one client, and the answers are printed in the order of the
//! questions.
//!
//! One thread reads the input and puts questions, one receives, the main thread waits for one answer after another.
//! Questions whose answers are not printed yet are bounded, so a slow answer holds up the input, not the memory.

use std::hash::{BuildHasher, RandomState};
use std::io::{self, IsTerminal};
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver as Incoming, Sender as Outgoing, SyncSender};
use std::thread;
use std::time::Duration;

use localsocket::client::{OpenQuestion, Receiver, Sender};
use localsocket::protocol::Event;
use localsocket::{AskError, Client, ClientError};

use crate::exit::{Course, End, Work};
use crate::input::Source;
use crate::output::{Kind, Output, say};
use crate::settings::Settings;
use crate::status::Status;
use crate::talk::end_of_output;

/// How many questions may be open at a time.
const WINDOW: usize = 64;

/// The most of a question that is shown in a message about it, in characters.
const SHOWN: usize = 60;

/// A name that no other client has.
pub(crate) fn own_name() -> String {
    // std's hasher keys are the only random numbers it has.
    format!("asker-{:016x}", RandomState::new().hash_one(process::id()))
}

/// What the main thread is told, in this order.
enum Step {
    Question {
        number: usize,
        text: String,
        put: Result<OpenQuestion, AskError>,
    },
    /// The input is over; false if it could not be read.
    InputOver(bool),
    /// The connection is over.
    Over(End),
}

/// Does the work over a connection that is logged in. `Err` says why it could not begin.
pub(crate) fn ask(
    client: Client,
    settings: Settings,
    name: &str,
    timeout: Duration,
    status: &Arc<Status>,
) -> Result<Course, String> {
    let (sender, receiver) = client.split();
    let mut course = Course::new(Work::Ask);
    course.person = settings.lines.is_empty() && io::stdin().is_terminal();
    let mut output = Output::new(settings.timestamps).map_err(|error| format!("cannot use stdout: {error}"))?;
    let source = Source::new(settings.lines).map_err(|error| format!("cannot use stdin: {error}"))?;
    let (steps, to_do) = mpsc::channel();
    let (places, free) = mpsc::sync_channel(WINDOW);
    let error_came = Arc::new(AtomicBool::new(false));
    let spawn =
        |name: &str, work: Box<dyn FnOnce() + Send>| match thread::Builder::new().name(name.to_owned()).spawn(work) {
            Ok(_) => Ok(()),
            Err(error) => Err(format!("cannot start a thread: {error}")),
        };
    spawn("receiver", {
        let (steps, status, error_came) = (steps.clone(), Arc::clone(status), Arc::clone(&error_came));
        Box::new(move || receive(receiver, &steps, &status, &error_came))
    })?;
    spawn("input", {
        let name = name.to_owned();
        Box::new(move || put_questions(source, &sender, &name, timeout, &steps, &places))
    })?;
    course.end = print_answers(&to_do, &free, &mut output, &mut course, settings.options.reconnect);
    course.error |= error_came.load(Ordering::SeqCst) || status.server_stopped();
    Ok(course)
}

/// Takes what comes, which is nothing but answers and the server's own words.
fn receive(mut receiver: Receiver, steps: &Outgoing<Step>, status: &Status, error_came: &AtomicBool) {
    let end = loop {
        match receiver.receive(None) {
            Ok(line) => {
                if let Event::Error(text) = Event::parse(&line) {
                    say(&line);
                    error_came.fetch_or(status.note_error(text), Ordering::SeqCst);
                }
            }
            Err(ClientError::Cut(_)) => {}
            Err(ClientError::Closed) => break End::Closed,
            Err(ClientError::Refused(text)) => {
                say(&format_args!("error: {text}"));
                break End::NameRefused;
            }
            Err(_) => break End::Lost,
        }
    };
    let _ = steps.send(Step::Over(end));
    // The receiver is dropped last: questions that are put after its end would wait for nobody.
}

fn put_questions(
    mut source: Source,
    sender: &Sender,
    name: &str,
    timeout: Duration,
    steps: &Outgoing<Step>,
    places: &SyncSender<()>,
) {
    let mut line = Vec::new();
    let mut number = 0;
    let read = loop {
        match source.next(&mut line) {
            Ok(true) => {}
            Ok(false) => break true,
            Err(error) => {
                say(&format_args!("cannot read the input: {error}"));
                break false;
            }
        }
        number += 1;
        let text = String::from_utf8_lossy(&line).into_owned();
        // Nobody takes the places any more: it is over.
        if places.send(()).is_err() {
            return;
        }
        let put = match std::str::from_utf8(&line) {
            Ok(text) => sender.put_question(name, text, timeout),
            Err(_) => Err(AskError::NotAccepted("line is not valid UTF-8".to_owned())),
        };
        if steps.send(Step::Question { number, text, put }).is_err() {
            return;
        }
    };
    let _ = steps.send(Step::InputOver(read));
}

/// Waits for one answer after another and prints it, to the end.
fn print_answers(
    steps: &Incoming<Step>,
    free: &Incoming<()>,
    output: &mut Output,
    course: &mut Course,
    reconnect: bool,
) -> End {
    for step in steps {
        let (number, text, put) = match step {
            Step::Question { number, text, put } => (number, text, put),
            Step::InputOver(read) => {
                course.finished = true;
                course.input_lost |= !read;
                return End::AllAsked;
            }
            Step::Over(end) => return end,
        };
        let answer = put.and_then(OpenQuestion::wait);
        let _ = free.recv();
        match answer {
            Ok(answer) => {
                output.mark_arrival();
                let lines = answer.split('\n').try_for_each(|line| output.add(line, Kind::Plain));
                if let Err(error) = lines.and_then(|()| output.write()) {
                    return end_of_output(error);
                }
            }
            Err(error) => {
                let shown: String = text.chars().take(SHOWN).collect();
                let more = if shown.len() < text.len() { "..." } else { "" };
                say(&format_args!("question {number} ('{shown}{more}'): {error}"));
                match error {
                    AskError::TimedOut => course.late = true,
                    // The end of the connection is told as such, unless there is to be another one.
                    AskError::Client(_) if !reconnect => course.input_lost = true,
                    _ => course.error = true,
                }
            }
        }
    }
    End::Lost
}
