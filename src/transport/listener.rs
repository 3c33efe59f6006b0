//! A socket that connections come from.

use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::UnixListener;

use super::address::Address;
use super::error::{BindError, Cause};
use super::ports;
use super::socket_file::{self, SocketFile};
use super::stream::Stream;
use crate::limits::LISTEN_BACKLOG;
use crate::os;
use crate::service_manager::InheritedSocket;

/// A socket that connections come from. Accepting never blocks.
#[derive(Debug)]
pub struct Listener {
    // Dropped in this order: while the file is there, the socket behind it is alive, so no other server can take the
    // file for a stale one and put its own in the place where this one removes.
    _file: Option<SocketFile>,
    socket: Socket,
    address: Address,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    /// Listens on `address`. A host name can stand for several addresses: there is one listener for each, all with the
    /// same port. Port 0 picks one that is free on all.
    ///
    /// A Unix socket's file gets the permissions `unix_mode`, replaces that of a dead server, and is removed when the
    /// listener is dropped.
    ///
    /// # Errors
    /// [`BindError`], which says why. Nothing stays bound then.
    pub fn bind(address: &Address, unix_mode: u32) -> Result<Vec<Listener>, BindError> {
        let fail = |cause: Cause| BindError { address: address.clone(), at: None, cause };
        let system = |error: io::Error| fail(error.into());
        match address {
            Address::Tcp { host, port } => {
                let sockets = ports::listen(host, *port).map_err(|(at, cause)| BindError {
                    address: address.clone(),
                    at,
                    cause,
                })?;
                sockets.into_iter().map(|socket| socket.try_into().map_err(system)).collect()
            }
            Address::Unix(path) => {
                let (file, socket) = SocketFile::listen(path, unix_mode).map_err(fail)?;
                Listener::new(Some(file), Socket::Unix(socket)).map(|one| vec![one]).map_err(system)
            }
            Address::Abstract(name) => {
                let socket = socket_file::listen_abstract(name).map_err(fail)?;
                socket.try_into().map(|one| vec![one]).map_err(system)
            }
        }
    }

    /// Accepts from a socket that a service manager listens on. Its file, if any, stays when the listener is dropped.
    ///
    /// # Errors
    /// What the system reports.
    pub fn from_inherited(socket: InheritedSocket) -> io::Result<Listener> {
        match socket {
            InheritedSocket::Tcp(socket) => socket.try_into(),
            InheritedSocket::Unix(socket) => socket.try_into(),
        }
    }

    fn new(file: Option<SocketFile>, socket: Socket) -> io::Result<Listener> {
        let address = match &socket {
            Socket::Tcp(socket) => {
                // Connections inherit these from their listener, which saves a system call for each. In std, only a
                // stream has the first.
                TcpStream::from(OwnedFd::from(socket.try_clone()?)).set_nodelay(true)?;
                os::set_keepalive(socket.as_fd())?;
                os::set_backlog(socket.as_fd(), LISTEN_BACKLOG)?;
                socket.set_nonblocking(true)?;
                socket.local_addr()?.into()
            }
            Socket::Unix(socket) => {
                socket.set_nonblocking(true)?;
                let address = socket.local_addr()?;
                match (address.as_pathname(), address.as_abstract_name()) {
                    (Some(path), _) => path.into(),
                    (None, name) => Address::Abstract(name.unwrap_or_default().to_vec()),
                }
            }
        };
        Ok(Listener { _file: file, socket, address })
    }

    /// Where clients find it, with the port that was picked.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Takes the next connection that waits, with a name of its other end for people to read: `127.0.0.1:4242`, or
    /// `unix, pid 4242, uid 1000`.
    ///
    /// # Errors
    /// `WouldBlock` if none waits, else what `accept(2)` reports.
    pub fn accept(&self) -> io::Result<(Stream, String)> {
        match &self.socket {
            Socket::Tcp(socket) => {
                let (stream, peer) = socket.accept()?;
                Ok((Stream::Tcp(stream), peer.to_string()))
            }
            Socket::Unix(socket) => {
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

/// A socket that the program has bound already. Its file, if any, is the program's affair.
impl TryFrom<UnixListener> for Listener {
    type Error = io::Error;

    fn try_from(socket: UnixListener) -> io::Result<Listener> {
        Listener::new(None, Socket::Unix(socket))
    }
}

/// A socket that the program has bound already.
impl TryFrom<TcpListener> for Listener {
    type Error = io::Error;

    fn try_from(socket: TcpListener) -> io::Result<Listener> {
        Listener::new(None, Socket::Tcp(socket))
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.socket {
            Socket::Tcp(socket) => socket.as_fd(),
            Socket::Unix(socket) => socket.as_fd(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::os::Wait;

    fn accept(listener: &Listener) -> (Stream, String) {
        assert_eq!(listener.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        let _client = Stream::connect(listener.address(), Duration::from_secs(10)).unwrap();
        os::poll(&mut [Wait::readable(listener.as_fd())], Some(Duration::from_secs(10)));
        listener.accept().unwrap()
    }

    #[test]
    fn an_abstract_name_is_listened_on_and_its_clients_have_process_and_user() {
        let address: Address = format!("unix:@localsocket-listener-{}", std::process::id()).parse().unwrap();
        let listeners = Listener::bind(&address, 0o600).unwrap();
        let [listener] = &listeners[..] else { panic!("{listeners:?}") };
        assert_eq!(listener.address(), &address);
        let (_, peer) = accept(listener);
        let wanted = format!("unix, pid {}, uid ", std::process::id());
        assert!(peer.strip_prefix(&wanted).is_some_and(|user| user.parse::<u32>().is_ok()), "{peer}");
        let error = Listener::bind(&address, 0o600).unwrap_err().to_string();
        assert_eq!(error, format!("cannot listen on {address}: in use: another program has this name"));
    }

    #[test]
    fn a_tcp_client_is_named_by_its_address() {
        let listeners = Listener::bind(&"127.0.0.1:0".parse().unwrap(), 0).unwrap();
        let (_, peer) = accept(&listeners[0]);
        assert!(peer.starts_with("127.0.0.1:"), "{peer}");
    }

    #[test]
    fn a_name_of_several_addresses_has_one_port() {
        let listeners = Listener::bind(&"localhost:0".parse().unwrap(), 0).unwrap();
        let port = |listener: &Listener| match listener.address() {
            Address::Tcp { port, .. } => *port,
            other => panic!("{other}"),
        };
        assert_ne!(port(&listeners[0]), 0);
        assert!(listeners.iter().all(|listener| port(listener) == port(&listeners[0])), "{listeners:?}");
    }
}
