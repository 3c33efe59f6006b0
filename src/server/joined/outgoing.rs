//! The lines of this server's clients that have not come back in the log yet, in their order. Pure.
//!
//! They are held in pieces, each of which will be one entry of the log. The first pieces are confirmed by the engine,
//! the next one is under way, the others wait. All are kept until they were seen in the log, because an engine can lose
//! what it has confirmed. Pieces get consecutive numbers when they are sent for the first time. Replies to a client
//! that has something here wait with its last piece, so that they stay in the order of its commands.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use super::called::Called;
use super::entry::Item;
use super::piece::{self, Content, OwnWords, Piece};

#[derive(Debug)]
pub(super) struct Outgoing {
    pieces: VecDeque<Piece>,
    /// The number of the first of them.
    first: u64,
    /// The number of the last one that was confirmed.
    confirmed: u64,
    /// How many of them cannot take more items: all those that were sent.
    closed: usize,
    bytes: usize,
    last_serial: u64,
    /// The serial of each client's last piece.
    last_of: HashMap<u64, u64>,
    called: Called,
    /// Pieces with names that no session waits for any more.
    abandoned: HashSet<u64>,
}

/// The engine knows pieces that are not here any more, or not yet: this membership is over.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mismatch;

impl Default for Outgoing {
    fn default() -> Outgoing {
        Outgoing {
            pieces: VecDeque::new(),
            first: 1,
            confirmed: 0,
            closed: 0,
            bytes: 0,
            last_serial: 0,
            last_of: HashMap::new(),
            called: Called::default(),
            abandoned: HashSet::new(),
        }
    }
}

impl Outgoing {
    /// Begins anew, as a new member does. Serials go on, so that no session takes an old one for a new one.
    pub(super) fn reset(&mut self) {
        *self = Outgoing { last_serial: self.last_serial, ..Outgoing::default() };
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// How many bytes are kept.
    pub(super) fn len(&self) -> usize {
        self.bytes
    }

    /// The serial of the last piece in which a client has something.
    pub(super) fn last_of(&self, client: u64) -> Option<u64> {
        self.last_of.get(&client).copied()
    }

    /// Whether the piece with this serial has left.
    pub(super) fn has_seen(&self, serial: u64) -> bool {
        self.pieces.binary_search_by_key(&serial, |piece| piece.serial).is_err()
    }

    /// Adds an item of a client. Lines that are too long for one piece are cut between lines.
    pub(super) fn push(&mut self, client: u64, item: Item<'_>) {
        piece::cut(item, |part| self.push_whole(client, part));
    }

    fn push_whole(&mut self, client: u64, item: Item<'_>) {
        let open = self.pieces.len() > self.closed;
        if !open || !self.pieces.back().is_some_and(|piece| piece.has_room_for(&item)) {
            self.begin(Content::Items(Vec::new()));
        }
        let Some(piece) = self.pieces.back_mut() else { return };
        self.bytes += piece.push(item);
        note_client(piece, &mut self.last_of, client);
    }

    /// Adds that a client takes a name, or leaves. Returns the serial to wait for.
    pub(super) fn push_name(&mut self, client: u64, deaf: bool, new: Option<Arc<str>>) -> u64 {
        self.begin(Content::Name { client, deaf, new, old: None });
        if let Some(piece) = self.pieces.back_mut() {
            note_client(piece, &mut self.last_of, client);
        }
        self.last_serial
    }

    fn begin(&mut self, content: Content) {
        self.last_serial += 1;
        let piece = Piece::new(self.last_serial, content);
        self.bytes += piece.size();
        self.pieces.push_back(piece);
    }

    /// Adds something for a client alone, behind all that it has here. If there is nothing, it is given back.
    pub(super) fn push_own(&mut self, words: OwnWords) -> Result<(), OwnWords> {
        let Some(serial) = self.last_of(words.client) else { return Err(words) };
        let Ok(index) = self.pieces.binary_search_by_key(&serial, |piece| piece.serial) else { return Err(words) };
        self.bytes += self.pieces[index].push_own(words);
        Ok(())
    }

    /// The next piece to be sent, with its number.
    pub(super) fn next(&mut self) -> Option<(u64, &Content)> {
        let index = usize::try_from(self.confirmed + 1 - self.first).ok()?;
        while !self.called.complete(&mut self.pieces.get_mut(index)?.content) {
            self.remove(index);
        }
        self.closed = self.closed.max(index + 1);
        self.pieces.get(index).map(|piece| (self.confirmed + 1, &piece.content))
    }

    /// Notes that the engine has confirmed a piece.
    pub(super) fn confirm(&mut self, number: u64) {
        while self.confirmed < number {
            self.confirmed += 1;
            let index = usize::try_from(self.confirmed.wrapping_sub(self.first)).ok();
            if let Some(piece) = index.and_then(|index| self.pieces.get(index)) {
                self.called.confirm(&piece.content);
            }
        }
    }

    /// Notes that the name that was asked for with this piece belongs to another client: there will be no entry.
    /// Returns the serial of the piece, and whether a session waits for it.
    pub(super) fn refused(&mut self, number: u64) -> Option<(u64, bool)> {
        let index = usize::try_from(number.checked_sub(self.first)?).ok()?;
        let piece = self.pieces.get(index)?;
        let serial = piece.serial;
        if let Some(client) = self.called.refuse(&piece.content) {
            for later in self.pieces.iter_mut().skip(index + 1) {
                match &mut later.content {
                    Content::Name { client: other, old, .. } if *other == client => *old = None,
                    _ => {}
                }
            }
        }
        let is_awaited = !self.abandoned.remove(&serial);
        self.remove(index);
        Some((serial, is_awaited))
    }

    /// Notes that no session waits any more to hear whether a name was given.
    pub(super) fn abandon(&mut self, serial: u64) {
        self.abandoned.insert(serial);
    }

    fn remove(&mut self, index: usize) {
        if let Some(piece) = self.pieces.remove(index) {
            self.closed = self.closed.min(index);
            self.forget(&piece);
        }
    }

    /// Checks that the piece with this number, which was seen in the log, is the first one here.
    pub(super) fn see(&self, number: u64) -> Result<(), Mismatch> {
        let is_next = number == self.first && number <= self.confirmed + 1 && !self.pieces.is_empty();
        if is_next { Ok(()) } else { Err(Mismatch) }
    }

    /// Takes the own words of the first piece, each with the place in the items that it comes before. More may be added
    /// until the piece is forgotten.
    pub(super) fn take_own_words(&mut self) -> VecDeque<(usize, OwnWords)> {
        let Some(piece) = self.pieces.front_mut() else { return VecDeque::new() };
        let words = piece.take_own_words();
        self.bytes -= words.iter().map(|(_, words)| words.size()).sum::<usize>();
        words
    }

    /// Forgets the first piece: it was seen in the log and delivered.
    pub(super) fn pop(&mut self) {
        self.confirm(self.first);
        if let Some(piece) = self.pieces.pop_front() {
            self.first += 1;
            self.closed = self.closed.saturating_sub(1);
            self.forget(&piece);
        }
    }

    fn forget(&mut self, piece: &Piece) {
        self.bytes -= piece.size();
        self.abandoned.remove(&piece.serial);
        for client in &piece.clients {
            if self.last_of.get(client) == Some(&piece.serial) {
                self.last_of.remove(client);
            }
        }
    }

    /// After a break: the engine knows all pieces up to `number`. Those behind are sent again.
    pub(super) fn resume(&mut self, number: u64) -> Result<(), Mismatch> {
        if number + 1 < self.first
            || number > self.confirmed + 1
            || number - (self.first - 1) > self.pieces.len() as u64
        {
            return Err(Mismatch);
        }
        if number > self.confirmed {
            self.confirm(number);
        }
        self.confirmed = number;
        Ok(())
    }
}

fn note_client(piece: &mut Piece, last_of: &mut HashMap<u64, u64>, client: u64) {
    if last_of.insert(client, piece.serial) != Some(piece.serial) {
        piece.clients.push(client);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Item<'_> {
        Item::Lines { lines: text.lines().count() as u64, text: text.as_bytes() }
    }

    fn words(client: u64, text: &str) -> OwnWords {
        OwnWords { client, lines: 1, text: text.as_bytes().to_vec(), deaf: false }
    }

    fn next(outgoing: &mut Outgoing) -> Option<(u64, String)> {
        outgoing.next().map(|(number, content)| {
            let shown = match content {
                Content::Items(items) => String::from_utf8(items.clone()).unwrap(),
                Content::Name { client, deaf, new, old } => {
                    let old = old.clone().flatten();
                    format!("{client} {deaf} {}:{}", old.as_deref().unwrap_or(""), new.as_deref().unwrap_or(""))
                }
            };
            (number, shown)
        })
    }

    fn see(outgoing: &mut Outgoing, number: u64) -> Vec<OwnWords> {
        outgoing.see(number).unwrap();
        let words = outgoing.take_own_words();
        outgoing.pop();
        words.into_iter().map(|(_, words)| words).collect()
    }

    #[test]
    fn what_waits_is_gathered_and_kept_until_it_is_seen() {
        let mut outgoing = Outgoing::default();
        outgoing.push(1, lines("a\r\n"));
        assert_eq!(next(&mut outgoing), Some((1, "m 1 3\na\r\n".to_owned())));
        // Under way, so nothing may be added.
        outgoing.push(2, lines("b\r\n"));
        outgoing.push(1, lines("c\r\n"));
        outgoing.confirm(1);
        assert_eq!(next(&mut outgoing), Some((2, "m 1 3\nb\r\nm 1 3\nc\r\n".to_owned())));
        assert!(outgoing.last_of(1).is_some());
        see(&mut outgoing, 1);
        assert_eq!(outgoing.see(3), Err(Mismatch));
        // Seen before the engine's answer is read.
        see(&mut outgoing, 2);
        outgoing.confirm(2);
        assert!(outgoing.is_empty() && outgoing.last_of(1).is_none());
        assert_eq!((outgoing.len(), next(&mut outgoing)), (0, None));
    }

    #[test]
    fn own_words_wait_with_the_last_piece_of_their_client() {
        let mut outgoing = Outgoing::default();
        assert_eq!(outgoing.push_own(words(1, "pong")), Err(words(1, "pong")));
        outgoing.push(1, lines("a\n"));
        outgoing.push_own(words(1, "pong")).unwrap();
        outgoing.push(2, lines("b\n"));
        next(&mut outgoing);
        assert_eq!(outgoing.take_own_words(), [(8, words(1, "pong"))]);
        // Added while the entry is given to the clients.
        outgoing.push(2, lines("c\n"));
        outgoing.push_own(words(1, "late")).unwrap();
        outgoing.push_own(words(2, "later")).unwrap();
        assert_eq!(see(&mut outgoing, 1), [words(1, "late")]);
        assert!(outgoing.push_own(words(1, "pong")).is_err());
        outgoing.confirm(1);
        next(&mut outgoing);
        assert_eq!(see(&mut outgoing, 2), [words(2, "later")]);
        assert_eq!(outgoing.len(), 0);
    }

    #[test]
    fn after_a_break_the_engine_says_what_is_sent_again() {
        let mut outgoing = Outgoing::default();
        for text in ["a\n", "b\n", "c\n"] {
            outgoing.push(1, lines(text));
            let (number, _) = next(&mut outgoing).unwrap();
            outgoing.confirm(number);
        }
        // The engine has lost two that it had confirmed.
        assert_eq!(outgoing.resume(1), Ok(()));
        assert_eq!(next(&mut outgoing), Some((2, "m 1 2\nb\n".to_owned())));
        outgoing.confirm(2);
        assert_eq!(next(&mut outgoing), Some((3, "m 1 2\nc\n".to_owned())));
        // Its answer was lost, not the piece.
        assert_eq!(outgoing.resume(3), Ok(()));
        assert_eq!(next(&mut outgoing), None);
        see(&mut outgoing, 1);
        // It has lost one that everybody here has seen.
        assert_eq!(outgoing.resume(0), Err(Mismatch));
        assert_eq!(outgoing.resume(4), Err(Mismatch));
        outgoing.reset();
        assert_eq!((outgoing.len(), outgoing.resume(0)), (0, Ok(())));
        assert_eq!(outgoing.resume(1), Err(Mismatch));
    }

    #[test]
    fn a_name_knows_the_one_before_and_a_refused_one_takes_no_number() {
        let mut outgoing = Outgoing::default();
        let ask = |outgoing: &mut Outgoing, deaf, name: Option<&str>| {
            outgoing.push_name(7, deaf, name.map(Arc::from));
            next(outgoing)
        };
        assert_eq!(ask(&mut outgoing, true, Some("ada")), Some((1, "7 true :ada".to_owned())));
        outgoing.confirm(1);
        assert_eq!(ask(&mut outgoing, false, Some("bob")), Some((2, "7 true ada:bob".to_owned())));
        let serial = outgoing.last_of(7).unwrap();
        assert_eq!(outgoing.refused(2), Some((serial, true)));
        assert!(outgoing.has_seen(serial));
        assert_eq!(ask(&mut outgoing, false, None), Some((2, "7 true ada:".to_owned())));
        assert!(!outgoing.has_seen(outgoing.last_of(7).unwrap()));
        outgoing.confirm(2);
        // What was sent once is sent again as it was.
        outgoing.resume(1).unwrap();
        assert_eq!(next(&mut outgoing), Some((2, "7 true ada:".to_owned())));
        outgoing.confirm(2);
        // It has left already: there is nothing to say.
        assert_eq!(ask(&mut outgoing, false, None), None);
        outgoing.push(8, lines("x\n"));
        assert_eq!(next(&mut outgoing), Some((3, "m 1 2\nx\n".to_owned())));
    }
}
