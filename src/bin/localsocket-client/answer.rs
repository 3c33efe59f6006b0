//! `--answer`: runs COMMAND for each question that comes, `--jobs` at a time. One thread receives; the main thread waits
//! until `service.rs` has a reason to stop and has stopped.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use localsocket::client::Receiver;
use localsocket::protocol::{Command, Event, Refusal};
use localsocket::{Client, ClientError};

use crate::exit::{Course, End, Work};
use crate::line_limit::{self, Name};
use crate::output::say;
use crate::service::{Service, Stop};
use crate::settings::Settings;
use crate::status::Status;

/// How long the server may take to read the last answers.
const LEAVING: Duration = Duration::from_millis(500);

/// Does the work over a connection that is logged in. `Err` says why it could not begin.
pub(crate) fn answer(
    client: Client,
    settings: &Settings,
    service: &Arc<Service>,
    status: &Arc<Status>,
) -> Result<Course, String> {
    let (sender, receiver) = client.split();
    let sender = service.sender.get_or_init(|| sender);
    let deadline = settings.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let receiving = {
        let (service, status) = (Arc::clone(service), Arc::clone(status));
        thread::Builder::new().name("receiver".to_owned()).spawn(move || receive(receiver, &service, &status))
    };
    let receiving = receiving.map_err(|error| format!("cannot start a thread: {error}"))?;
    let mut course = Course::new(Work::Serve);
    course.end = service.wait(deadline);
    course.count_missing = settings.count.is_some_and(|count| service.state().taken < count);
    status.leaving.store(true, Ordering::SeqCst);
    sender.finish();
    service.wait_until(Instant::now() + LEAVING, |state| state.over);
    if receiving.is_finished() {
        let (cut, error) = receiving.join().unwrap_or_default();
        course.cut = cut;
        course.error = error;
    }
    Ok(course)
}

/// Takes questions until the connection is over. Returns whether it ended in the middle of a line, and whether an error
/// came that counts.
fn receive(mut receiver: Receiver, service: &Arc<Service>, status: &Status) -> (bool, bool) {
    let (mut cut, mut error_came) = (false, false);
    let end = loop {
        match receiver.receive(None) {
            Ok(line) => {
                if let Some(question) = receiver.question(&line) {
                    service.take(question);
                } else if line == "pong" {
                    service.note_pong();
                } else if let Event::Error(text) = Event::parse(&line) {
                    let refusal = Refusal::parse(text);
                    match refusal {
                        // Whoever asked has gone before the answer came. That happens.
                        Some(Refusal::NoOpenQuestion { id, asker, .. }) => {
                            service.wanted.end(asker, id);
                            continue;
                        }
                        Some(Refusal::LineTooLong(limit)) => refuse_too_long(service, limit),
                        _ => {}
                    }
                    say(&line);
                    let counts = status.note_error(text);
                    error_came |= counts && refusal.is_some_and(|refusal| refusal.is_last_words());
                }
            }
            Err(ClientError::Cut(_)) => cut = true,
            Err(ClientError::Closed) => break End::Closed,
            Err(ClientError::Refused(text)) => {
                say(&format_args!("error: {text}"));
                break End::NameRefused;
            }
            Err(_) => break End::Lost,
        }
    };
    service.state().over = true;
    service.stop(Stop { end, waiting_too: false });
    (cut, error_came)
}

fn refuse_too_long(service: &Service, limit: usize) {
    let Some(sender) = service.sender.get() else { return };
    for Name { asker, id } in service.line_limit.learn(limit) {
        let reason = line_limit::reason(limit);
        // If the connection has ended, so has the question.
        let _ = sender.send(Command::Refuse { asker: &asker, id: &id, text: &reason });
    }
}
