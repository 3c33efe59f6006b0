//! The input, the arguments or stdin: its lines, and what is sent for each, as commands, text or bytes.
//!
//! Stdin may be non-blocking. Many lines are sent at once, but none is held back while more input is waited for.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};

use localsocket::client::Sender;
use localsocket::programs::cli::Patient;
use localsocket::protocol::Command;

use crate::happening::{Happening, Happenings};
use crate::output::{BATCH, say};
use crate::person::Person;
use crate::settings::Form;

/// What some editors put before the first line of a file.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

pub(crate) struct Input {
    reader: BufReader<Box<dyn Read + Send>>,
    started: bool,
    /// A line without an end was the last. On a terminal, the end of the input does not come twice.
    ended: bool,
    pub(crate) happenings: Happenings,
}

impl Input {
    /// The LINE arguments, or stdin if there are none.
    ///
    /// # Errors
    /// Stdin cannot be used.
    pub(crate) fn open(lines: &[String], line_end: &str, happenings: Happenings) -> io::Result<Input> {
        let source: Box<dyn Read + Send> = match lines {
            // Without the buffer of `std`, which is locked while it is read.
            [] => Box::new(Patient(File::from(io::stdin().as_fd().try_clone_to_owned()?))),
            lines => Box::new(Cursor::new(lines.iter().flat_map(|line| [line, line_end]).collect::<String>())),
        };
        let reader = BufReader::with_capacity(BATCH, source);
        Ok(Input { reader, started: false, ended: false, happenings })
    }

    /// Puts the next line into `line`, with its line end. False at the end of the input, or if it cannot be read.
    fn next_raw(&mut self, line: &mut Vec<u8>) -> bool {
        line.clear();
        if !self.ended {
            if let Err(error) = self.reader.read_until(b'\n', line) {
                say(&format_args!("cannot read the input: {error}"));
                let _ = self.happenings.send(Happening::InputLost);
                line.clear();
            }
            self.ended = !line.ends_with(b"\n");
        }
        !line.is_empty()
    }

    /// The same without the line end, nor the byte order mark before the first.
    pub(crate) fn next(&mut self, line: &mut Vec<u8>) -> bool {
        let is_there = self.next_raw(line);
        if !std::mem::replace(&mut self.started, true) && line.starts_with(BYTE_ORDER_MARK) {
            line.drain(..BYTE_ORDER_MARK.len());
        }
        for end in [b'\n', b'\r'] {
            line.pop_if(|last| *last == end);
        }
        is_there
    }

    /// Sends everything, to the end of the input or of the connection, and notes when it has `sent` lines. A `person` is
    /// asked before some are sent.
    pub(crate) fn send_all(mut self, form: &Form, sender: &Sender, mut person: Option<Person>, sent: &AtomicBool) {
        let (mut line, mut batch) = (Vec::new(), Vec::new());
        loop {
            let more = if *form == Form::Verbatim { self.next_raw(&mut line) } else { self.next(&mut line) };
            let passes = more && person.as_mut().is_none_or(|person| person.lets_pass(&mut line));
            let quits = passes && add(&line, form, person.as_ref(), &mut batch);
            if quits && self.reader.buffer().iter().any(|byte| !matches!(byte, b'\r' | b'\n')) {
                say(&"input after quit is not sent");
                let _ = self.happenings.send(Happening::InputLost);
            }
            let is_full = !more || quits || batch.len() >= BATCH || !self.reader.buffer().contains(&b'\n');
            if is_full && !batch.is_empty() {
                sent.store(true, Ordering::Relaxed);
                if sender.send_lines(&batch).is_err() {
                    // The connection was over first.
                    return;
                }
                batch.clear();
            }
            if !more || quits {
                sender.finish();
                let _ = self.happenings.send(Happening::InputOver);
                return;
            }
        }
    }
}

/// Adds a line as it goes over the wire. Returns whether it is `quit`.
fn add(line: &[u8], form: &Form, person: Option<&Person>, batch: &mut Vec<u8>) -> bool {
    if *form == Form::Verbatim {
        batch.extend_from_slice(line);
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        return line.strip_suffix(b"\r").unwrap_or(line) == b"quit";
    }
    if line.is_empty() {
        return false;
    }
    let line = String::from_utf8_lossy(line);
    let is_command = || !matches!(Command::parse(&line), Command::Unknown(_));
    match form {
        Form::Commands if is_command() || person.is_some_and(|person| person.knows(&line)) => {}
        Form::To(name) => batch.extend(["to:", name, ":"].concat().bytes()),
        _ => batch.extend_from_slice(b"msg:"),
    }
    batch.extend_from_slice(line.as_bytes());
    batch.extend_from_slice(b"\r\n");
    *form == Form::Commands && line == "quit"
}
