//! The room to join: where the engine is, and under which name the room is kept there. Does no I/O.
//!
//! A password is never part of the URL: everybody on the machine can read a process's arguments. It is neither printed
//! nor part of any error message here, even if the URL contains one.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::transport::{Address, AddressError};

const ALLOWED: &str = "allowed: redis://[USER@]HOST[:PORT][/DATABASE][?room=NAME], unix:PATH[?room=NAME]";
const PASSWORD: &str = "a password in the URL can be read by everybody on this machine; put it into a file and give \
                        --join-password-file";
const PORT: u16 = 6379;
const ROOM: &str = "main";
const ROOM_MAX: usize = 64;

/// A room that is shared with other servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Join {
    /// Which room, and where.
    pub url: JoinUrl,
    /// A file whose first line is the engine's password, if it has one. It is read whenever the engine is connected to.
    pub password_file: Option<PathBuf>,
}

impl From<JoinUrl> for Join {
    fn from(url: JoinUrl) -> Join {
        Join { url, password_file: None }
    }
}

/// A room that several servers share through Redis or Valkey; the value of `--join`.
///
/// ```
/// use localsocket::JoinUrl;
/// let url: JoinUrl = "redis://hub@engine/2?room=lobby".parse()?;
/// assert_eq!(url.to_string(), "redis://hub@engine:6379/2?room=lobby");
/// # Ok::<(), localsocket::JoinUrlError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinUrl {
    pub(super) address: Address,
    pub(super) user: Option<String>,
    pub(super) database: u32,
    pub(in crate::server) room: String,
}

impl FromStr for JoinUrl {
    type Err = JoinUrlError;

    fn from_str(text: &str) -> Result<JoinUrl, JoinUrlError> {
        read(text).map_err(|why| JoinUrlError(format!("invalid URL of a room: {why}; {ALLOWED}")))
    }
}

fn read(text: &str) -> Result<JoinUrl, String> {
    // Checked first, and up to the last `@`, so that no part of a password is taken for something else and printed.
    if text.strip_prefix("redis://").and_then(|rest| rest.rsplit_once('@')).is_some_and(|(user, _)| user.contains(':'))
    {
        return Err(PASSWORD.to_owned());
    }
    let (place, room) = match text.rsplit_once('?') {
        Some((place, query)) => (place, room_of(query)?.to_owned()),
        None => (text, ROOM.to_owned()),
    };
    if place.starts_with("unix:") {
        let address = place.parse().map_err(|_: AddressError| "missing path".to_owned())?;
        return Ok(JoinUrl { address, user: None, database: 0, room });
    }
    let rest = match place.split_once("://") {
        Some(("redis", rest)) => rest,
        Some(("rediss", _)) => return Err("TLS is not built in; use a tunnel such as stunnel".to_owned()),
        Some((scheme, _)) => return Err(format!("unknown scheme '{}'", scheme.escape_debug())),
        None => return Err("missing scheme".to_owned()),
    };
    let (user, rest) = match rest.rsplit_once('@') {
        // Other programs would take a percent sign for the code of a character.
        Some((user, _)) if user.is_empty() || user.contains('%') => return Err("invalid user name".to_owned()),
        Some((user, rest)) => (Some(user.to_owned()), rest),
        None => (None, rest),
    };
    let (host, database) = match rest.split_once('/') {
        Some((host, "")) => (host, 0),
        Some((host, number)) => (host, database_of(number)?),
        None => (rest, 0),
    };
    let address = address_of(host)?;
    Ok(JoinUrl { address, user, database, room })
}

fn room_of(query: &str) -> Result<&str, String> {
    if let Some(other) = query.split('&').find(|parameter| !parameter.starts_with("room=")) {
        let name = other.split('=').next().unwrap_or_default();
        return Err(format!("unknown parameter '{}'", name.escape_debug()));
    }
    let room = &query["room=".len()..];
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if room.is_empty() || room.len() > ROOM_MAX || !room.bytes().all(fits) {
        return Err(format!("a room name has 1 to {ROOM_MAX} of the characters A-Z a-z 0-9 . _ -"));
    }
    Ok(room)
}

fn database_of(number: &str) -> Result<u32, String> {
    // std takes a sign too.
    let parsed = number.parse().ok().filter(|_| !number.starts_with('+'));
    parsed.ok_or_else(|| format!("'{}' is not the number of a database", number.escape_debug()))
}

fn address_of(host: &str) -> Result<Address, String> {
    let has_port = host.contains(':') && !host.ends_with(']');
    let with_port = if has_port { host.to_owned() } else { format!("{host}:{PORT}") };
    match with_port.parse() {
        Ok(address @ Address::Tcp { port: 1.., .. }) => Ok(address),
        _ => Err(format!("invalid host or port '{}'", host.escape_debug())),
    }
}

impl fmt::Display for JoinUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.address {
            Address::Tcp { .. } => {
                f.write_str("redis://")?;
                if let Some(user) = &self.user {
                    write!(f, "{user}@")?;
                }
                write!(f, "{}/{}?room={}", self.address, self.database, self.room)
            }
            _ => write!(f, "{}?room={}", self.address, self.room),
        }
    }
}

/// A text that is not the URL of a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinUrlError(String);

impl fmt::Display for JoinUrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for JoinUrlError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read() {
        for (text, shown) in [
            ("redis://engine", "redis://engine:6379/0?room=main"),
            ("redis://engine/", "redis://engine:6379/0?room=main"),
            ("redis://10.0.0.1:7000/3?room=a.b_c-9", "redis://10.0.0.1:7000/3?room=a.b_c-9"),
            ("redis://hub@[::1]", "redis://hub@[::1]:6379/0?room=main"),
            ("redis://a@b@[::1]:7/1", "redis://a@b@[::1]:7/1?room=main"),
            ("unix:/run/redis.sock", "unix:/run/redis.sock?room=main"),
            ("unix:redis.sock?room=x", "unix:redis.sock?room=x"),
        ] {
            let url: JoinUrl = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(url.to_string(), shown);
            assert_eq!(shown.parse(), Ok(url), "{shown}");
        }
        let url: JoinUrl = "redis://a@b@h".parse().unwrap();
        assert_eq!((url.user.as_deref(), &*url.room), (Some("a@b"), "main"));
    }

    #[test]
    fn what_is_wrong_is_said() {
        let long = format!("redis://h?room={}", "x".repeat(65));
        for (why, texts) in [
            ("missing scheme", "|localhost:6379"),
            ("tunnel", "rediss://h"),
            ("unknown scheme 'http'", "http://h"),
            ("invalid host", "redis://|redis://h:0|redis://h:x|redis://h:70000|redis://::1"),
            ("user name", "redis://@h|redis://a%40b@h"),
            ("database", "redis://h/x|redis://h/+1|redis://h/99999999999"),
            ("unknown parameter ''", "redis://h?"),
            ("unknown parameter 'timeout'", "redis://h?timeout=3"),
            ("parameter 'x'", "redis://h?room=a&x=1"),
            ("a room name has 1 to 64", &format!("redis://h?room=|redis://h?room=a b|redis://h?room={{x}}|{long}")),
            ("missing path", "unix:|unix:?room=x"),
            ("unknown parameter 'db'", "unix:/s?db=1"),
        ] {
            for text in texts.split('|') {
                let error = text.parse::<JoinUrl>().unwrap_err().to_string();
                assert!(error.contains(why) && error.contains("redis://[USER@]HOST"), "{text}: {error}");
            }
        }
    }

    #[test]
    fn a_password_is_refused_and_not_repeated() {
        let texts = "redis://:s3cret@h|redis://hub:s3cret@h|redis://hub:s3@cret@h/1?room=x|redis://hub:s3cret@|\
             redis://:a?cret@h";
        for text in texts.split('|') {
            let error = text.parse::<JoinUrl>().unwrap_err().to_string();
            assert!(error.contains("--join-password-file") && !error.contains("cret"), "{error}");
        }
    }
}
