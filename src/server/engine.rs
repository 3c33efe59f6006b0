//! The engine between the servers of a joined room: Redis or Valkey, and one connection to it, ready to run the room's
//! script.
//!
//! A call ends when the engine is silent for too long, however long its transfer takes; after an error the connection is
//! dropped by its owner. Knows what the script takes and returns, and nothing of clients or of what the entries mean.
//! Another thread may end a call that waits: it can shut [`Engine::stream`] down.
//!
//! - `resp`: the engine's protocol
//! - `entry`, `welcome`: what the log holds, and what a server that joins is told
//! - `failure`: what can go wrong with the engine, in words that say what to do
//! - `url`: which room to join, and where
//! - `room.lua`: the script, which answers all calls but those that read

mod entry;
mod failure;
mod resp;
mod url;
mod welcome;

use std::io::{self, ErrorKind, Read, Write as _};
use std::sync::Arc;
use std::time::Duration;

pub(super) use entry::{Entry, Position};
pub(super) use failure::Failure;
use resp::{Reader, Value, write_command};
pub use url::{Join, JoinUrl, JoinUrlError};
pub(super) use welcome::Welcome;

use crate::limits::ENTRY_MARGIN;
use crate::threads::in_time;
use crate::token::read_first_line;
use crate::transport::Stream;

const SCRIPT: &str = include_str!("engine/room.lua");
/// Version of the script and of the log's entries. Servers of different versions do not mix in one room.
const VERSION: &str = "2";
/// How long connecting may take, and for how long the engine may take or send no byte. Less than half a lease, so that
/// one lost answer does not cost the membership.
const SILENCE: Duration = Duration::from_secs(2);
/// The slowest link that is waited for, in bytes a second: what was written may still be under way.
const PACE: u32 = 16 * 1024;
/// How long the engine holds back the answer of a read while there is nothing to read.
const BLOCK: Duration = Duration::from_secs(1);
/// How long a server may be unheard before it is taken for dead. The first server of a room decides.
const LEASE: Duration = Duration::from_secs(5);
/// The most bytes in the log that some server has not read yet. The first server of a room decides. 1 MiB brings 0.84 of
/// this throughput, 16 MiB 1.03.
const WINDOW: u64 = 4 << 20;
/// The most entries in one read of the log. Each read has to fit into the engine's memory beside the log.
pub(super) const PORTION: usize = 32;
/// The most that is read of a room's names when a server joins. It protects against a broken engine.
const NAMES_MAX: usize = 1 << 30;
/// The longest answer of the script apart from the names, and more than any other answer that is read.
const ANSWER_MAX: usize = 64 * 1024;

/// The server that calls, the number of its connection, and how far it has read the log.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Caller {
    pub(super) server: u64,
    pub(super) connection: u64,
    pub(super) position: Position,
}

/// The script's answer to an operation of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// Done, or done before, with a number: see [`Engine::tell`].
    Done(u64),
    /// The log is full.
    Full,
    /// This membership is over.
    Gone,
}

#[derive(Debug)]
pub(super) struct Engine {
    /// Another thread shuts it down to end a call.
    pub(super) stream: Arc<Stream>,
    reader: Reader<Half>,
    out: Vec<u8>,
    /// What the engine calls the script, once it has been loaded.
    pub(super) script: Vec<u8>,
    /// The log's and the state's.
    keys: [String; 2],
}

#[derive(Debug)]
struct Half(Arc<Stream>);

impl Read for Half {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match (&*self.0).read(buffer) {
                // As when the process was stopped for a while.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }
}

impl Engine {
    /// `script` is what an earlier connection has learnt; most of what a short connection sends is the script.
    pub(super) fn connect(join: &Join, script: &[u8]) -> Result<Engine, Failure> {
        let JoinUrl { address, user, database, room } = &join.url;
        let stream = Arc::new(Stream::connect(address, SILENCE)?);
        stream.set_write_timeout(Some(SILENCE))?;
        let reader = Reader::new(Half(Arc::clone(&stream)));
        let keys = ["log", "state"].map(|end| format!("localsocket:{{{room}}}:{end}"));
        let mut engine = Engine { stream, reader, out: Vec::new(), script: script.to_vec(), keys };
        let password = join.password_file.clone().map(|file| in_time(SILENCE, move || Ok(read_first_line(&file))));
        let password = password.transpose()?.transpose().map_err(Failure::Refused)?;
        if user.is_some() || password.is_some() {
            let words = [Some("AUTH"), user.as_deref(), Some(password.as_deref().unwrap_or_default())];
            engine.call(&words.into_iter().flatten().map(str::as_bytes).collect::<Vec<_>>())?;
        }
        if *database != 0 {
            engine.call(&[b"SELECT", database.to_string().as_bytes()])?;
        }
        Ok(engine)
    }

    /// How the engine frees memory when it has none left; `None` if this user may not ask.
    pub(super) fn eviction_policy(&mut self) -> Option<String> {
        let info = self.call(&[b"INFO", b"memory"]).ok()?;
        info.text()?.lines().find_map(|line| line.strip_prefix("maxmemory_policy:")).map(str::to_owned)
    }

    /// Joins the room. `longest` is the longest entry that this server may say, `before` its earlier membership, which is
    /// over.
    pub(super) fn join(&mut self, caller: Caller, longest: usize, before: u64) -> Result<Welcome, Failure> {
        let numbers = [LEASE.as_millis() as u64, WINDOW, longest as u64, before].map(|number| number.to_string());
        let words = std::iter::once(VERSION).chain(numbers.iter().map(String::as_str));
        let answer = self.run("join", caller, &words.map(str::as_bytes).collect::<Vec<_>>(), NAMES_MAX)?;
        match answer.text() {
            Some(words) => Err(self.not_welcome(words)),
            None => Welcome::read(answer).ok_or_else(unexpected),
        }
    }

    fn not_welcome(&self, answer: &str) -> Failure {
        let [log, state] = &self.keys;
        Failure::Refused(match answer.split_once(' ').unwrap_or((answer, "")) {
            ("VERSION", version) => format!(
                "the servers in the room use version {} of it, which this one does not know; run the same release \
                 everywhere, or choose another room name",
                version.escape_debug()
            ),
            ("LONGEST", longest) => format!(
                "the servers in the room allow shorter lines (an entry has {longest} bytes at most); give all of them \
                 the same --max-line"
            ),
            ("FOREIGN", _) => format!(
                "the engine's key {log} or {state} holds something that is not a room; choose another room name, or \
                 remove the key if nobody needs it"
            ),
            // This membership has spoken over a later connection; that one is lost too, or it would not be tried.
            ("OLD", _) => return Failure::Lost("an earlier attempt was overtaken".to_owned()),
            _ => return unexpected(),
        })
    }

    /// Says a piece. `effects` are what the engine has to know of it, for a server that joins later.
    pub(super) fn say(
        &mut self,
        caller: Caller,
        number: u64,
        data: &[u8],
        effects: &[String],
    ) -> Result<Answer, Failure> {
        let number = number.to_string();
        let piece = [number.as_bytes(), data].into_iter();
        self.tell("say", caller, &piece.chain(effects.iter().map(String::as_bytes)).collect::<Vec<_>>())
    }

    /// One of `beat` (this server is alive; done with the number of servers), `back` (a membership is taken up again; done
    /// with the number of the last piece that was said), `leave`, and `say`, which takes more.
    pub(super) fn tell(&mut self, what: &str, caller: Caller, more: &[&[u8]]) -> Result<Answer, Failure> {
        match self.run(what, caller, more, ANSWER_MAX)?.text().ok_or_else(unexpected)? {
            "FULL" => Ok(Answer::Full),
            // A piece that does not follow those that the engine knows: it has lost some that were confirmed.
            "GONE" | "SKIP" => Ok(Answer::Gone),
            "OLD" => Err(Failure::Lost("a later connection took over".to_owned())),
            answer => {
                let words = answer.strip_prefix("OK ").ok_or_else(unexpected)?;
                Ok(Answer::Done(words.split(' ').next_back().and_then(|last| last.parse().ok()).unwrap_or_default()))
            }
        }
    }

    /// Runs the script, which the engine may not have yet, or not any more.
    fn run(&mut self, what: &str, caller: Caller, more: &[&[u8]], budget: usize) -> Result<Value, Failure> {
        let Caller { server, connection, position } = caller;
        let words = [what.to_owned(), server.to_string(), connection.to_string(), position.to_string()];
        let mut is_loaded = false;
        loop {
            let mut arguments: Vec<&[u8]> = vec![b"EVALSHA", &self.script, b"2"];
            arguments.extend(self.keys.iter().chain(&words).map(String::as_bytes).chain(more.iter().copied()));
            write_command(&mut self.out, &arguments);
            match self.exchange(budget)? {
                Value::Error(words) if words.starts_with("NOSCRIPT") && !is_loaded => {}
                Value::Error(words) if words.contains("WRONGTYPE") => return Err(self.not_welcome("FOREIGN")),
                Value::Error(words) => return Err(Failure::from_reply(&words)),
                value => return Ok(value),
            }
            match self.call(&[b"SCRIPT", b"LOAD", SCRIPT.as_bytes()])? {
                Value::Bytes(digest) => (self.script, is_loaded) = (digest, true),
                _ => return Err(unexpected()),
            }
        }
    }

    fn call(&mut self, arguments: &[&[u8]]) -> Result<Value, Failure> {
        write_command(&mut self.out, arguments);
        match self.exchange(ANSWER_MAX)? {
            Value::Error(words) => Err(Failure::from_reply(&words)),
            value => Ok(value),
        }
    }

    /// Sends what is in `out`, and reads one reply.
    fn exchange(&mut self, budget: usize) -> Result<Value, Failure> {
        let under_way = Duration::from_secs(self.out.len() as u64) / PACE;
        self.send(SILENCE + under_way)?;
        Ok(self.reader.value(budget)?)
    }

    /// Sends what is in `out`. The engine may be silent for `patience` before its reply.
    fn send(&mut self, patience: Duration) -> io::Result<()> {
        self.stream.set_read_timeout(Some(patience))?;
        (&*self.stream).write_all(&self.out)?;
        self.out.clear();
        // The space for one long line is not kept for ever.
        self.out.shrink_to(2 * ENTRY_MARGIN);
        Ok(())
    }

    /// Asks for `count` entries after `position` at most; `waits` if there is none. Returns how many come, to be taken
    /// [one by one](Engine::entry).
    pub(super) fn read_log(&mut self, position: Position, count: usize, waits: bool) -> Result<usize, Failure> {
        let numbers = [count.to_string(), BLOCK.as_millis().to_string(), position.to_string()];
        let [count, block, after] = numbers.each_ref().map(String::as_bytes);
        let log = self.keys[0].as_bytes();
        let mut arguments: Vec<&[u8]> = vec![b"XREAD", b"COUNT", count, b"BLOCK", block, b"STREAMS", log, after];
        if !waits {
            arguments.drain(3..5);
        }
        write_command(&mut self.out, &arguments);
        self.send(BLOCK + SILENCE)?;
        // A map of one key to its entries.
        match self.reader.array()? {
            Ok(1) => {}
            Err(Value::Nil) => return Ok(0),
            Err(Value::Error(words)) => return Err(Failure::from_reply(&words)),
            _ => return Err(unexpected()),
        }
        if self.reader.array()? != Ok(2) {
            return Err(unexpected());
        }
        self.reader.value(ANSWER_MAX)?;
        self.reader.array()?.map_err(|_| unexpected())
    }

    /// The next entry; `None` if it cannot be read, or does not directly follow the one at `before`.
    pub(super) fn entry(&mut self, before: Position, longest: usize) -> Result<Option<(Position, Entry)>, Failure> {
        match self.reader.value(longest.saturating_add(ANSWER_MAX)) {
            Ok(value) => Ok(entry::read(value, before)),
            Err(error) if matches!(error.kind(), ErrorKind::InvalidData | ErrorKind::FileTooLarge) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

fn unexpected() -> Failure {
    Failure::Lost("an answer is not what the room's script returns".to_owned())
}
