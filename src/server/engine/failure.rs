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
    /// The engine cannot serve just now: it is loading, say, or a replica.
    Unavailable(String),
    /// The engine is out of memory.
    OutOfMemory,
    /// It stays so until a person has changed something: what is wrong, and what to do.
    Refused(String),
}

/// What error replies mean. A reply that contains one of the words, with a `-` before its code, is described by the text,
/// in which `{}` stands for the reply. Within scripts, engines put what a command replied into a message of their own.
const MEANINGS: [(&[&str], &str); 5] = [
    // The second is said to a command of many words.
    (&["-NOAUTH ", "unauthenticated"], "the engine wants a password: put it into a file and give --join-password-file"),
    (
        &["-WRONGPASS ", "AUTH <password>", "sent AUTH"],
        "the engine refuses the user or the password: {}; check the user in --join and the first line of \
         --join-password-file",
    ),
    (
        &["-NOPERM", "-DENIED ", "ACL failure", "can't run this command", "can't access at least"],
        "the engine's user may not do what the room needs: {}; give it the permissions of the user hub in \
         src/deploy/redis/redis.conf",
    ),
    (
        &["-MOVED ", "-ASK ", "-CROSSSLOT "],
        "the engine is a cluster, which is not supported: {}; use a single server, with replicas if need be",
    ),
    (
        // What an engine says to a command, or to an argument of one, that it does not know.
        &["unknown command", "nknown Redis command", "nknown subcommand", "syntax error", "wrong number of arguments"],
        "the engine refuses: {}; Redis 6.2 or later is needed",
    ),
];

/// Error replies that say that the engine can serve later.
const TEMPORARY: [&str; 11] = [
    "-LOADING ",
    "-BUSY ",
    "-MISCONF ",
    "-READONLY ",
    "-MASTERDOWN ",
    "-CLUSTERDOWN ",
    "-NOREPLICAS ",
    "-TRYAGAIN ",
    "-UNKILLABLE ",
    "-NOSCRIPT ",
    "max number of clients",
];

impl JoinError {
    /// What an error reply means.
    pub(super) fn from_reply(words: &str) -> JoinError {
        let (reply, shown) = (format!("-{words} "), words.escape_debug().to_string());
        let says = |part: &&str| reply.contains(part);
        if says(&"-OOM ") {
            return JoinError::OutOfMemory;
        }
        match MEANINGS.iter().find(|(parts, _)| parts.iter().any(says)) {
            Some((_, meaning)) => JoinError::Refused(meaning.replace("{}", &shown)),
            None if TEMPORARY.iter().any(says) => {
                JoinError::Unavailable(format!("the engine cannot serve now: {shown}"))
            }
            None => JoinError::Refused(format!("the engine refuses: {shown}")),
        }
    }

    /// Whether trying again cannot help until a person has changed something.
    pub(in crate::server) fn is_permanent(&self) -> bool {
        matches!(self, JoinError::Refused(_))
    }
}

impl From<io::Error> for JoinError {
    fn from(error: io::Error) -> JoinError {
        match error.kind() {
            ErrorKind::InvalidData => JoinError::Refused(format!(
                "no Redis or Valkey answers there, but something that sent \"{error}\"; check host and port of --join"
            )),
            ErrorKind::WouldBlock | ErrorKind::TimedOut => JoinError::Lost("no answer in time".to_owned()),
            _ => JoinError::Lost(error.to_string()),
        }
    }
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JoinError::Unreachable(error) => {
                write!(f, "cannot reach the engine at {}: {}", error.address(), error.why("Redis"))
            }
            JoinError::OutOfMemory => {
                f.write_str("the engine is out of memory: raise its maxmemory, or remove other data from it")
            }
            JoinError::Lost(why) | JoinError::Unavailable(why) | JoinError::Refused(why) => f.write_str(why),
        }
    }
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
            ("ERR Protocol error: unauthenticated multibulk length", "--join-password-file"),
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
            ("MOVED 1234 10.0.0.1:6379", "cluster"),
            ("ERR DB index is out of range", "DB index"),
            ("ERR unknown command `EVALSHA`", "6.2"),
        ];
        for (words, said) in permanent {
            let error = JoinError::from_reply(words);
            assert!(error.is_permanent(), "{words}");
            assert!(error.to_string().contains(said), "{words}: {error}");
        }
        let all = "LOADING Redis is loading the dataset in memory|BUSY Redis is busy running a script.|\
             READONLY You can't write against a read only replica.|\
             MISCONF Redis is configured to save RDB snapshots|\
             OOM command not allowed when used memory > 'maxmemory'. script: f1|\
             ERR Error running script (call to f_1): @user_script:50: -OOM command not allowed|\
             ERR max number of clients reached|NOREPLICAS Not enough good replicas to write.";
        for words in all.split('|') {
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
            #[cfg(all(target_os = "linux", not(localsocket_portable)))] // only there are such names
            (Address::Abstract(b"localsocket-no-engine".to_vec()), "nothing listens there; is Redis running?"),
            (Address::Unix(stale.clone()), "the socket file is stale, its server is gone; start Redis again"),
            (Address::Unix(file("none")), "there is no such file; is Redis running?"),
            (Address::Unix(directory.join("x".repeat(256))), "the path is too long"),
        ] {
            // A process that another test starts holds the listener for a moment, until it becomes another program.
            let error = (0..1000).find_map(|_| Stream::connect(&address, Duration::from_secs(10)).err());
            let error = JoinError::Unreachable(error.unwrap());
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
