//! Why a link or a membership is over.

use crate::server::engine::Failure;

/// Why a link is over.
pub(super) enum Over {
    /// The server stops.
    Stopped,
    /// The connection cannot be used any more; the membership goes on.
    Lost(Failure),
    /// The membership is over.
    CutOff(&'static str),
}

impl Over {
    pub(super) const EXPIRED: Over =
        Over::CutOff("this server was not heard for its lease, or the engine has lost lines");

    pub(super) fn lost(why: &str) -> Over {
        Over::Lost(Failure::Lost(why.to_owned()))
    }
}

impl<E: Into<Failure>> From<E> for Over {
    fn from(error: E) -> Over {
        Over::Lost(error.into())
    }
}
