//! Why a link or a membership is over.

use std::io;

use crate::server::engine::JoinError;

/// Why a link is over.
pub(super) enum Over {
    /// The server stops.
    Stopped,
    /// The connection cannot be used any more; the membership goes on.
    Lost(JoinError),
    /// The membership is over.
    CutOff(String),
}

impl From<JoinError> for Over {
    fn from(error: JoinError) -> Over {
        Over::Lost(error)
    }
}

impl From<io::Error> for Over {
    fn from(error: io::Error) -> Over {
        Over::Lost(error.into())
    }
}

pub(super) fn cut_off(why: &str) -> Over {
    Over::CutOff(why.to_owned())
}

pub(super) fn expired() -> Over {
    cut_off("this server was not heard for its lease, or the engine has lost lines")
}
