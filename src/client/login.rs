//! The login that comes first on a connection: what is sent, and what the lines mean that come meanwhile. Pure.
//!
//! Token, `deaf`, name, served names and the question for the place in the room are sent together, and a `ping` after them.
//! The answer to the last of them shows that the server has dealt with all; an error before it is their refusal, because
//! until then nothing else was sent. What others say, or are called, has no influence: only the server's own words start
//! with `error: `, and no room line is a bare `pong` or starts with `at `.

use super::error::ClientError;
use super::options::ClientOptions;
use super::outgoing::one_line;
use crate::protocol::{Command, Mark, Refusal};
use crate::token::Token;

/// What a line means that comes before the login is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is for the caller.
    Show,
    /// It answers what only the library has sent.
    Swallow,
    /// The login has failed.
    Refused,
    /// It names the place in the room.
    Place(Mark),
    /// It does not name it, and says why.
    NoPlace,
}

/// The answers that are still to come, and what has come meanwhile.
#[derive(Debug)]
pub(super) struct Login {
    /// Those to what only the library has sent, but for that to the question for the place.
    expected: Vec<&'static str>,
    name: bool,
    place: bool,
    /// After how many answers to pings it is done in any case.
    pub(super) pongs: u64,
    /// It is known later whether this will come again.
    pub(super) held: Vec<String>,
}

impl Login {
    /// The lines of the login without its ping, and what to expect. `place` is the line that asks for the place in the room.
    ///
    /// # Errors
    /// [`ClientError::NotOneLine`].
    pub(super) fn new(
        options: &ClientOptions,
        token: Option<&Token>,
        place: Option<String>,
    ) -> Result<(Vec<u8>, Login), ClientError> {
        let answers = [token.map(|_| "authenticated"), options.deaf.then_some("deaf")].into_iter().flatten();
        let login = Login {
            expected: answers.chain(options.serve.iter().map(|_| "serving")).collect(),
            name: options.name.is_some(),
            place: place.is_some(),
            pongs: 1,
            held: Vec::new(),
        };
        let lines = [token.map(Token::auth_line), options.deaf.then(|| Command::Deaf.to_string())]
            .into_iter()
            .chain([options.name.as_deref().map(|name| Command::Iam(name).to_string())])
            .chain(options.serve.iter().map(|name| Some(Command::Serve(name).to_string())))
            .chain([place])
            .flatten()
            .map(one_line)
            .collect::<Result<Vec<_>, _>>()?;
        Ok((lines.concat(), login))
    }

    /// Judges the next line.
    pub(super) fn judge(&mut self, line: &str) -> Verdict {
        if self.expects(line) {
            return Verdict::Swallow;
        }
        let Some(text) = line.strip_prefix("error: ") else {
            return match line.strip_prefix("at ").and_then(Mark::parse) {
                Some(mark) if std::mem::take(&mut self.place) => Verdict::Place(mark),
                _ => Verdict::Show,
            };
        };
        match Refusal::parse(text) {
            // The server requires no token. That is for the caller to know, and no harm to the rest.
            Some(Refusal::UnknownCommand) if self.expects("authenticated") => Verdict::Show,
            Some(refusal) if self.is_about_the_place(&refusal) => {
                self.place = false;
                Verdict::NoPlace
            }
            _ => Verdict::Refused,
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

    /// The question for the place is sent once more.
    pub(super) fn ask_again(&mut self) {
        self.place = true;
        self.pongs += 1;
    }
}

/// Whether the same login can succeed later, when it was refused with this text.
pub(super) fn may_pass(refusal: &str) -> bool {
    match Refusal::parse(refusal) {
        Some(Refusal::NameTaken(_) | Refusal::NotJoined) => true,
        Some(refusal) => refusal.is_last_words(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "error: unknown command; send help for the list";

    fn login(token: Option<&str>, deaf: bool, serve: &[&str], place: &str) -> (Vec<u8>, Login) {
        let serve = serve.iter().map(|name| (*name).to_owned()).collect();
        let options = ClientOptions { deaf, serve, ..ClientOptions::default() };
        let place = Some(place.to_owned()).filter(|place| !place.is_empty());
        Login::new(&options, token.map(Token::from).as_ref(), place).unwrap()
    }

    #[test]
    fn what_the_others_need_is_sent_first() {
        let new = |token: Option<&str>, name: Option<&str>, serve: &str| {
            let (name, serve) = (name.map(str::to_owned), vec![serve.to_owned()]);
            let options = ClientOptions { name, deaf: true, serve, ..ClientOptions::default() };
            let token = token.map(Token::from);
            Login::new(&options, token.as_ref(), Some("since:all".to_owned())).map(|(lines, _)| lines)
        };
        let lines = b"auth:a:b\r\ndeaf\r\niam:ada\r\nserve:work\r\nsince:all\r\n".to_vec();
        assert_eq!(new(Some("a:b"), Some("ada"), "work").unwrap(), lines);
        assert_eq!(login(None, false, &[], "").0, b"");
        for (token, name, serve) in [("a\nb", "ada", "work"), ("a", "a\nb", "work"), ("a", "ada", "wo\nrk")] {
            assert!(matches!(new(Some(token), Some(name), serve), Err(ClientError::NotOneLine)));
        }
    }

    #[test]
    fn every_line_before_the_pong_has_one_meaning() {
        let (later, never) = ((Verdict::Refused, true), (Verdict::Refused, false));
        let (show, swallow) = ((Verdict::Show, false), (Verdict::Swallow, false));
        for (line, with_token, without) in [
            ("authenticated", &swallow, &show),
            ("deaf", &swallow, &swallow),
            ("serving", &swallow, &swallow),
            ("ada has joined", &show, &show),
            ("bob: error: name ada is taken", &show, &show),
            ("bob: at 5f.7", &show, &show),
            ("at 5f.7", &show, &show),
            (OLD, &show, &never),
            ("error: name ada is taken", &later, &later),
            ("error: not joined yet", &later, &later),
            ("error: server is full (1 clients)", &later, &later),
            ("error: server is shutting down", &later, &later),
            ("error: wrong token", &never, &never),
            ("error: deaf is a room mode command", &never, &never),
            ("error: this room keeps no history", &never, &never),
            ("error: something else", &never, &never),
        ] {
            for (token, wanted) in [(Some("t"), with_token), (None, without)] {
                let mut login = login(token, true, &["work"], "").1;
                let passes = line.strip_prefix("error: ").is_some_and(may_pass) && wanted.0 == Verdict::Refused;
                assert_eq!((login.judge(line), passes), *wanted, "{line}, {token:?}");
            }
        }
    }

    #[test]
    fn each_answer_comes_once_and_the_second_is_for_the_caller() {
        for line in ["authenticated", "deaf", "serving"] {
            let mut login = login(Some("t"), true, &["work"], "").1;
            assert_eq!([login.judge(line), login.judge(line)], [Verdict::Swallow, Verdict::Show], "{line}");
        }
    }

    #[test]
    fn the_answer_to_the_question_for_the_place_comes_last() {
        let at = Mark::parse("5f.7").unwrap();
        for (lines, wanted) in [
            (&["bob: hi", "at 5f.7"][..], &[Verdict::Show, Verdict::Place(at.clone())][..]),
            (&["at 5f.7", "at 5f.7"], &[Verdict::Place(at.clone()), Verdict::Show]),
            (&["error: lines since 5f.7 are not kept"], &[Verdict::NoPlace]),
            (&["error: this room keeps no history"], &[Verdict::NoPlace]),
            (&["error: since is a room mode command"], &[Verdict::NoPlace]),
            (&[OLD, OLD], &[Verdict::NoPlace, Verdict::Refused]),
            (&["error: authenticate first: auth:<token>"], &[Verdict::NoPlace]),
            (&["error: not joined yet"], &[Verdict::Refused]),
        ] {
            let mut login = login(None, false, &[], "since:5f.7").1;
            assert_eq!(lines.iter().map(|line| login.judge(line)).collect::<Vec<_>>(), wanted, "{lines:?}");
        }
        // An old server knows nothing of served names either.
        assert_eq!(login(None, false, &["work"], "mark").1.judge(OLD), Verdict::Refused);
        let mut again = login(None, false, &[], "since:5f.7").1;
        again.judge("error: lines since 5f.7 are not kept");
        again.ask_again();
        assert_eq!(again.judge("at 5f.7"), Verdict::Place(at));
    }
}
