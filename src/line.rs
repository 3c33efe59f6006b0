//! Lines out of a stream of bytes.
//!
//! [`LineReader`] holds at most one line more than the limit allows, whatever arrives: the rest of a line
//! that is too long is discarded as it arrives. It reads only when asked to ([`LineReader::fill`]), so a
//! caller can answer all lines that are here before it waits for more, and a read that times out loses
//! nothing. However the stream is cut into reads, the same lines come out. Knows no commands and no sockets.

use std::io::{self, ErrorKind, Read};

use crate::limits::{READ_BUFFER_MAX, READ_BUFFER_MIN};
use crate::os;

/// A line without its end, which is LF or CRLF.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line<'a> {
    /// A line of UTF-8 within the limit. It may be empty.
    Text(&'a str),
    /// A line that is not UTF-8.
    NotUtf8(&'a [u8]),
    /// The start of a line that is longer than the limit. The rest is discarded.
    TooLong(&'a [u8]),
}

impl<'a> Line<'a> {
    /// Its bytes; of a line that is too long, the first of them.
    pub fn start(&self) -> &'a [u8] {
        match self {
            Line::Text(text) => text.as_bytes(),
            Line::NotUtf8(bytes) | Line::TooLong(bytes) => bytes,
        }
    }
}

/// Cuts what a reader gives into lines of at most a given length.
#[derive(Debug)]
pub struct LineReader {
    /// Zeroed once when it grows; `start..end` holds what was read and not yet returned.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// The number of bytes from `start` on that hold no LF.
    scanned: usize,
    /// Whether the read before the last one was small.
    quiet: bool,
    limit: usize,
    discarding: bool,
}

impl LineReader {
    /// A reader of lines of at most `limit` bytes, the line end not counted.
    pub fn new(limit: usize) -> LineReader {
        LineReader { buffer: Vec::new(), start: 0, end: 0, scanned: 0, quiet: false, limit, discarding: false }
    }

    /// Reads once from `source`, at most up to the end of the buffer. Returns how many bytes came, 0 at
    /// the end of the input. Take all lines with [`LineReader::next_line`] before the next call.
    ///
    /// # Errors
    /// What the read reports, except for an interruption, after which it is tried again. Nothing that was read before
    /// is lost, so the call can be repeated after a timeout.
    pub fn fill(&mut self, source: &mut impl Read) -> io::Result<usize> {
        self.make_room();
        loop {
            match source.read(&mut self.buffer[self.end..]) {
                Ok(count) => {
                    self.end += count;
                    return Ok(count);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The next complete line; `None` if more has to be read first.
    #[inline]
    pub fn next_line(&mut self) -> Option<Line<'_>> {
        if self.discarding && !self.discard() {
            return None;
        }
        let Some(found) = os::find(b'\n', &self.buffer[self.start + self.scanned..self.end]) else {
            self.scanned = self.end - self.start;
            return self.too_long_so_far().then(|| self.give_up_line());
        };
        let line = self.take(self.scanned + found + 1);
        let line = &self.buffer[line.start..line.end - 1];
        Some(classify(line.strip_suffix(b"\r").unwrap_or(line), self.limit))
    }

    /// Whether the last read filled the buffer, so that more may have arrived.
    pub(crate) fn is_full(&self) -> bool {
        self.end == self.buffer.len()
    }

    /// Whether a line end is here already.
    pub fn has_line(&self) -> bool {
        os::find(b'\n', &self.buffer[self.start + self.scanned..self.end]).is_some()
    }

    /// What has arrived of the line that is not complete yet.
    pub(crate) fn pending(&self) -> &[u8] {
        if self.discarding { &[] } else { &self.buffer[self.start..self.end] }
    }

    /// At the end of the input: what came after the last LF, `None` if nothing did.
    pub fn last_line(&mut self) -> Option<Line<'_>> {
        if self.discarding || self.start == self.end {
            return None;
        }
        let line = self.take(self.end - self.start);
        let line = &self.buffer[line];
        Some(classify(line.strip_suffix(b"\r").unwrap_or(line), self.limit))
    }

    /// Whether the line that has begun is too long however it goes on. A CR as the byte after the last
    /// allowed one may still belong to the line end.
    fn too_long_so_far(&self) -> bool {
        let waiting = self.end - self.start;
        waiting > self.limit + 1 || waiting == self.limit + 1 && self.buffer[self.end - 1] != b'\r'
    }

    fn give_up_line(&mut self) -> Line<'_> {
        self.discarding = true;
        let line = self.take(self.end - self.start);
        Line::TooLong(&self.buffer[line])
    }

    /// Throws away up to the end of the line; returns whether that end was here.
    fn discard(&mut self) -> bool {
        let found = os::find(b'\n', &self.buffer[self.start..self.end]);
        self.take(found.map_or(self.end - self.start, |found| found + 1));
        self.discarding = found.is_none();
        !self.discarding
    }

    fn take(&mut self, length: usize) -> std::ops::Range<usize> {
        let start = self.start;
        self.start += length;
        self.scanned = 0;
        start..self.start
    }

    /// Moves what is left to the front, and lets the buffer follow the traffic: it doubles when the last
    /// read filled it, and is given back after two small reads in a row, since most connections are idle.
    /// (A single one may be the rest of a batch that was just too long, and the next batch be as long.)
    fn make_room(&mut self) {
        let capacity = self.buffer.len();
        let waiting = self.end - self.start;
        let small = waiting == 0 && self.end < capacity / 8;
        let quiet = std::mem::replace(&mut self.quiet, small);
        let wanted = if self.end == capacity {
            let most = if waiting < capacity { READ_BUFFER_MAX } else { READ_BUFFER_MAX.max(self.limit + 2) };
            (2 * capacity).clamp(READ_BUFFER_MIN, most.max(capacity))
        } else if small && quiet {
            READ_BUFFER_MIN.max(capacity / 4)
        } else {
            capacity
        };
        if wanted < capacity {
            self.buffer = vec![0; wanted];
        } else {
            self.buffer.copy_within(self.start..self.end, 0);
            self.buffer.resize(wanted, 0);
        }
        self.start = 0;
        self.end = waiting;
    }
}

#[inline]
fn classify(line: &[u8], limit: usize) -> Line<'_> {
    if line.len() > limit {
        return Line::TooLong(line);
    }
    os::text(line).map_or(Line::NotUtf8(line), Line::Text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines of an input, read in pieces of at most `step` bytes.
    fn lines(input: &[u8], limit: usize, step: usize) -> Vec<String> {
        let mut reader = LineReader::new(limit);
        let mut seen = Vec::new();
        let mut note = |line: Line<'_>| {
            seen.push(match line {
                Line::Text(text) => text.to_owned(),
                Line::NotUtf8(_) => "<not UTF-8>".to_owned(),
                Line::TooLong(_) => "<too long>".to_owned(),
            });
        };
        for mut piece in input.chunks(step) {
            while !piece.is_empty() {
                reader.fill(&mut piece).unwrap();
                while let Some(line) = reader.next_line() {
                    note(line);
                }
            }
        }
        reader.last_line().map(note);
        seen
    }

    #[track_caller]
    fn check(input: &[u8], limit: usize, wanted: &[&str]) {
        for step in [1, 2, 3, 7, usize::MAX] {
            assert_eq!(lines(input, limit, step), wanted, "at {step} bytes a read");
        }
    }

    #[test]
    fn a_line_ends_in_lf_or_crlf_and_the_last_one_with_the_input() {
        for (input, wanted) in [
            (&b"one\ntwo\r\nthree\n"[..], &["one", "two", "three"][..]),
            // Inner CRs, tabs, NULs and blanks belong to the line.
            (b" a\rb\t\0 \r\r\n", &[" a\rb\t\0 \r"]),
            (b"\n\r\n\na\n", &["", "", "", "a"]),
            (b"a\nlast", &["a", "last"]),
            (b"a\nlast\r", &["a", "last"]),
            (b"\r", &[""]),
            (b"", &[]),
            (b"\xff\xfe\n\xc3\xa4\n", &["<not UTF-8>", "\u{e4}"]),
        ] {
            check(input, 100, wanted);
        }
    }

    #[test]
    fn the_limit_counts_neither_lf_nor_crlf() {
        for limit in [1, 4, 7, 8, 9, 10, 600] {
            let fits = "x".repeat(limit);
            let long = "x".repeat(limit + 1);
            let input = format!("{fits}\n{fits}\r\n{long}\n{long}\r\n{fits}\r\r\n{fits}");
            let wanted = [&fits, &fits, "<too long>", "<too long>", "<too long>", &*fits];
            check(input.as_bytes(), limit, &wanted);
            check(long.as_bytes(), limit, &["<too long>"]);
            check(format!("{fits}\r").as_bytes(), limit, &[&fits]);
        }
    }

    #[test]
    fn a_too_long_line_costs_one_error_and_no_memory() {
        let mut input = vec![b'x'; 5_000_000];
        input.extend_from_slice(b"\nnext\n");
        let mut source = &input[..];
        let mut reader = LineReader::new(100);
        let mut seen = 0;
        while reader.fill(&mut source).unwrap() > 0 {
            while let Some(line) = reader.next_line() {
                seen += 1;
                assert!(matches!((seen, line), (1, Line::TooLong(_)) | (2, Line::Text("next"))), "{seen}: {line:?}");
            }
            assert!(reader.buffer.len() <= READ_BUFFER_MAX);
        }
        assert_eq!(seen, 2);
    }

    #[test]
    fn the_buffer_grows_with_the_traffic_and_shrinks_after_it() {
        let burst = b"line\n".repeat(40_000);
        let mut source = &burst[..];
        let mut reader = LineReader::new(100);
        let mut most = 0;
        while reader.fill(&mut source).unwrap() > 0 {
            while reader.next_line().is_some() {}
            most = most.max(reader.buffer.len());
        }
        assert_eq!(most, READ_BUFFER_MAX);
        for _ in 0..20 {
            reader.fill(&mut &b"line\n"[..]).unwrap();
            while reader.next_line().is_some() {}
        }
        assert_eq!(reader.buffer.len(), READ_BUFFER_MIN);
    }

    #[test]
    fn batches_of_one_length_come_to_need_one_read_each() {
        for lines in [10, 100, 380, 1000] {
            let batch = b"twenty-five bytes a line\n".repeat(lines);
            let mut reader = LineReader::new(100);
            let mut reads = 0;
            for round in 0..40 {
                let mut source = &batch[..];
                while !source.is_empty() {
                    reader.fill(&mut source).unwrap();
                    while reader.next_line().is_some() {}
                    reads += usize::from(round >= 20);
                }
            }
            assert_eq!(reads, 20, "{lines} lines");
        }
    }

    #[test]
    fn a_read_that_fills_the_buffer_is_told_from_one_that_does_not() {
        let mut reader = LineReader::new(100);
        let mut source = &[b'\n'; READ_BUFFER_MIN + 1][..];
        assert_eq!(reader.fill(&mut source).unwrap(), READ_BUFFER_MIN);
        assert!(reader.is_full());
        while reader.next_line().is_some() {}
        assert_eq!(reader.fill(&mut source).unwrap(), 1);
        assert!(!reader.is_full());
    }
}
