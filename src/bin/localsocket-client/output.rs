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
fn say_bytes(bytes: &[u8]) {
    let _ = Patient(io::stderr().lock()).write_all(bytes);
}

/// What a command writes to stderr, by lines, so that those of several do not mix.
#[derive(Default)]
pub(crate) struct Forwarded {
    piece: Vec<u8>,
}

impl Forwarded {
    /// The longest piece of a line that is held back.
    const PIECE_MAX: usize = 64 * 1024;

    pub(crate) fn add(&mut self, bytes: &[u8]) {
        self.piece.extend_from_slice(bytes);
        let end = match self.piece.iter().rposition(|byte| *byte == b'\n') {
            Some(end) => end + 1,
            None if self.piece.len() > Forwarded::PIECE_MAX => self.piece.len(),
            None => return,
        };
        say_bytes(&self.piece[..end]);
        self.piece.drain(..end);
    }

    pub(crate) fn finish(mut self) {
        if !self.piece.is_empty() {
            self.piece.push(b'\n');
            say_bytes(&self.piece);
        }
    }
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

/// Whether a line is one of the server's errors, which are shown in red.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Plain,
    Error,
}

/// How lines are shown.
#[derive(Debug, Clone, Copy, Default)]
struct Style {
    escape: bool,
    colour: bool,
    timestamps: bool,
}

/// Lines on their way to stdout.
pub(crate) struct Output {
    stream: Patient<File>,
    waiting: Vec<u8>,
    style: Style,
    /// The time of arrival, as it is printed.
    arrived: String,
}

impl Output {
    pub(crate) fn new(timestamps: bool) -> io::Result<Output> {
        let terminal = io::stdout().is_terminal();
        // https://no-color.org: any value but the empty one.
        let colour = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let style = Style { escape: terminal, colour, timestamps };
        Ok(Output { stream: unbuffered(io::stdout())?, waiting: Vec::new(), style, arrived: String::new() })
    }

    /// Notes that the lines that are added from now on have just arrived.
    pub(crate) fn mark_arrival(&mut self) {
        if self.style.timestamps {
            self.arrived = rfc_3339(SystemTime::now());
        }
    }

    /// Adds a line.
    pub(crate) fn add(&mut self, line: &str, kind: Kind) -> io::Result<()> {
        format(line, kind, self.style, &self.arrived, &mut self.waiting);
        self.waiting.push(b'\n');
        if self.waiting.len() >= BATCH { self.write() } else { Ok(()) }
    }

    /// Adds the piece of a line that a connection ended with; it gets no line end.
    pub(crate) fn add_piece(&mut self, piece: &str) {
        format(piece, Kind::Plain, self.style, &self.arrived, &mut self.waiting);
    }

    /// Writes all that was added.
    pub(crate) fn write(&mut self) -> io::Result<()> {
        let result = self.stream.write_all(&self.waiting);
        self.waiting.clear();
        result
    }
}

fn format(line: &str, kind: Kind, style: Style, arrived: &str, out: &mut Vec<u8>) {
    if style.timestamps {
        out.extend_from_slice(arrived.as_bytes());
        out.push(b' ');
    }
    if !style.escape {
        out.extend_from_slice(line.as_bytes());
        return;
    }
    let red = style.colour && kind == Kind::Error;
    out.extend_from_slice(if red { b"\x1b[31m" } else { b"" });
    add_escaped(line, out);
    out.extend_from_slice(if red { b"\x1b[0m" } else { b"" });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(line: &str, kind: Kind, style: Style) -> String {
        let mut out = Vec::new();
        format(line, kind, style, "NOW", &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_pipe_gets_every_byte_and_a_terminal_none_that_steers_it() {
        let hostile = "a\x1b[31m\tb\u{7f}\u{9b}c\u{202e}d\u{200b}\u{feff}\u{2028}e\r\u{e0041}\u{e4}";
        let escape = Style { escape: true, ..Style::default() };
        assert_eq!(shown(hostile, Kind::Plain, Style::default()), hostile);
        assert_eq!(
            shown(hostile, Kind::Plain, escape),
            "a\\u{1b}[31m\tb\\u{7f}\\u{9b}c\\u{202e}d\\u{200b}\\u{feff}\\u{2028}e\\r\\u{e0041}\u{e4}"
        );
    }

    #[test]
    fn errors_are_red_and_times_stand_in_front() {
        let style = Style { escape: true, colour: true, timestamps: true };
        assert_eq!(shown("x", Kind::Plain, style), "NOW x");
        assert_eq!(shown("error: x", Kind::Error, style), "NOW \x1b[31merror: x\x1b[0m");
        assert_eq!(shown("error: x", Kind::Error, Style { colour: false, ..style }), "NOW error: x");
        assert_eq!(shown("", Kind::Plain, Style { timestamps: true, ..Style::default() }), "NOW ");
    }
}
