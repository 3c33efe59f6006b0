//! A socket that listens already, of either kind.

use std::net::TcpListener;
use std::os::unix::net::UnixListener;

/// A socket that a program, or its service manager, has bound; [`Server::from_listeners`] serves it.
///
/// [`Server::from_listeners`]: crate::Server::from_listeners
#[derive(Debug)]
pub enum Listener {
    /// Over TCP.
    Tcp(TcpListener),
    /// Over a Unix socket. Its file stays when the server has ended.
    Unix(UnixListener),
}

impl From<TcpListener> for Listener {
    fn from(listener: TcpListener) -> Listener {
        Listener::Tcp(listener)
    }
}

impl From<UnixListener> for Listener {
    fn from(listener: UnixListener) -> Listener {
        Listener::Unix(listener)
    }
}
