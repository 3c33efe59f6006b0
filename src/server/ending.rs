//! How a session ended: one value for each cause, set once, told to the peer and logged once.

use std::fmt;

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

    /// The last line that the peer is sent; `None` if it has ended the connection itself or cannot be reached.
    pub(super) fn last_words(self, limits: &Limits) -> Option<Refusal<'static>> {
        match self {
            EndReason::Quit | EndReason::PeerClosed | EndReason::NetworkError => None,
            EndReason::Idle => Some(Refusal::Idle(limits.idle_timeout.unwrap_or_default())),
            EndReason::TooSlow => Some(Refusal::TooSlow),
            EndReason::ServerFull => Some(Refusal::ServerFull(limits.max_clients)),
            EndReason::WrongToken => Some(Refusal::WrongToken),
            EndReason::NotAuthenticated => Some(Refusal::AuthenticationTimeout(limits.authentication_timeout)),
            EndReason::LooksLikeHttp => Some(Refusal::Http),
            EndReason::LooksLikeTls => Some(Refusal::Tls),
            EndReason::FirstLineTooLong => Some(Refusal::LineTooLong(limits.max_line)),
            EndReason::ShuttingDown => Some(Refusal::ShuttingDown),
            EndReason::CutOff => Some(Refusal::CutOff),
            EndReason::Panicked => Some(Refusal::Internal),
        }
    }
}

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            EndReason::Quit => "quit",
            EndReason::PeerClosed => "peer closed",
            EndReason::Idle => "idle",
            EndReason::TooSlow => "too slow",
            EndReason::ServerFull => "server full",
            EndReason::WrongToken => "wrong token",
            EndReason::NotAuthenticated => "not authenticated in time",
            EndReason::LooksLikeHttp => "looks like HTTP",
            EndReason::LooksLikeTls => "looks like TLS",
            EndReason::FirstLineTooLong => "first line too long",
            EndReason::ShuttingDown => "shutting down",
            EndReason::CutOff => "cut off from the other servers",
            EndReason::NetworkError => "network error",
            EndReason::Panicked => "panicked",
        })
    }
}
