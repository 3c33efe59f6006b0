//! What goes through a room: rendered lines with their recipients, in one buffer.

use std::sync::Arc;

use crate::server::member::Member;
use crate::server::questions::QuestionId;

/// What is done with the lines of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::server) enum Kind {
    /// They are for all clients that hear the room.
    Everyone,
    /// They are for the sender alone.
    Own,
    /// The line is for the client whose name is the head, and for the sender.
    Direct,
    /// The line is a question to the client whose name is the head.
    Ask(QuestionId),
    /// The line is a part of the answer to a question of the client whose name is the head.
    Part(QuestionId),
    /// The line ends such a question: an answer or a refusal.
    Answer(QuestionId),
    /// The sender takes the name in the head. There is no line.
    LogIn,
    /// The sender hears the room from now on. The line is its reply.
    Hear,
    /// The sender stops hearing the room. The line is its reply.
    Deaf,
    /// The sender has left. There is no line.
    Leave,
    /// The sender has the name in the head from now on. There is no line and no notice.
    Named,
}

/// One entry of a [`Batch`].
#[derive(Debug)]
pub(in crate::server) struct Entry {
    pub(in crate::server) kind: Kind,
    /// `None` for lines for everyone: once they are rendered, their sender does not matter.
    pub(in crate::server) sender: Option<Arc<Member>>,
    /// Where it begins in the batch: first the head, then the lines.
    start: usize,
    head: usize,
    pub(in crate::server) lines: u64,
}

impl Entry {
    /// Whether one more line of this kind can join it.
    fn can_take(&self, kind: Kind, sender: Option<&Arc<Member>>) -> bool {
        self.kind == kind
            && match kind {
                Kind::Everyone => true,
                Kind::Own => self.sender.as_ref().map(|own| own.id) == sender.map(|other| other.id),
                _ => false,
            }
    }
}

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

    /// How many bytes it holds.
    pub(in crate::server) fn len(&self) -> usize {
        self.bytes.len()
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

    /// Takes the buffer of a batch that holds lines of one kind only.
    pub(super) fn take_bytes(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }

    /// Gives such a buffer back.
    pub(super) fn give_bytes(&mut self, bytes: Vec<u8>) {
        self.bytes = bytes;
    }

    /// The entry at `index` with its head and its lines.
    pub(in crate::server) fn entry(&self, index: usize) -> (&Entry, &[u8], &[u8]) {
        let entry = &self.entries[index];
        let end = self.entries.get(index + 1).map_or(self.bytes.len(), |next| next.start);
        let (head, lines) = self.bytes[entry.start..end].split_at(entry.head);
        (entry, head, lines)
    }

    /// The buffer to write the next line of this kind to. Lines for everyone and lines for the sender make one entry as
    /// long as they follow each other.
    #[inline]
    pub(in crate::server) fn line(&mut self, kind: Kind, sender: Option<&Arc<Member>>) -> &mut Vec<u8> {
        match self.entries.last_mut() {
            Some(last) if last.can_take(kind, sender) => last.lines += 1,
            _ => self.begin(kind, sender, ""),
        }
        &mut self.bytes
    }

    /// Begins an entry with a head, and returns the buffer to write its line to, if it has one.
    pub(in crate::server) fn headed(&mut self, kind: Kind, sender: &Arc<Member>, head: &str) -> &mut Vec<u8> {
        self.begin(kind, Some(sender), head);
        &mut self.bytes
    }

    /// Appends lines for everyone; `text` holds `lines` of them.
    pub(in crate::server) fn lines_for_everyone(&mut self, text: &[u8], lines: u64) {
        self.append_lines(Kind::Everyone, None, text, lines);
    }

    /// Appends lines of a client's own; `text` holds `lines` of them.
    pub(in crate::server) fn lines(&mut self, kind: Kind, sender: &Arc<Member>, text: &[u8], lines: u64) {
        self.append_lines(kind, Some(sender), text, lines);
    }

    fn append_lines(&mut self, kind: Kind, sender: Option<&Arc<Member>>, text: &[u8], lines: u64) {
        self.line(kind, sender).extend_from_slice(text);
        if let Some(last) = self.entries.last_mut() {
            last.lines += lines.saturating_sub(1);
        }
    }

    fn begin(&mut self, kind: Kind, sender: Option<&Arc<Member>>, head: &str) {
        let (start, lines) = (self.bytes.len(), u64::from(!matches!(kind, Kind::LogIn | Kind::Leave | Kind::Named)));
        if self.entries.capacity() == 0 {
            // Most clients never have more than one, and keep its place while they are idle.
            self.entries.reserve_exact(1);
        }
        self.entries.push(Entry { kind, sender: sender.map(Arc::clone), start, head: head.len(), lines });
        self.bytes.extend_from_slice(head.as_bytes());
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::outbox::Outbox;
    use crate::transport::Stream;

    fn member(id: u64) -> Arc<Member> {
        let (own, _) = Stream::pair().unwrap();
        Arc::new(Member::new(id, String::new(), Outbox::new(own, 1, Arc::default()), true))
    }

    fn content(batch: &Batch) -> Vec<(Kind, u64, String, String, u64)> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        (0..batch.entries())
            .map(|index| batch.entry(index))
            .map(|(entry, head, lines)| {
                (entry.kind, entry.sender.as_ref().map_or(0, |sender| sender.id), text(head), text(lines), entry.lines)
            })
            .collect()
    }

    #[test]
    fn lines_that_follow_each_other_are_one_entry() {
        let (ada, bob) = (member(1), member(2));
        let mut batch = Batch::default();
        for (kind, text) in [(Kind::Own, "a"), (Kind::Own, "b"), (Kind::Everyone, "c"), (Kind::Everyone, "d")] {
            batch.line(kind, Some(&ada)).extend_from_slice(text.as_bytes());
        }
        assert_eq!(batch.only(Kind::Own), None);
        batch.headed(Kind::Direct, &ada, "bob").extend_from_slice(b"e");
        batch.headed(Kind::Direct, &ada, "bob").extend_from_slice(b"f");
        batch.headed(Kind::Leave, &ada, "");
        let mut all = Batch::default();
        all.append(&mut batch);
        assert!(batch.is_empty());
        batch.line(Kind::Everyone, None).extend_from_slice(b"g");
        batch.line(Kind::Own, Some(&bob)).extend_from_slice(b"h");
        all.append(&mut batch);
        batch.line(Kind::Everyone, None).extend_from_slice(b"i");
        all.append(&mut batch);
        batch.line(Kind::Everyone, None).extend_from_slice(b"j");
        all.append(&mut batch);
        let text = |text: &str| text.to_owned();
        assert_eq!(
            content(&all),
            [
                (Kind::Own, 1, text(""), text("ab"), 2),
                (Kind::Everyone, 1, text(""), text("cd"), 2),
                (Kind::Direct, 1, text("bob"), text("e"), 1),
                (Kind::Direct, 1, text("bob"), text("f"), 1),
                (Kind::Leave, 1, text(""), text(""), 0),
                (Kind::Everyone, 0, text(""), text("g"), 1),
                (Kind::Own, 2, text(""), text("h"), 1),
                (Kind::Everyone, 0, text(""), text("ij"), 2),
            ]
        );
        let bytes = all.len();
        all.clear(bytes);
        assert!(all.is_empty());
        assert_eq!(all.bytes, b"");
    }
}
