//! Entries of the log, and their places in it. Pure.

use std::fmt;

use super::resp::Value;

/// What an entry costs besides its data; `room.lua` has the same number.
const ENTRY_COST: u64 = 128;

/// A place in the log. `end` counts all bytes up to and with this entry, so a gap between two entries shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::server) struct Position {
    milliseconds: u64,
    pub(in crate::server) end: u64,
}

impl Position {
    pub(super) fn read(text: &str) -> Option<Position> {
        let (milliseconds, end) = text.split_once('-')?;
        Some(Position { milliseconds: milliseconds.parse().ok()?, end: end.parse().ok()? })
    }

    /// Whether an entry with this much data directly follows `before`.
    fn follows(self, before: Position, data: usize) -> bool {
        before.end.checked_add(data as u64 + ENTRY_COST) == Some(self.end) && self.milliseconds >= before.milliseconds
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.milliseconds, self.end)
    }
}

/// An entry of the log.
#[derive(Debug)]
pub(in crate::server) enum Entry {
    /// A server says a piece.
    Said { server: u64, number: u64, data: Vec<u8> },
    /// A server is gone, with all its clients.
    Gone { server: u64 },
}

/// Reads an entry as the engine gives it. `None` unless a server has written it, directly after the one at `before`.
pub(super) fn read(value: Value, before: Position) -> Option<(Position, Entry)> {
    let [id, fields] = value.elements()?;
    let [h, header, d, Value::Bytes(data)] = fields.elements()? else { return None };
    let position = Position::read(id.text()?)?;
    if !position.follows(before, data.len()) || (h.text()?, d.text()?) != ("h", "d") {
        return None;
    }
    let words: Vec<&str> = header.text()?.split(' ').collect();
    let entry = match words[..] {
        ["s", server, number] => Entry::Said { server: server.parse().ok()?, number: number.parse().ok()?, data },
        ["g", server, _] => Entry::Gone { server: server.parse().ok()? },
        _ => return None,
    };
    Some((position, entry))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(id: &str, [h, header, d]: [&str; 3], length: usize) -> Value {
        let bytes = |text: &str| Value::Bytes(text.as_bytes().to_vec());
        let fields = vec![bytes(h), bytes(header), bytes(d), Value::Bytes(vec![b'x'; length])];
        Value::Array(vec![bytes(id), Value::Array(fields)])
    }

    #[test]
    fn an_entry_follows_directly_or_is_none() {
        let before = Position::read("1000-500").unwrap();
        assert_eq!(before.to_string(), "1000-500");
        for (id, words, length, is_read) in [
            ("1000-638", ["h", "s 7 1", "d"], 10, true),
            ("1001-628", ["h", "g 7 0", "d"], 0, true),
            // Time goes back, something is missing, something is there twice.
            ("999-638", ["h", "s 7 1", "d"], 10, false),
            ("1000-639", ["h", "s 7 1", "d"], 10, false),
            ("1000-500", ["h", "s 7 1", "d"], 10, false),
            ("1000-638", ["x", "s 7 1", "d"], 10, false),
            ("1000-638", ["h", "s 7 1", "h"], 10, false),
            ("1000-638", ["h", "s 7", "d"], 10, false),
            ("1000-638", ["h", "s x 1", "d"], 10, false),
            ("1000-638", ["h", "q 7 1", "d"], 10, false),
            ("1000-638", ["h", "s 7 1 2", "d"], 10, false),
            ("1000", ["h", "s 7 1", "d"], 10, false),
            ("1000-x", ["h", "s 7 1", "d"], 10, false),
        ] {
            let value = value(id, words, length);
            assert_eq!(read(value, before).is_some(), is_read, "{id} {words:?}");
        }
        let last = Position { milliseconds: 1, end: u64::MAX };
        assert!(read(value("1-100", ["h", "s 7 1", "d"], 10), last).is_none(), "no number is too large");
        for value in [Value::Nil, Value::Bytes(Vec::new()), Value::Array(vec![Value::Nil; 2])] {
            assert!(read(value, before).is_none());
        }
    }
}
