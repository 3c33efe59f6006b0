//! A listening socket as the server accepts from it, whichever way it came to listen.
//!
//! Knows its address and, if it has bound a Unix socket itself, owns the socket's file. Accepting never waits: the caller
//! polls. The socket's options are set here, once, and each connection inherits them.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use super::address::Address;
use super::error::{BindError, reworded};
use super::listener::Listener;
use super::ports;
use super::socket_file::{self, SocketFile};
use super::stream::Stream;
use crate::limits::LISTEN_BACKLOG;
use crate::os;

/// A socket that connections come from. Accepting never blocks.
#[derive(Debug)]
pub(crate) struct Acceptor {
    // Dropped in this order: while the file is there, the socket behind it is alive, so no other server can take the
    // file for a stale one and put its own in the place where this one removes.
    file: Option<SocketFile>,
    listener: Listener,
    address: Address,
}

impl Acceptor {
    /// Listens on all `addresses`. A host name can stand for several: there is one acceptor for each, all with the same
    /// port. Port 0 picks one that is free on all.
    ///
    /// A Unix socket's file gets the permissions `unix_mode`, replaces that of a dead server, and is removed when the
    /// acceptor is dropped.
    ///
    /// # Errors
    /// [`BindError`], which says why. Nothing stays bound then.
    pub(crate) fn bind(addresses: &[Address], unix_mode: u32) -> Result<Vec<Acceptor>, BindError> {
        let mut acceptors: Vec<Acceptor> = Vec::new();
        for address in addresses {
            let may_be_v4 = |other: &Address| match (other, address) {
                (Address::Tcp { host, port }, Address::Tcp { port: same, .. }) => port == same && !host.contains(':'),
                _ => false,
            };
            let is_apart = address.is_unspecified() && addresses.iter().any(may_be_v4);
            match Acceptor::bind_one(address, unix_mode, if is_apart { ports::bind_apart } else { TcpListener::bind }) {
                Ok(more) => acceptors.extend(more),
                Err(mut error) => {
                    if acceptors.iter().any(|own| own.is_in_the_way(&error)) {
                        error.error = reworded(&error.error, "in use by this server itself: --listen names it twice");
                    }
                    return Err(error);
                }
            }
        }
        Ok(acceptors)
    }

    fn bind_one(address: &Address, unix_mode: u32, bind: ports::Bind) -> Result<Vec<Acceptor>, BindError> {
        let fail = |error| BindError { address: address.clone(), at: None, error };
        match address {
            Address::Tcp { host, port } => {
                let sockets = ports::listen(host, *port, bind);
                let sockets = sockets.map_err(|(at, error)| BindError { at, ..fail(error) })?;
                sockets.into_iter().map(|socket| Acceptor::over(socket.into())).collect()
            }
            Address::Unix(path) => SocketFile::listen(path, unix_mode)
                .and_then(|(file, socket)| Ok(vec![Acceptor::new(Some(file), socket.into())?])),
            Address::Abstract(name) => {
                socket_file::listen_abstract(name).and_then(|socket| Ok(vec![Acceptor::over(socket.into())?]))
            }
        }
        .map_err(fail)
    }

    /// Accepts from a socket that listens already. A Unix socket's file is left to whoever has bound it.
    pub(crate) fn over(listener: Listener) -> io::Result<Acceptor> {
        Acceptor::new(None, listener)
    }

    fn new(file: Option<SocketFile>, listener: Listener) -> io::Result<Acceptor> {
        let address = match &listener {
            Listener::Tcp(socket) => {
                // On Linux, connections inherit these from their listener, which saves system calls for each. In std, only a
                // stream has the first.
                TcpStream::from(OwnedFd::from(socket.try_clone()?)).set_nodelay(true)?;
                os::set_backlog(socket.as_fd(), LISTEN_BACKLOG)?;
                socket.set_nonblocking(true)?;
                socket.local_addr()?.into()
            }
            Listener::Unix(socket) => {
                socket.set_nonblocking(true)?;
                let address = socket.local_addr()?;
                match (address.as_pathname(), os::abstract_name(&address)) {
                    (Some(path), _) => path.into(),
                    (None, name) => Address::Abstract(name.unwrap_or_default().to_vec()),
                }
            }
        };
        Ok(Acceptor { file, listener, address })
    }

    /// Whether this one has what could not be bound.
    fn is_in_the_way(&self, error: &BindError) -> bool {
        match (&self.address, &error.address, error.at) {
            (Address::Tcp { host, port }, Address::Tcp { port: wanted, .. }, Some(at)) => {
                error.error.kind() == ErrorKind::AddrInUse
                    && port == wanted
                    && (host.parse() == Ok(at) || self.address.is_unspecified() || at.is_unspecified())
            }
            (_, Address::Unix(path), _) => self.file.as_ref().is_some_and(|file| file.is_at(path)),
            (own, wanted, _) => own == wanted,
        }
    }

    /// Lets the kernel end connections whose peer has vanished. While bytes are under way, a peer has `patience` to take
    /// some.
    ///
    /// # Errors
    /// The kernel has no such options.
    pub(crate) fn end_vanished(&self, patience: Duration) -> io::Result<()> {
        match &self.listener {
            Listener::Tcp(socket) => os::end_vanished(socket.as_fd(), patience),
            Listener::Unix(_) => Ok(()),
        }
    }

    /// Where clients find it, with the port that was picked.
    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    /// Takes the next connection that waits, with a name of its other end for people to read: `127.0.0.1:4242`, or
    /// `unix, pid 4242, uid 1000`.
    ///
    /// # Errors
    /// `WouldBlock` if none waits, else what `accept(2)` reports.
    pub(crate) fn accept(&self) -> io::Result<(Stream, String)> {
        match &self.listener {
            Listener::Tcp(socket) => {
                let (stream, peer) = socket.accept()?;
                // An IPv4 client of a listener for both has a mapped address.
                Ok((Stream::Tcp(stream), SocketAddr::new(peer.ip().to_canonical(), peer.port()).to_string()))
            }
            Listener::Unix(socket) => {
                let (stream, _) = socket.accept()?;
                let peer = match os::peer_process(stream.as_fd()) {
                    // A process of another container cannot be seen from here.
                    Ok((0, user)) => format!("unix, uid {user}"),
                    Ok((process, user)) => format!("unix, pid {process}, uid {user}"),
                    Err(_) => "unix".to_owned(),
                };
                Ok((Stream::Unix(stream), peer))
            }
        }
    }
}

impl AsFd for Acceptor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.listener {
            Listener::Tcp(socket) => socket.as_fd(),
            Listener::Unix(socket) => socket.as_fd(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::slice;

    use super::*;
    use crate::os::Wait;

    fn accept(acceptor: &Acceptor) -> (Stream, String) {
        assert_eq!(acceptor.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        let _client = Stream::connect(acceptor.address(), Duration::from_secs(10)).unwrap();
        os::poll(&mut [Wait::readable(acceptor.as_fd())], Some(Duration::from_secs(10)));
        acceptor.accept().unwrap()
    }

    #[cfg_attr(any(not(target_os = "linux"), localsocket_portable), ignore = "needs abstract names")]
    #[test]
    fn an_abstract_name_is_listened_on_and_its_clients_have_process_and_user() {
        let address: Address = format!("unix:@localsocket-listener-{}", std::process::id()).parse().unwrap();
        let acceptors = Acceptor::bind(slice::from_ref(&address), 0o600).unwrap();
        let [acceptor] = &acceptors[..] else { panic!("{acceptors:?}") };
        assert_eq!(acceptor.address(), &address);
        let (_, peer) = accept(acceptor);
        let wanted = format!("unix, pid {}, uid ", std::process::id());
        assert!(peer.strip_prefix(&wanted).is_some_and(|user| user.parse::<u32>().is_ok()), "{peer}");
        let error = Acceptor::bind(slice::from_ref(&address), 0o600).unwrap_err().to_string();
        assert_eq!(error, format!("cannot listen on {address}: in use: another program has this name"));
    }

    #[test]
    fn a_tcp_client_is_named_by_its_address() {
        let acceptors = Acceptor::bind(&["127.0.0.1:0".parse().unwrap()], 0).unwrap();
        let (_, peer) = accept(&acceptors[0]);
        assert!(peer.starts_with("127.0.0.1:"), "{peer}");
    }
}
