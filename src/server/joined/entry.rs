//! The entries of the log, through which the servers of a room tell each other everything. Pure, does no I/O.
//!
//! An entry has a position, a header and data. Most entries hold a batch of items. Each item is a head line with a
//! length, followed by the text that readers get, already rendered. Decoding accepts exactly what encoding writes and
//! never panics, whatever the bytes are.

use std::fmt;
use std::str::FromStr;

/// What an entry costs besides its data; `room.lua` has the same number.
pub(super) const ENTRY_COST: u64 = 128;

/// A place in the log. `end` counts all bytes up to and with this entry, so a gap between two entries shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Position {
    milliseconds: u64,
    pub(super) end: u64,
}

impl Position {
    /// Whether an entry with this much data directly follows `before`.
    pub(super) fn follows(self, before: Position, data: usize) -> bool {
        before.end.checked_add(data as u64 + ENTRY_COST) == Some(self.end) && self.milliseconds >= before.milliseconds
    }
}

impl FromStr for Position {
    type Err = NotAnEntry;

    fn from_str(text: &str) -> Result<Position, NotAnEntry> {
        let (milliseconds, end) = text.split_once('-').ok_or(NotAnEntry)?;
        let number = |text: &str| text.parse().map_err(|_| NotAnEntry);
        Ok(Position { milliseconds: number(milliseconds)?, end: number(end)? })
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.milliseconds, self.end)
    }
}

/// These bytes are not an entry that a server of this version writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotAnEntry;

/// An entry of the log, without its position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entry<'a> {
    /// A server says a batch of [`Item`]s.
    Said { server: &'a str, number: u64, items: &'a [u8] },
    /// A client has joined (no `old`), was renamed (`old` and `new`) or has left (no `new`).
    Named { server: &'a str, number: u64, client: u64, deaf: bool, old: Option<&'a str>, new: Option<&'a str> },
    /// A server is gone, with all its clients.
    Gone { server: &'a str },
}

impl<'a> Entry<'a> {
    pub(super) fn read(header: &'a [u8], data: &'a [u8]) -> Result<Entry<'a>, NotAnEntry> {
        let header = std::str::from_utf8(header).map_err(|_| NotAnEntry)?;
        let words: Vec<&str> = header.split(' ').collect();
        let number = |text: &str| text.parse().map_err(|_| NotAnEntry);
        match words[..] {
            ["s", server, sequence] => Ok(Entry::Said { server, number: number(sequence)?, items: data }),
            ["n", server, sequence, client, deaf] => {
                let data = std::str::from_utf8(data).map_err(|_| NotAnEntry)?;
                let (old, new) = data.split_once(':').ok_or(NotAnEntry)?;
                let some = |name: &'a str| (!name.is_empty()).then_some(name);
                Ok(Entry::Named {
                    server,
                    number: number(sequence)?,
                    client: number(client)?,
                    deaf: deaf == "1",
                    old: some(old),
                    new: some(new),
                })
            }
            ["g", server, _] => Ok(Entry::Gone { server }),
            _ => Err(NotAnEntry),
        }
    }
}

/// What an answer means for its question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::server) enum AnswerKind {
    /// The question is answered or refused, and no longer open.
    End,
    /// More of its answer follows.
    Part,
}

/// Something that a client says, with the line or lines that its readers get, each with its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::server) enum Item<'a> {
    /// Lines for everybody.
    Lines { lines: u64, text: &'a [u8] },
    /// A direct message.
    Direct { sender: u64, receiver: &'a str, text: &'a [u8] },
    /// A question; `id` is the asker's choice.
    Question { asker: u64, id: &'a str, receiver: &'a str, text: &'a [u8] },
    /// An answer, a part of one or a refusal, to the name that the asker had when it asked.
    Answer { kind: AnswerKind, answerer: u64, id: &'a str, asker: &'a str, text: &'a [u8] },
}

impl<'a> Item<'a> {
    pub(super) fn text(&self) -> &'a [u8] {
        match *self {
            Item::Lines { text, .. } | Item::Direct { text, .. } => text,
            Item::Question { text, .. } | Item::Answer { text, .. } => text,
        }
    }

    pub(super) fn write_to(&self, out: &mut Vec<u8>) {
        let length = self.text().len();
        let head = match *self {
            Item::Lines { lines, .. } => format!("m {lines} {length}\n"),
            Item::Direct { sender, receiver, .. } => format!("t {sender} {length} {receiver}\n"),
            Item::Question { asker, id, receiver, .. } => format!("q {asker} {length} {id} {receiver}\n"),
            Item::Answer { kind, answerer, id, asker, .. } => {
                let kind = match kind {
                    AnswerKind::End => 'a',
                    AnswerKind::Part => 'p',
                };
                format!("{kind} {answerer} {length} {id} {asker}\n")
            }
        };
        out.extend_from_slice(head.as_bytes());
        out.extend_from_slice(self.text());
    }

    /// Takes the first item off `items`.
    pub(super) fn take(items: &mut &'a [u8]) -> Result<Item<'a>, NotAnEntry> {
        let line_end = items.iter().position(|byte| *byte == b'\n').ok_or(NotAnEntry)?;
        let head = std::str::from_utf8(&items[..line_end]).map_err(|_| NotAnEntry)?;
        let rest = &items[line_end + 1..];
        let (kind, head) = head.split_once(' ').ok_or(NotAnEntry)?;
        let (first, head) = head.split_once(' ').ok_or(NotAnEntry)?;
        let first: u64 = first.parse().map_err(|_| NotAnEntry)?;
        let (length, names) = head.split_once(' ').unwrap_or((head, ""));
        let length: usize = length.parse().map_err(|_| NotAnEntry)?;
        let text = rest.get(..length).ok_or(NotAnEntry)?;
        // Names may hold blanks, ids do not.
        let two = || names.split_once(' ').ok_or(NotAnEntry);
        let answer = |kind| {
            let (id, asker) = two()?;
            Ok(Item::Answer { kind, answerer: first, id, asker, text })
        };
        let item = match kind {
            "m" => Item::Lines { lines: first, text },
            "t" => Item::Direct { sender: first, receiver: names, text },
            "q" => {
                let (id, receiver) = two()?;
                Item::Question { asker: first, id, receiver, text }
            }
            "a" => answer(AnswerKind::End)?,
            "p" => answer(AnswerKind::Part)?,
            _ => return Err(NotAnEntry),
        };
        *items = &rest[length..];
        Ok(item)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_tell_a_gap() {
        let at = |text: &str| text.parse::<Position>().unwrap();
        assert_eq!(at("17-500").to_string(), "17-500");
        assert!(at("17-500").follows(at("17-362"), 10));
        assert!(at("18-500").follows(at("17-362"), 10));
        assert!(!at("17-500").follows(at("17-363"), 10));
        assert!(!at("16-500").follows(at("17-362"), 10), "time goes back");
        assert!(!at("17-500").follows(at("17-18446744073709551615"), 10));
        for text in ["", "1", "1-", "-1", "a-1", "1-1-1", "99999999999999999999-1"] {
            assert_eq!(text.parse::<Position>(), Err(NotAnEntry), "{text}");
        }
    }

    #[test]
    fn items_come_back_as_they_were() {
        let items = [
            Item::Lines { lines: 2, text: b"ada: a\nb\r\nada: \r\n" },
            Item::Direct { sender: 7, receiver: "I am login!", text: b"x > I am login!: \r\n" },
            Item::Question { asker: 1, id: "a.b", receiver: "b  c", text: b"" },
            Item::Answer { kind: AnswerKind::End, answerer: 3, id: "1", asker: "a b", text: b"1" },
            Item::Answer { kind: AnswerKind::Part, answerer: 3, id: "1", asker: "a", text: b"t 1 5 x\n" },
            Item::Answer { kind: AnswerKind::End, answerer: u64::MAX, id: "1", asker: "\u{e9}", text: b"3" },
        ];
        let mut bytes = Vec::new();
        items.iter().for_each(|item| item.write_to(&mut bytes));
        let mut rest = &bytes[..];
        for item in items {
            assert_eq!(Item::take(&mut rest), Ok(item));
        }
        assert!(rest.is_empty());
        // Cut anywhere, it is an error or one of those items, never a panic.
        for end in 0..bytes.len() {
            let mut rest = &bytes[..end];
            while let Ok(item) = Item::take(&mut rest) {
                assert!(items.contains(&item));
            }
        }
    }

    #[test]
    fn headers_come_back_and_others_are_refused() {
        let read = |header: &'static str, data: &'static str| Entry::read(header.as_bytes(), data.as_bytes());
        assert_eq!(read("s ab 3", "x"), Ok(Entry::Said { server: "ab", number: 3, items: b"x" }));
        let named = |deaf, old, new| Entry::Named { server: "ab", number: 3, client: 9, deaf, old, new };
        assert_eq!(read("n ab 3 9 0", ":ada"), Ok(named(false, None, Some("ada"))));
        assert_eq!(read("n ab 3 9 1", "ada:b c"), Ok(named(true, Some("ada"), Some("b c"))));
        assert_eq!(read("n ab 3 9 0", "ada:"), Ok(named(false, Some("ada"), None)));
        assert_eq!(read("g ab 0", ""), Ok(Entry::Gone { server: "ab" }));
        for (header, data) in
            [("", ""), ("s ab", ""), ("s ab x", ""), ("n ab 3 9 0", "ada"), ("n ab 3 -9 0", ":"), ("x a 1", "")]
        {
            assert_eq!(read(header, data), Err(NotAnEntry), "{header}");
        }
        assert_eq!(Entry::read(b"s \xff 1", b""), Err(NotAnEntry));
    }
}
