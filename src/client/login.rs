//! The login that comes first on a connection: what is sent, and what the lines mean that come meanwhile. Pure.
//!
//! Token, `deaf` and name are sent together, and a `ping` after them. The answer to that ping shows that the server
//! has dealt with them; an error before it is their refusal, because until then nothing else was sent. What others
//! say, or are called, has no influence: only the server's own words start with `error: `, and no room line is a
//! bare `pong`.

use super::error::ClientError;
use super::options::ClientOptions;
use super::outgoing::one_line;
use crate::protocol::{Command, Refusal};

/// What a line means that comes before the login is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is for the caller.
    Show,
    /// It answers what only the library has sent.
    Swallow,
    /// The login has failed.
    Refused,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Login {
    token: bool,
    deaf: bool,
}

impl Login {
    /// The lines of the login without its ping, how many they are, and what to expect. `name` is the one to log in
    /// with, which may have changed since the options were given.
    pub(super) fn new(options: &ClientOptions, name: Option<&str>) -> Result<(Vec<u8>, u64, Login), ClientError> {
        let mut lines = Vec::new();
        let mut count = 0;
        let token = options.token.as_ref().map(|token| one_line(token.auth_line()));
        let deaf = options.deaf.then(|| one_line(Command::Deaf));
        let name = name.map(|name| one_line(Command::Iam(name)));
        for line in [token, deaf, name].into_iter().flatten() {
            lines.extend(line?);
            count += 1;
        }
        Ok((lines, count, Login { token: options.token.is_some(), deaf: options.deaf }))
    }

    /// Judges the next line.
    pub(super) fn judge(&mut self, line: &str) -> Verdict {
        match line.strip_prefix("error: ").map(Refusal::parse) {
            // The server requires no token. That is for the caller to know, and no harm to the rest.
            Some(Some(Refusal::UnknownCommand)) if self.token => {
                self.token = false;
                Verdict::Show
            }
            Some(_) => Verdict::Refused,
            None if self.token && line == "authenticated" => {
                self.token = false;
                Verdict::Swallow
            }
            None if self.deaf && line == "deaf" => {
                self.deaf = false;
                Verdict::Swallow
            }
            None => Verdict::Show,
        }
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

    fn options(token: Option<&str>, deaf: bool) -> ClientOptions {
        ClientOptions { token: token.map(Into::into), deaf, ..ClientOptions::default() }
    }

    #[test]
    fn token_deaf_and_name_are_sent_in_this_order() {
        let lines = |options, name| Login::new(&options, name).map(|(lines, count, _)| (lines, count));
        assert_eq!(lines(options(None, false), None).unwrap(), (b"".to_vec(), 0));
        let all = lines(options(Some("a:b"), true), Some("ada")).unwrap();
        assert_eq!(all, (b"auth:a:b\r\ndeaf\r\niam:ada\r\n".to_vec(), 3));
        assert!(matches!(lines(options(Some("a\nb"), false), None), Err(ClientError::NotOneLine)));
        assert!(matches!(lines(options(None, false), Some("a\nb")), Err(ClientError::NotOneLine)));
    }

    #[test]
    fn every_line_before_the_pong_has_one_meaning() {
        let (later, never) = ((Verdict::Refused, true), (Verdict::Refused, false));
        let (show, swallow) = ((Verdict::Show, false), (Verdict::Swallow, false));
        for (line, with_token, without) in [
            ("authenticated", swallow, show),
            ("deaf", swallow, swallow),
            ("ada has joined", show, show),
            ("bob: error: name ada is taken", show, show),
            ("error: unknown command; send help for the list", show, never),
            ("error: name ada is taken", later, later),
            ("error: not joined yet", later, later),
            ("error: server is full (1 clients)", later, later),
            ("error: server is shutting down", later, later),
            ("error: wrong token", never, never),
            ("error: deaf is a room mode command", never, never),
            ("error: something else", never, never),
        ] {
            for (token, wanted) in [(Some("t"), with_token), (None, without)] {
                let mut login = Login::new(&options(token, true), None).unwrap().2;
                let passes = line.strip_prefix("error: ").is_some_and(may_pass) && wanted.0 == Verdict::Refused;
                assert_eq!((login.judge(line), passes), wanted, "{line}, {token:?}");
            }
        }
        // Each answer comes once; the second is an echo.
        let mut login = Login::new(&options(Some("t"), true), None).unwrap().2;
        for (line, wanted) in [
            ("authenticated", Verdict::Swallow),
            ("authenticated", Verdict::Show),
            ("deaf", Verdict::Swallow),
            ("deaf", Verdict::Show),
        ] {
            assert_eq!(login.judge(line), wanted, "{line}");
        }
    }
}
