//! The token that a server requires and a client sends, and the files that secrets are kept in.
//!
//! A token is shared by [`Config`](crate::Config) and [`ClientOptions`](crate::ClientOptions). Its text leaves this type
//! in one way only, as an `auth:` line: `Debug` does not show it, and comparing takes constant time.

use std::fmt;
use std::fs::File;
use std::hint::black_box;
use std::io::Read as _;
use std::path::Path;

/// The most of a file that is read; a device instead of a file must not fill the memory.
const FILE_MAX: u64 = 64 * 1024;

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
    /// Reads a token from a file: the first line, without a byte order mark before it.
    ///
    /// # Errors
    /// The file cannot be read, or its first line is empty. The text names the file.
    pub fn read(file: &Path) -> Result<Token, String> {
        read_first_line(file).map(Token)
    }

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

impl PartialEq for Token {
    fn eq(&self, other: &Token) -> bool {
        self.matches(&other.0)
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

/// Reads the first line of a file, without a byte order mark: a secret.
///
/// # Errors
/// The file cannot be read, or its first line is empty.
pub fn read_first_line(path: &Path) -> Result<String, String> {
    let fail = |why: &dyn fmt::Display| format!("{}: {why}", path.display().to_string().escape_debug());
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(FILE_MAX).read_to_string(&mut text));
    read.map_err(|error| fail(&error))?;
    let first = text.strip_prefix('\u{feff}').unwrap_or(&text).lines().next().filter(|line| !line.is_empty());
    first.map(str::to_owned).ok_or_else(|| fail(&"the first line is empty"))
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

    #[test]
    fn a_token_is_the_first_line_without_a_byte_order_mark() {
        let path = std::env::temp_dir().join(format!("localsocket-token-{}", std::process::id()));
        let read = |content: &[u8]| {
            std::fs::write(&path, content).unwrap();
            read_first_line(&path)
        };
        for content in ["secret", "secret\n", "secret\r\nmore\n", "\u{feff}secret\n"] {
            assert_eq!(read(content.as_bytes()), Ok("secret".to_owned()), "{content:?}");
        }
        for content in ["", "\n", "\r\nsecret", "\u{feff}", "\u{feff}\nsecret"] {
            let error = read(content.as_bytes()).unwrap_err();
            assert!(error.ends_with(": the first line is empty"), "{error}");
        }
        assert!(read(b"\xff").is_err());
        std::fs::remove_file(&path).unwrap();
        assert!(read_first_line(&path).unwrap_err().contains("No such file"));
        // A device without an end.
        assert!(read_first_line(Path::new("/dev/zero")).is_ok());
    }
}
