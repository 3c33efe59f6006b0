//! What this server's clients have said in a joined room and has not come back in the log yet, in its order. Pure.
//!
//! Each piece will be one entry of the log. All are kept until they were seen there, because an engine can lose what it
//! has confirmed; then the piece is delivered as it is here, with the replies in it that are nobody else's business.

use std::collections::VecDeque;
use std::ops::RangeInclusive;

use super::batch::Batch;

/// The most that is gathered into one piece: more does not raise the throughput. It is halved down to the first figure
/// whenever a link breaks, since a link that breaks often brings short entries only, and doubled when a piece has arrived.
const GATHERED: RangeInclusive<usize> = 4 * 1024..=60 * 1024;

#[derive(Debug, Default)]
pub(in crate::server) struct Piece {
    pub(in crate::server) batch: Batch,
    /// The number that the last batch in it got from [`Room::submit`](super::Room::submit).
    pub(super) last: u64,
}

#[derive(Debug)]
pub(super) struct Outgoing {
    pieces: VecDeque<Piece>,
    /// How many pieces of this membership have left here.
    gone: u64,
    /// How many of those that are here were sent, and take no more that others are to get.
    sent: usize,
    /// How many of these the engine has confirmed.
    confirmed: usize,
    bytes: usize,
    /// What is gathered into one piece now; see [`GATHERED`].
    most: usize,
}

impl Default for Outgoing {
    fn default() -> Outgoing {
        Outgoing { pieces: VecDeque::new(), gone: 0, sent: 0, confirmed: 0, bytes: 0, most: *GATHERED.end() }
    }
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
        self.most = (self.most / 2).max(*GATHERED.start());
    }

    /// Adds a batch, which is then empty. One that is nobody else's business goes with the last piece.
    pub(super) fn add(&mut self, batch: &mut Batch, number: u64) {
        let length = batch.len();
        let fits = |piece: &Piece| !batch.is_shared() || piece.batch.len() + length <= self.most;
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
        let confirmed = number.checked_sub(self.gone).and_then(|count| usize::try_from(count).ok()).ok_or(Mismatch)?;
        if confirmed > self.sent {
            return Err(Mismatch);
        }
        self.confirmed = confirmed;
        Ok(())
    }

    /// Takes the first piece, which was seen in the log under this number.
    pub(super) fn take(&mut self, number: u64) -> Result<Piece, Mismatch> {
        if number != self.gone + 1 || self.sent == 0 {
            return Err(Mismatch);
        }
        let piece = self.pieces.pop_front().ok_or(Mismatch)?;
        self.most = (2 * self.most).min(*GATHERED.end());
        self.gone += 1;
        self.sent -= 1;
        self.confirmed = self.confirmed.saturating_sub(1);
        self.bytes -= piece.batch.len();
        Ok(piece)
    }
}
