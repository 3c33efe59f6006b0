//! What this server's clients have said in a joined room and has not come back in the log yet, in its order. Pure.
//!
//! Each piece will be one entry of the log. All are kept until they were seen there, because an engine can lose what it
//! has confirmed; then the piece is delivered as it is here, with the replies in it that are nobody else's business.

use std::collections::VecDeque;

use super::batch::Batch;
use crate::limits::ENTRY_MARGIN;

/// How often the size of a piece is halved at most: a link that breaks often brings short entries only.
const HALVINGS: u32 = 4;

#[derive(Debug, Default)]
pub(in crate::server) struct Piece {
    pub(in crate::server) batch: Batch,
    /// The number that the last batch in it got from [`Room::submit`](super::Room::submit).
    pub(super) last: u64,
}

#[derive(Debug, Default)]
pub(super) struct Outgoing {
    pieces: VecDeque<Piece>,
    /// How many pieces of this membership have left here.
    gone: u64,
    /// How many of those that are here were sent, and take no more that others are to get.
    sent: usize,
    /// How many of these the engine has confirmed.
    confirmed: usize,
    bytes: usize,
    /// How often what is gathered into one piece is halved: once more for a link that has broken, once less for a piece
    /// that has arrived.
    halvings: u32,
}

/// The engine knows pieces that are not here any more, or not yet: this membership is over.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::server) struct Mismatch;

impl Outgoing {
    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    pub(super) fn has_room(&self, length: usize, limit: usize) -> bool {
        self.is_empty() || self.bytes + length <= limit
    }

    /// A link has broken.
    pub(super) fn gather_less(&mut self) {
        self.halvings = (self.halvings + 1).min(HALVINGS);
    }

    /// Adds a batch, which is then empty. One that is nobody else's business goes with the last piece.
    pub(super) fn add(&mut self, batch: &mut Batch, number: u64) {
        // More does not raise the throughput.
        let (length, most) = (batch.len(), ENTRY_MARGIN >> self.halvings);
        let fits = |piece: &Piece| !batch.is_shared() || piece.batch.len() + length <= most;
        let is_open = self.pieces.len() > self.sent || !batch.is_shared();
        if !is_open || !self.pieces.back().is_some_and(fits) {
            self.pieces.push_back(Piece::default());
        }
        if let Some(piece) = self.pieces.back_mut() {
            let before = piece.batch.len();
            piece.batch.append(batch);
            piece.last = number;
            self.bytes += piece.batch.len() - before;
        }
    }

    /// The next piece to be sent, with its number in this membership.
    pub(super) fn next(&mut self) -> Option<(u64, &Piece)> {
        let piece = self.pieces.get(self.confirmed)?;
        self.sent = self.sent.max(self.confirmed + 1);
        Some((self.gone + self.confirmed as u64 + 1, piece))
    }

    /// Notes that the engine has the pieces up to `number`, and no more.
    pub(super) fn confirm(&mut self, number: u64) -> Result<(), Mismatch> {
        let confirmed = number.checked_sub(self.gone).filter(|count| *count <= self.sent as u64);
        self.confirmed = confirmed.ok_or(Mismatch)? as usize;
        Ok(())
    }

    /// Takes the first piece, which was seen in the log under this number.
    pub(super) fn take(&mut self, number: u64) -> Result<Piece, Mismatch> {
        if number != self.gone + 1 || self.sent == 0 {
            return Err(Mismatch);
        }
        let piece = self.pieces.pop_front().ok_or(Mismatch)?;
        self.halvings = self.halvings.saturating_sub(1);
        self.gone += 1;
        self.sent -= 1;
        self.confirmed = self.confirmed.saturating_sub(1);
        self.bytes -= piece.batch.len();
        Ok(piece)
    }
}

#[cfg(test)]
mod tests {
    use super::super::batch::Kind;
    use super::super::{Log, Queue};
    use super::*;
    use crate::server::member::Who;

    fn batch(kind: Kind, length: usize) -> Batch {
        let mut batch = Batch::default();
        batch.headed(kind, Who { server: 0, client: 1 }, &[]).resize(length, b'x');
        batch
    }

    fn add(outgoing: &mut Outgoing, kind: Kind, length: usize, number: u64) {
        let mut batch = batch(kind, length);
        outgoing.add(&mut batch, number);
        assert!(batch.is_empty());
    }

    #[test]
    fn every_batch_waits_for_room_where_it_goes() {
        // Bytes in the log and bytes that wait for delivery; whether a batch for others has room, and one for its sender.
        for (logged, queued, for_others, own) in [
            (0, 0, true, true),
            (0, 900, true, false),
            (900, 0, false, false),
            (100, 900, true, true),
            (900, 900, false, false),
        ] {
            let mut queue = Queue { log: Some(Log::default()), ..Queue::default() };
            if let (Some(log), 1..) = (&mut queue.log, logged) {
                add(&mut log.outgoing, Kind::Direct, logged, 1);
            }
            if queued > 0 {
                queue.batch.append(&mut batch(Kind::Own, queued));
            }
            let has_room = |kind| queue.has_room(&batch(kind, 500), 1000);
            assert_eq!((has_room(Kind::Direct), has_room(Kind::Own)), (for_others, own), "{logged} {queued}");
        }
    }

    fn number_of_next(outgoing: &mut Outgoing) -> Option<u64> {
        outgoing.next().map(|(number, _)| number)
    }

    #[test]
    fn batches_are_gathered_until_their_piece_is_sent() {
        let mut outgoing = Outgoing::default();
        (1..=3).for_each(|number| add(&mut outgoing, Kind::Direct, 1000, number));
        assert_eq!((outgoing.pieces.len(), number_of_next(&mut outgoing)), (1, Some(1)));
        // What is nobody else's business goes with a piece that was sent; what others get does not.
        add(&mut outgoing, Kind::Own, 10, 4);
        add(&mut outgoing, Kind::Direct, 10, 5);
        add(&mut outgoing, Kind::Own, 10, 6);
        assert_eq!(outgoing.pieces.iter().map(|piece| piece.last).collect::<Vec<_>>(), [4, 6]);
        add(&mut outgoing, Kind::Direct, ENTRY_MARGIN, 7);
        assert_eq!(outgoing.pieces.len(), 3, "more than is gathered");
        assert!(outgoing.has_room(1, usize::MAX) && !outgoing.has_room(1, ENTRY_MARGIN));
        for (number, last, entries) in [(1, 4, 4), (2, 6, 2), (3, 7, 1)] {
            assert_eq!(number_of_next(&mut outgoing), Some(number));
            assert_eq!(outgoing.confirm(number), Ok(()));
            let piece = outgoing.take(number).unwrap();
            assert_eq!((piece.last, piece.batch.entries()), (last, entries));
        }
        assert!(outgoing.is_empty() && outgoing.bytes == 0 && outgoing.has_room(usize::MAX, 0));
    }

    #[test]
    fn a_piece_stays_until_it_was_seen_in_the_log_whatever_was_confirmed() {
        let mut outgoing = Outgoing::default();
        for number in 1..=3 {
            add(&mut outgoing, Kind::Direct, 10, number);
            assert_eq!(number_of_next(&mut outgoing), Some(number));
            assert_eq!(outgoing.confirm(number), Ok(()));
        }
        assert_eq!(number_of_next(&mut outgoing), None);
        // The engine has lost the last two: they are said again.
        assert_eq!(outgoing.confirm(1), Ok(()));
        assert_eq!(number_of_next(&mut outgoing), Some(2));
        assert!(outgoing.take(1).is_ok());
        // It knows pieces that it cannot know, or not those that came out of it.
        assert_eq!((outgoing.confirm(4), outgoing.confirm(0)), (Err(Mismatch), Err(Mismatch)));
        // What comes out of the log is in the order in which it was said, and nothing that was not.
        assert_eq!(outgoing.take(3).unwrap_err(), Mismatch);
        // A piece whose answer was lost can be seen before it is confirmed.
        assert!(outgoing.take(2).is_ok());
        assert_eq!(number_of_next(&mut outgoing), Some(3));
        assert!(outgoing.take(3).is_ok());
        assert_eq!(outgoing.take(4).unwrap_err(), Mismatch);
        add(&mut outgoing, Kind::Direct, 10, 4);
        assert_eq!(outgoing.take(4).unwrap_err(), Mismatch, "it was not sent yet");
    }

    #[test]
    fn less_is_gathered_while_links_break() {
        let mut outgoing = Outgoing::default();
        (0..10).for_each(|_| outgoing.gather_less());
        (1..=6).for_each(|number| add(&mut outgoing, Kind::Direct, 1000, number));
        assert_eq!(outgoing.pieces.len(), 2);
        assert_eq!(outgoing.pieces[0].batch.entries(), 3);
        for number in 1..=2 {
            assert_eq!(number_of_next(&mut outgoing), Some(number));
            assert_eq!(outgoing.confirm(number), Ok(()));
            assert!(outgoing.take(number).is_ok());
        }
        assert_eq!(outgoing.halvings, 2);
    }
}
