//! Where a server is and how bytes get there: TCP and Unix sockets under one roof.
//!
//! [`Address`] is what people write, [`Listener`] and [`Stream`] are enums over the two kinds; nothing
//! above this module asks which kind it has. Knows no lines and no commands. A stream is shared, not
//! cloned: reading and writing work on `&Stream`, so a client costs one descriptor.

mod address;
mod error;
mod socket_file;

use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, TcpListener, TcpStream, ToSocketAddrs, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::thread;
use std::time::{Duration, Instant};

pub use address::{Address, AddressError};
pub use error::{BindError, ConnectError};
use socket_file::SocketFile;

use crate::limits::LISTEN_BACKLOG;
use crate::os;
use crate::service_manager::InheritedSocket;

/// A connection.
#[derive(Debug)]
pub enum Stream {
    /// Over TCP.
    Tcp(TcpStream),
    /// Over a Unix socket.
    Unix(UnixStream),
}

impl Stream {
    /// Connects to a server, for at most `timeout`; 0 counts as the shortest there is. A host name's addresses
    /// are tried in turn, each for so long.
    ///
    /// # Errors
    /// [`ConnectError`], with what the last of the addresses said.
    pub fn connect(address: &Address, timeout: Duration) -> Result<Stream, ConnectError> {
        let timeout = timeout.max(Duration::from_millis(1));
        let fail = |error| ConnectError { address: address.clone(), error };
        match address {
            Address::Unix(path) => SocketAddr::from_pathname(path)
                .and_then(|address| os::connect_unix(&address, timeout))
                .map(Stream::Unix)
                .map_err(|error| {
                    let refused = error.kind() == ErrorKind::ConnectionRefused;
                    let file = fs::metadata(path).ok().filter(|file| refused && !file.file_type().is_socket());
                    fail(file.map_or(error, |_| io::Error::new(ErrorKind::InvalidInput, "that file is no socket")))
                }),
            Address::Tcp { host, port } => {
                let mut last = io::Error::new(ErrorKind::NotFound, "the name has no address");
                for one in (host.as_str(), *port).to_socket_addrs().map_err(fail)? {
                    match TcpStream::connect_timeout(&one, timeout) {
                        Ok(stream) => {
                            stream.set_nodelay(true).map_err(fail)?;
                            return Ok(Stream::Tcp(stream));
                        }
                        Err(error) => last = error,
                    }
                }
                Err(fail(last))
            }
        }
    }

    /// Two connections with each other, within the process.
    ///
    /// # Errors
    /// What the system says.
    pub fn pair() -> io::Result<(Stream, Stream)> {
        UnixStream::pair().map(|(one, other)| (Stream::Unix(one), Stream::Unix(other)))
    }

    /// Lets a read wait so long at most; `None` is for ever. A time of 0 counts as the shortest there is.
    ///
    /// # Errors
    /// What the system says.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        let timeout = timeout.map(|time| time.max(Duration::from_millis(1)));
        match self {
            Stream::Tcp(stream) => stream.set_read_timeout(timeout),
            Stream::Unix(stream) => stream.set_read_timeout(timeout),
        }
    }

    /// Lets a write wait so long at most; `None` is for ever. A time of 0 counts as the shortest there is.
    ///
    /// # Errors
    /// What the system says.
    pub fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        let timeout = timeout.map(|time| time.max(Duration::from_millis(1)));
        match self {
            Stream::Tcp(stream) => stream.set_write_timeout(timeout),
            Stream::Unix(stream) => stream.set_write_timeout(timeout),
        }
    }

    /// Lets closing the stream reset the connection: the peer sees an error behind what it has, not the end
    /// of the input. Unix sockets have no such thing.
    pub(crate) fn reset_on_close(&self) {
        if let Stream::Tcp(stream) = self {
            // Without it, the peer sees the end.
            let _ = os::reset_on_close(stream.as_fd());
        }
    }

    /// Closes one half or both. That the peer has done so already is no error.
    pub fn shutdown(&self, how: Shutdown) {
        let _ = match self {
            Stream::Tcp(stream) => stream.shutdown(how),
            Stream::Unix(stream) => stream.shutdown(how),
        };
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Stream::Tcp(stream) => stream.as_fd(),
            Stream::Unix(stream) => stream.as_fd(),
        }
    }
}

impl Read for &Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => (&*stream).read(buffer),
            Stream::Unix(stream) => (&*stream).read(buffer),
        }
    }
}

impl Write for &Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => (&*stream).write(bytes),
            Stream::Unix(stream) => (&*stream).write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A socket that connections come from. Accepting never blocks.
#[derive(Debug)]
pub struct Listener {
    // Dropped in this order: while the file is there, the socket behind it is alive, so no other server
    // can take the file for a stale one and put its own in the place where this one removes.
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
    /// Listens on `address`; port 0 picks a free one. A Unix socket's file gets the permissions
    /// `unix_mode`, is put in the place of a dead server's, and is removed when the listener is dropped.
    ///
    /// # Errors
    /// [`BindError`], which says why.
    pub fn bind(address: &Address, unix_mode: u32) -> Result<Listener, BindError> {
        let fail = |reason: String| BindError { address: address.clone(), reason };
        match address {
            Address::Unix(path) => {
                let (file, socket) = SocketFile::listen(path, unix_mode).map_err(fail)?;
                Listener::new(Some(file), Socket::Unix(socket)).map_err(|error| fail(error.to_string()))
            }
            Address::Tcp { host, port } => {
                let socket =
                    TcpListener::bind((host.as_str(), *port)).map_err(|error| fail(error::tcp_reason(&error)))?;
                Listener::new(None, Socket::Tcp(socket)).map_err(|error| fail(error.to_string()))
            }
        }
    }

    /// Accepts from a socket that a service manager listens on. Its file, if any, stays when the listener
    /// is dropped.
    ///
    /// # Errors
    /// What the system says.
    pub fn from_inherited(socket: InheritedSocket) -> io::Result<Listener> {
        Listener::new(
            None,
            match socket {
                InheritedSocket::Tcp(socket) => Socket::Tcp(socket),
                InheritedSocket::Unix(socket) => Socket::Unix(socket),
            },
        )
    }

    fn new(file: Option<SocketFile>, socket: Socket) -> io::Result<Listener> {
        let address = match &socket {
            Socket::Tcp(socket) => {
                // Connections inherit these from their listener, which saves them a system call each. To
                // std only a stream has the first.
                TcpStream::from(OwnedFd::from(socket.try_clone()?)).set_nodelay(true)?;
                os::set_keepalive(socket.as_fd())?;
                os::set_backlog(socket.as_fd(), LISTEN_BACKLOG)?;
                socket.set_nonblocking(true)?;
                socket.local_addr()?.into()
            }
            Socket::Unix(socket) => {
                socket.set_nonblocking(true)?;
                Address::Unix(socket.local_addr()?.as_pathname().map(Into::into).unwrap_or_default())
            }
        };
        Ok(Listener { _file: file, socket, address })
    }

    /// Where clients find it, with the port that was picked.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Takes the next connection that waits, with a name of its other end for people to read.
    ///
    /// # Errors
    /// `WouldBlock` if none waits, else what `accept(2)` says.
    pub fn accept(&self) -> io::Result<(Stream, String)> {
        match &self.socket {
            Socket::Tcp(socket) => {
                let (stream, peer) = socket.accept()?;
                Ok((Stream::Tcp(stream), peer.to_string()))
            }
            Socket::Unix(socket) => {
                let (stream, _) = socket.accept()?;
                Ok((Stream::Unix(stream), "unix".to_owned()))
            }
        }
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

/// The machine's own address, as other machines see it: the source address that the kernel would take
/// for a packet to the outside, by its routing table. Nothing is sent. IPv4 is asked first. `None` on a
/// machine without a route to the outside; behind address translation it is the inner address.
pub fn own_address() -> Option<IpAddr> {
    // The destinations are set apart for documentation (RFC 5737, RFC 3849): no machine ever has them.
    let routes = [
        (IpAddr::from(Ipv4Addr::UNSPECIFIED), IpAddr::from(Ipv4Addr::new(192, 0, 2, 1))),
        (Ipv6Addr::UNSPECIFIED.into(), Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into()),
    ];
    routes.into_iter().find_map(|(any, outside)| {
        let socket = UdpSocket::bind((any, 0)).ok()?;
        socket.connect((outside, 9)).ok()?;
        let own = socket.local_addr().ok()?.ip();
        (!own.is_unspecified() && !own.is_loopback()).then_some(own)
    })
}

/// Reads and throws away what arrives until the peer has closed too, for `patience` at most: a socket
/// that is closed with bytes unread resets the connection, and the peer may lose what was sent last.
#[inline(never)] // its buffer belongs into no frame of a session that only waits
pub(crate) fn read_until_closed(mut stream: &Stream, patience: Duration) {
    let deadline = Instant::now() + patience;
    let mut scratch = [0; 4096];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() || stream.set_read_timeout(Some(left)).is_err() {
            return;
        }
        match stream.read(&mut scratch) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

/// Waits until the peer's machine has all that was sent, for `patience` at most, and throws away what
/// arrives. For a stream whose reading was shut down, where the peer's close cannot be waited for: what
/// has been taken is safe from the reset that may follow.
#[inline(never)] // see above
pub(crate) fn wait_until_taken(stream: &Stream, patience: Duration) {
    let deadline = Instant::now() + patience;
    let mut scratch = [0; 4096];
    // What a Unix socket holds outlives the close, and its peer can send no more.
    let unix = matches!(stream, Stream::Unix(_));
    loop {
        let more = os::receive_now(stream.as_fd(), &mut scratch).is_ok_and(|count| count > 0);
        let in_time = Instant::now() < deadline;
        if more && (unix || in_time) {
            continue;
        }
        if unix || !in_time || os::untaken(stream.as_fd()) == 0 {
            return;
        }
        thread::sleep(Duration::from_millis(2));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connecting_to_a_server_that_does_not_accept_ends_in_time() {
        let path = std::env::temp_dir().join(format!("localsocket-full-{}", std::process::id()));
        let _listener = UnixListener::bind(&path).unwrap();
        os::set_backlog(_listener.as_fd(), 0).unwrap();
        let address = Address::Unix(path.clone());
        let connect = || Stream::connect(&address, Duration::from_millis(50));
        let (first, second) = (connect(), connect());
        fs::remove_file(&path).unwrap();
        first.unwrap();
        let error = second.unwrap_err().to_string();
        assert_eq!(error, format!("cannot connect to {address}: no answer in time"));
    }
}
