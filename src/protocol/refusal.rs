//! What a server sends after `error: `: why it does not do what a line asks for, or why it ends a connection.

use std::fmt;
use std::io::Write as _;
use std::time::Duration;

use super::question_end::{QuestionEnd, between, number};
use super::{BUILT_IN, NAME_MAX, check_question_id};
use crate::seconds::Seconds;

/// Why the server does not do what a line asks for, or ends a connection.
///
/// `Display` writes the text after `error: `, [`Refusal::parse`] reads it.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Refusal<'a> {
    /// The line is longer than the limit, in bytes.
    LineTooLong(usize),
    /// The line is not UTF-8.
    NotUtf8,
    /// The line is not a command.
    UnknownCommand,
    /// The name breaks the rule of [`check_name`](super::check_name).
    InvalidName,
    /// Another client in the room has this name.
    NameTaken(&'a str),
    /// No client in the room has this name.
    Nobody(&'a str),
    /// A room requires a name before messages and questions.
    NoName,
    /// The command with this name does not exist in echo mode.
    RoomOnly(&'a str),
    /// The question id breaks the rule of [`check_question_id`].
    InvalidQuestionId,
    /// A question of this client with this id is open already.
    QuestionOpen(&'a str),
    /// This client was not asked such a question, or it has ended.
    NoOpenQuestion {
        /// The id of the question.
        id: &'a str,
        /// The client that asked.
        asker: &'a str,
    },
    /// A question of this client has ended without an answer.
    QuestionEnded {
        /// The id of the question.
        id: &'a str,
        /// The reason.
        why: QuestionEnd<'a>,
    },
    /// The client serves this many names, which is the limit.
    TooManyServed(usize),
    /// Not all of the room's lines after this mark are kept, or it is no mark of this room.
    NotKept(&'a str),
    /// The room keeps no lines at all.
    NoHistory,
    /// A deaf client has asked for the room's lines.
    DeafClient,
    /// A command before `auth:`.
    AuthenticateFirst,
    /// `auth:` with another token.
    WrongToken,
    /// The token was not received within this time.
    AuthenticationTimeout(Duration),
    /// The maximum number of clients is connected.
    ServerFull(usize),
    /// Nothing was received for this long.
    Idle(Duration),
    /// The first line is an HTTP request line.
    Http,
    /// The first bytes are a TLS handshake.
    Tls,
    /// The server is stopping.
    ShuttingDown,
    /// The client reads too slowly.
    TooSlow,
    /// The session was ended by a defect in the server.
    Internal,
    /// The server shares its room with others and has not reached them yet.
    NotJoined,
    /// The server shares its room with others and has lost them.
    CutOff,
}

/// The refusals that are always the same text.
const FIXED: [(Refusal<'static>, &str); 15] = [
    (Refusal::NotUtf8, "line is not valid UTF-8"),
    (Refusal::UnknownCommand, "unknown command; send help for the list"),
    (Refusal::NoName, "say who you are first: iam:<name>"),
    (Refusal::InvalidQuestionId, "invalid question id"),
    (Refusal::NoHistory, "this room keeps no history"),
    (Refusal::DeafClient, "deaf clients hear no room lines"),
    (Refusal::AuthenticateFirst, "authenticate first: auth:<token>"),
    (Refusal::WrongToken, "wrong token"),
    (Refusal::Http, "this is not an HTTP server"),
    (Refusal::Tls, "this is not a TLS server"),
    (Refusal::ShuttingDown, "server is shutting down"),
    (Refusal::TooSlow, "too slow"),
    (Refusal::Internal, "internal error"),
    (Refusal::NotJoined, "not joined yet"),
    (Refusal::CutOff, "cut off from the other servers"),
];

impl fmt::Display for Refusal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Refusal::LineTooLong(limit) => write!(f, "line too long (limit {limit} bytes)"),
            Refusal::InvalidName => write!(
                f,
                "invalid name: use 1 to {NAME_MAX} printable characters without : , > and without \"has joined\", \
                 \"has left\" or \"is now\", but not error, who, stats or help"
            ),
            Refusal::NameTaken(name) => write!(f, "name {name} is taken"),
            Refusal::Nobody(name) => write!(f, "nobody here is called {name}"),
            Refusal::RoomOnly(command) => write!(f, "{command} is a room mode command"),
            Refusal::QuestionOpen(id) => write!(f, "question id {id} is still open"),
            Refusal::NoOpenQuestion { id, asker } => write!(f, "no open question {id} of {asker}"),
            Refusal::QuestionEnded { id, why } => write!(f, "question {id}: {why}"),
            Refusal::TooManyServed(limit) => write!(f, "too many served names (limit {limit})"),
            Refusal::NotKept(mark) => write!(f, "lines since {mark} are not kept"),
            Refusal::AuthenticationTimeout(time) => write!(f, "not authenticated within {} seconds", Seconds(time)),
            Refusal::ServerFull(clients) => write!(f, "server is full ({clients} clients)"),
            Refusal::Idle(time) => write!(f, "idle for {} seconds", Seconds(time)),
            fixed => f.write_str(FIXED.iter().find(|(refusal, _)| *refusal == fixed).map_or("", |(_, text)| text)),
        }
    }
}

impl std::error::Error for Refusal<'_> {}

impl<'a> Refusal<'a> {
    /// Reads the text after `error: `, which is what [`Event::Error`](super::Event::Error) holds. `None` if it
    /// is none of this list, such as the error of a command that an embedding program has added.
    ///
    /// ```
    /// use localsocket::protocol::{QuestionEnd, Refusal};
    /// assert_eq!(Refusal::parse("name ada is taken"), Some(Refusal::NameTaken("ada")));
    /// let why = QuestionEnd::Left("bob");
    /// assert_eq!(Refusal::parse("question 7: bob has left"), Some(Refusal::QuestionEnded { id: "7", why }));
    /// ```
    pub fn parse(text: &'a str) -> Option<Refusal<'a>> {
        if let Some((refusal, _)) = FIXED.iter().find(|(_, fixed)| *fixed == text) {
            return Some(*refusal);
        }
        let (word, rest) = text.split_once(' ')?;
        match word {
            "question" => parse_question(rest),
            "no" => {
                let (id, asker) = rest.strip_prefix("open question ")?.split_once(" of ")?;
                Some(Refusal::NoOpenQuestion { id, asker })
            }
            "too" => number(between(rest, "many served names (limit ", ")")?).map(Refusal::TooManyServed),
            "lines" => between(rest, "since ", " are not kept").map(Refusal::NotKept),
            "name" => rest.strip_suffix(" is taken").map(Refusal::NameTaken),
            "nobody" => rest.strip_prefix("here is called ").map(Refusal::Nobody),
            "invalid" => rest.starts_with("name: ").then_some(Refusal::InvalidName),
            "line" => number(between(rest, "too long (limit ", " bytes)")?).map(Refusal::LineTooLong),
            "server" => number(between(rest, "is full (", " clients)")?).map(Refusal::ServerFull),
            "idle" => time(between(rest, "for ", " seconds")?).map(Refusal::Idle),
            "not" => time(between(rest, "authenticated within ", " seconds")?).map(Refusal::AuthenticationTimeout),
            command if rest == "is a room mode command" => BUILT_IN
                .iter()
                .any(|known| known.room_only && known.name == command)
                .then_some(Refusal::RoomOnly(command)),
            _ => None,
        }
    }

    /// Whether the server says this of its own accord when it ends a connection, so that it is not the reply to
    /// a command. (In echo mode, the echo of such a text looks the same.)
    pub fn is_last_words(&self) -> bool {
        matches!(
            self,
            Refusal::AuthenticationTimeout(_)
                | Refusal::ServerFull(_)
                | Refusal::Idle(_)
                | Refusal::ShuttingDown
                | Refusal::TooSlow
                | Refusal::CutOff
        )
    }

    /// Appends the `error: ` line with its end, CRLF, to `out`.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        // Writing to a Vec cannot fail.
        let _ = write!(out, "error: {self}\r\n");
    }
}

fn time(text: &str) -> Option<Duration> {
    Seconds::parse(text).map(|seconds| seconds.0)
}

fn parse_question(rest: &str) -> Option<Refusal<'_>> {
    if let Some(id) = between(rest, "id ", " is still open") {
        return Some(Refusal::QuestionOpen(id));
    }
    let (id, why) = rest.split_once(": ")?;
    check_question_id(id).ok()?;
    Some(Refusal::QuestionEnded { id, why: QuestionEnd::parse(why)? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::generated::Generator;

    fn assert_round_trip(refusal: Refusal<'_>) {
        let text = refusal.to_string();
        assert_eq!(Refusal::parse(&text), Some(refusal), "{text:?}");
        let mut line = Vec::new();
        refusal.write_to(&mut line);
        assert_eq!(line, format!("error: {text}\r\n").into_bytes());
    }

    #[test]
    fn each_refusal_has_its_text() {
        let ended = |why| Refusal::QuestionEnded { id: "q-1", why };
        for (refusal, text) in [
            (Refusal::LineTooLong(65536), "line too long (limit 65536 bytes)"),
            (Refusal::NameTaken("ada"), "name ada is taken"),
            (Refusal::Nobody("bob"), "nobody here is called bob"),
            (Refusal::RoomOnly("to"), "to is a room mode command"),
            (Refusal::RoomOnly("deaf"), "deaf is a room mode command"),
            (Refusal::QuestionOpen("q-1"), "question id q-1 is still open"),
            (Refusal::NoOpenQuestion { id: "q-1", asker: "ada" }, "no open question q-1 of ada"),
            (ended(QuestionEnd::Nobody("bob")), "question q-1: nobody here is called bob"),
            (ended(QuestionEnd::Left("bob")), "question q-1: bob has left"),
            (ended(QuestionEnd::TooMany(256)), "question q-1: too many open questions (limit 256)"),
            (
                ended(QuestionEnd::OwesTooMany { name: "bob", limit: 4096 }),
                "question q-1: bob owes too many answers (limit 4096)",
            ),
            (Refusal::TooManyServed(16), "too many served names (limit 16)"),
            (Refusal::NotKept("1f.7"), "lines since 1f.7 are not kept"),
            (Refusal::NotKept(""), "lines since  are not kept"),
            (Refusal::AuthenticationTimeout(Duration::from_secs(10)), "not authenticated within 10 seconds"),
            (Refusal::ServerFull(1), "server is full (1 clients)"),
            (Refusal::Idle(Duration::from_millis(1500)), "idle for 1.5 seconds"),
        ]
        .into_iter()
        .chain(FIXED)
        {
            assert_eq!(refusal.to_string(), text);
            assert_round_trip(refusal);
        }
        assert_round_trip(Refusal::InvalidName);
    }

    #[test]
    fn other_texts_are_no_refusal() {
        let texts = "x|ping is a room mode command|idle for a while|idle for -1 seconds|idle for 1e3 seconds|\
             idle for inf seconds|server is full (many clients)|question 7: because|\
             question a b: bob has left|question 7:  has left|line too long (limit  bytes)|\
             the clock is before 1970";
        for text in texts.split('|') {
            assert_eq!(Refusal::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_client_tells_last_words_from_replies() {
        let last_words = "idle for 1.5 seconds|too slow|server is full (1024 clients)|server is shutting down|\
             not authenticated within 10 seconds|cut off from the other servers";
        let replies = "wrong token|this is not an HTTP server|this is not a TLS server|internal error|\
             line too long (limit 7 bytes)|nobody here is called too slow|question 7: too many open questions (limit 256)";
        for (texts, wanted) in [(last_words, true), (replies, false)] {
            for text in texts.split('|') {
                assert_eq!(Refusal::parse(text).map(|refusal| refusal.is_last_words()), Some(wanted), "{text}");
            }
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let mut random = Generator::new(3);
        for _ in 0..50_000 {
            let (name, id, any) = (random.name(), random.question_id(), random.text());
            let (name, id): (&str, &str) = (&name, &id);
            let number = random.below(1 << 30);
            assert_round_trip(match random.below(12) {
                0 => Refusal::LineTooLong(number),
                1 => Refusal::NameTaken(name),
                // The name is what the sender wrote, valid or not.
                2 => Refusal::Nobody(&any),
                3 => Refusal::QuestionOpen(id),
                4 => Refusal::NoOpenQuestion { id, asker: &any },
                5 => Refusal::QuestionEnded { id, why: QuestionEnd::Nobody(name) },
                6 => Refusal::QuestionEnded { id, why: QuestionEnd::Left(name) },
                7 => Refusal::QuestionEnded { id, why: QuestionEnd::TooMany(number) },
                8 => Refusal::ServerFull(number),
                9 => Refusal::QuestionEnded { id, why: QuestionEnd::OwesTooMany { name, limit: number } },
                10 => Refusal::NotKept(&any),
                _ => Refusal::Idle(Duration::from_millis(125 * number as u64)),
            });
            // Whatever else comes, what was read is written as it came, but for numbers and the rule for names.
            if let Some(refusal) = Refusal::parse(&any) {
                assert_eq!(Refusal::parse(&refusal.to_string()), Some(refusal));
            }
        }
    }
}
