//! What goes through a room: rendered lines with their recipients, in one buffer.
//!
//! In a joined room the same entries go through the log, in the form that [`Batch::write_to`] gives them.

use std::io::Write as _;

use crate::server::member::Who;

/// What is done with the lines of an entry. The letter stands for it in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(in crate::server) enum Kind {
    /// They are for all clients that hear the room.
    Everyone = b'm',
    /// They are for the sender alone.
    Own = b'o',
    /// The sender hears the room from now on. The line is its reply.
    Hear = b'h',
    /// The sender does not hear the room any more. The line is its reply.
    Deaf = b'i',
    /// The sender is told the present place in the room's order. There is no line.
    Mark = b'k',
    /// The sender gets the room's lines after the mark in the head again. There is no line.
    Since = b'r',
    /// The line is for the client whose name is the head, and for the sender.
    Direct = b't',
    /// The line is a question. The head is its number, a colon, its label, a colon, and the name that is asked.
    Ask = b'q',
    /// The same, for one of the clients that serve the name: the server of the asker has chosen. The head is that client,
    /// the number, a colon and the label.
    Put = b'c',
    /// The line is a part of an answer by the sender. The head is the asker, the number, a colon and the label; on one
    /// server it is the colon and the label.
    Part = b'p',
    /// The line ends such a question: an answer or a refusal.
    Answer = b'a',
    /// The line ends a question that the sender, which was asked, has not got. The head is as for a part.
    NotAsked = b'e',
    /// The sender answers questions put to the name in the head. There is no line.
    Serve = b's',
    /// The sender takes the name in the head. There is no line.
    LogIn = b'n',
    /// The same, and nobody is told now or later.
    LogInDeaf = b'd',
    /// The sender has left. There is no line.
    Leave = b'l',
    /// A server is gone, with all its clients. There is no line.
    Gone = b'g',
}

impl Kind {
    /// The kinds that other servers get.
    const SHARED: [Kind; 11] = [
        Kind::Everyone,
        Kind::Direct,
        Kind::Ask,
        Kind::Put,
        Kind::Part,
        Kind::Answer,
        Kind::NotAsked,
        Kind::Serve,
        Kind::LogIn,
        Kind::LogInDeaf,
        Kind::Leave,
    ];

    fn is_shared(self) -> bool {
        Kind::SHARED.contains(&self)
    }

    /// Whether a head has the parts that it is to have in the log, as far as these are numbers.
    fn takes(self, head: &str) -> bool {
        let numbers = match self {
            Kind::Ask => 1,
            Kind::Put | Kind::Part | Kind::Answer | Kind::NotAsked => 3,
            _ => return true,
        };
        let (words, label) = head.split_once(':').unwrap_or_default();
        let count = words.split(' ').filter(|word| word.parse::<u64>().is_ok()).count();
        count == numbers && label.contains(if self == Kind::Ask { ':' } else { ' ' })
    }
}

/// One entry of a [`Batch`].
#[derive(Debug)]
pub(in crate::server) struct Entry {
    pub(in crate::server) kind: Kind,
    pub(in crate::server) sender: Who,
    /// Where it begins in the batch: first the head, then the lines.
    start: usize,
    head: usize,
    /// How many lines it has, if it is of a kind that has any.
    pub(in crate::server) lines: u64,
}

/// What an entry is reckoned to take besides its bytes: as much as in a vector that doubles, and as its line in the log
/// at the least. So what is written to the log is never longer than [`Batch::len`].
const ENTRY: usize = 96;
const _: () = assert!(2 * size_of::<Entry>() <= ENTRY);

/// Entries in their order, as one client has said them or as they wait for delivery.
#[derive(Debug, Default)]
pub(in crate::server) struct Batch {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
}

impl Batch {
    pub(in crate::server) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many bytes it takes.
    pub(in crate::server) fn len(&self) -> usize {
        self.bytes.len() + ENTRY * self.entries.len()
    }

    pub(in crate::server) fn entries(&self) -> usize {
        self.entries.len()
    }

    /// The whole content, if it is lines of this one kind.
    pub(in crate::server) fn only(&self, kind: Kind) -> Option<(&[u8], u64)> {
        match &self.entries[..] {
            [entry] if entry.kind == kind => Some((&self.bytes[entry.head..], entry.lines)),
            _ => None,
        }
    }

    /// The entry at `index` with its head and its lines.
    pub(in crate::server) fn entry(&self, index: usize) -> (&Entry, &str, &[u8]) {
        let entry = &self.entries[index];
        let end = self.entries.get(index + 1).map_or(self.bytes.len(), |next| next.start);
        let (head, lines) = self.bytes[entry.start..end].split_at(entry.head);
        // A head was text when it was added.
        (entry, str::from_utf8(head).unwrap_or_default(), lines)
    }

    /// The buffer to write the next line of this kind to. Lines for everyone and lines for the sender make one entry as
    /// long as they follow each other.
    #[inline]
    pub(in crate::server) fn line(&mut self, kind: Kind, sender: Who) -> &mut Vec<u8> {
        match self.entries.last_mut() {
            Some(last) if last.kind == kind && (kind == Kind::Everyone || last.sender == sender) => last.lines += 1,
            _ => return self.headed(kind, sender, &[]),
        }
        &mut self.bytes
    }

    /// Begins an entry with a head, given in pieces, and returns the buffer to write its line to, if it has one.
    pub(in crate::server) fn headed(&mut self, kind: Kind, sender: Who, head: &[&str]) -> &mut Vec<u8> {
        if self.entries.capacity() == 0 {
            // Most clients never have more than one, and keep its place while they are idle.
            self.entries.reserve_exact(1);
        }
        let start = self.bytes.len();
        head.iter().for_each(|piece| self.bytes.extend_from_slice(piece.as_bytes()));
        let head = self.bytes.len() - start;
        self.entries.push(Entry { kind, sender, start, head, lines: 1 });
        &mut self.bytes
    }

    /// Appends all entries of `other` and leaves it empty. If there is nothing yet, buffers are exchanged
    /// rather than copied.
    pub(super) fn append(&mut self, other: &mut Batch) {
        if self.is_empty() {
            std::mem::swap(self, other);
            return;
        }
        let shift = self.bytes.len();
        self.bytes.append(&mut other.bytes);
        for mut entry in other.entries.drain(..) {
            if let (Some(last), Kind::Everyone) = (self.entries.last_mut(), entry.kind)
                && last.kind == Kind::Everyone
            {
                last.lines += entry.lines;
            } else {
                entry.start += shift;
                self.entries.push(entry);
            }
        }
    }

    /// Removes everything. Buffers are kept for the next lines, unless most of them was not needed.
    pub(in crate::server) fn clear(&mut self, used: usize) {
        self.entries.clear();
        self.bytes.clear();
        if self.bytes.capacity() > 4 * used.max(128) {
            self.bytes = Vec::new();
        }
        if self.entries.capacity() > 16 {
            self.entries = Vec::new();
        }
    }

    /// Whether there is anything in it for other clients than the sender.
    pub(super) fn is_shared(&self) -> bool {
        self.entries.iter().any(|entry| entry.kind.is_shared())
    }

    /// Writes what other servers are to get: for each entry a line of kind, client, number of lines, and the lengths of
    /// the head and of the lines, which follow.
    pub(in crate::server) fn write_to(&self, out: &mut Vec<u8>) {
        for index in 0..self.entries.len() {
            let (entry, head, text) = self.entry(index);
            if entry.kind.is_shared() {
                let (kind, client) = (entry.kind as u8 as char, entry.sender.client);
                // Writing into a Vec cannot fail.
                let _ = writeln!(out, "{kind} {client} {} {} {}", entry.lines, head.len(), text.len());
                out.extend_from_slice(head.as_bytes());
                out.extend_from_slice(text);
            }
        }
    }

    /// Reads what [`Batch::write_to`] of another server has written; `None` for anything else.
    pub(in crate::server) fn read(server: u64, mut bytes: &[u8]) -> Option<Batch> {
        let mut batch = Batch::default();
        while !bytes.is_empty() {
            let (line, rest) = bytes.split_at_checked(bytes.iter().position(|byte| *byte == b'\n')?)?;
            let words: Vec<&str> = str::from_utf8(line).ok()?.split(' ').collect();
            let [kind, client, lines, head, text] = words[..] else { return None };
            let kind = Kind::SHARED.into_iter().find(|known| kind.as_bytes() == [*known as u8])?;
            let (head, rest) = rest[1..].split_at_checked(head.parse().ok()?)?;
            let (text, rest) = rest.split_at_checked(text.parse().ok()?)?;
            let sender = Who { server, client: client.parse().ok()? };
            let head = str::from_utf8(head).ok().filter(|head| kind.takes(head))?;
            batch.headed(kind, sender, &[head]).extend_from_slice(text);
            batch.entries.last_mut()?.lines = lines.parse().ok()?;
            bytes = rest;
        }
        Some(batch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(batch: &Batch) -> Vec<u8> {
        let mut out = Vec::new();
        batch.write_to(&mut out);
        assert!(out.len() <= batch.len(), "{} bytes, reckoned as {}", out.len(), batch.len());
        out
    }

    #[test]
    fn what_is_written_can_be_read_and_is_never_longer_than_it_was_reckoned() {
        for client in [1, u64::MAX] {
            for (head, text) in
                [("", ""), ("a", "\r\n"), ("7 ada: \n", "9 9 9\n"), (&*"h".repeat(999), &*"t".repeat(99_999))]
            {
                for count in [1, 2, 500] {
                    let (who, mut batch) = (Who { server: 5, client }, Batch::default());
                    let shared = |index: usize| Kind::SHARED[index % Kind::SHARED.len()];
                    let head = |kind| match kind {
                        Kind::Ask => format!("7:1 ada:{head}"),
                        Kind::Put | Kind::Part | Kind::Answer | Kind::NotAsked => format!("0 7 9:1 {head}"),
                        _ => head.to_owned(),
                    };
                    for index in 0..count {
                        let kind = shared(index);
                        batch.headed(kind, who, &[&head(kind)]).extend_from_slice(text.as_bytes());
                        batch.line(Kind::Own, who).extend_from_slice(b"nobody else's business\r\n");
                    }
                    let bytes = written(&batch);
                    let read = Batch::read(5, &bytes).unwrap();
                    assert_eq!((read.entries(), written(&read)), (count, bytes.clone()));
                    let (entry, its_head, its_text) = read.entry(count - 1);
                    assert_eq!((entry.sender, its_head, its_text), (who, &*head(shared(count - 1)), text.as_bytes()));
                    // No piece of it is anything.
                    assert!(Batch::read(5, &bytes[..bytes.len() - 1]).is_none_or(|read| read.entries() < count));
                }
            }
        }
    }

    #[test]
    fn what_no_server_writes_is_not_read() {
        for bytes in
            ["x", "\n", "m 1 1 0 3\n", "o 1 1 0 0\n", "m 1 1 0\n", "m -1 1 0 0\n", "g 1 1 0 0\n", "mm 1 1 0 0\n"]
        {
            assert!(Batch::read(5, bytes.as_bytes()).is_none(), "{bytes:?}");
        }
        assert!(Batch::read(5, b"t 1 1 1 0\n\xff").is_none(), "a head is text");
        assert!(Batch::read(5, b"a 1 1 9 0\n0 7 9:1 a").is_some_and(|batch| batch.entries() == 1));
        for head in ["0 7 9 1 a", "0 7:1 abc", "0 7 x:1 a", "0 7 9:1ab", "abcdefghi"] {
            assert!(Batch::read(5, format!("a 1 1 9 0\n{head}").as_bytes()).is_none(), "{head}");
        }
        assert!(Batch::read(5, b"").is_some_and(|batch| batch.is_empty()));
    }

    #[test]
    fn lines_that_follow_each_other_are_one_entry_and_batches_are_appended_in_order() {
        let who = |client| Who { server: 5, client };
        let mut batch = Batch::default();
        for text in ["a", "b"] {
            batch.line(Kind::Own, who(1)).extend_from_slice(text.as_bytes());
        }
        assert_eq!((batch.only(Kind::Own), batch.is_shared()), (Some((&b"ab"[..], 2)), false));
        batch.line(Kind::Everyone, who(1)).push(b'c');
        let mut other = Batch::default();
        other.line(Kind::Everyone, who(2)).push(b'd');
        other.headed(Kind::Leave, who(2), &[]);
        batch.append(&mut other);
        assert!(other.is_empty() && batch.is_shared() && batch.only(Kind::Own).is_none());
        let shown: Vec<_> = (0..3).map(|index| (batch.entry(index).0.lines, batch.entry(index).2)).collect();
        assert_eq!(shown, [(2, &b"ab"[..]), (2, b"cd"), (1, b"")]);
        batch.clear(0);
        assert_eq!(batch.len(), 0);
    }
}
