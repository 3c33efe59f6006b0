//! How a session ended: one value for each cause, set once, told to the peer and logged once.

use crate::limits::Limits;
use crate::protocol::{self, Refusal};

/// Why a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EndReason {
    Quit,
    PeerClosed,
    Idle,
    TooSlow,
    ServerFull,
    WrongToken,
    NotAuthenticated,
    LooksLikeHttp,
    LooksLikeTls,
    FirstLineTooLong,
    ShuttingDown,
    CutOff,
    NetworkError,
    Panicked,
}

impl EndReason {
    /// The reason to end a client whose first line is not of our protocol. Of a line that is too long, its start is
    /// enough.
    pub(super) fn of_first_line(line: &[u8]) -> Option<EndReason> {
        match () {
            () if protocol::is_http_request(line) => Some(EndReason::LooksLikeHttp),
            () if protocol::is_tls_hello(line) => Some(EndReason::LooksLikeTls),
            () => None,
        }
    }

    /// What the log calls it, and the last line that the peer is sent; `None` if it has ended the connection itself or
    /// cannot be reached.
    pub(super) fn told(self, limits: &Limits) -> (&'static str, Option<Refusal<'static>>) {
        match self {
            EndReason::Quit => ("quit", None),
            EndReason::PeerClosed => ("peer closed", None),
            EndReason::NetworkError => ("network error", None),
            EndReason::Idle => ("idle", Some(Refusal::Idle(limits.idle_timeout.unwrap_or_default()))),
            EndReason::TooSlow => ("too slow", Some(Refusal::TooSlow)),
            EndReason::ServerFull => ("server full", Some(Refusal::ServerFull(limits.max_clients))),
            EndReason::WrongToken => ("wrong token", Some(Refusal::WrongToken)),
            EndReason::NotAuthenticated => {
                ("not authenticated in time", Some(Refusal::AuthenticationTimeout(limits.authentication_timeout)))
            }
            EndReason::LooksLikeHttp => ("looks like HTTP", Some(Refusal::Http)),
            EndReason::LooksLikeTls => ("looks like TLS", Some(Refusal::Tls)),
            EndReason::FirstLineTooLong => ("first line too long", Some(Refusal::LineTooLong(limits.max_line))),
            EndReason::ShuttingDown => ("shutting down", Some(Refusal::ShuttingDown)),
            EndReason::CutOff => ("cut off from the other servers", Some(Refusal::CutOff)),
            EndReason::Panicked => ("panicked", Some(Refusal::Internal)),
        }
    }
}
