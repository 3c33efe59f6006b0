//! The same room on several servers, through a log in Redis or Valkey.
//!
//! The lines of this server's clients go into the log instead of to its readers ([`Joined::push`]). The entries of the
//! log, in one order for all servers, go to this server's readers ([`Local::deliver`]). Two threads do that: one writes
//! to the log, one follows it. The engine's script decides about names and removes duplicates; every server works out
//! the rest from the log alone. Whatever breaks, nothing is lost or doubled, or else all clients are ended and told
//! that they were cut off.
//!
//! Knows no sessions and no sockets of clients. Its files, each of which imports only those above it:
//!
//! - `resp`: the engine's protocol
//! - `failure`: what can go wrong with the engine, in words that say what to do
//! - `url`: which room to join, and where
//! - `settings`: the numbers, each with its reason
//! - `entry`: the entries of the log, as bytes and as values
//! - `names`: the names of all servers' clients
//! - `engine`, `room.lua`: the calls to the engine, and the script that answers them
//! - `piece`: one entry of the log to be
//! - `called`: the names that the engine has given to this server's clients
//! - `outgoing`: this server's lines that have not come back in the log yet
//! - `delivery`: lines for this server's clients, before they are delivered
//! - `open_questions`: the questions that this server's clients have asked or owe
//! - `replica`: what each entry means for this server's clients
//! - `local`: what a joined room needs of its server
//! - `shared`: the state that all threads share, and how they wait for each other
//! - `clients`: what the sessions of clients do in the room
//! - `says`: the thread that joins the room and writes to the log
//! - `follows`: the thread that reads the log

mod called;
mod clients;
mod delivery;
mod engine;
mod entry;
mod failure;
mod follows;
mod local;
mod names;
mod open_questions;
mod outgoing;
mod piece;
mod replica;
mod resp;
mod says;
mod settings;
mod shared;
#[cfg(test)]
mod tests;
mod url;

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

pub(in crate::server) use clients::Unsaid;
pub(in crate::server) use delivery::Delivery;
pub use failure::JoinError;
pub use url::{Join, JoinPassword, JoinUrl, JoinUrlError};

pub(in crate::server) use entry::{AnswerKind, Item};
pub(in crate::server) use local::Local;
pub(in crate::server) use piece::OwnWords;
use settings::{ENTRY_MARGIN, KEPT_MAX, Settings};
pub(in crate::server) use shared::Phase;
use shared::Shared;

use super::lock;
use crate::limits::STACK_SIZE;

/// The most memory, in bytes, that sharing a room takes, apart from the names of the other servers' clients: the own
/// lines that are kept, and one entry each that is read, sent and delivered.
pub(in crate::server) fn memory(max_line: usize) -> u64 {
    2 * KEPT_MAX as u64 + 4 * max_line.saturating_add(ENTRY_MARGIN) as u64
}

/// This server's part in a shared room.
pub(in crate::server) struct Joined {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Joined {
    /// Begins to join. `max_line` is the longest line of a client.
    pub(in crate::server) fn start(join: Join, max_line: usize, local: Arc<dyn Local>) -> io::Result<Joined> {
        Joined::start_with(join, Settings::default(), max_line, local)
    }

    fn start_with(join: Join, settings: Settings, max_line: usize, local: Arc<dyn Local>) -> io::Result<Joined> {
        let longest = max_line.saturating_add(ENTRY_MARGIN);
        let joined =
            Joined { shared: Arc::new(Shared::new(join, settings, longest, local)), threads: Mutex::default() };
        joined.start_thread("joined-says", says::run)?;
        joined.start_thread("joined-follows", follows::run)?;
        Ok(joined)
    }

    fn start_thread(&self, name: &str, run: fn(&Shared)) -> io::Result<()> {
        let shared = Arc::clone(&self.shared);
        let thread = thread::Builder::new().name(name.to_owned()).stack_size(STACK_SIZE);
        lock(&self.threads).push(thread.spawn(move || run(&shared))?);
        Ok(())
    }

    /// Says something to the room. Waits while too many bytes of this server are under way, except with last words.
    /// `Ok(Some)` is for the client itself, to be delivered at once.
    pub(in crate::server) fn push(
        &self,
        client: u64,
        item: Item<'_>,
        last_words: bool,
        has_ended: &dyn Fn() -> bool,
    ) -> Result<Option<OwnWords>, Unsaid> {
        self.shared.push(client, item, last_words, has_ended)
    }

    /// Says something to the client itself, after what it has said. `Ok(Some)` gives the words back, to be delivered
    /// at once: nothing of the client is under way.
    pub(in crate::server) fn push_own(
        &self,
        words: OwnWords,
        last_words: bool,
        has_ended: &dyn Fn() -> bool,
    ) -> Result<Option<OwnWords>, Unsaid> {
        self.shared.push_own(words, last_words, has_ended)
    }

    /// Takes a name, and waits until that has come back in the log, or another client turns out to have the name.
    pub(in crate::server) fn log_in(
        &self,
        client: u64,
        name: &Arc<str>,
        deaf: bool,
        has_ended: &dyn Fn() -> bool,
    ) -> Result<(), Unsaid> {
        self.shared.log_in(client, name, deaf, has_ended)
    }

    /// Says that a client has left, and waits until that has come back in the log, for `patience` at most, or `away`
    /// while the engine cannot be reached.
    pub(in crate::server) fn leave(&self, client: u64, was_named: bool, patience: Duration, away: Duration) {
        self.shared.leave(client, was_named, patience, away);
    }

    /// Waits until everything that a client has said has come back, for `patience` at most. Returns whether it has.
    pub(in crate::server) fn wait_until_said(&self, client: u64, patience: Duration) -> bool {
        self.shared.wait_until_said(client, patience)
    }

    pub(in crate::server) fn phase(&self) -> Phase {
        self.shared.lock().phase
    }

    /// How many servers share the room.
    pub(in crate::server) fn servers(&self) -> usize {
        self.shared.lock().servers
    }

    /// Appends the names of all servers' clients, sorted, with `, ` between them.
    pub(in crate::server) fn write_names(&self, out: &mut Vec<u8>) {
        self.shared.lock().replica.names().write_to(out);
    }

    /// The names of all servers' clients, sorted.
    pub(in crate::server) fn names(&self) -> Vec<String> {
        self.shared.lock().replica.names().all()
    }

    /// Wakes the sessions that wait, because one of their clients has ended.
    pub(in crate::server) fn wake(&self) {
        self.shared.wake_all();
    }

    /// Leaves the room, for `patience` at most; what is still under way is not waited for.
    pub(in crate::server) fn stop(&self, patience: Duration) {
        let until = Instant::now() + patience;
        self.shared.stop();
        let threads = std::mem::take(&mut *lock(&self.threads));
        for thread in threads {
            // A thread that waits for the engine ends by itself, within the timeouts of its calls.
            while !thread.is_finished() && Instant::now() < until {
                thread::sleep(Duration::from_millis(2));
            }
            if thread.is_finished() {
                let _ = thread.join();
            }
        }
    }
}

impl Drop for Joined {
    fn drop(&mut self) {
        self.stop(Duration::ZERO);
    }
}

impl fmt::Debug for Joined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Joined").field("url", &self.shared.join.url).field("phase", &self.phase()).finish()
    }
}
