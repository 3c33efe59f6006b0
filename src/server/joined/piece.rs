//! A piece, which will be one entry of the log: what it holds, and how much memory it takes. Pure.
//!
//! A piece holds gathered items or one change of a name, and the own words that wait with it, each before the item that
//! it precedes. Knows neither its number in the log nor the pieces around it. Items are whole: a batch of lines that is
//! too long is cut between lines, by [`cut`], before it gets here.

use std::collections::VecDeque;
use std::sync::Arc;

use super::entry::Item;
use super::settings::GATHERED_MAX;

/// The memory that a piece, and any own words, are reckoned to take besides their bytes.
const COST: usize = 128;

/// Something for the client that caused it alone. It never leaves this server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::server) struct OwnWords {
    pub(in crate::server) client: u64,
    pub(in crate::server) lines: u64,
    pub(in crate::server) text: Vec<u8>,
    /// From here on the client does not hear the room.
    pub(in crate::server) deaf: bool,
}

impl OwnWords {
    /// How many bytes they are reckoned to take.
    pub(super) fn size(&self) -> usize {
        self.text.len() + COST
    }
}

#[derive(Debug)]
pub(super) enum Content {
    /// Items, gathered.
    Items(Vec<u8>),
    /// A client takes a name (`new`) or leaves. Its name before that is known when this is sent for the first time.
    Name { client: u64, deaf: bool, new: Option<Arc<str>>, old: Option<Option<Arc<str>>> },
}

#[derive(Debug)]
pub(super) struct Piece {
    /// Grows from piece to piece; unlike the number it is known from the start.
    pub(super) serial: u64,
    pub(super) content: Content,
    /// The clients that have something in it.
    pub(super) clients: Vec<u64>,
    /// Each with the place in the items that it comes before.
    own_words: VecDeque<(usize, OwnWords)>,
}

impl Piece {
    pub(super) fn new(serial: u64, content: Content) -> Piece {
        Piece { serial, content, clients: Vec::new(), own_words: VecDeque::new() }
    }

    /// How many bytes it is reckoned to take.
    pub(super) fn size(&self) -> usize {
        let content = match &self.content {
            Content::Items(items) => items.len(),
            Content::Name { .. } => 0,
        };
        COST + content + self.own_words.iter().map(|(_, words)| words.size()).sum::<usize>()
    }

    /// Whether an item may be added.
    pub(super) fn has_room_for(&self, item: &Item<'_>) -> bool {
        matches!(&self.content, Content::Items(items) if items.len() + item.text().len() + COST <= GATHERED_MAX)
    }

    /// Adds an item, if this is a piece of items. Returns by how much the size has grown.
    pub(super) fn push(&mut self, item: Item<'_>) -> usize {
        let Content::Items(items) = &mut self.content else { return 0 };
        let before = items.len();
        item.write_to(items);
        items.len() - before
    }

    /// Adds words for one client, behind all that is here. Returns by how much the size has grown.
    pub(super) fn push_own(&mut self, words: OwnWords) -> usize {
        let offset = match &self.content {
            Content::Items(items) => items.len(),
            Content::Name { .. } => usize::MAX,
        };
        let size = words.size();
        self.own_words.push_back((offset, words));
        size
    }

    /// Takes the words for single clients, each with the place in the items that it comes before.
    pub(super) fn take_own_words(&mut self) -> VecDeque<(usize, OwnWords)> {
        std::mem::take(&mut self.own_words)
    }
}

/// Cuts lines that are too long for one piece between lines, and gives each part to `push`. One line is never cut.
pub(super) fn cut<'a>(item: Item<'a>, mut push: impl FnMut(Item<'a>)) {
    let Item::Lines { mut lines, mut text } = item else { return push(item) };
    while text.len() > GATHERED_MAX {
        let within = text[..GATHERED_MAX].iter().rposition(|byte| *byte == b'\n');
        let Some(end) = within.or_else(|| text.iter().position(|byte| *byte == b'\n')) else { break };
        let (head, rest) = text.split_at(end + 1);
        if rest.is_empty() {
            break;
        }
        // A line may hold no other LF than the one at its end.
        let count = head.iter().filter(|byte| **byte == b'\n').count() as u64;
        push(Item::Lines { lines: count, text: head });
        (lines, text) = (lines.saturating_sub(count), rest);
    }
    push(Item::Lines { lines, text });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_batches_are_cut_between_lines() {
        let line = format!("{}\n", "x".repeat(999));
        let long = format!("{}\n", "y".repeat(2 * GATHERED_MAX));
        let text = line.repeat(100) + &long + &line;
        let (mut all, mut count, mut parts) = (String::new(), 0, 0);
        cut(Item::Lines { lines: 102, text: text.as_bytes() }, |item| {
            let Item::Lines { lines, text } = item else { panic!("{item:?}") };
            assert!(text.len() <= GATHERED_MAX || text == long.as_bytes(), "{}", text.len());
            assert_eq!(lines, text.iter().filter(|byte| **byte == b'\n').count() as u64);
            count += lines;
            all.push_str(std::str::from_utf8(text).unwrap());
            parts += 1;
        });
        assert_eq!((all == text, count, parts), (true, 102, 4));
    }

    #[test]
    fn what_is_no_batch_of_lines_stays_whole() {
        let text = "x\n".repeat(GATHERED_MAX);
        let item = Item::Direct { sender: 1, receiver: "ada", text: text.as_bytes() };
        let mut parts = Vec::new();
        cut(item, |part| parts.push(part));
        assert_eq!(parts, [item]);
    }

    #[test]
    fn the_size_is_the_sum_of_what_was_added() {
        let mut piece = Piece::new(1, Content::Items(Vec::new()));
        let item = Item::Lines { lines: 1, text: b"hello\r\n" };
        let words = OwnWords { client: 1, lines: 1, text: b"pong\r\n".to_vec(), deaf: false };
        let before = piece.size();
        assert!(piece.has_room_for(&item));
        let added = piece.push(item);
        assert_eq!(piece.size(), before + added);
        let offset = added;
        let more = piece.push_own(words.clone());
        assert_eq!(piece.size(), before + added + more);
        assert_eq!(piece.take_own_words(), [(offset, words)]);
        assert_eq!(piece.size(), before + added);
        let whole = vec![b'x'; GATHERED_MAX];
        assert!(!piece.has_room_for(&Item::Lines { lines: 1, text: &whole }));
    }
}
