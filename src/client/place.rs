//! Where a client is in the order of the room, over all its connections. Pure.
//!
//! All clients of a room hear its messages and notices in one order. So once the server has named the place, with
//! `at <mark>`, counting them is enough to know it, and after a loss `since:<mark>` asks for what follows. A connection
//! begins with one of the two questions, [`Place::question`], whose answer is the end of its login.

use super::options::ClientOptions;
use crate::protocol::{Command, Event, Mark, Refusal};

#[derive(Debug, Default)]
pub(super) struct Place {
    /// Whether the caller wants the mark of each line.
    marks: bool,
    /// Whether the place is to be known at all.
    wanted: bool,
    /// Where the caller wants to begin, until the server has agreed.
    since: Option<String>,
    /// Up to where the client has heard everything.
    mark: Option<Mark>,
    /// Why the lines that it hears are not kept, if it hears those of a room.
    unkept: Option<String>,
    /// Why lines may be missing, until that was told.
    missed: Option<String>,
}

/// How far a login is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// More is to come.
    Pending,
    Done,
    /// The lines since the place that was asked for are not kept, but the server can name the present place.
    AskAgain,
    /// It has failed, for this reason.
    Refused(String),
}

impl Place {
    pub(super) fn new(options: &ClientOptions) -> Place {
        Place {
            marks: options.marks || options.since.is_some(),
            wanted: !options.deaf && (options.marks || options.reconnect),
            since: options.since.clone(),
            ..Place::default()
        }
    }

    /// How many lines of the room the client has heard, if it knows.
    pub(super) fn number(&self) -> Option<u64> {
        self.mark.as_ref().map(|mark| mark.number)
    }

    /// The line that a login ends with, if the place is to be known.
    pub(super) fn question(&self) -> Option<String> {
        let since = self.since.clone().or_else(|| self.mark.as_ref().map(Mark::to_string));
        let question = since.map(|since| Command::Since(&since).to_string());
        question.or_else(|| self.wanted.then(|| Command::Mark.to_string()))
    }

    /// Whether the answer to the question begins with what this connection has brought of the room before.
    pub(super) fn repeats(&self) -> bool {
        self.since.is_some() || self.mark.is_some()
    }

    /// The server has named the place.
    pub(super) fn found(&mut self, mark: Mark) {
        (self.since, self.mark) = (None, Some(mark));
        self.missed = self.unkept.take().or(self.missed.take());
    }

    /// The server has refused the question.
    pub(super) fn refuse(&mut self, refusal: Refusal<'_>) -> Progress {
        let why = refusal.to_string();
        if self.since.is_some() {
            // The caller wants to begin with what it cannot have: the connection is of no use.
            return Progress::Refused(why);
        }
        let has_heard = self.mark.take().is_some() | self.unkept.take().is_some();
        // There is no room, or none for this client.
        if matches!(refusal, Refusal::RoomOnly(_) | Refusal::AuthenticateFirst) {
            return Progress::Done;
        }
        if has_heard {
            self.missed = Some(why.clone());
        }
        if matches!(refusal, Refusal::NotKept(_)) {
            return Progress::AskAgain;
        }
        self.unkept = Some(why);
        Progress::Done
    }

    /// Why lines may be missing at this point, told once.
    pub(super) fn take_missed(&mut self) -> Option<String> {
        self.missed.take()
    }

    /// Counts a line. Returns its mark, if it has one that the caller wants.
    pub(super) fn count(&mut self, line: &str) -> Option<Mark> {
        let mark = self.mark.as_mut()?;
        if is_of_the_room(line) {
            mark.number += 1;
            return self.marks.then(|| mark.clone());
        }
        // The caller has asked for itself.
        if let Some(asked) = named(line) {
            *mark = asked;
        } else if line == "deaf" {
            self.mark = None;
        }
        None
    }
}

/// The place that a line names.
pub(super) fn named(line: &str) -> Option<Mark> {
    line.strip_prefix("at ").and_then(Mark::parse)
}

/// Whether all clients of a room hear this line.
pub(super) fn is_of_the_room(line: &str) -> bool {
    matches!(Event::parse(line), Event::Message { .. } | Event::Joined(_) | Event::Left(_) | Event::Renamed { .. })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(options: ClientOptions) -> Place {
        Place::new(&options)
    }

    #[test]
    fn the_question_depends_on_what_the_caller_wants_and_on_what_is_known() {
        let options = |since: Option<&str>, marks, reconnect, deaf| {
            let since = since.map(str::to_owned);
            ClientOptions { since, marks, reconnect, deaf, ..ClientOptions::default() }
        };
        for (options, wanted) in [
            (options(None, false, false, false), None),
            (options(None, true, false, false), Some("mark")),
            (options(None, false, true, false), Some("mark")),
            (options(None, true, true, true), None),
            (options(Some("all"), false, false, false), Some("since:all")),
            // The server says what is wrong with that.
            (options(Some("r.7"), false, true, true), Some("since:r.7")),
        ] {
            assert_eq!(place(options.clone()).question().as_deref(), wanted, "{options:?}");
        }
    }

    #[test]
    fn messages_and_notices_count_and_nothing_else_does() {
        let mut place = place(ClientOptions { marks: true, ..ClientOptions::default() });
        assert_eq!(place.count("bob: hi"), None);
        place.found(Mark::parse("r.7").unwrap());
        for (line, wanted) in [
            ("bob: hi", Some(8)),
            ("bob > ada: hi", None),
            ("bob has joined", Some(9)),
            ("bob ?> 1: hi", None),
            ("bob -> 1: withdrawn", None),
            ("bob is now eve", Some(10)),
            ("error: too slow", None),
            ("who: ada, bob", None),
            ("eve has left", Some(11)),
            ("at r.2", None),
            ("bob: three", Some(3)),
            ("deaf", None),
            ("ada is now eve", None),
        ] {
            assert_eq!(place.count(line).map(|mark| mark.number), wanted, "{line}");
        }
        assert_eq!(place.question().as_deref(), Some("mark"));
    }

    #[test]
    fn what_is_missing_is_told_once_and_only_where_something_was_heard() {
        const NOT_KEPT: &str = "lines since r.7 are not kept";
        const NONE: &str = "this room keeps no history";
        let refuse = |place: &mut Place, text| place.refuse(Refusal::parse(text).unwrap());
        for (known, text, wanted, missed) in [
            (true, NOT_KEPT, Progress::AskAgain, true),
            (true, NONE, Progress::Done, true),
            (true, "since is a room mode command", Progress::Done, false),
            (false, "mark is a room mode command", Progress::Done, false),
            (false, NONE, Progress::Done, false),
        ] {
            let mut place = place(ClientOptions { reconnect: true, ..ClientOptions::default() });
            if known {
                place.found(Mark::parse("r.7").unwrap());
            }
            assert_eq!(refuse(&mut place, text), wanted, "{text}");
            assert_eq!(place.take_missed().as_deref(), missed.then_some(text));
            assert_eq!((place.take_missed(), place.question().as_deref()), (None, Some("mark")));
        }
        let mut place = place(ClientOptions { since: Some("r.7".to_owned()), ..ClientOptions::default() });
        let refused = Progress::Refused(NOT_KEPT.to_owned());
        assert_eq!((refuse(&mut place, NOT_KEPT), place.take_missed()), (refused, None));
    }
}
