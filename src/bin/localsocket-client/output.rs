//! Lines on their way to stdout, and what is said on stderr.
//!
//! Both may be non-blocking: nothing is lost. On a terminal, what others sent is shown escaped, so that it cannot steer
//! the terminal or hide. A reader that stops is waited for: until a deadline on stdout, for some seconds on stderr.

use std::fmt::Display;
use std::fs::File;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use localsocket::programs::{Wait, poll};
use localsocket::protocol::Mark;
use localsocket::protocol::is_invisible;

use crate::options::PROGRAM;
use localsocket::programs::rfc_3339;

/// When this much is gathered it is written, even if more is at hand.
pub(crate) const BATCH: usize = 64 * 1024;

/// What a pipe that can be written to takes without blocking (`PIPE_BUF`).
const PIECE: usize = 4096;

/// How long stderr is waited for. What is said after that is lost until it is read again.
const PATIENCE: Duration = Duration::from_secs(5);

/// Writes a line to stderr.
pub(crate) fn say(text: &dyn Display) {
    let mut line = format!("{}: ", PROGRAM.name).into_bytes();
    add_escaped(&text.to_string(), &mut line);
    line.push(b'\n');
    say_bytes(&line);
}

/// Writes what is a line already. That nobody reads it is no reason to stop.
pub(crate) fn say_bytes(mut bytes: &[u8]) {
    static UNREAD: AtomicBool = AtomicBool::new(false);
    let mut stderr = io::stderr().lock();
    while !bytes.is_empty() {
        let patience = if UNREAD.load(Ordering::Relaxed) { Duration::ZERO } else { PATIENCE };
        let is_read = is_ready(Wait::writable(stderr.as_fd()), patience);
        UNREAD.store(!is_read, Ordering::Relaxed);
        match is_read.then(|| write_piece(&mut stderr, bytes)) {
            Some(Ok(count)) => bytes = &bytes[count..],
            _ => return,
        }
    }
}

/// Waits for one thing, and tells whether it has come.
pub(crate) fn is_ready(wait: Wait<'_>, patience: Duration) -> bool {
    let mut waits = [wait];
    poll(&mut waits, Some(patience));
    waits[0].is_ready()
}

/// Writes some of the bytes to a stream that can be written to, perhaps none, without blocking.
pub(crate) fn write_piece(stream: &mut impl Write, bytes: &[u8]) -> io::Result<usize> {
    match stream.write(&bytes[..bytes.len().min(PIECE)]) {
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(0),
        result => result,
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

/// Waits until nobody can read stdout any more, whether or not there is something to read.
pub(crate) fn wait_for_reader_to_go() {
    while !is_ready(Wait::broken(io::stdout().as_fd()), Duration::MAX) {}
}

/// Lines on their way to stdout.
pub(crate) struct Output {
    stream: File,
    waiting: Vec<u8>,
    escape: bool,
    timestamps: bool,
    marks: bool,
}

impl Output {
    pub(crate) fn new(timestamps: bool, marks: bool) -> io::Result<Output> {
        // Without the buffer that `std` puts before it, which loses what a non-blocking stream does not take.
        let stream = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        Ok(Output { stream, waiting: Vec::new(), escape: io::stdout().is_terminal(), timestamps, marks })
    }

    /// Adds a line.
    pub(crate) fn add(&mut self, line: &str, mark: Option<&Mark>) {
        self.add_piece(line, mark);
        self.waiting.push(b'\n');
    }

    /// Adds the piece of a line that a connection ended with; it gets no line end.
    pub(crate) fn add_piece(&mut self, piece: &str, mark: Option<&Mark>) {
        if self.timestamps {
            self.waiting.extend_from_slice(rfc_3339(SystemTime::now()).as_bytes());
            self.waiting.push(b' ');
        }
        if let Some(mark) = mark.filter(|_| self.marks) {
            // Writing to a Vec cannot fail.
            let _ = write!(self.waiting, "{mark} ");
        }
        match self.escape {
            true => add_escaped(piece, &mut self.waiting),
            false => self.waiting.extend_from_slice(piece.as_bytes()),
        }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.waiting.len() >= BATCH
    }

    /// Writes all that was added. While nobody reads it, `meanwhile` is called each `tick`.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`] at the deadline; what is left is thrown away. [`ErrorKind::BrokenPipe`] if the reader has
    /// gone.
    pub(crate) fn write(
        &mut self,
        deadline: Option<Instant>,
        tick: Option<Duration>,
        meanwhile: impl Fn(),
    ) -> io::Result<()> {
        let (bytes, mut written, mut since) = (std::mem::take(&mut self.waiting), 0, Instant::now());
        while written < bytes.len() {
            let now = Instant::now();
            let left = deadline.map_or(Duration::MAX, |deadline| deadline.saturating_duration_since(now));
            let patience = tick.map_or(left, |tick| left.min((since + tick).saturating_duration_since(now)));
            if is_ready(Wait::writable(self.stream.as_fd()), patience) {
                written += write_piece(&mut self.stream, &bytes[written..])?;
            } else if left.is_zero() {
                return Err(ErrorKind::TimedOut.into());
            }
            if tick.is_some_and(|tick| since.elapsed() >= tick) {
                meanwhile();
                since = Instant::now();
            }
        }
        // Its room is used again.
        self.waiting = bytes;
        self.waiting.clear();
        Ok(())
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
