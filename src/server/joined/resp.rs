//! The engine's protocol, RESP2: writes commands, reads replies. Knows no room and no script.
//!
//! Whatever arrives, a reader holds no more than the budget it is given and one buffer, goes no deeper than [`DEPTH`],
//! and gives up when its deadline has passed, even if bytes keep trickling in. After an error the connection cannot be
//! used any more, since it is unknown where the next reply begins.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write as _};
use std::time::Instant;

/// How deep replies may be nested: entries of a stream are five deep.
const DEPTH: usize = 6;
/// The longest line: a length, a status or an error message.
const LINE_MAX: usize = 4096;
const BUFFER: usize = 64 * 1024;
/// What an element takes from the budget besides its bytes.
const ELEMENT: usize = size_of::<Value>();

/// Appends a command to `out`.
pub(super) fn write_command(out: &mut Vec<u8>, arguments: &[&[u8]]) {
    // Writing into a Vec cannot fail.
    let _ = write!(out, "*{}\r\n", arguments.len());
    for argument in arguments {
        let _ = write!(out, "${}\r\n", argument.len());
        out.extend_from_slice(argument);
        out.extend_from_slice(b"\r\n");
    }
}

/// A reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Nil,
    Status(String),
    Error(String),
    Integer(i64),
    Bytes(Vec<u8>),
    Array(Vec<Value>),
}

/// No reply could be read.
#[derive(Debug)]
pub(super) enum RespError {
    /// The connection ended, possibly within a reply.
    Closed,
    TimedOut,
    Broken(io::Error),
    /// The bytes are not RESP2; the start of them.
    Garbage(String),
    /// A reply is longer than its budget.
    TooLong,
}

impl fmt::Display for RespError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RespError::Closed => f.write_str("it closed the connection"),
            RespError::TimedOut => f.write_str("no answer in time"),
            RespError::Broken(error) => error.fmt(f),
            RespError::Garbage(start) => write!(f, "it does not speak the Redis protocol, but sent \"{start}\""),
            RespError::TooLong => f.write_str("a reply is longer than any that this server expects"),
        }
    }
}

impl From<io::Error> for RespError {
    fn from(error: io::Error) -> RespError {
        match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => RespError::TimedOut,
            _ => RespError::Broken(error),
        }
    }
}

/// Reads replies from `input`, whose reads have a timeout of their own.
#[derive(Debug)]
pub(super) struct Reader<R> {
    input: R,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    deadline: Option<Instant>,
}

impl<R: Read> Reader<R> {
    pub(super) fn new(input: R) -> Reader<R> {
        Reader { input, buffer: vec![0; BUFFER].into(), start: 0, end: 0, deadline: None }
    }

    /// Sets the time by which every later read must be complete.
    pub(super) fn set_deadline(&mut self, deadline: Instant) {
        self.deadline = Some(deadline);
    }

    /// Reads a whole reply of `budget` bytes at most.
    pub(super) fn value(&mut self, mut budget: usize) -> Result<Value, RespError> {
        self.nested(&mut budget, 0)
    }

    /// Reads the head of an array, for its elements to be read one by one. `Ok(Err)` is what came instead.
    pub(super) fn array(&mut self) -> Result<Result<usize, Value>, RespError> {
        self.fill_at_least_one()?;
        if self.buffer[self.start] != b'*' {
            return self.value(LINE_MAX).map(Err);
        }
        let line = self.line()?;
        Ok(length(&line)?.ok_or(Value::Nil))
    }

    fn nested(&mut self, budget: &mut usize, depth: usize) -> Result<Value, RespError> {
        let line = self.line()?;
        spend(budget, ELEMENT + line.len())?;
        let rest = || String::from_utf8_lossy(&line[1..]).into_owned();
        match line.first() {
            Some(b'+') => Ok(Value::Status(rest())),
            Some(b'-') => Ok(Value::Error(rest())),
            Some(b':') => number(&line).map(Value::Integer),
            Some(b'$') => match length(&line)? {
                None => Ok(Value::Nil),
                Some(length) => {
                    spend(budget, length)?;
                    self.bytes(length).map(Value::Bytes)
                }
            },
            Some(b'*') => match length(&line)? {
                None => Ok(Value::Nil),
                Some(_) if depth == DEPTH => Err(RespError::TooLong),
                Some(count) => {
                    // Not allocated in advance: a length is easily said.
                    let mut values = Vec::new();
                    if count > *budget / ELEMENT {
                        return Err(RespError::TooLong);
                    }
                    for _ in 0..count {
                        values.push(self.nested(budget, depth + 1)?);
                    }
                    Ok(Value::Array(values))
                }
            },
            _ => Err(garbage(&line)),
        }
    }

    /// A line without its end.
    fn line(&mut self) -> Result<Vec<u8>, RespError> {
        let mut line = Vec::new();
        loop {
            self.fill_at_least_one()?;
            let some = &self.buffer[self.start..self.end];
            if line.is_empty() && !b"+-:$*".contains(&some[0]) {
                return Err(garbage(some));
            }
            let newline = some.iter().position(|byte| *byte == b'\n');
            let taken = newline.map_or(some.len(), |at| at + 1);
            if line.len() + taken > LINE_MAX {
                return Err(RespError::TooLong);
            }
            line.extend_from_slice(&some[..taken]);
            self.start += taken;
            if newline.is_some() {
                if !line.ends_with(b"\r\n") {
                    return Err(garbage(&line));
                }
                line.truncate(line.len() - 2);
                return Ok(line);
            }
        }
    }

    fn bytes(&mut self, length: usize) -> Result<Vec<u8>, RespError> {
        let mut bytes = Vec::with_capacity(length.min(BUFFER));
        while bytes.len() < length {
            let left = length - bytes.len();
            if self.start < self.end {
                let taken = left.min(self.end - self.start);
                bytes.extend_from_slice(&self.buffer[self.start..self.start + taken]);
                self.start += taken;
            } else {
                self.fill_at_least_one()?;
            }
        }
        for expected in *b"\r\n" {
            self.fill_at_least_one()?;
            if self.buffer[self.start] != expected {
                return Err(garbage(&self.buffer[self.start..self.end]));
            }
            self.start += 1;
        }
        Ok(bytes)
    }

    fn fill_at_least_one(&mut self) -> Result<(), RespError> {
        if self.start < self.end {
            return Ok(());
        }
        loop {
            if self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Err(RespError::TimedOut);
            }
            match self.input.read(&mut self.buffer) {
                Ok(0) => return Err(RespError::Closed),
                Ok(count) => {
                    (self.start, self.end) = (0, count);
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn spend(budget: &mut usize, cost: usize) -> Result<(), RespError> {
    *budget = budget.checked_sub(cost).ok_or(RespError::TooLong)?;
    Ok(())
}

fn number(line: &[u8]) -> Result<i64, RespError> {
    let digits = std::str::from_utf8(&line[1..]).ok();
    digits.and_then(|digits| digits.parse().ok()).ok_or_else(|| garbage(line))
}

/// The length behind `$` or `*`; -1 is nil.
fn length(line: &[u8]) -> Result<Option<usize>, RespError> {
    match number(line)? {
        -1 => Ok(None),
        ..-1 => Err(garbage(line)),
        // More than fits into a 32-bit machine is too long there, not wrong.
        length => usize::try_from(length).map(Some).map_err(|_| RespError::TooLong),
    }
}

fn garbage(bytes: &[u8]) -> RespError {
    let start = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    RespError::Garbage(String::from_utf8_lossy(&start[..start.len().min(60)]).trim_end().escape_debug().to_string())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Gives a slice in reads of so many bytes, then the end.
    struct Chunks<'a>(&'a [u8], usize);

    impl Read for Chunks<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = self.0.len().min(self.1).min(buffer.len());
            buffer[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }

    const CHUNKS: [usize; 5] = [1, 2, 3, 7, usize::MAX];

    fn bytes(text: &str) -> Value {
        Value::Bytes(text.as_bytes().to_vec())
    }

    #[test]
    fn replies_are_the_same_at_every_chunk_size() {
        let long = "x".repeat(3 * BUFFER + 5);
        let mut input = b"+OK\r\n-ERR no\r\n:-42\r\n$5\r\na\r\nbc\r\n$0\r\n\r\n$-1\r\n*-1\r\n*0\r\n".to_vec();
        input.extend_from_slice(b"*2\r\n$1\r\na\r\n*1\r\n:7\r\n");
        input.extend_from_slice(format!("${}\r\n{long}\r\n", long.len()).as_bytes());
        for size in CHUNKS {
            let mut reader = Reader::new(Chunks(&input, size));
            let mut next = || reader.value(1 << 20).unwrap();
            assert_eq!(next(), Value::Status("OK".to_owned()));
            assert_eq!(next(), Value::Error("ERR no".to_owned()));
            assert_eq!(next(), Value::Integer(-42));
            assert_eq!(next(), bytes("a\r\nbc"));
            assert_eq!(next(), bytes(""));
            assert_eq!(next(), Value::Nil);
            assert_eq!(next(), Value::Nil);
            assert_eq!(next(), Value::Array(vec![]));
            assert_eq!(next(), Value::Array(vec![bytes("a"), Value::Array(vec![Value::Integer(7)])]));
            assert_eq!(next(), bytes(&long));
            assert!(matches!(reader.value(1 << 20), Err(RespError::Closed)));
        }
    }

    #[test]
    fn an_array_can_be_read_element_by_element() {
        for size in CHUNKS {
            let mut reader = Reader::new(Chunks(b"*2\r\n:1\r\n:2\r\n*-1\r\n-ERR x\r\n", size));
            assert_eq!(reader.array().unwrap(), Ok(2));
            assert_eq!(reader.value(100).unwrap(), Value::Integer(1));
            assert_eq!(reader.value(100).unwrap(), Value::Integer(2));
            assert_eq!(reader.array().unwrap(), Err(Value::Nil));
            assert_eq!(reader.array().unwrap(), Err(Value::Error("ERR x".to_owned())));
        }
    }

    #[test]
    fn garbage_is_told_from_a_connection_that_ends() {
        let long_line = vec![b'+'; LINE_MAX + 1];
        let nested = b"*1\r\n".repeat(DEPTH + 1);
        type Fits = fn(&RespError) -> bool;
        let cases: [(&[u8], Fits); 16] = [
            (b"HTTP/1.1 400 Bad Request\r\n", |error| matches!(error, RespError::Garbage(_))),
            (b"error: unknown command\r\n", |error| matches!(error, RespError::Garbage(_))),
            (b"\x16\x03\x01", |error| matches!(error, RespError::Garbage(_))),
            (b"\r\n", |error| matches!(error, RespError::Garbage(_))),
            (b"+OK\n", |error| matches!(error, RespError::Garbage(_))),
            (b":12a\r\n", |error| matches!(error, RespError::Garbage(_))),
            (b"$-2\r\n", |error| matches!(error, RespError::Garbage(_))),
            (b"*-7\r\n", |error| matches!(error, RespError::Garbage(_))),
            (b"$3\r\nabcd\r\n", |error| matches!(error, RespError::Garbage(_))),
            (b"$99999999999999999999\r\n", |error| matches!(error, RespError::Garbage(_))),
            (b"$9999999999\r\n", |error| matches!(error, RespError::TooLong)),
            (b"*9999999999\r\n", |error| matches!(error, RespError::TooLong)),
            (&long_line, |error| matches!(error, RespError::TooLong)),
            (&nested, |error| matches!(error, RespError::TooLong)),
            (b"$5\r\nab", |error| matches!(error, RespError::Closed)),
            (b"", |error| matches!(error, RespError::Closed)),
        ];
        for (input, fits) in cases {
            for size in CHUNKS {
                let error = Reader::new(Chunks(input, size)).value(1 << 20).unwrap_err();
                assert!(fits(&error), "{} at {size}: {error:?}", input.escape_ascii());
            }
        }
    }

    #[test]
    fn a_budget_covers_all_that_a_reply_holds() {
        let input = b"*3\r\n$10\r\n0123456789\r\n$10\r\n0123456789\r\n$-1\r\n";
        assert!(Reader::new(Chunks(input, 3)).value(20 + 5 * ELEMENT).is_ok());
        assert!(matches!(Reader::new(Chunks(input, 3)).value(20 + 3 * ELEMENT), Err(RespError::TooLong)));
    }

    #[test]
    fn bytes_that_trickle_in_end_at_the_deadline() {
        struct Slow;
        impl Read for Slow {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                std::thread::sleep(Duration::from_millis(1));
                buffer[0] = b'+';
                Ok(1)
            }
        }
        let mut reader = Reader::new(Slow);
        reader.set_deadline(Instant::now() + Duration::from_millis(20));
        assert!(matches!(reader.value(1 << 20), Err(RespError::TimedOut)));
    }

    #[test]
    fn commands_are_arrays_of_bytes() {
        let mut out = Vec::new();
        write_command(&mut out, &[b"GET", b"a\r\nb", b""]);
        assert_eq!(out, b"*3\r\n$3\r\nGET\r\n$4\r\na\r\nb\r\n$0\r\n\r\n");
    }
}
