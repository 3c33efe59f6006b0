//! Why an engine cannot be used, and whether trying again can help. Does no I/O.
//!
//! Only the engine's own words decide that. An error that is not known here counts as permanent while the server
//! starts, so that a mistake in the set-up shows at once; later it is a reason to try again.

use std::fmt;
use std::io::{self, ErrorKind};

use crate::transport::ConnectError;

/// Why this server cannot join its room, or has lost it.
#[derive(Debug)]
#[non_exhaustive]
pub enum JoinError {
    /// Nothing answers at the address.
    Unreachable(ConnectError),
    /// The connection broke, or no answer came in time.
    Lost(String),
    /// The answer is not the Redis protocol.
    NotAnEngine(String),
    /// The engine answered that it cannot serve just now, in its own words: loading, out of memory, a replica.
    Unavailable(String),
    /// The engine is out of memory.
    OutOfMemory,
    /// The engine wants a password and none was given.
    NoPassword,
    /// The engine refuses the password or the user; in its own words.
    WrongPassword(String),
    /// The user may not do what the room needs; in the engine's words.
    NoPermission(String),
    /// A key of the room holds something else; its name.
    ForeignKey(String),
    /// The servers in the room speak another version.
    OtherVersion(String),
    /// The servers in the room allow lines that are shorter: the longest entry in bytes.
    ShorterLines(usize),
    /// The engine is a cluster and the room is on another of its nodes; in its own words.
    Moved(String),
    /// The engine refuses something else; in its own words.
    Refused(String),
}

impl JoinError {
    /// What an error reply means.
    pub(super) fn from_reply(words: &str) -> JoinError {
        let code = words.split(' ').next().unwrap_or_default();
        let says = |part: &str| words.contains(part);
        let own = || words.to_owned();
        match code {
            // Redis 6 reports errors within a script as `ERR Error running script … -OOM …`.
            _ if code == "OOM" || says("-OOM ") => JoinError::OutOfMemory,
            "NOAUTH" => JoinError::NoPassword,
            "WRONGPASS" => JoinError::WrongPassword(own()),
            "ERR" if says("AUTH") && says("password") => JoinError::WrongPassword(own()),
            "NOPERM" | "DENIED" => JoinError::NoPermission(own()),
            _ if says("NOPERM")
                || says("ACL failure")
                || says("can't run this command")
                || says("can't access at least") =>
            {
                JoinError::NoPermission(own())
            }
            _ if says("WRONGTYPE") => JoinError::ForeignKey(String::new()),
            "MOVED" | "ASK" | "CROSSSLOT" => JoinError::Moved(own()),
            "LOADING" | "BUSY" | "MISCONF" | "READONLY" | "MASTERDOWN" | "CLUSTERDOWN" | "NOREPLICAS" | "TRYAGAIN"
            | "UNKILLABLE" | "NOSCRIPT" => JoinError::Unavailable(own()),
            "ERR" if says("max number of clients") => JoinError::Unavailable(own()),
            _ if says("-MISCONF") || says("-READONLY") || says("-NOREPLICAS") || says("-MASTERDOWN") => {
                JoinError::Unavailable(own())
            }
            _ => JoinError::Refused(own()),
        }
    }

    /// Whether trying again cannot help until a person has changed something.
    pub(in crate::server) fn is_permanent(&self) -> bool {
        use JoinError::{Lost, OutOfMemory, Unavailable, Unreachable};
        !matches!(self, Unreachable(_) | Lost(_) | Unavailable(_) | OutOfMemory)
    }
}

impl From<io::Error> for JoinError {
    fn from(error: io::Error) -> JoinError {
        match error.kind() {
            ErrorKind::InvalidData => JoinError::NotAnEngine(error.to_string()),
            ErrorKind::WouldBlock | ErrorKind::TimedOut => JoinError::Lost("no answer in time".to_owned()),
            _ => JoinError::Lost(error.to_string()),
        }
    }
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = |words: &str| words.escape_debug().to_string();
        match self {
            JoinError::Unreachable(error) => {
                write!(f, "cannot reach the engine at {}: {}", error.address(), error.why_not_to("Redis"))
            }
            JoinError::Lost(why) => f.write_str(why),
            JoinError::NotAnEngine(start) => write!(
                f,
                "no Redis or Valkey answers there, but something that sent \"{start}\"; check host and port of --join"
            ),
            JoinError::Unavailable(own) => write!(f, "the engine cannot serve now: {}", words(own)),
            JoinError::OutOfMemory => {
                f.write_str("the engine is out of memory: raise its maxmemory, or remove other data from it")
            }
            JoinError::NoPassword => {
                f.write_str("the engine wants a password: put it into a file and give --join-password-file")
            }
            JoinError::WrongPassword(own) => write!(
                f,
                "the engine refuses the user or the password: {}; check the user in --join and the first line of \
                 --join-password-file",
                words(own)
            ),
            JoinError::NoPermission(own) => write!(
                f,
                "the engine's user may not do what the room needs: {}; give it the permissions of the user hub in \
                 src/deploy/redis/redis.conf",
                words(own)
            ),
            JoinError::ForeignKey(key) => write!(
                f,
                "the engine's key {key} holds something that is not a room; choose another room name, or remove the key \
                 if nobody needs it"
            ),
            JoinError::OtherVersion(version) => write!(
                f,
                "the servers in the room use version {version} of it, which this one does not know; run the same \
                 release everywhere, or choose another room name"
            ),
            JoinError::ShorterLines(longest) => write!(
                f,
                "the servers in the room allow shorter lines (an entry has {longest} bytes at most); give all of them \
                 the same --max-line"
            ),
            JoinError::Moved(own) => write!(
                f,
                "the engine is a cluster, which is not supported: {}; use a single server, with replicas if need be",
                words(own)
            ),
            JoinError::Refused(own) => {
                write!(f, "the engine refuses: {}", words(own))?;
                if is_too_old(own) { f.write_str("; Redis 6.2 or later is needed") } else { Ok(()) }
            }
        }
    }
}

/// Whether an engine says this to a command, or to an argument of one, that it does not know.
fn is_too_old(words: &str) -> bool {
    let words = words.to_ascii_lowercase();
    ["unknown command", "unknown redis command", "unknown subcommand", "syntax error", "wrong number of arguments"]
        .iter()
        .any(|part| words.contains(part))
}

impl std::error::Error for JoinError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            JoinError::Unreachable(error) => Some(error),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::time::Duration;

    use super::*;
    use crate::transport::{Address, Stream};

    #[test]
    fn the_engines_words_decide_whether_to_try_again() {
        let permanent = [
            ("NOAUTH Authentication required.", "--join-password-file"),
            ("WRONGPASS invalid username-password pair or user is disabled.", "refuses the user or the password"),
            (
                "ERR AUTH <password> called without any password configured for the default user. Are you sure?",
                "password",
            ),
            ("NOPERM this user has no permissions to run the 'evalsha' command", "permissions"),
            (
                "ERR The user executing the script can't run this command or subcommand script: f1, on @x:4.",
                "permissions",
            ),
            ("ERR Error running script (call to f_1): @user_script:9: -NOPERM no", "permissions"),
            ("DENIED Redis is running in protected mode because protected mode is enabled", "protected mode"),
            ("WRONGTYPE Operation against a key holding the wrong kind of value script: f1", "another room name"),
            ("MOVED 1234 10.0.0.1:6379", "cluster"),
            ("ERR DB index is out of range", "DB index"),
            ("ERR unknown command `EVALSHA`", "6.2"),
        ];
        for (words, said) in permanent {
            let error = JoinError::from_reply(words);
            assert!(error.is_permanent(), "{words}");
            assert!(error.to_string().contains(said), "{words}: {error}");
        }
        for words in [
            "LOADING Redis is loading the dataset in memory",
            "BUSY Redis is busy running a script.",
            "READONLY You can't write against a read only replica.",
            "MISCONF Redis is configured to save RDB snapshots",
            "OOM command not allowed when used memory > 'maxmemory'. script: f1",
            "ERR Error running script (call to f_1): @user_script:50: -OOM command not allowed",
            "ERR max number of clients reached",
            "NOREPLICAS Not enough good replicas to write.",
        ] {
            assert!(!JoinError::from_reply(words).is_permanent(), "{words}");
        }
        assert!(JoinError::from(io::Error::from(ErrorKind::InvalidData)).is_permanent());
        for kind in [ErrorKind::UnexpectedEof, ErrorKind::TimedOut, ErrorKind::Other] {
            assert!(!JoinError::from(io::Error::from(kind)).is_permanent());
        }
    }

    #[test]
    fn only_what_an_old_engine_says_asks_for_a_later_one() {
        for words in [
            "ERR unknown command `EVALSHA`, with args beginning with: ",
            "ERR Unknown Redis command called from script script: f1, on @user_script:9.",
            "ERR unknown subcommand 'LOAD'. Try SCRIPT HELP.",
            // Redis 6.0 does not know XTRIM MINID, nor Redis 5 a user.
            "ERR Error running script (call to f_1): @user_script:9: ERR syntax error",
            "ERR wrong number of arguments for 'auth' command",
        ] {
            assert!(JoinError::from_reply(words).to_string().ends_with("; Redis 6.2 or later is needed"), "{words}");
        }
        for words in
            ["ERR DB index is out of range", "ERR user_script:42: attempt to perform arithmetic on a nil value"]
        {
            assert_eq!(JoinError::from_reply(words).to_string(), format!("the engine refuses: {words}"));
        }
    }

    #[test]
    fn an_engine_that_cannot_be_reached_is_called_so() {
        let directory = std::env::temp_dir();
        let file = |name: &str| directory.join(format!("localsocket-no-engine-{}-{name}", std::process::id()));
        let stale = file("stale");
        drop(UnixListener::bind(&stale).unwrap());
        for (address, why) in [
            (Address::Abstract(b"localsocket-no-engine".to_vec()), "nothing listens there (is Redis running?)"),
            (Address::Unix(stale.clone()), "nothing listens there (is Redis running?)"),
            (Address::Unix(file("none")), "there is no such file (is Redis running?)"),
            (Address::Unix(directory.join("x".repeat(256))), "the path is too long"),
        ] {
            let error = JoinError::Unreachable(Stream::connect(&address, Duration::from_secs(10)).unwrap_err());
            let wanted = format!("cannot reach the engine at {address}: {why}");
            assert!(error.to_string().starts_with(&wanted), "{error}");
        }
        std::fs::remove_file(stale).unwrap();
    }

    #[test]
    fn control_characters_of_the_engine_are_escaped() {
        let shown = JoinError::from_reply("ERR \x1b[2J").to_string();
        assert!(!shown.contains('\x1b'), "{shown}");
    }
}
