//! Lines on their way to stdout, and what is said on stderr.
//!
//! Stdout and stderr may be non-blocking: nothing is lost. On a terminal, what others sent is shown escaped, so that
//! it cannot steer the terminal or hide.

use std::fmt::Display;
use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::time::SystemTime;

use localsocket::programs::cli::Patient;
use localsocket::protocol::is_invisible;

use crate::options::PROGRAM;
use crate::timestamp::rfc_3339;

/// When this much is gathered it is written, even if more is at hand.
pub(crate) const BATCH: usize = 64 * 1024;

/// A stream of this process without the buffer that `std` puts before it, which loses what a non-blocking stream
/// does not take.
pub(crate) fn unbuffered(stream: impl AsFd) -> io::Result<Patient<File>> {
    Ok(Patient(File::from(stream.as_fd().try_clone_to_owned()?)))
}

/// Writes a line to stderr. That nobody reads it is no reason to stop.
pub(crate) fn say(text: &dyn Display) {
    let mut line = format!("{}: ", PROGRAM.name).into_bytes();
    add_escaped(&text.to_string(), &mut line);
    line.push(b'\n');
    say_bytes(&line);
}

/// Writes what is a line already.
pub(crate) fn say_bytes(bytes: &[u8]) {
    let _ = Patient(io::stderr().lock()).write_all(bytes);
}

/// Control characters but the tab, and invisible ones, as escapes.
fn add_escaped(text: &str, line: &mut Vec<u8>) {
    for c in text.chars() {
        if c.is_control() && c != '\t' || is_invisible(c) {
            line.extend(c.escape_default().map(|c| c as u8));
        } else {
            line.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }
}

/// Lines on their way to stdout.
pub(crate) struct Output {
    stream: Patient<File>,
    waiting: Vec<u8>,
    escape: bool,
    timestamps: bool,
}

impl Output {
    pub(crate) fn new(timestamps: bool) -> io::Result<Output> {
        let escape = io::stdout().is_terminal();
        Ok(Output { stream: unbuffered(io::stdout())?, waiting: Vec::new(), escape, timestamps })
    }

    /// Adds a line.
    pub(crate) fn add(&mut self, line: &str) -> io::Result<()> {
        self.add_piece(line);
        self.waiting.push(b'\n');
        if self.waiting.len() >= BATCH { self.write() } else { Ok(()) }
    }

    /// Adds the piece of a line that a connection ended with; it gets no line end.
    pub(crate) fn add_piece(&mut self, piece: &str) {
        if self.timestamps {
            self.waiting.extend_from_slice(rfc_3339(SystemTime::now()).as_bytes());
            self.waiting.push(b' ');
        }
        match self.escape {
            true => add_escaped(piece, &mut self.waiting),
            false => self.waiting.extend_from_slice(piece.as_bytes()),
        }
    }

    /// Writes all that was added.
    pub(crate) fn write(&mut self) -> io::Result<()> {
        let result = self.stream.write_all(&self.waiting);
        self.waiting.clear();
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_gets_nothing_that_steers_it() {
        let mut out = Vec::new();
        add_escaped("a\x1b[31m\tb\u{7f}\u{9b}c\u{202e}d\u{200b}\u{feff}\u{2028}e\r\u{e0041}\u{e4}", &mut out);
        let wanted = "a\\u{1b}[31m\tb\\u{7f}\\u{9b}c\\u{202e}d\\u{200b}\\u{feff}\\u{2028}e\\r\\u{e0041}\u{e4}";
        assert_eq!(String::from_utf8(out).unwrap(), wanted);
    }
}
