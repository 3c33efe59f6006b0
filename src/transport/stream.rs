//! A connection over TCP or a Unix socket.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use super::address::Address;
use super::connect;
use super::error::ConnectError;
use crate::os;

/// Does the same with either kind of socket.
macro_rules! either {
    ($stream:expr, $socket:ident => $action:expr) => {
        match $stream {
            Stream::Tcp($socket) => $action,
            Stream::Unix($socket) => $action,
        }
    };
}

/// A connection.
#[derive(Debug)]
pub enum Stream {
    /// Over TCP.
    Tcp(TcpStream),
    /// Over a Unix socket.
    Unix(UnixStream),
}

impl Stream {
    /// Connects to a server. `timeout` covers the look-up of a host name and all of its addresses, which are tried
    /// in turn; 0 counts as the shortest time there is.
    ///
    /// # Errors
    /// [`ConnectError`], which says what each of the addresses reported if they differ. A connection to oneself (TCP
    /// can pick the very port that is tried) is refused.
    pub fn connect(address: &Address, timeout: Duration) -> Result<Stream, ConnectError> {
        match address {
            Address::Tcp { host, port } => connect::to_host(host, *port, timeout).map(Stream::Tcp),
            Address::Unix(path) => connect::to_file(path, timeout).map(Stream::Unix),
            Address::Abstract(name) => {
                os::abstract_address(name).and_then(|at| connect::to_address(at, timeout)).map(Stream::Unix)
            }
        }
        .map_err(|error| ConnectError { address: address.clone(), error })
    }

    /// Two streams that are connected to each other.
    ///
    /// # Errors
    /// What the system reports.
    pub fn pair() -> io::Result<(Stream, Stream)> {
        UnixStream::pair().map(|(one, other)| (Stream::Unix(one), Stream::Unix(other)))
    }

    /// Prepares the stream for sends and reads that never wait, where their flags are not enough for that: writes and
    /// reads that do wait cannot be used then.
    ///
    /// # Errors
    /// What the system reports.
    pub(crate) fn never_wait(&self) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => os::prepare_tcp(stream),
            Stream::Unix(stream) => os::prepare_unix(stream),
        }
    }

    /// Limits how long a read may wait; `None` is for ever. A time of 0 counts as the shortest there is.
    ///
    /// # Errors
    /// What the system reports.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        let timeout = timeout.map(|time| time.max(Duration::from_millis(1)));
        either!(self, stream => stream.set_read_timeout(timeout))
    }

    /// Limits how long a write may wait; `None` is for ever. A time of 0 counts as the shortest there is.
    ///
    /// # Errors
    /// What the system reports.
    pub fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        let timeout = timeout.map(|time| time.max(Duration::from_millis(1)));
        either!(self, stream => stream.set_write_timeout(timeout))
    }

    /// Lets closing the stream reset the connection: the peer then sees an error after what it has received, not
    /// the end of the input. Unix sockets have no such thing.
    pub(crate) fn reset_on_close(&self) {
        if let Stream::Tcp(stream) = self {
            // Without it, the peer sees the end.
            let _ = os::reset_on_close(stream.as_fd());
        }
    }

    /// Closes one half or both. It is not an error if the peer has done so already.
    pub fn shutdown(&self, how: Shutdown) {
        let _ = either!(self, stream => stream.shutdown(how));
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        either!(self, stream => stream.as_fd())
    }
}

impl Read for &Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        either!(self, stream => (&*stream).read(buffer))
    }
}

impl Write for &Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        either!(self, stream => (&*stream).write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::net::UnixListener;

    use super::*;

    #[cfg(all(target_os = "linux", not(localsocket_portable)))] // elsewhere, a full backlog refuses
    #[test]
    fn connecting_to_a_server_that_does_not_accept_ends_in_time() {
        let name = format!("localsocket-full-{}", std::process::id());
        let listener = UnixListener::bind_addr(&os::abstract_address(name.as_bytes()).unwrap()).unwrap();
        os::set_backlog(listener.as_fd(), 0).unwrap();
        let address = Address::Abstract(name.into_bytes());
        let _first = Stream::connect(&address, Duration::from_secs(20)).unwrap();
        let error = Stream::connect(&address, Duration::from_millis(50)).unwrap_err().to_string();
        assert_eq!(error, format!("cannot connect to {address}: no answer in time"));
    }

    #[test]
    fn a_pair_is_connected() {
        let (one, other) = Stream::pair().unwrap();
        (&one).write_all(b"hello").unwrap();
        one.shutdown(Shutdown::Write);
        let mut text = String::new();
        (&other).read_to_string(&mut text).unwrap();
        assert_eq!(text, "hello");
    }

    #[test]
    fn a_failure_says_what_to_do() {
        let directory = std::env::temp_dir().join(format!("localsocket-connect-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let file = directory.join("file");
        fs::write(&file, "").unwrap();
        let stale = directory.join("stale");
        drop(UnixListener::bind(&stale).unwrap());
        // A process that another test starts holds the listener for a moment, until it becomes another program.
        let connect = |address: &Address| {
            let error = (0..1000).find_map(|_| Stream::connect(address, Duration::from_secs(10)).err());
            error.unwrap().to_string()
        };
        let (longest, length) = (os::LONGEST_PATH, os::LONGEST_PATH + 1);
        let too_long = format!("the path is too long: {length} bytes, and a socket's path may have {longest}");
        for (address, why) in [
            (Address::Unix(file), "that file is not a socket"),
            (Address::Unix(stale), "the socket file is stale, its server is gone; start the server again"),
            (Address::Unix(directory.join("none")), "there is no such file; is the server running?"),
            (Address::Unix("x".repeat(os::LONGEST_PATH + 1).into()), &too_long),
            #[cfg(all(target_os = "linux", not(localsocket_portable)))] // only there are such names
            (Address::Abstract(b"localsocket-nobody".to_vec()), "nothing listens there; is the server running?"),
        ] {
            assert_eq!(connect(&address), format!("cannot connect to {address}: {why}"));
        }
        fs::remove_dir_all(&directory).unwrap();
    }
}
