//! The engine's protocol, RESP2: writes commands, reads replies. Knows no room and no script.
//!
//! Whatever arrives, a reader holds no more than the budget it is given and one buffer, and goes no deeper than [`DEPTH`].
//! How long it waits is its input's business. After an error the connection cannot be used any more, since it is unknown
//! where the next reply begins. An error of kind `InvalidData` means that the other end does not speak RESP2, one of kind
//! `FileTooLarge` that a reply does not fit.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write as _};
use std::str::FromStr;

/// How deep replies may be nested: entries of a stream are five deep.
const DEPTH: usize = 6;
/// The longest line: a length, a status or an error message.
const LINE_MAX: u64 = 4096;
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
    Error(String),
    /// A string, a status or a number.
    Bytes(Vec<u8>),
    Array(Vec<Value>),
}

impl Value {
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Value::Bytes(bytes) => str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    pub(super) fn number<N: FromStr>(&self) -> Option<N> {
        self.text()?.parse().ok()
    }

    /// The elements of an array with this many.
    pub(super) fn elements<const N: usize>(self) -> Option<[Value; N]> {
        match self {
            Value::Array(values) => values.try_into().ok(),
            _ => None,
        }
    }
}

/// Reads replies.
#[derive(Debug)]
pub(super) struct Reader<R>(BufReader<R>);

impl<R: Read> Reader<R> {
    pub(super) fn new(input: R) -> Reader<R> {
        Reader(BufReader::with_capacity(64 * 1024, input))
    }

    /// Reads a whole reply of `budget` bytes at most.
    pub(super) fn value(&mut self, mut budget: usize) -> io::Result<Value> {
        self.nested(&mut budget, 0)
    }

    /// Reads the head of an array, for its elements to be read one by one. `Ok(Err)` is what came instead.
    pub(super) fn array(&mut self) -> io::Result<Result<usize, Value>> {
        match self.0.fill_buf()?.first() {
            Some(b'*') => Ok(length(&self.line()?)?.ok_or(Value::Nil)),
            _ => self.value(LINE_MAX as usize).map(Err),
        }
    }

    fn nested(&mut self, budget: &mut usize, depth: usize) -> io::Result<Value> {
        let line = self.line()?;
        spend(budget, ELEMENT + line.len())?;
        Ok(match line.as_bytes()[0] {
            b'+' | b':' => Value::Bytes(line[1..].into()),
            b'-' => Value::Error(line[1..].to_owned()),
            b'$' => match length(&line)? {
                None => Value::Nil,
                Some(length) => {
                    spend(budget, length)?;
                    let mut bytes = Vec::new();
                    self.0.by_ref().take(length as u64 + 2).read_to_end(&mut bytes)?;
                    if bytes.len() < length + 2 {
                        return Err(closed());
                    }
                    if bytes.split_off(length) != b"\r\n" {
                        return Err(garbage(&bytes));
                    }
                    Value::Bytes(bytes)
                }
            },
            _ => match length(&line)? {
                None => Value::Nil,
                Some(count) if depth < DEPTH && count <= *budget / ELEMENT => {
                    Value::Array((0..count).map(|_| self.nested(budget, depth + 1)).collect::<Result<_, _>>()?)
                }
                Some(_) => return Err(too_long()),
            },
        })
    }

    /// A line without its end. It begins with the kind of the reply.
    fn line(&mut self) -> io::Result<String> {
        match self.0.fill_buf()? {
            [] => return Err(closed()),
            [b'+' | b'-' | b':' | b'$' | b'*', ..] => {}
            other => return Err(garbage(other)),
        }
        let mut line = Vec::new();
        self.0.by_ref().take(LINE_MAX).read_until(b'\n', &mut line)?;
        match line.strip_suffix(b"\r\n") {
            Some(line) => Ok(String::from_utf8_lossy(line).into_owned()),
            None if line.len() as u64 == LINE_MAX => Err(too_long()),
            None if line.ends_with(b"\n") => Err(garbage(&line)),
            None => Err(closed()),
        }
    }
}

fn spend(budget: &mut usize, cost: usize) -> io::Result<()> {
    *budget = budget.checked_sub(cost).ok_or_else(too_long)?;
    Ok(())
}

/// The length behind `$` or `*`; -1 is nil.
fn length(line: &str) -> io::Result<Option<usize>> {
    match line[1..].parse::<i64>() {
        Ok(-1) => Ok(None),
        // More than fits into a 32-bit machine is too long there, not wrong.
        Ok(length @ 0..) => usize::try_from(length).map(Some).map_err(|_| too_long()),
        _ => Err(garbage(line.as_bytes())),
    }
}

fn closed() -> io::Error {
    io::Error::new(ErrorKind::UnexpectedEof, "it closed the connection")
}

fn too_long() -> io::Error {
    io::Error::new(ErrorKind::FileTooLarge, "a reply is longer than any that this server expects")
}

fn garbage(bytes: &[u8]) -> io::Error {
    let start = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let start = String::from_utf8_lossy(&start[..start.len().min(60)]).trim_end().escape_debug().to_string();
    io::Error::new(ErrorKind::InvalidData, start)
}

#[cfg(test)]
mod tests {
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
        let long = "x".repeat(3 * 65536 + 5);
        let mut input = b"+OK\r\n-ERR no\r\n:-42\r\n$5\r\na\r\nbc\r\n$0\r\n\r\n$-1\r\n*-1\r\n*0\r\n".to_vec();
        input.extend_from_slice(b"*2\r\n$1\r\na\r\n*1\r\n:7\r\n");
        input.extend_from_slice(format!("${}\r\n{long}\r\n", long.len()).as_bytes());
        for size in CHUNKS {
            let mut reader = Reader::new(Chunks(&input, size));
            let mut next = || reader.value(1 << 20).unwrap();
            assert_eq!(next(), bytes("OK"));
            assert_eq!(next(), Value::Error("ERR no".to_owned()));
            assert_eq!(next(), bytes("-42"));
            assert_eq!(next(), bytes("a\r\nbc"));
            assert_eq!(next(), bytes(""));
            assert_eq!(next(), Value::Nil);
            assert_eq!(next(), Value::Nil);
            assert_eq!(next(), Value::Array(vec![]));
            assert_eq!(next(), Value::Array(vec![bytes("a"), Value::Array(vec![bytes("7")])]));
            assert_eq!(next(), bytes(&long));
            assert!(matches!(reader.value(1 << 20), Err(error) if error.kind() == ErrorKind::UnexpectedEof));
        }
    }

    #[test]
    fn an_array_can_be_read_element_by_element() {
        for size in CHUNKS {
            let mut reader = Reader::new(Chunks(b"*2\r\n:1\r\n:2\r\n*-1\r\n-ERR x\r\n", size));
            assert_eq!(reader.array().unwrap(), Ok(2));
            assert_eq!(reader.value(100).unwrap(), bytes("1"));
            assert_eq!(reader.value(100).unwrap(), bytes("2"));
            assert_eq!(reader.array().unwrap(), Err(Value::Nil));
            assert_eq!(reader.array().unwrap(), Err(Value::Error("ERR x".to_owned())));
        }
    }

    #[test]
    fn garbage_is_told_from_a_connection_that_ends() {
        let long_line = vec![b'+'; LINE_MAX as usize + 1];
        let nested = b"*1\r\n".repeat(DEPTH + 1);
        let cases: [(ErrorKind, &[&[u8]]); 3] = [
            (
                ErrorKind::InvalidData,
                &[
                    b"HTTP/1.1 400 Bad Request\r\n",
                    b"error: unknown command\r\n",
                    b"\x16\x03\x01",
                    b"\r\n",
                    b"+OK\n",
                    b"$-2\r\n",
                    b"*-7\r\n",
                    b"$3\r\nabcd\r\n",
                    b"$99999999999999999999\r\n",
                ],
            ),
            (ErrorKind::FileTooLarge, &[b"$9999999999\r\n", b"*9999999999\r\n", &long_line, &nested]),
            (ErrorKind::UnexpectedEof, &[b"$5\r\nab", b""]),
        ];
        for (kind, input) in cases.iter().flat_map(|(kind, all)| all.iter().map(move |input| (*kind, *input))) {
            for size in CHUNKS {
                let error = Reader::new(Chunks(input, size)).value(1 << 20).unwrap_err();
                assert_eq!(error.kind(), kind, "{} at {size}: {error:?}", input.escape_ascii());
            }
        }
    }

    #[test]
    fn a_budget_covers_all_that_a_reply_holds() {
        let input = b"*3\r\n$10\r\n0123456789\r\n$10\r\n0123456789\r\n$-1\r\n";
        assert!(Reader::new(Chunks(input, 3)).value(20 + 5 * ELEMENT).is_ok());
        assert!(
            matches!(Reader::new(Chunks(input, 3)).value(20 + 3 * ELEMENT), Err(error) if error.kind() == ErrorKind::FileTooLarge)
        );
    }

    #[test]
    fn commands_are_arrays_of_bytes() {
        let mut out = Vec::new();
        write_command(&mut out, &[b"GET", b"a\r\nb", b""]);
        assert_eq!(out, b"*3\r\n$3\r\nGET\r\n$4\r\na\r\nb\r\n$0\r\n\r\n");
    }
}
