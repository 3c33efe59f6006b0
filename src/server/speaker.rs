//! What one client says: its name, its rights, and those of its lines that are not delivered yet.
//!
//! Lines are gathered in one batch and go together: in a room to the room's queue, else to the client's own outbox.
//! Replies bypass the queue while it holds nothing of the client's own. Takes no lock itself but the turn for
//! a long list, and reads no input.

use std::sync::Arc;
use std::time::{Duration, Instant};

use log::{Level, log};

use super::counters::Traffic;
use super::ending::EndReason;
use super::hub::Hub;
use super::lock;
use super::member::Member;
use super::people::{People, Person};
use super::room::{Batch, Kind, Phase, Room};
use crate::limits::{AWAY_PATIENCE, NAME_LOG_MAX, YEAR};
use crate::protocol::{Event, Refusal};

/// `Err` is the reason that ends the session.
pub(super) type Outcome = Result<(), EndReason>;

pub(super) struct Speaker<'h> {
    pub(super) hub: &'h Hub,
    pub(super) member: Arc<Member>,
    pub(super) name: Option<Arc<str>>,
    pub(super) started: Instant,
    /// Everything that was received.
    pub(super) heard: Traffic,
    /// The part of it that is in the server's counters already.
    counted: Traffic,
    /// How many of the lines were what a health check sends: `ping`, `quit` or the right token.
    pub(super) checks: u64,
    batch: Batch,
    /// The number of the last batch that went into the room's queue.
    submitted: u64,
    pub(super) is_deaf: bool,
}

impl<'h> Speaker<'h> {
    pub(super) fn new(hub: &'h Hub, member: Arc<Member>) -> Speaker<'h> {
        Speaker {
            hub,
            member,
            name: None,
            started: Instant::now(),
            heard: Traffic::default(),
            checks: 0,
            counted: Traffic::default(),
            batch: Batch::default(),
            submitted: 0,
            is_deaf: false,
        }
    }

    /// The room, if this client may take part in it.
    fn room(&self) -> Option<&'h Room> {
        self.hub.room.as_ref().filter(|_| self.member.is_authenticated())
    }

    /// Replies to this client.
    #[inline]
    pub(super) fn reply(&mut self, event: Event<'_>) {
        event.write_to(self.own_line());
    }

    /// Tells this client that its command was refused.
    pub(super) fn refuse(&mut self, refusal: Refusal<'_>) {
        refusal.write_to(self.own_line());
    }

    /// The buffer to write a line for this client alone to, with its end.
    #[inline]
    pub(super) fn own_line(&mut self) -> &mut Vec<u8> {
        self.batch.line(Kind::Own, self.member.who())
    }

    /// Says something to everyone in the room.
    #[inline]
    pub(super) fn say(&mut self, event: Event<'_>) {
        event.write_to(self.batch.line(Kind::Everyone, self.member.who()));
    }

    /// Begins an entry of a kind that has a head. Returns the buffer to write its line to, if it has one.
    pub(super) fn enter(&mut self, kind: Kind, head: &[&str]) -> &mut Vec<u8> {
        self.batch.headed(kind, self.member.who(), head)
    }

    /// How many bytes are gathered.
    pub(super) fn gathered(&self) -> usize {
        self.batch.len()
    }

    /// Passes on what is gathered.
    pub(super) fn flush(&mut self) -> Outcome {
        if self.batch.is_empty() {
            return Ok(());
        }
        // It may have ended since its lines were read.
        self.member.end_reason().map_or(Ok(()), Err)?;
        let used = self.batch.len();
        let given = match self.room() {
            None => self.echo(),
            Some(room) => match self.batch.only(Kind::Own) {
                Some((lines, count)) if room.has_delivered(self.submitted) => room.reply(&self.member, lines, count),
                _ => {
                    // After an error the batch is kept for `leave`.
                    self.submitted = room.submit(&self.member, &mut self.batch, false)?;
                    Ok(())
                }
            },
        };
        self.batch.clear(used);
        given
    }

    /// Gives this client its replies, and waits until its socket has taken them.
    fn echo(&self) -> Outcome {
        let Some((lines, count)) = self.batch.only(Kind::Own) else { return Ok(()) };
        let outbox = &self.member.outbox;
        if outbox.push(lines, count) == 0 || outbox.drain(|| self.patience()) { Ok(()) } else { Err(self.too_slow()) }
    }

    /// How long this client's socket may go without taking a byte: no time at all once it has to end.
    fn patience(&self) -> Duration {
        match self.time_to_authenticate() {
            Some(Duration::ZERO) => Duration::ZERO,
            _ if self.member.end_reason().is_some() => Duration::ZERO,
            _ => self.hub.around.stop.patience(self.hub.config.limits.write_timeout),
        }
    }

    /// What is left of the time to send the token; `None` once the client is authenticated.
    pub(super) fn time_to_authenticate(&self) -> Option<Duration> {
        let timeout = self.hub.config.limits.authentication_timeout;
        (!self.member.is_authenticated()).then(|| timeout.saturating_sub(self.started.elapsed()))
    }

    /// Why a client ends whose socket takes nothing more.
    fn too_slow(&self) -> EndReason {
        match self.member.end_reason() {
            Some(reason) => reason,
            None if self.hub.around.stop.has_begun() => EndReason::ShuttingDown,
            None if self.time_to_authenticate() == Some(Duration::ZERO) => EndReason::NotAuthenticated,
            None => {
                self.hub.around.counters.evicted.add(1);
                EndReason::TooSlow
            }
        }
    }

    /// Lets this client in, after it has sent the right token. It hears the room from the first line after the reply
    /// on.
    pub(super) fn authenticate(&mut self) -> Outcome {
        if self.member.is_authenticated() {
            self.reply(Event::Other("authenticated"));
            return Ok(());
        }
        self.flush()?;
        self.member.authenticate();
        match self.room() {
            None => self.reply(Event::Other("authenticated")),
            Some(_) => self.enter(Kind::Hear, &[]).extend_from_slice(b"authenticated\r\n"),
        }
        Ok(())
    }

    /// From now on this client hears only lines for it alone.
    pub(super) fn become_deaf(&mut self) {
        self.is_deaf = true;
        self.enter(Kind::Deaf, &[]).extend_from_slice(b"deaf\r\n");
    }

    /// Waits until everything that this client has said so far has been delivered.
    pub(super) fn settle(&mut self) -> Outcome {
        self.flush()?;
        let Some(room) = self.room() else { return Ok(()) };
        room.wait_until_delivered(self.submitted, &self.member, |_| YEAR)
    }

    /// Replies with a list of names. It can be long, so it is gathered by itself. In a joined room there can be more names
    /// than this server has places; then one client at a time is told, the next when that one has read most of it.
    pub(super) fn list(&mut self, names: impl FnOnce(&People) -> Vec<Arc<str>>) -> Outcome {
        self.flush()?;
        let hub = self.hub;
        let room = self.room().filter(|_| hub.around.people.len() > hub.config.limits.max_clients);
        if room.is_some() {
            self.settle()?;
        }
        let _turn = room.map(|_| lock(&hub.long_list));
        let names = names(&hub.around.people);
        let out = self.own_line();
        out.reserve_exact(names.iter().map(|name| name.len() + 2).sum::<usize>() + 7);
        out.extend_from_slice(b"who: ");
        for (index, name) in names.iter().enumerate() {
            out.extend_from_slice(if index > 0 { b", " } else { b"" });
            out.extend_from_slice(name.as_bytes());
        }
        out.extend_from_slice(b"\r\n");
        if let Some(room) = room {
            self.flush()?;
            room.wait_until_half_empty(&self.member)?;
        }
        Ok(())
    }

    /// Which question an answer of this client is for, in the form that an entry has; `None` if it owes no such answer. On
    /// one server it is found on delivery; other servers have to be told.
    pub(super) fn question(&mut self, asker: &str, id: &str) -> Result<Option<String>, EndReason> {
        if self.hub.config.join.is_none() {
            return Ok(Some(String::new()));
        }
        let (who, label) = (self.member.who(), format!("{id} {asker}"));
        let find = || self.hub.around.questions.find(who, &label).map(|(key, _)| key.to_string());
        let mut found = find();
        if found.is_none() {
            // It may be its own, and on the way.
            self.settle()?;
            found = find();
        }
        Ok(found)
    }

    /// Has the room's lines after a mark repeated, once this client has read most of what waits for it. Until then it
    /// alone waits.
    pub(super) fn repeat_since(&mut self, mark: &str) -> Outcome {
        self.settle()?;
        if let Some(room) = self.room() {
            room.wait_until_half_empty(&self.member)?;
        }
        self.enter(Kind::Since, &[mark]);
        Ok(())
    }

    /// Takes a name, if no other client in the room has it, and announces it.
    pub(super) fn log_in(&mut self, name: &str) -> Outcome {
        if self.room().is_none() {
            self.note_name(name);
            self.reply(Event::Joined(name));
            return Ok(());
        }
        let kind = if self.is_deaf { Kind::LogInDeaf } else { Kind::LogIn };
        self.enter(kind, &[name]);
        // It must be known under which name the next lines are said.
        self.settle()?;
        let called = self.hub.around.people.name_of(self.member.who());
        if let Some(new) = called.as_deref().filter(|_| called != self.name) {
            self.log_name(new);
        }
        self.name = called;
        Ok(())
    }

    /// Before a stop: waits until what this client has said has been delivered.
    pub(super) fn finish(&mut self) {
        let Some(room) = self.room() else { return };
        let time_left = |_| self.hub.around.stop.time_to_talk();
        let _ = self.flush().and_then(|()| room.wait_until_delivered(self.submitted, &self.member, time_left));
    }

    /// Takes a name in echo mode, where several clients may have the same.
    pub(super) fn note_name(&mut self, name: &str) {
        let name = Arc::from(name);
        self.hub.around.people.set(self.member.who(), Person { name: Arc::clone(&name), announced: false, asked: 0 });
        self.log_name(&name);
        self.name = Some(name);
    }

    /// Later names at debug only, since a client can send these as fast as it can write.
    fn log_name(&self, name: &str) {
        let level = if self.name.is_none() { Level::Info } else { Level::Debug };
        log!(level, "client {} ({}) has joined as {}", self.member.id, self.member.peer, for_log(name));
    }

    /// This client's name for the log.
    pub(super) fn name_for_log(&self) -> String {
        self.name.as_deref().map_or_else(|| "no name".to_owned(), for_log)
    }

    /// Adds what has come since the last call to the server's counters. Returns how many lines that is.
    pub(super) fn count(&mut self) -> u64 {
        let new = self.heard.since(std::mem::replace(&mut self.counted, self.heard));
        self.hub.around.counters.add_in(new);
        new.lines
    }

    /// Tells the room that this client has left, after everything that it has said. With `wait`, returns when
    /// that has been delivered, so that the client has all its replies.
    pub(super) fn leave(&mut self, wait: bool) {
        let (hub, who) = (self.hub, self.member.who());
        let Some(room) = &hub.room else {
            hub.around.people.remove(who);
            return;
        };
        self.enter(Kind::Leave, &[]);
        if let Ok(number) = room.submit(&self.member, &mut self.batch, true)
            && wait
        {
            let (began, mut away) = (Instant::now(), None);
            let time_left = |phase| {
                // A loss of the engine has a time of its own, however long the client has waited by then.
                let (since, usually) = if phase == Phase::Away {
                    (*away.get_or_insert_with(Instant::now), AWAY_PATIENCE)
                } else {
                    away = None;
                    (began, hub.config.limits.write_timeout)
                };
                hub.around.stop.patience(usually).saturating_sub(since.elapsed())
            };
            let _ = room.wait_until_delivered(number, &self.member, time_left);
        }
    }
}

/// A name as the log shows it: without control characters, and not longer than it has to be.
fn for_log(name: &str) -> String {
    name.escape_debug().take(NAME_LOG_MAX).collect()
}
