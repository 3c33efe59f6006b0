//! One connection to the engine, ready to run the room's script: connects, authenticates, selects, loads.
//!
//! Every call has a deadline; after an error the connection is dropped by its owner. Knows what the script takes and
//! returns, and nothing of clients or of what the entries mean. Another thread may end a call that waits: with
//! [`Engine::stream`] it can shut the connection down.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read, Write as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::entry::Position;
use super::failure::JoinError;
use super::names::Holder;
use super::resp::{Reader, Value, write_command};
use super::settings::{ENTRY_MARGIN, NAMES_MAX, READ_COUNT, Settings, VERSION};
use super::url::Join;
use crate::transport::Stream;

const SCRIPT: &str = include_str!("room.lua");
/// The longest answer of the script apart from the names, and more than any other answer that is read.
const ANSWER_MAX: usize = 64 * 1024;

#[derive(Debug)]
pub(super) struct Engine {
    stream: Arc<Stream>,
    reader: Reader<Half>,
    out: Vec<u8>,
    script: Vec<u8>,
    log: Vec<u8>,
    state: Vec<u8>,
    answer: Duration,
}

#[derive(Debug)]
struct Half(Arc<Stream>);

impl Read for Half {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&*self.0).read(buffer)
    }
}

/// The server that calls, the number of its connection, and how far it has read the log.
#[derive(Debug, Clone, Copy)]
pub(super) struct Speaker<'a> {
    pub(super) server: &'a str,
    pub(super) connection: u64,
    pub(super) position: Position,
}

/// What a server proposes when it joins.
#[derive(Debug, Clone, Copy)]
pub(super) struct Proposal<'a> {
    pub(super) lease: Duration,
    pub(super) window: u64,
    /// The longest entry that this server may say.
    pub(super) longest: usize,
    /// The server's earlier membership, which is over.
    pub(super) before: &'a str,
}

/// The room as it was when this server joined.
#[derive(Debug)]
pub(super) struct Welcome {
    pub(super) head: Position,
    pub(super) lease: Duration,
    pub(super) window: u64,
    pub(super) longest: usize,
    pub(super) servers: usize,
    pub(super) names: BTreeMap<Arc<str>, Holder>,
}

/// The script's answer to an operation of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// Done, or done before. The numbers are those of the operation.
    Done(u64, u64),
    /// The log is full.
    Full,
    /// The name belongs to another client.
    Taken,
    /// This membership is over.
    Gone,
    /// A later connection of the same membership has spoken.
    Old,
}

impl Engine {
    pub(super) fn connect(join: &Join, settings: &Settings) -> Result<Engine, JoinError> {
        let stream = Stream::connect(&join.url.address, settings.answer).map_err(JoinError::Unreachable)?;
        stream.set_write_timeout(Some(settings.answer))?;
        stream.set_read_timeout(Some(settings.answer))?;
        let stream = Arc::new(stream);
        let key = |end: &str| format!("localsocket:{{{}}}:{end}", join.url.room).into_bytes();
        let mut engine = Engine {
            reader: Reader::new(Half(Arc::clone(&stream))),
            stream,
            out: Vec::new(),
            script: Vec::new(),
            log: key("log"),
            state: key("state"),
            answer: settings.answer,
        };
        let password = join.password.as_ref().map(|password| password.0.as_bytes());
        match (&join.url.user, password) {
            (Some(user), Some(password)) => engine.call(&[b"AUTH", user.as_bytes(), password])?,
            (None, Some(password)) => engine.call(&[b"AUTH", password])?,
            (Some(user), None) => engine.call(&[b"AUTH", user.as_bytes(), b""])?,
            (None, None) => Value::Nil,
        };
        if join.url.database != 0 {
            engine.call(&[b"SELECT", join.url.database.to_string().as_bytes()])?;
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

    pub(super) fn join(&mut self, speaker: Speaker<'_>, proposal: Proposal<'_>) -> Result<Welcome, JoinError> {
        let lease = proposal.lease.as_millis().to_string();
        let (window, longest) = (proposal.window.to_string(), proposal.longest.to_string());
        let more = [VERSION, &lease, &window, &longest, proposal.before].map(str::as_bytes);
        match self.run("join", speaker, &more, NAMES_MAX) {
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

    /// Says a batch of items.
    pub(super) fn say(&mut self, speaker: Speaker<'_>, number: u64, items: &[u8]) -> Result<Answer, JoinError> {
        self.operate("say", speaker, &[number.to_string().as_bytes(), b"s", items])
    }

    /// Says that a client has joined, was renamed or has left.
    pub(super) fn name(
        &mut self,
        speaker: Speaker<'_>,
        number: u64,
        (client, deaf): (u64, bool),
        old: &str,
        new: &str,
    ) -> Result<Answer, JoinError> {
        let (number, client, deaf) = (number.to_string(), client.to_string(), if deaf { "1" } else { "0" });
        self.operate("name", speaker, &[&number, &client, deaf, old, new].map(str::as_bytes))
    }

    /// Says that this server is alive. Done with the fill of the log and the number of servers.
    pub(super) fn beat(&mut self, speaker: Speaker<'_>) -> Result<Answer, JoinError> {
        self.operate("beat", speaker, &[])
    }

    /// Takes a membership up again. Done with the number of the last piece that was said.
    pub(super) fn back(&mut self, speaker: Speaker<'_>) -> Result<Answer, JoinError> {
        self.operate("back", speaker, &[])
    }

    pub(super) fn leave(&mut self, speaker: Speaker<'_>) -> Result<Answer, JoinError> {
        self.operate("leave", speaker, &[])
    }

    fn operate(&mut self, operation: &str, speaker: Speaker<'_>, more: &[&[u8]]) -> Result<Answer, JoinError> {
        let Value::Bytes(answer) = self.run(operation, speaker, more, ANSWER_MAX)? else { return Err(unexpected()) };
        let answer = std::str::from_utf8(&answer).map_err(|_| unexpected())?;
        match answer {
            "FULL" => Ok(Answer::Full),
            "TAKEN" => Ok(Answer::Taken),
            // A piece that does not follow those that the engine knows: it has lost some that were confirmed.
            "GONE" | "SKIP" => Ok(Answer::Gone),
            "OLD" => Ok(Answer::Old),
            _ => {
                let mut numbers = answer.strip_prefix("OK ").ok_or_else(unexpected)?.split(' ').map(str::parse::<u64>);
                let mut next = || numbers.next().and_then(Result::ok).unwrap_or_default();
                Ok(Answer::Done(next(), next()))
            }
        }
    }

    fn run(&mut self, what: &str, speaker: Speaker<'_>, more: &[&[u8]], budget: usize) -> Result<Value, JoinError> {
        if self.script.is_empty() {
            self.load()?;
        }
        let mut loaded_again = false;
        loop {
            let (connection, position) = (speaker.connection.to_string(), speaker.position.to_string());
            let fixed: [&[u8]; 9] = [
                b"EVALSHA",
                &self.script,
                b"2",
                &self.log,
                &self.state,
                what.as_bytes(),
                speaker.server.as_bytes(),
                connection.as_bytes(),
                position.as_bytes(),
            ];
            let arguments: Vec<&[u8]> = fixed.iter().chain(more).copied().collect();
            write_command(&mut self.out, &arguments);
            match self.exchange(budget) {
                // All scripts were removed from the engine.
                Err(JoinError::Unavailable(words)) if words.starts_with("NOSCRIPT") && !loaded_again => {
                    loaded_again = true;
                    self.load()?;
                }
                result => return result,
            }
        }
    }

    fn load(&mut self) -> Result<(), JoinError> {
        match self.call(&[b"SCRIPT", b"LOAD", SCRIPT.as_bytes()])? {
            Value::Bytes(digest) if !digest.is_empty() => self.script = digest,
            _ => return Err(unexpected()),
        }
        Ok(())
    }

    fn call(&mut self, arguments: &[&[u8]]) -> Result<Value, JoinError> {
        write_command(&mut self.out, arguments);
        self.exchange(ANSWER_MAX)
    }

    /// Sends what is in `out`, and reads one reply.
    fn exchange(&mut self, budget: usize) -> Result<Value, JoinError> {
        let deadline = Instant::now() + self.answer;
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

    /// Prepares the connection for [`Engine::read_log`].
    pub(super) fn start_reading(&mut self, block: Duration) -> Result<(), JoinError> {
        Ok(self.stream.set_read_timeout(Some(block + self.answer))?)
    }

    /// Reads entries after `position`, waits up to `block` if there is none, and gives each to `take`: position,
    /// header, data. Ends early when that returns false; the connection cannot be used after that.
    pub(super) fn read_log(
        &mut self,
        position: Position,
        block: Duration,
        longest: usize,
        mut take: impl FnMut(Position, &[u8], &[u8]) -> bool,
    ) -> Result<(), JoinError> {
        let (position, milliseconds) = (position.to_string(), block.as_millis().max(1).to_string());
        let words = ["XREAD", "COUNT", READ_COUNT, "BLOCK", &milliseconds, "STREAMS"].map(str::as_bytes);
        let arguments: Vec<&[u8]> = words.into_iter().chain([&*self.log, position.as_bytes()]).collect();
        write_command(&mut self.out, &arguments);
        self.send(Instant::now() + self.answer)?;
        self.reader.set_deadline(Instant::now() + block + self.answer);
        match self.reader.array()? {
            // A map of one key to its entries.
            Ok(1) => {}
            Ok(_) => return Err(unexpected()),
            Err(Value::Nil) => return Ok(()),
            Err(Value::Error(words)) => return Err(JoinError::from_reply(&words)),
            Err(_) => return Err(unexpected()),
        }
        if self.reader.array()? != Ok(2) {
            return Err(unexpected());
        }
        self.reader.value(ANSWER_MAX)?;
        let Ok(entries) = self.reader.array()? else { return Err(unexpected()) };
        for _ in 0..entries {
            // Giving the entry before to slow readers may have taken long.
            self.reader.set_deadline(Instant::now() + self.answer);
            let entry = self.reader.value(longest.saturating_add(ANSWER_MAX))?;
            let Value::Array(parts) = &entry else { return Err(unexpected()) };
            let [Value::Bytes(id), Value::Array(fields)] = &parts[..] else { return Err(unexpected()) };
            let [Value::Bytes(h), Value::Bytes(header), Value::Bytes(d), Value::Bytes(data)] = &fields[..] else {
                return Err(unexpected());
            };
            let position = std::str::from_utf8(id).ok().and_then(|id| id.parse().ok()).ok_or_else(unexpected)?;
            if h != b"h" || d != b"d" {
                return Err(unexpected());
            }
            if !take(position, header, data) {
                return Ok(());
            }
        }
        Ok(())
    }
}

fn unexpected() -> JoinError {
    JoinError::Lost("an answer is not what the room's script returns".to_owned())
}

fn welcome(values: Vec<Value>) -> Option<Welcome> {
    let [head, lease, window, longest, Value::Array(state)] = <[Value; 5]>::try_from(values).ok()? else { return None };
    let (mut names, mut servers) = (BTreeMap::new(), 0);
    for pair in state.chunks_exact(2) {
        let (field, value) = (text(&pair[0])?, text(&pair[1])?);
        if let Some(name) = field.strip_prefix("n:") {
            names.insert(Arc::from(name), value.parse().ok()?);
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
