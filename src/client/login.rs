//! The login that comes first on a connection: what is sent, and what the lines mean that come meanwhile. Pure.
//!
//! Token, `deaf`, name, served names and the question for the place in the room are sent together, and a `ping` after them.
//! The answer to the last of them shows that the server has dealt with all; an error before it is their refusal, because
//! until then nothing else was sent. What others say, or are called, has no influence: only the server's own words start
//! with `error: `, and no room line is a bare `pong` or starts with `at `.

use super::error::ClientError;
use super::options::ClientOptions;
use super::outgoing::one_line;
use super::place::{Place, Progress, is_of_the_room, named};
use crate::protocol::{Command, Mark, Refusal};
use crate::token::Token;

/// The answers that are still to come, and what has come meanwhile.
#[derive(Debug)]
pub(super) struct Login {
    /// Those to what only the library has sent, but for that to the question for the place.
    expected: Vec<&'static str>,
    name: bool,
    place: bool,
    /// After how many answers to pings it is done in any case.
    pub(super) pongs: u64,
    /// What is for the caller, once it is known whether it will come again.
    pub(super) held: Vec<String>,
}

impl Login {
    /// The lines of the login without its ping, and what to expect.
    ///
    /// # Errors
    /// [`ClientError::NotOneLine`].
    pub(super) fn new(
        options: &ClientOptions,
        token: Option<&Token>,
        place: &Place,
    ) -> Result<(Vec<u8>, Login), ClientError> {
        let question = place.question();
        let (name, place) = (options.name.as_deref(), question.is_some());
        let mut login = Login { expected: Vec::new(), name: name.is_some(), place, pongs: 1, held: Vec::new() };
        let token = token.map(|token| (token.auth_line(), Some("authenticated")));
        let deaf = options.deaf.then(|| (Command::Deaf.to_string(), Some("deaf")));
        let name = name.map(|name| (Command::Iam(name).to_string(), None));
        let serve = options.serve.iter().map(|name| (Command::Serve(name).to_string(), Some("serving")));
        let question = question.map(|question| (question, None));
        let mut lines = Vec::new();
        for (line, answer) in token.into_iter().chain(deaf).chain(name).chain(serve).chain(question) {
            lines.extend(one_line(line)?);
            login.expected.extend(answer);
        }
        Ok((lines, login))
    }

    /// Takes the next line.
    pub(super) fn take(&mut self, line: String, place: &mut Place) -> Progress {
        if self.expects(&line) {
            return Progress::Pending;
        }
        if let Some(text) = line.strip_prefix("error: ") {
            match Refusal::parse(text) {
                // The server requires no token. That is for the caller to know, and no harm to the rest.
                Some(Refusal::UnknownCommand) if self.expects("authenticated") => {}
                Some(refusal) if self.is_about_the_place(&refusal) => {
                    let progress = place.refuse(refusal);
                    // Asked again, with another ping.
                    self.place = progress == Progress::AskAgain;
                    self.pongs += u64::from(self.place);
                    return progress;
                }
                _ => return Progress::Refused(text.to_owned()),
            }
        } else if let Some(mark) = named(&line).filter(|_| self.place) {
            self.place = false;
            self.drop_repeated(place);
            // They are counted when they are shown.
            let before = self.held.iter().filter(|line| is_of_the_room(line)).count() as u64;
            place.found(Mark { number: mark.number.saturating_sub(before), ..mark });
            return Progress::Done;
        }
        self.held.push(line);
        Progress::Pending
    }

    /// Drops of what was held what will come again.
    pub(super) fn drop_repeated(&mut self, place: &Place) {
        if place.repeats() {
            self.held.retain(|line| !is_of_the_room(line));
        }
    }

    /// Whether this answer is still to come. It comes once.
    fn expects(&mut self, line: &str) -> bool {
        let found = self.expected.iter().position(|answer| *answer == line);
        found.map(|index| self.expected.swap_remove(index)).is_some()
    }

    /// Whether it answers the question for the place, which comes last.
    fn is_about_the_place(&self, refusal: &Refusal<'_>) -> bool {
        let is_next = self.place && self.expected.iter().all(|answer| *answer == "authenticated");
        match refusal {
            Refusal::UnknownCommand | Refusal::RoomOnly("mark" | "since") => is_next,
            Refusal::NoHistory | Refusal::NotKept(_) | Refusal::DeafClient => is_next,
            // Somebody without a token and a name may be about to send them.
            Refusal::AuthenticateFirst => is_next && !self.name,
            _ => false,
        }
    }
}

/// Whether the same login can succeed later, when it was refused so.
pub(super) fn may_pass(refusal: Refusal<'_>) -> bool {
    matches!(refusal, Refusal::NameTaken(_) | Refusal::NotJoined) || refusal.is_last_words()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "error: unknown command; send help for the list";

    /// The lines of a login, and what a line means in it, in one word.
    struct Try {
        lines: Vec<u8>,
        login: Login,
        place: Place,
    }

    impl Try {
        /// A login of a client that has heard the room up to `mark`.
        fn new(token: Option<&str>, deaf: bool, serve: &[&str], mark: Option<&str>) -> Try {
            let serve = serve.iter().map(|name| (*name).to_owned()).collect();
            let options = ClientOptions { deaf, serve, ..ClientOptions::default() };
            let mut place = Place::new(&options);
            mark.into_iter().for_each(|mark| place.found(Mark::parse(mark).unwrap()));
            let (lines, login) = Login::new(&options, token.map(Token::from).as_ref(), &place).unwrap();
            Try { lines, login, place }
        }

        fn take(&mut self, line: &str) -> &'static str {
            let held = self.login.held.len();
            match self.login.take(line.to_owned(), &mut self.place) {
                Progress::Pending if self.login.held.len() > held => "show",
                Progress::Pending => "swallow",
                Progress::Done if self.place.number().is_some() => "place",
                Progress::Done => "no place",
                Progress::AskAgain => "ask again",
                Progress::Refused(text) if Refusal::parse(&text).is_some_and(may_pass) => "later",
                Progress::Refused(_) => "never",
            }
        }
    }

    #[test]
    fn what_the_others_need_is_sent_first() {
        let new = |token: Option<&str>, name: Option<&str>, serve: &str| {
            let (name, serve) = (name.map(str::to_owned), vec![serve.to_owned()]);
            let since = Some("all".to_owned());
            let options = ClientOptions { name, deaf: true, serve, since, ..ClientOptions::default() };
            let token = token.map(Token::from);
            Login::new(&options, token.as_ref(), &Place::new(&options)).map(|(lines, _)| lines)
        };
        let lines = b"auth:a:b\r\ndeaf\r\niam:ada\r\nserve:work\r\nsince:all\r\n".to_vec();
        assert_eq!(new(Some("a:b"), Some("ada"), "work").unwrap(), lines);
        assert_eq!(Try::new(None, false, &[], None).lines, b"");
        for (token, name, serve) in [("a\nb", "ada", "work"), ("a", "a\nb", "work"), ("a", "ada", "wo\nrk")] {
            assert!(matches!(new(Some(token), Some(name), serve), Err(ClientError::NotOneLine)));
        }
    }

    #[test]
    fn every_line_before_the_pong_has_one_meaning() {
        for (line, with_token, without) in [
            ("authenticated", "swallow", "show"),
            ("deaf", "swallow", "swallow"),
            ("serving", "swallow", "swallow"),
            ("ada has joined", "show", "show"),
            ("bob: error: name ada is taken", "show", "show"),
            ("bob: at 5f.7", "show", "show"),
            ("at 5f.7", "show", "show"),
            (OLD, "show", "never"),
            ("error: name ada is taken", "later", "later"),
            ("error: not joined yet", "later", "later"),
            ("error: server is full (1 clients)", "later", "later"),
            ("error: server is shutting down", "later", "later"),
            ("error: wrong token", "never", "never"),
            ("error: deaf is a room mode command", "never", "never"),
            ("error: this room keeps no history", "never", "never"),
            ("error: something else", "never", "never"),
        ] {
            for (token, wanted) in [(Some("t"), with_token), (None, without)] {
                assert_eq!(Try::new(token, true, &["work"], None).take(line), wanted, "{line}, {token:?}");
            }
        }
    }

    #[test]
    fn each_answer_comes_once_and_the_second_is_for_the_caller() {
        for line in ["authenticated", "deaf", "serving"] {
            let mut login = Try::new(Some("t"), true, &["work"], None);
            assert_eq!([login.take(line), login.take(line)], ["swallow", "show"], "{line}");
        }
    }

    #[test]
    fn the_answer_to_the_question_for_the_place_comes_last() {
        const NOT_KEPT: &str = "error: lines since 5f.7 are not kept";
        for (lines, wanted) in [
            (&["bob > ada: hi", "at 5f.7"][..], &["show", "place"][..]),
            (&["at 5f.7", "at 5f.7"], &["place", "show"]),
            (&[NOT_KEPT, "at 60.7"], &["ask again", "place"]),
            (&["error: this room keeps no history"], &["no place"]),
            (&["error: since is a room mode command"], &["no place"]),
            (&[OLD, OLD], &["no place", "never"]),
            (&["error: authenticate first: auth:<token>"], &["no place"]),
            (&["error: not joined yet"], &["later"]),
        ] {
            let mut login = Try::new(None, false, &[], Some("5f.7"));
            assert_eq!(lines.iter().map(|line| login.take(line)).collect::<Vec<_>>(), wanted, "{lines:?}");
        }
        // An old server knows nothing of served names either.
        assert_eq!(Try::new(None, false, &["work"], Some("5f.7")).take(OLD), "never");
    }
}
