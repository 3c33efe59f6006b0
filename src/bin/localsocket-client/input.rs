//! The input, the arguments or stdin: what is sent for each line, as commands, text, bytes or questions.
//!
//! Stdin may be non-blocking. Many lines are sent at once, but none is held back while more input is waited for.

use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::sync::mpsc::SyncSender;

use localsocket::AskError;
use localsocket::client::Sender;
use localsocket::protocol::Command;

use crate::output::{BATCH, say, unbuffered};
use crate::settings::Form;
use crate::work::{Happening, Happenings};

/// What some editors put before the first line of a file.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

pub(crate) struct Input {
    reader: BufReader<Box<dyn Read + Send>>,
    started: bool,
    /// A line without an end was the last. On a terminal, the end of the input does not come twice.
    ended: bool,
}

impl Input {
    /// The LINE arguments, or stdin if there are none.
    ///
    /// # Errors
    /// Stdin cannot be used.
    pub(crate) fn open(lines: &[String], line_end: &str) -> io::Result<Input> {
        let source: Box<dyn Read + Send> = match lines {
            [] => Box::new(unbuffered(io::stdin())?),
            lines => Box::new(Cursor::new(lines.iter().flat_map(|line| [line, line_end]).collect::<String>())),
        };
        Ok(Input { reader: BufReader::with_capacity(BATCH, source), started: false, ended: false })
    }

    /// Puts the next line into `line`, with its line end. Nothing at the end of the input.
    fn next_raw(&mut self, line: &mut Vec<u8>) -> io::Result<()> {
        line.clear();
        if !self.ended {
            self.reader.read_until(b'\n', line)?;
            self.ended = !line.ends_with(b"\n");
        }
        Ok(())
    }

    /// The next line that is not empty, without its line end, in `line`; false at the end of the input.
    fn next(&mut self, line: &mut Vec<u8>) -> io::Result<bool> {
        loop {
            self.next_raw(line)?;
            if line.is_empty() {
                return Ok(false);
            }
            if !std::mem::replace(&mut self.started, true) && line.starts_with(BYTE_ORDER_MARK) {
                line.drain(..BYTE_ORDER_MARK.len());
            }
            for end in [b'\n', b'\r'] {
                line.pop_if(|last| *last == end);
            }
            if !line.is_empty() {
                return Ok(true);
            }
        }
    }
}

/// Sends everything, to the end of the input or of the connection.
pub(crate) fn send(mut input: Input, form: &Form, sender: &Sender, happenings: &Happenings) {
    let (mut line, mut batch) = (Vec::new(), Vec::new());
    loop {
        let read = match form {
            Form::Verbatim => input.next_raw(&mut line).map(|()| !line.is_empty()),
            _ => input.next(&mut line),
        };
        let more = read.unwrap_or_else(|error| cannot_read(&error, happenings));
        let quits = more && add(&line, form, &mut batch);
        if quits && input.reader.buffer().iter().any(|byte| !matches!(byte, b'\r' | b'\n')) {
            say(&"input after quit is not sent");
            let _ = happenings.send(Happening::InputLost);
        }
        let is_full = !more || quits || batch.len() >= BATCH || !input.reader.buffer().contains(&b'\n');
        if is_full && !batch.is_empty() {
            if sender.send_lines(&batch).is_err() {
                // The connection was over first.
                return;
            }
            batch.clear();
        }
        if !more || quits {
            sender.finish();
            let _ = happenings.send(Happening::InputOver);
            return;
        }
    }
}

fn cannot_read(error: &io::Error, happenings: &Happenings) -> bool {
    say(&format_args!("cannot read the input: {error}"));
    let _ = happenings.send(Happening::InputLost);
    false
}

/// Adds a line as it goes over the wire. Returns whether it is `quit`.
fn add(line: &[u8], form: &Form, batch: &mut Vec<u8>) -> bool {
    let command = |line| std::str::from_utf8(line).map_or(Command::Unknown(""), Command::parse);
    let start = match form {
        Form::Verbatim => {
            batch.extend_from_slice(line);
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            return line.strip_suffix(b"\r").unwrap_or(line) == b"quit";
        }
        Form::To(name) => format!("to:{name}:"),
        Form::Commands if !matches!(command(line), Command::Unknown(_)) => String::new(),
        Form::Commands | Form::Text => "msg:".to_owned(),
    };
    batch.extend_from_slice(start.as_bytes());
    batch.extend_from_slice(line);
    batch.extend_from_slice(b"\r\n");
    start.is_empty() && line == b"quit"
}

/// Puts every line as a question to one client. A place is taken for each.
pub(crate) fn put_questions(
    mut input: Input,
    name: &str,
    sender: &Sender,
    happenings: &Happenings,
    places: &SyncSender<()>,
) {
    let mut line = Vec::new();
    for number in 1.. {
        if !input.next(&mut line).unwrap_or_else(|error| cannot_read(&error, happenings)) {
            break;
        }
        let text = String::from_utf8_lossy(&line).into_owned();
        // Nobody takes the places any more: it is over.
        if places.send(()).is_err() || happenings.send(Happening::Asking { number, text }).is_err() {
            return;
        }
        let put = match std::str::from_utf8(&line) {
            Ok(text) => sender.put_question(name, text),
            Err(_) => Err(AskError::Failed("line is not valid UTF-8".to_owned())),
        };
        if happenings.send(Happening::Asked { number, put }).is_err() {
            return;
        }
    }
    let _ = happenings.send(Happening::InputOver);
}
