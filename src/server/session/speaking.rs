//! What a session says: lines are gathered, and given as one piece to those who are to hear them.

use std::sync::Arc;
use std::time::Duration;

use log::{Level, log};

use super::{Outcome, Session};
use crate::protocol::{Event, NAME_MAX, Refusal};
use crate::server::client_list::{Client, NameTaken};
use crate::server::ending::EndReason;
use crate::server::hub::Counters;
use crate::server::outbox::{DrainError, Sent};
use crate::server::room::Audience;

impl Session<'_> {
    /// Says something to this client.
    #[inline]
    pub(in crate::server) fn reply(&mut self, event: Event<'_>) -> Outcome {
        event.write_to(self.gather_for(false)?);
        Ok(())
    }

    /// Tells this client that something cannot be done.
    pub(in crate::server) fn refuse(&mut self, refusal: Refusal<'_>) -> Outcome {
        refusal.write_to(self.gather_for(false)?);
        Ok(())
    }

    /// Says something to everyone in the room, under this client's name.
    pub(in crate::server) fn say(&mut self, text: &str) -> Outcome {
        let Some(name) = self.name.clone() else { return self.refuse(Refusal::NoName) };
        Event::Message { name: &name, text }.write_to(self.gather_for(true)?);
        Ok(())
    }

    /// Where the next line is written to. Lines for the room and for this client alone do not mix.
    #[inline]
    pub(in crate::server) fn gather_for(&mut self, room: bool) -> Result<&mut Vec<u8>, EndReason> {
        if self.for_room != room {
            self.flush()?;
            self.for_room = room;
        }
        self.gathered_lines += 1;
        Ok(&mut self.gathered)
    }

    /// Gives what is gathered to those it is for.
    pub(in crate::server) fn flush(&mut self) -> Outcome {
        if self.gathered.is_empty() {
            return Ok(());
        }
        let piece = std::mem::take(&mut self.gathered);
        let lines = std::mem::take(&mut self.gathered_lines);
        let audience = if self.for_room { Audience::Everyone } else { Audience::One(&self.client) };
        self.give(audience, &piece, lines)?;
        // Kept for the next batch, unless most of it was not needed.
        if piece.capacity() <= 4 * piece.len().max(128) {
            self.gathered = piece;
            self.gathered.clear();
        }
        Ok(())
    }

    fn give(&self, audience: Audience<'_>, piece: &[u8], lines: u64) -> Outcome {
        let sent = match &self.hub.room {
            Some(room) if self.authenticated => match audience {
                Audience::Everyone => room.say(&self.client, piece, lines)?,
                _ => room.turn(&self.client, audience, piece.len())?.say(audience, piece, lines),
            },
            // Who hears nothing of the room has no part in its order, nor in its pauses.
            _ => return self.echo(piece, lines),
        };
        self.hub.counters.add_sent(sent);
        Ok(())
    }

    fn echo(&self, piece: &[u8], lines: u64) -> Outcome {
        // First of all: who has the reply in hand finds it counted.
        self.hub.counters.add_sent(Sent { lines, bytes: piece.len() as u64 });
        let outbox = &self.client.outbox;
        match outbox.push(piece, lines) {
            Ok(0) => {}
            Ok(_) => outbox.drain(|| self.patience()).map_err(|error| self.cannot_write(error))?,
            Err(_) => return Err(self.cannot_write(DrainError::Broken)),
        }
        Ok(())
    }

    /// How long this client may take nothing at all; none is left to one that has not sent the token in time.
    fn patience(&self) -> Duration {
        match self.time_to_authenticate() {
            Some(Duration::ZERO) => Duration::ZERO,
            _ => self.hub.patience(self.hub.config.limits.write_timeout),
        }
    }

    fn cannot_write(&self, error: DrainError) -> EndReason {
        if let Some(reason) = self.client.end_reason() {
            return reason;
        }
        match error {
            DrainError::Broken => EndReason::NetworkError,
            DrainError::TooSlow if self.hub.is_stopping() => EndReason::ShuttingDown,
            DrainError::TooSlow if self.time_to_authenticate() == Some(Duration::ZERO) => EndReason::NotAuthenticated,
            DrainError::TooSlow => {
                Counters::add(&self.hub.counters.evicted, 1);
                EndReason::TooSlow
            }
        }
    }

    /// Says something to one client and to this one.
    pub(in crate::server) fn say_to(&mut self, receiver: &Arc<Client>, event: Event<'_>) -> Outcome {
        self.flush()?;
        let mut piece = Vec::new();
        event.write_to(&mut piece);
        self.give(Audience::Both(&self.client, receiver), &piece, 1)
    }

    /// Lets this client in, once it has shown the token. What it hears of the room comes behind the answer,
    /// and begins with the first line that is said after it.
    pub(in crate::server) fn authenticate(&mut self) -> Outcome {
        self.flush()?;
        self.authenticated = true;
        let Some(room) = &self.hub.room else { return self.reply(Event::Other("authenticated")) };
        let mut piece = Vec::new();
        Event::Other("authenticated").write_to(&mut piece);
        let audience = Audience::One(&self.client);
        let mut turn = room.turn(&self.client, audience, piece.len())?;
        let sent = turn.say(audience, &piece, 1);
        self.hub.list.let_hear(&self.client);
        drop(turn);
        self.hub.counters.add_sent(sent);
        Ok(())
    }

    /// Takes a name, if nobody in the room has it, and tells those who are to know.
    pub(in crate::server) fn log_in(&mut self, name: Arc<str>) -> Outcome {
        self.flush()?;
        let Some(room) = &self.hub.room else {
            self.note_name(&name);
            return self.reply(Event::Joined(&name));
        };
        let mut turn = room.turn(&self.client, Audience::Everyone, 2 * NAME_MAX * size_of::<char>())?;
        match self.hub.list.rename(&self.client, Arc::clone(&name), true) {
            Err(NameTaken) => {
                drop(turn);
                self.refuse(Refusal::NameTaken(&name))
            }
            Ok(old) => {
                let mut piece = Vec::new();
                match &old {
                    None => Event::Joined(&name).write_to(&mut piece),
                    Some(old) => Event::Renamed { old, new: &name }.write_to(&mut piece),
                }
                let sent = turn.say(Audience::Everyone, &piece, 1);
                drop(turn);
                self.hub.counters.add_sent(sent);
                self.log_name(&name);
                self.name = Some(name);
                Ok(())
            }
        }
    }

    /// Takes a name in echo mode, where two clients may bear the same.
    pub(in crate::server) fn note_name(&mut self, name: &Arc<str>) {
        let _ = self.hub.list.rename(&self.client, Arc::clone(name), false);
        self.log_name(name);
        self.name = Some(Arc::clone(name));
    }

    /// Later names at debug only, since a client can send these as fast as it can write.
    fn log_name(&self, name: &str) {
        let level = if self.name.is_none() { Level::Info } else { Level::Debug };
        log!(level, "client {} ({}) has joined as {}", self.client.id, self.client.peer, name.escape_debug());
    }
}
