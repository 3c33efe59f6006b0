//! Lines on their way to the server, as bytes: what of them is sent.

use std::collections::VecDeque;
use std::fmt::Display;
use std::io::{self, ErrorKind, Write as _};
use std::os::fd::AsFd;

use super::error::ClientError;
use crate::os;
use crate::transport::Stream;

/// The library's own `ping`.
pub(super) const PING: &[u8] = b"ping\r\n";

/// A line with its end. CRLF, so that a CR at the end of the line itself stays part of it.
pub(super) fn one_line(text: impl Display) -> Result<Vec<u8>, ClientError> {
    let mut line = Vec::new();
    // Writing to a Vec cannot fail.
    let _ = write!(line, "{text}");
    if os::find(b'\n', &line).is_some() {
        return Err(ClientError::NotOneLine);
    }
    line.extend_from_slice(b"\r\n");
    Ok(line)
}

/// What a batch of whole lines is.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Batch {
    /// The bytes up to the first `quit`, after which the server reads nothing.
    pub(super) length: usize,
    /// Whether that `quit` is there.
    pub(super) quits: bool,
    /// How many of the lines are `ping`.
    pub(super) pings: usize,
}

impl Batch {
    pub(super) fn of(lines: &[u8]) -> Batch {
        let mut batch = Batch::default();
        while batch.length < lines.len() && !batch.quits {
            let rest = &lines[batch.length..];
            let end = os::find(b'\n', rest);
            let line = &rest[..end.unwrap_or(rest.len())];
            match line.strip_suffix(b"\r").unwrap_or(line) {
                b"quit" => batch.quits = true,
                line => batch.pings += usize::from(line == b"ping"),
            }
            batch.length += end.map_or(rest.len(), |end| end + 1);
        }
        batch
    }
}

/// The pings under way on one connection, which the `pong`s answer in their order.
#[derive(Debug, Default)]
pub(super) struct Pings {
    /// Whether they are the library's.
    under_way: VecDeque<bool>,
    /// How many of the library's were sent.
    pub(super) own: u64,
}

impl Pings {
    /// This many are about to be sent. If they are `fenced`, the first and the last are the library's.
    pub(super) fn send(&mut self, count: usize, fenced: bool) {
        self.under_way.extend((0..count).map(|index| fenced && (index == 0 || index + 1 == count)));
        self.own += if fenced { count.min(2) as u64 } else { 0 };
    }

    /// The last ones could not be sent.
    pub(super) fn unsend(&mut self, count: usize) {
        let unsent = self.under_way.split_off(self.under_way.len().saturating_sub(count));
        self.own -= unsent.iter().filter(|own| **own).count() as u64;
    }

    /// A `pong` has come. True if it answers one of the library's.
    pub(super) fn answer(&mut self) -> bool {
        self.under_way.pop_front() == Some(true)
    }
}

/// Sends so little that it is all or nothing: a socket that takes only a part of it is an error.
pub(super) fn send_few(stream: &Stream, bytes: &[u8]) -> io::Result<()> {
    match os::send_now(stream.as_fd(), bytes)? {
        count if count == bytes.len() => Ok(()),
        _ => Err(ErrorKind::WriteZero.into()),
    }
}

/// How many of these bytes are whole lines.
pub(super) fn whole_lines(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Command;

    #[test]
    fn a_batch_ends_with_quit_and_counts_its_pings() {
        let batch = |length, quits, pings| Batch { length, quits, pings };
        for (lines, wanted) in [
            ("", batch(0, false, 0)),
            ("\n\r\n", batch(3, false, 0)),
            ("who\n", batch(4, false, 0)),
            ("ping\r\nmsg:quit\n\n\r\nping\nwho\n", batch(27, false, 2)),
            ("msg:quit\r\nquit\r\nping\r\n", batch(16, true, 0)),
            ("quit\nping\n", batch(5, true, 0)),
            ("quit:\nping:\n quit", batch(17, false, 0)),
            ("msg:no end", batch(10, false, 0)),
        ] {
            assert_eq!(Batch::of(lines.as_bytes()), wanted, "{lines:?}");
        }
    }

    #[test]
    fn a_line_is_made_of_a_text_or_a_command_and_has_one_end() {
        assert_eq!(one_line("cr stays\r").unwrap(), b"cr stays\r\r\n");
        assert_eq!(one_line(Command::To { name: "bob", text: "hi" }).unwrap(), b"to:bob:hi\r\n");
        assert!(matches!(one_line("a\nquit"), Err(ClientError::NotOneLine)));
        assert!(matches!(one_line(Command::Msg("a\n")), Err(ClientError::NotOneLine)));
    }

    #[test]
    fn a_piece_behind_the_last_line_end_is_not_a_whole_line() {
        for (bytes, whole) in [("", 0), ("a", 0), ("a\n", 2), ("a\nb", 2), ("a\nb\r\n", 5)] {
            assert_eq!(whole_lines(bytes.as_bytes()), whole);
        }
    }

    #[test]
    fn every_pong_answers_the_oldest_ping() {
        let mut pings = Pings::default();
        for (count, fenced) in [(1, true), (2, false), (1, true), (1, false), (3, true)] {
            // Those that could not be sent leave no trace.
            pings.send(2, !fenced);
            pings.unsend(2);
            pings.send(count, fenced);
        }
        let answers: Vec<_> = (0..9).map(|_| pings.answer()).collect();
        // The last one was not asked for.
        assert_eq!(answers, [true, false, false, true, false, true, false, true, false]);
        // Nor was this one, which came before what it would have answered could not be sent.
        pings.send(1, false);
        assert!(!pings.answer());
        pings.unsend(1);
        assert_eq!(pings.own, 4);
    }
}
