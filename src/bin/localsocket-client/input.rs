//! Where lines come from, and what is sent for each: the arguments or stdin, as commands, text or bytes.
//!
//! Stdin may be non-blocking. Many lines are sent at once, but none is held back while more input is waited for.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::os::fd::AsFd;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::vec::IntoIter;

use localsocket::client::Sender;
use localsocket::programs::cli::Patient;
use localsocket::programs::{Wait, poll};
use localsocket::protocol::Command;

use crate::output::{BATCH, say, unbuffered};
use crate::settings::Form;
use crate::status::Status;

/// What some editors put before the first line of a file.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// Lines, one after another.
pub(crate) enum Source {
    Arguments(IntoIter<String>),
    Stdin {
        reader: BufReader<Patient<File>>,
        started: bool,
        /// A line without an end was the last. On a terminal, the end of the input does not come twice.
        ended: bool,
    },
}

impl Source {
    /// # Errors
    /// Stdin cannot be used.
    pub(crate) fn new(lines: Vec<String>) -> io::Result<Source> {
        if lines.is_empty() {
            let reader = BufReader::with_capacity(BATCH, unbuffered(io::stdin())?);
            Ok(Source::Stdin { reader, started: false, ended: false })
        } else {
            Ok(Source::Arguments(lines.into_iter()))
        }
    }

    /// Puts the next line into `line`, with its line end; an argument has one too. Nothing at the end of the input.
    fn next_raw(&mut self, line: &mut Vec<u8>) -> io::Result<()> {
        line.clear();
        match self {
            Source::Arguments(lines) => {
                if let Some(text) = lines.next() {
                    line.extend_from_slice(text.as_bytes());
                    line.extend_from_slice(b"\r\n");
                }
            }
            Source::Stdin { ended: true, .. } => {}
            Source::Stdin { reader, ended, .. } => {
                reader.read_until(b'\n', line)?;
                *ended = !line.ends_with(b"\n");
            }
        }
        Ok(())
    }

    /// The next line that is not empty, without its line end, in `line`; false at the end of the input.
    pub(crate) fn next(&mut self, line: &mut Vec<u8>) -> io::Result<bool> {
        loop {
            self.next_raw(line)?;
            if line.is_empty() {
                return Ok(false);
            }
            if let Source::Stdin { started, .. } = self
                && !std::mem::replace(started, true)
                && line.starts_with(BYTE_ORDER_MARK)
            {
                line.drain(..BYTE_ORDER_MARK.len());
            }
            remove_last(b'\n', line);
            remove_last(b'\r', line);
            if let Source::Arguments(_) = self {
                // It comes from a file with CR LF.
                remove_last(b'\r', line);
            }
            if !line.is_empty() {
                return Ok(true);
            }
        }
    }

    /// Whether the next line can be had without waiting.
    fn has_line(&self) -> bool {
        match self {
            Source::Arguments(lines) => lines.len() > 0,
            Source::Stdin { reader, .. } => reader.buffer().contains(&b'\n'),
        }
    }

    /// Whether anything but empty lines is here that could be read without waiting.
    fn has_rest(&mut self) -> bool {
        let is_text = |bytes: &[u8]| bytes.iter().any(|byte| !matches!(byte, b'\r' | b'\n'));
        match self {
            Source::Arguments(lines) => lines.any(|line| is_text(line.as_bytes())),
            Source::Stdin { reader, .. } => loop {
                if is_text(reader.buffer()) {
                    return true;
                }
                let length = reader.buffer().len();
                reader.consume(length);
                let mut waits = [Wait::readable(reader.get_ref().0.as_fd())];
                poll(&mut waits, Some(Duration::ZERO));
                if !waits[0].is_ready() || !reader.fill_buf().is_ok_and(|bytes| !bytes.is_empty()) {
                    return false;
                }
            },
        }
    }
}

fn remove_last(byte: u8, line: &mut Vec<u8>) {
    if line.last() == Some(&byte) {
        line.pop();
    }
}

/// Sends everything; returns at the end of the input or of the connection.
pub(crate) fn send(mut source: Source, form: &Form, sender: &Sender, status: &Status) {
    match send_all(&mut source, form, sender, status) {
        // The connection was over first. The receiver knows why, and says so.
        Ok(false) => return,
        Ok(true) => {}
        Err(error) => {
            say(&format_args!("cannot read the input: {error}"));
            status.input_lost.store(true, Ordering::SeqCst);
        }
    }
    sender.finish();
}

/// Sends lines to the end of the input; false if the connection ends before.
fn send_all(source: &mut Source, form: &Form, sender: &Sender, status: &Status) -> io::Result<bool> {
    let mut line = Vec::new();
    let mut batch = Vec::new();
    loop {
        let more = match form {
            Form::Verbatim => source.next_raw(&mut line).map(|()| !line.is_empty())?,
            _ => source.next(&mut line)?,
        };
        let quits = more && add(&line, form, status, &mut batch);
        if quits && source.has_rest() {
            say(&"input after quit is not sent");
            status.input_lost.store(true, Ordering::SeqCst);
        }
        let is_full = !more || quits || batch.len() >= BATCH || !source.has_line();
        if is_full && !batch.is_empty() {
            if sender.send_lines(&batch).is_err() {
                return Ok(false);
            }
            batch.clear();
        }
        if !more || quits {
            return Ok(true);
        }
    }
}

/// Adds a line as it goes over the wire. Returns whether it is `quit`.
fn add(line: &[u8], form: &Form, status: &Status, batch: &mut Vec<u8>) -> bool {
    let bare = match form {
        Form::Verbatim => {
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            line.strip_suffix(b"\r").unwrap_or(line)
        }
        _ => line,
    };
    let command = match form {
        Form::Commands | Form::Verbatim => std::str::from_utf8(bare).map_or(Command::Unknown(""), Command::parse),
        Form::Text | Form::To(_) => Command::Unknown(""),
    };
    status.note_sent(command);
    match form {
        Form::Verbatim => {
            batch.extend_from_slice(line);
            return command == Command::Quit;
        }
        Form::To(name) => {
            batch.extend_from_slice(b"to:");
            batch.extend_from_slice(name.as_bytes());
            batch.push(b':');
        }
        Form::Commands if !matches!(command, Command::Unknown(_)) => {}
        Form::Commands | Form::Text => {
            if *form == Form::Commands {
                status.explain_message(line);
            }
            batch.extend_from_slice(b"msg:");
        }
    }
    batch.extend_from_slice(line);
    batch.extend_from_slice(b"\r\n");
    command == Command::Quit
}
