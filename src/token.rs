//! The token that a server requires and a client sends.
//!
//! Shared by [`Config`](crate::Config) and [`ClientOptions`](crate::ClientOptions). Its text leaves this type in
//! one way only, as an `auth:` line: `Debug` does not show it, and comparing takes constant time.

use std::fmt;
use std::hint::black_box;

/// A shared secret. A server with a token requires it from every client, as `auth:<token>`.
///
/// ```
/// use localsocket::{ClientOptions, Token};
///
/// let options = ClientOptions { token: Some(Token::from("s3cret")), ..ClientOptions::default() };
/// assert!(!format!("{options:?}").contains("s3cret"));
/// ```
#[derive(Clone)]
pub struct Token(String);

impl Token {
    /// Whether `given` is the token. The time that it takes depends on the length of `given` only.
    pub(crate) fn matches(&self, given: &str) -> bool {
        let token = self.0.as_bytes();
        let mut differs = u8::from(given.len() != token.len());
        for (byte, expected) in given.bytes().zip(token.iter().cycle()) {
            differs |= black_box(byte ^ expected);
        }
        black_box(differs) == 0
    }

    /// The line that a client sends, without its end.
    pub(crate) fn auth_line(&self) -> String {
        format!("auth:{}", self.0)
    }
}

impl From<String> for Token {
    fn from(token: String) -> Token {
        Token(token)
    }
}

impl From<&str> for Token {
    fn from(token: &str) -> Token {
        Token(token.to_owned())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_token_matches() {
        let token = Token::from("s3cret");
        for (given, right) in [("s3cret", true), ("s3creT", false), ("s3cre", false), ("s3crets", false), ("", false)] {
            assert_eq!(token.matches(given), right, "{given}");
        }
        assert!(!token.matches("s3crets3cret"));
        assert!(!Token::from("").matches("x"));
        assert_eq!(format!("{token:?}"), "Token(..)");
        assert_eq!(token.auth_line(), "auth:s3cret");
    }
}
