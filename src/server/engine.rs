//! The engine between the servers of a joined room: Redis or Valkey, and one connection to it, ready to run the room's
//! script.
//!
//! Every call has a deadline; after an error the connection is dropped by its owner. Knows what the script takes and
//! returns, and nothing of clients or of what the entries mean. Another thread may end a call that waits: with
//! [`Engine::stream`] it can shut the connection down.
//!
//! - `resp`: the engine's protocol
//! - `failure`: what can go wrong with the engine, in words that say what to do
//! - `url`: which room to join, and where
//! - `room.lua`: the script, which answers all calls but those that read

mod failure;
mod resp;
mod url;

use std::fmt;
use std::io::{self, ErrorKind, Read, Write as _};
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use failure::JoinError;
use resp::{Reader, Value, write_command};
pub use url::{Join, JoinPassword, JoinUrl, JoinUrlError};

use crate::transport::Stream;

const SCRIPT: &str = include_str!("engine/room.lua");
/// Version of the script and of the log's entries. Servers of different versions do not mix in one room.
const VERSION: &str = "2";
/// What an entry costs besides its data; `room.lua` has the same number.
const ENTRY_COST: u64 = 128;
/// How much longer than `--max-line` an entry may be. It holds a gathered batch, or one item with the longest line and
/// its names and lengths.
pub(super) const ENTRY_MARGIN: usize = 64 * 1024;
/// How long connecting, sending a command or an answer may take. Less than half a lease, so that one lost answer does not
/// cost the membership.
const ANSWER: Duration = Duration::from_secs(2);
/// How long the engine holds back the answer of a read while there is nothing to read.
const BLOCK: Duration = Duration::from_secs(1);
/// How long a server may be unheard before it is taken for dead. The first server of a room decides.
const LEASE: Duration = Duration::from_secs(5);
/// The most bytes in the log that some server has not read yet. The first server of a room decides. 1 MiB brings 0.84 of
/// this throughput, 16 MiB 1.03.
const WINDOW: u64 = 4 << 20;
/// Entries in one read of the log. Each read has to fit into the engine's memory beside the log.
const READ_COUNT: &str = "32";
/// The most that is read of a room's names when a server joins. It protects against a broken engine.
const NAMES_MAX: usize = 1 << 30;
/// The longest answer of the script apart from the names, and more than any other answer that is read.
const ANSWER_MAX: usize = 64 * 1024;

/// A place in the log. `end` counts all bytes up to and with this entry, so a gap between two entries shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Position {
    milliseconds: u64,
    pub(super) end: u64,
}

impl Position {
    /// Whether an entry with this much data directly follows `before`.
    fn follows(self, before: Position, data: usize) -> bool {
        before.end.checked_add(data as u64 + ENTRY_COST) == Some(self.end) && self.milliseconds >= before.milliseconds
    }
}

impl FromStr for Position {
    type Err = ();

    fn from_str(text: &str) -> Result<Position, ()> {
        let (milliseconds, end) = text.split_once('-').ok_or(())?;
        let number = |text: &str| text.parse().map_err(|_| ());
        Ok(Position { milliseconds: number(milliseconds)?, end: number(end)? })
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.milliseconds, self.end)
    }
}

/// The server that calls, the number of its connection, and how far it has read the log.
#[derive(Debug, Clone, Copy)]
pub(super) struct Caller {
    pub(super) server: u64,
    pub(super) connection: u64,
    pub(super) position: Position,
}

/// The room as it was when this server joined.
#[derive(Debug)]
pub(super) struct Welcome {
    pub(super) head: Position,
    pub(super) lease: Duration,
    pub(super) window: u64,
    pub(super) longest: usize,
    pub(super) servers: usize,
    /// Every named client: its name, its server, its number there, and whether it is announced.
    pub(super) names: Vec<(String, u64, u64, bool)>,
}

/// The script's answer to an operation of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// Done, or done before. The numbers are those of the operation.
    Done(u64, u64),
    /// The log is full.
    Full,
    /// This membership is over.
    Gone,
    /// A later connection of the same membership has spoken.
    Old,
}

/// An entry of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entry<'a> {
    /// A server says a piece.
    Said { server: u64, number: u64, data: &'a [u8] },
    /// A server is gone, with all its clients.
    Gone { server: u64 },
}

#[derive(Debug)]
pub(super) struct Engine {
    stream: Arc<Stream>,
    reader: Reader<Half>,
    out: Vec<u8>,
    script: Vec<u8>,
    log: Vec<u8>,
    state: Vec<u8>,
}

#[derive(Debug)]
struct Half(Arc<Stream>);

impl Read for Half {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&*self.0).read(buffer)
    }
}

impl Engine {
    pub(super) fn connect(join: &Join) -> Result<Engine, JoinError> {
        let stream = Stream::connect(&join.url.address, ANSWER).map_err(JoinError::Unreachable)?;
        stream.set_write_timeout(Some(ANSWER))?;
        stream.set_read_timeout(Some(ANSWER + BLOCK))?;
        let stream = Arc::new(stream);
        let key = |end: &str| format!("localsocket:{{{}}}:{end}", join.url.room).into_bytes();
        let reader = Reader::new(Half(Arc::clone(&stream)));
        let mut engine =
            Engine { reader, stream, out: Vec::new(), script: Vec::new(), log: key("log"), state: key("state") };
        let user = join.url.user.as_deref().map(str::as_bytes);
        let password = join.password.as_ref().map(|password| password.0.as_bytes());
        match (user, password) {
            (Some(user), _) => engine.call(&[b"AUTH", user, password.unwrap_or_default()])?,
            (None, Some(password)) => engine.call(&[b"AUTH", password])?,
            (None, None) => Value::Nil,
        };
        if join.url.database != 0 {
            engine.call(&[b"SELECT", join.url.database.to_string().as_bytes()])?;
        }
        match engine.call(&[b"SCRIPT", b"LOAD", SCRIPT.as_bytes()])? {
            Value::Bytes(digest) if !digest.is_empty() => engine.script = digest,
            _ => return Err(unexpected()),
        }
        Ok(engine)
    }

    /// The stream, which another thread shuts down to end a call.
    pub(super) fn stream(&self) -> &Arc<Stream> {
        &self.stream
    }

    /// How the engine frees memory when it has none left; `None` if this user may not ask.
    pub(super) fn eviction_policy(&mut self) -> Result<Option<String>, JoinError> {
        match self.call(&[b"INFO", b"memory"]) {
            Ok(Value::Bytes(info)) => {
                let info = String::from_utf8_lossy(&info);
                Ok(info.lines().find_map(|line| line.strip_prefix("maxmemory_policy:")).map(str::to_owned))
            }
            Err(error @ (JoinError::Lost(_) | JoinError::NotAnEngine(_))) => Err(error),
            _ => Ok(None),
        }
    }

    /// Joins the room. `longest` is the longest entry that this server may say, `before` its earlier membership, which is
    /// over.
    pub(super) fn join(&mut self, caller: Caller, longest: usize, before: u64) -> Result<Welcome, JoinError> {
        let numbers = [LEASE.as_millis() as u64, WINDOW, longest as u64, before].map(|number| number.to_string());
        let more: Vec<&[u8]> =
            std::iter::once(VERSION).chain(numbers.iter().map(|n| &**n)).map(str::as_bytes).collect();
        match self.run("join", caller, &more, NAMES_MAX) {
            Ok(Value::Array(values)) => welcome(values).ok_or_else(unexpected),
            Ok(Value::Bytes(answer)) => Err(self.not_welcome(&String::from_utf8_lossy(&answer))),
            Ok(_) => Err(unexpected()),
            Err(JoinError::ForeignKey(_)) => Err(self.foreign()),
            Err(error) => Err(error),
        }
    }

    fn not_welcome(&self, answer: &str) -> JoinError {
        match answer.split_once(' ') {
            Some(("VERSION", version)) => JoinError::OtherVersion(version.escape_debug().to_string()),
            Some(("LONGEST", longest)) => JoinError::ShorterLines(longest.parse().unwrap_or_default()),
            None if answer == "FOREIGN" => self.foreign(),
            // This membership has spoken over a later connection; that one is lost too, or it would not be tried.
            None if answer == "OLD" => JoinError::Lost("an earlier attempt was overtaken".to_owned()),
            _ => unexpected(),
        }
    }

    fn foreign(&self) -> JoinError {
        let key = |key: &[u8]| String::from_utf8_lossy(key).into_owned();
        JoinError::ForeignKey(format!("{} or {}", key(&self.log), key(&self.state)))
    }

    /// Says a piece. `names` are those that its clients take: kind, client and name of each.
    pub(super) fn say(
        &mut self,
        caller: Caller,
        number: u64,
        data: &[u8],
        names: &[String],
    ) -> Result<Answer, JoinError> {
        let number = number.to_string();
        let more: Vec<&[u8]> =
            [number.as_bytes(), data].into_iter().chain(names.iter().map(|n| n.as_bytes())).collect();
        self.operate("say", caller, &more)
    }

    /// One of `beat` (this server is alive; done with the fill of the log and the number of servers), `back` (a membership
    /// is taken up again; done with the number of the last piece that was said) and `leave`.
    pub(super) fn tell(&mut self, what: &str, caller: Caller) -> Result<Answer, JoinError> {
        self.operate(what, caller, &[])
    }

    fn operate(&mut self, operation: &str, caller: Caller, more: &[&[u8]]) -> Result<Answer, JoinError> {
        let Value::Bytes(answer) = self.run(operation, caller, more, ANSWER_MAX)? else { return Err(unexpected()) };
        match str::from_utf8(&answer).map_err(|_| unexpected())? {
            "FULL" => Ok(Answer::Full),
            // A piece that does not follow those that the engine knows: it has lost some that were confirmed.
            "GONE" | "SKIP" => Ok(Answer::Gone),
            "OLD" => Ok(Answer::Old),
            answer => {
                let mut numbers = answer.strip_prefix("OK ").ok_or_else(unexpected)?.split(' ').map(str::parse::<u64>);
                let mut next = || numbers.next().and_then(Result::ok).unwrap_or_default();
                Ok(Answer::Done(next(), next()))
            }
        }
    }

    fn run(&mut self, what: &str, caller: Caller, more: &[&[u8]], budget: usize) -> Result<Value, JoinError> {
        let (server, connection) = (caller.server.to_string(), caller.connection.to_string());
        let position = caller.position.to_string();
        let fixed: [&[u8]; 9] = [
            b"EVALSHA",
            &self.script,
            b"2",
            &self.log,
            &self.state,
            what.as_bytes(),
            server.as_bytes(),
            connection.as_bytes(),
            position.as_bytes(),
        ];
        let arguments: Vec<&[u8]> = fixed.iter().chain(more).copied().collect();
        write_command(&mut self.out, &arguments);
        self.exchange(budget)
    }

    fn call(&mut self, arguments: &[&[u8]]) -> Result<Value, JoinError> {
        write_command(&mut self.out, arguments);
        self.exchange(ANSWER_MAX)
    }

    /// Sends what is in `out`, and reads one reply.
    fn exchange(&mut self, budget: usize) -> Result<Value, JoinError> {
        let deadline = Instant::now() + ANSWER;
        self.send(deadline)?;
        self.reader.set_deadline(deadline);
        match self.reader.value(budget)? {
            Value::Error(words) => Err(JoinError::from_reply(&words)),
            value => Ok(value),
        }
    }

    fn send(&mut self, deadline: Instant) -> Result<(), JoinError> {
        let mut out = &self.out[..];
        while !out.is_empty() {
            if Instant::now() >= deadline {
                return Err(io::Error::from(ErrorKind::TimedOut).into());
            }
            match (&*self.stream).write(out) {
                Ok(count) => out = &out[count..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.out.clear();
        // The space for one long line is not kept for ever.
        self.out.shrink_to(2 * ENTRY_MARGIN);
        Ok(())
    }

    /// Reads entries after `position`, waits a moment if there is none, and gives each to `take`. Ends early when that
    /// returns an error; the connection cannot be used after that. An entry that does not directly follow the one before
    /// it, or that no server writes, is `None`.
    pub(super) fn read_log<E: From<JoinError> + From<io::Error>>(
        &mut self,
        mut before: Position,
        longest: usize,
        mut take: impl FnMut(Position, Option<Entry<'_>>) -> Result<(), E>,
    ) -> Result<(), E> {
        let (position, milliseconds) = (before.to_string(), BLOCK.as_millis().to_string());
        let words = ["XREAD", "COUNT", READ_COUNT, "BLOCK", &milliseconds, "STREAMS"].map(str::as_bytes);
        let arguments: Vec<&[u8]> = words.into_iter().chain([&*self.log, position.as_bytes()]).collect();
        write_command(&mut self.out, &arguments);
        self.send(Instant::now() + ANSWER)?;
        self.reader.set_deadline(Instant::now() + BLOCK + ANSWER);
        // A map of one key to its entries.
        match self.reader.array()? {
            Ok(1) => {}
            Err(Value::Nil) => return Ok(()),
            Err(Value::Error(words)) => return Err(JoinError::from_reply(&words).into()),
            _ => return Err(unexpected().into()),
        }
        if self.reader.array()? != Ok(2) {
            return Err(unexpected().into());
        }
        self.reader.value(ANSWER_MAX)?;
        let Ok(entries) = self.reader.array()? else { return Err(unexpected().into()) };
        for _ in 0..entries {
            // Giving the entry before to slow readers may have taken long.
            self.reader.set_deadline(Instant::now() + ANSWER);
            let value = self.reader.value(longest.saturating_add(ANSWER_MAX))?;
            let (position, header, data) = parts(&value).ok_or_else(unexpected)?;
            let entry = entry(header, data).filter(|_| position.follows(before, data.len()));
            take(position, entry)?;
            before = position;
        }
        Ok(())
    }
}

/// The position, the header and the data of an entry.
fn parts(entry: &Value) -> Option<(Position, &str, &[u8])> {
    let Value::Array(parts) = entry else { return None };
    let [id, Value::Array(fields)] = &parts[..] else { return None };
    let [h, header, d, Value::Bytes(data)] = &fields[..] else { return None };
    let is_ours = (text(h)?, text(d)?) == ("h", "d");
    if is_ours { Some((text(id)?.parse().ok()?, text(header)?, data)) } else { None }
}

fn entry<'a>(header: &str, data: &'a [u8]) -> Option<Entry<'a>> {
    let words: Vec<&str> = header.split(' ').collect();
    match words[..] {
        ["s", server, number] => Some(Entry::Said { server: server.parse().ok()?, number: number.parse().ok()?, data }),
        ["g", server, _] => Some(Entry::Gone { server: server.parse().ok()? }),
        _ => None,
    }
}

fn unexpected() -> JoinError {
    JoinError::Lost("an answer is not what the room's script returns".to_owned())
}

fn welcome(values: Vec<Value>) -> Option<Welcome> {
    let [head, lease, window, longest, Value::Array(state)] = <[Value; 5]>::try_from(values).ok()? else { return None };
    let (mut names, mut servers) = (Vec::new(), 0);
    for pair in state.chunks_exact(2) {
        let (field, value) = (text(&pair[0])?, text(&pair[1])?);
        if let Some(name) = field.strip_prefix("n:") {
            let words: Vec<&str> = value.split(' ').collect();
            let [server, client, announced] = words[..] else { return None };
            names.push((name.to_owned(), server.parse().ok()?, client.parse().ok()?, announced == "1"));
        } else if field == "servers" {
            servers = value.split_whitespace().count();
        }
    }
    Some(Welcome {
        head: text(&head)?.parse().ok()?,
        lease: Duration::from_millis(text(&lease)?.parse().ok()?),
        window: text(&window)?.parse().ok()?,
        longest: text(&longest)?.parse().ok()?,
        servers,
        names,
    })
}

fn text(value: &Value) -> Option<&str> {
    match value {
        Value::Bytes(bytes) => std::str::from_utf8(bytes).ok(),
        _ => None,
    }
}
