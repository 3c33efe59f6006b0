//! Connecting: one time limit over the look-up of the name and all of its addresses, and never to oneself.

use std::fs;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{self as unix, UnixStream};
use std::path::Path;
use std::time::{Duration, Instant};

use super::error::reworded;
use super::file_system;
use super::look_up::look_up;
use super::socket_path::socket_address;
use crate::os;
use crate::threads::in_time;

/// The shortest time limit: the kernel takes 0 for none.
const SHORTEST: Duration = Duration::from_millis(1);

/// Connects to the first address of a host that can be connected to. Each may take its share of the time that is
/// left, so that one that does not answer does not use up the time of the others.
pub(super) fn to_host(host: &str, port: u16, timeout: Duration) -> io::Result<TcpStream> {
    let start = Instant::now();
    let left = || timeout.saturating_sub(start.elapsed());
    let addresses = look_up(host, port, timeout)?;
    let mut failures = Vec::new();
    for (index, address) in addresses.iter().enumerate() {
        let share = left() / (addresses.len() - index) as u32;
        match TcpStream::connect_timeout(address, share.max(SHORTEST)).and_then(refuse_own_end) {
            Ok(stream) => {
                // It fails on macOS if the server has ended the connection already, which the first read will tell.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Err(error) => failures.push((*address, error)),
        }
    }
    Err(summary(failures))
}

/// While nothing listens on a port, a client that keeps trying can be given that very port as its own, and TCP then
/// connects the socket to itself. That is not a connection, and it keeps the server from its port: so it is reset,
/// which frees the port at once.
fn refuse_own_end(stream: TcpStream) -> io::Result<TcpStream> {
    match (stream.local_addr(), stream.peer_addr()) {
        (Ok(own), Ok(peer)) if own == peer => {
            os::reset_on_close(stream.as_fd())?;
            Err(ErrorKind::ConnectionRefused.into())
        }
        // Some systems do not tell the peer of a connection that has ended already.
        _ => Ok(stream),
    }
}

/// One error for all addresses: what they have in common, else each with its address.
fn summary(mut failures: Vec<(SocketAddr, io::Error)>) -> io::Error {
    let Some((address, last)) = failures.pop() else { return ErrorKind::NotFound.into() };
    let kind = last.kind();
    if failures.iter().all(|(_, error)| error.kind() == kind) {
        return last;
    }
    failures.push((address, last));
    let texts: Vec<String> = failures.iter().map(|(address, error)| format!("{address}: {error}")).collect();
    io::Error::new(kind, texts.join("; "))
}

pub(super) fn to_file(path: &Path, timeout: Duration) -> io::Result<UnixStream> {
    to_address(socket_address(path)?, timeout).map_err(|error| {
        if error.kind() != ErrorKind::ConnectionRefused {
            return error;
        }
        // Refused can mean other things than a server that is gone.
        match (fs::metadata(path), file_system::shared(path)) {
            (Ok(file), _) if !file.file_type().is_socket() => {
                io::Error::new(ErrorKind::InvalidInput, "that file is not a socket")
            }
            (_, Ok(Some(system))) => reworded(
                &error,
                format!(
                    "nothing listens there, or not on this side of the {system} file system; is the server running?"
                ),
            ),
            _ => error,
        }
    })
}

/// std would wait for ever for a server that accepts nothing and whose backlog is full.
pub(super) fn to_address(address: unix::SocketAddr, timeout: Duration) -> io::Result<UnixStream> {
    let timeout = timeout.max(SHORTEST);
    in_time(timeout, move || os::connect_unix(&address, timeout))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn every_address_is_tried_within_the_time() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        to_host("127.0.0.1", port, Duration::from_secs(10)).unwrap();
        // On most machines this stands for ::1 too, where nothing listens.
        to_host("localhost", port, Duration::from_secs(10)).unwrap();
        to_host("localhost", port, Duration::MAX).unwrap();
    }

    #[test]
    fn failures_are_told_once_or_each_with_its_address() {
        let [one, two] = ["127.0.0.1:1", "[::1]:1"].map(|text| text.parse::<SocketAddr>().unwrap());
        let refused = || io::Error::from(ErrorKind::ConnectionRefused);
        let same = summary(vec![(one, refused()), (two, refused())]);
        assert!(same.kind() == ErrorKind::ConnectionRefused && same.get_ref().is_none());
        let mixed = summary(vec![(one, ErrorKind::TimedOut.into()), (two, refused())]);
        assert_eq!(mixed.kind(), ErrorKind::ConnectionRefused);
        assert_eq!(mixed.to_string(), "127.0.0.1:1: timed out; [::1]:1: connection refused");
    }

    /// A client that keeps trying a dead port of the range that its own ports come from meets itself in the end.
    fn connect_to_oneself() -> TcpStream {
        let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap();
        let mut range = range.split_whitespace().map(|port| port.parse::<u16>().unwrap());
        // Ports of connections have the parity of the first.
        let ports = (range.next().unwrap()..=range.next().unwrap()).step_by(2);
        let mut free = ports.rev().map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let deadline = Instant::now() + Duration::from_secs(60);
        let port = free.find(|address| TcpListener::bind(address).is_ok()).unwrap();
        loop {
            match TcpStream::connect(port) {
                Ok(stream) if stream.local_addr().unwrap() == port => return stream,
                _ => assert!(Instant::now() < deadline, "never connected to oneself at {port}"),
            }
        }
    }

    #[cfg_attr(not(target_os = "linux"), ignore = "needs /proc")]
    #[test]
    fn a_connection_to_oneself_is_refused_and_frees_the_port() {
        let own = connect_to_oneself();
        let address = own.local_addr().unwrap();
        assert_eq!(refuse_own_end(own).unwrap_err().kind(), ErrorKind::ConnectionRefused);
        TcpListener::bind(address).unwrap();
    }
}
