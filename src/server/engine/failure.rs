//! Why a call of the engine has failed, and whether trying again can help. Does no I/O.
//!
//! Only the engine's own words decide that. An error that is not known here counts as permanent while the server
//! starts, so that a mistake in the set-up shows at once; later it is a reason to try again.

use std::fmt;
use std::io::{self, ErrorKind};

use crate::transport::ConnectError;

/// Why a call has failed, in words that say what to do.
#[derive(Debug)]
pub(in crate::server) enum Failure {
    /// Trying again can help: nothing answers in time, the connection broke, or the engine cannot serve just now.
    Lost(String),
    /// The engine is out of memory.
    OutOfMemory(String),
    /// It stays so until a person has changed something.
    Refused(String),
}

type Meaning = (fn(String) -> Failure, &'static [&'static str], &'static str);

/// What error replies mean. A reply that contains one of the words, with a `-` before its code, is described by the text,
/// in which `{}` stands for the reply. Within scripts, engines put what a command replied into a message of their own.
const MEANINGS: [Meaning; 7] = [
    (
        Failure::OutOfMemory,
        &["-OOM "],
        "the engine is out of memory: raise its maxmemory, or remove other data from it",
    ),
    (
        Failure::Refused,
        // The second is said to a command of many words.
        &["-NOAUTH ", "unauthenticated"],
        "the engine wants a password: put it into a file and give --join-password-file",
    ),
    (
        Failure::Refused,
        &["-WRONGPASS ", "AUTH <password>", "sent AUTH"],
        "the engine refuses the user or the password: {}; check the user in --join and the first line of \
         --join-password-file",
    ),
    (
        Failure::Refused,
        &["-NOPERM", "-DENIED ", "ACL failure", "can't run this command", "can't access at least"],
        "the engine's user may not do what the room needs: {}; give it the permissions of the user hub in \
         src/deploy/redis/redis.conf",
    ),
    (
        Failure::Refused,
        &["-MOVED ", "-ASK ", "-CROSSSLOT "],
        "the engine is a cluster, which is not supported: {}; use a single server, with replicas if need be",
    ),
    (
        Failure::Refused,
        // What an engine says to a command, or to an argument of one, that it does not know.
        &["unknown command", "nknown Redis command", "nknown subcommand", "syntax error", "wrong number of arguments"],
        "the engine refuses: {}; Redis 6.2 or later is needed",
    ),
    (
        Failure::Lost,
        &[
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
        ],
        "the engine cannot serve now: {}",
    ),
];

impl Failure {
    /// What an error reply means.
    pub(super) fn from_reply(words: &str) -> Failure {
        let reply = format!("-{words} ");
        let means = |(_, parts, _): &&Meaning| parts.iter().any(|part| reply.contains(part));
        let (kind, _, text) = MEANINGS.iter().find(means).unwrap_or(&(Failure::Refused, &[], "the engine refuses: {}"));
        kind(text.replace("{}", &words.escape_debug().to_string()))
    }
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Failure {
        Failure::Lost(format!("cannot reach the engine at {}: {}", error.address(), error.why("Redis")))
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        match error.kind() {
            ErrorKind::InvalidData => Failure::Refused(format!(
                "no Redis or Valkey answers there, but something that sent \"{error}\"; check host and port of --join"
            )),
            ErrorKind::WouldBlock | ErrorKind::TimedOut => Failure::Lost("no answer in time".to_owned()),
            _ => Failure::Lost(error.to_string()),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Failure::Lost(text) | Failure::OutOfMemory(text) | Failure::Refused(text)) = self;
        f.write_str(text)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::transport::{Address, Stream};

    fn is_permanent(failure: &Failure) -> bool {
        matches!(failure, Failure::Refused(_))
    }

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
            let error = Failure::from_reply(words);
            assert!(is_permanent(&error), "{words}");
            assert!(error.to_string().contains(said), "{words}: {error}");
        }
        let all = "LOADING Redis is loading the dataset in memory|BUSY Redis is busy running a script.|\
             READONLY You can't write against a read only replica.|\
             MISCONF Redis is configured to save RDB snapshots|\
             OOM command not allowed when used memory > 'maxmemory'. script: f1|\
             ERR Error running script (call to f_1): @user_script:50: -OOM command not allowed|\
             ERR max number of clients reached|NOREPLICAS Not enough good replicas to write.";
        for words in all.split('|') {
            assert!(!is_permanent(&Failure::from_reply(words)), "{words}");
        }
        assert!(is_permanent(&io::Error::from(ErrorKind::InvalidData).into()));
        for kind in [ErrorKind::UnexpectedEof, ErrorKind::TimedOut, ErrorKind::Other] {
            assert!(!is_permanent(&io::Error::from(kind).into()));
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
            assert!(Failure::from_reply(words).to_string().ends_with("; Redis 6.2 or later is needed"), "{words}");
        }
        for words in
            ["ERR DB index is out of range", "ERR user_script:42: attempt to perform arithmetic on a nil value"]
        {
            assert_eq!(Failure::from_reply(words).to_string(), format!("the engine refuses: {words}"));
        }
    }

    #[test]
    fn an_engine_that_cannot_be_reached_is_called_so() {
        let address = Address::Unix(std::env::temp_dir().join(format!("localsocket-no-engine-{}", std::process::id())));
        let failure = Failure::from(Stream::connect(&address, Duration::from_secs(10)).unwrap_err());
        let wanted = format!("cannot reach the engine at {address}: there is no such file; is Redis running?");
        assert_eq!(failure.to_string(), wanted);
        assert!(!is_permanent(&failure));
    }

    #[test]
    fn control_characters_of_the_engine_are_escaped() {
        let shown = Failure::from_reply("ERR \x1b[2J").to_string();
        assert!(!shown.contains('\x1b'), "{shown}");
    }
}
