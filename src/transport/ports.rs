//! Listening on TCP: all addresses of a host name, with one port.

use std::fs;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

use super::error::reworded;
use super::look_up::look_up;
use crate::limits::{LISTEN_BACKLOG, LOOK_UP_TIMEOUT};
use crate::os;

/// How often a port is picked again that turns out to be taken on another address of the host.
const PICKS: usize = 20;

/// The address that failed, and how.
type Failure = (SocketAddr, io::Error);

/// How one address is listened on.
pub(super) type Bind = fn(SocketAddr) -> io::Result<TcpListener>;

/// Leaves the same port of IPv4 alone, also where a socket for `[::]` would take it.
pub(super) fn bind_apart(address: SocketAddr) -> io::Result<TcpListener> {
    match address {
        SocketAddr::V6(v6) => os::listen_on_v6_only(v6, LISTEN_BACKLOG),
        SocketAddr::V4(_) => TcpListener::bind(address),
    }
}

/// Listens on every address of `host`. If one fails, none stays bound; the error names it. An address family that the
/// machine does not have is left out if there is another.
pub(super) fn listen(host: &str, port: u16, bind: Bind) -> Result<Vec<TcpListener>, (Option<IpAddr>, io::Error)> {
    let addresses = look_up(host, port, LOOK_UP_TIMEOUT).map_err(|error| (None, error))?;
    bind_all(&addresses, bind).map_err(|(at, error)| (Some(at.ip()), explain(error, at.port())))
}

fn bind_all(addresses: &[SocketAddr], bind: Bind) -> Result<Vec<TcpListener>, Failure> {
    for _ in 1..PICKS {
        match bind_once(addresses, bind) {
            Err((at, error)) if error.kind() == ErrorKind::AddrInUse && !addresses.contains(&at) => {}
            outcome => return outcome,
        }
    }
    bind_once(addresses, bind)
}

/// Port 0 is whatever the first address gets.
fn bind_once(addresses: &[SocketAddr], bind: Bind) -> Result<Vec<TcpListener>, Failure> {
    let mut bound: Vec<TcpListener> = Vec::new();
    let mut missing = None;
    for mut address in addresses.iter().copied() {
        if let (0, Some(first)) = (address.port(), bound.first()) {
            address.set_port(first.local_addr().map_err(|error| (address, error))?.port());
        }
        match bind(address) {
            Ok(listener) => bound.push(listener),
            Err(error) if lacks_family(&error, address.ip()) => missing = Some((address, error)),
            Err(error) => return Err((address, error)),
        }
    }
    match missing {
        Some(missing) if bound.is_empty() => Err(missing),
        _ => Ok(bound),
    }
}

/// Whether binding failed because the machine does without this address family: the kernel does not know it, or
/// there is not even a loopback address.
fn lacks_family(error: &io::Error, ip: IpAddr) -> bool {
    let loopback: IpAddr = if ip.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
    let not_available = |error: &io::Error| error.kind() == ErrorKind::AddrNotAvailable;
    os::is_unknown_family(error)
        || not_available(error) && TcpListener::bind((loopback, 0)).is_err_and(|error| not_available(&error))
}

/// Why a port cannot be had.
fn explain(error: io::Error, port: u16) -> io::Error {
    let privileged = first_unprivileged_port();
    match error.kind() {
        ErrorKind::AddrInUse if is_of_connection(&tables(), port) => {
            reworded(&error, "in use: a connection of another program has this port until it ends")
        }
        ErrorKind::AddrInUse => reworded(&error, "in use: another program listens there already"),
        ErrorKind::AddrNotAvailable => reworded(&error, "this machine has no such address"),
        ErrorKind::PermissionDenied if port < privileged => {
            reworded(&error, format!("no permission: ports below {privileged} are for root"))
        }
        _ => error,
    }
}

fn first_unprivileged_port() -> u16 {
    let setting = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    setting.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(1024)
}

/// The kernel's tables of TCP sockets; see proc(5).
fn tables() -> String {
    ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| fs::read_to_string(path).unwrap_or_default()).concat()
}

/// Whether, by these tables, connections have a local port and nothing listens there. The second word of a line is
/// `ADDRESS:PORT`, the fourth the state, all in hexadecimal digits.
fn is_of_connection(tables: &str, port: u16) -> bool {
    const LISTENING: &str = "0A";
    let end = format!(":{port:04X}");
    let mut states = tables.lines().filter_map(|line| {
        let mut words = line.split_whitespace().skip(1);
        words.next().filter(|local| local.ends_with(&end)).and_then(|_| words.nth(1))
    });
    states.next().is_some_and(|first| first != LISTENING && states.all(|state| state != LISTENING))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loopback(port: u16) -> [SocketAddr; 2] {
        [([127, 0, 0, 1], port).into(), ([127, 0, 0, 2], port).into()]
    }

    fn port(listener: &TcpListener) -> u16 {
        listener.local_addr().unwrap().port()
    }

    #[cfg_attr(not(target_os = "linux"), ignore = "needs 127.0.0.2")]
    #[test]
    fn one_port_is_had_on_all_addresses_or_on_none() {
        let both = bind_all(&loopback(0), TcpListener::bind).unwrap();
        assert_eq!(port(&both[0]), port(&both[1]));
        drop(both);
        let taken = TcpListener::bind("127.0.0.2:0").unwrap();
        let addresses = loopback(port(&taken));
        let (at, error) = bind_all(&addresses, TcpListener::bind).unwrap_err();
        assert_eq!((at, error.kind()), (addresses[1], ErrorKind::AddrInUse));
        TcpListener::bind(addresses[0]).unwrap();
    }

    #[test]
    fn an_address_that_the_machine_does_not_have_is_an_error() {
        // Reserved for documentation: RFC 5737.
        let addresses = [([127, 0, 0, 1], 0).into(), ([192, 0, 2, 1], 0).into()];
        let (at, error) = bind_all(&addresses, TcpListener::bind).unwrap_err();
        assert_eq!((at.ip(), error.kind()), (addresses[1].ip(), ErrorKind::AddrNotAvailable));
        assert_eq!(explain(error, 1).to_string(), "this machine has no such address");
    }

    #[test]
    fn an_error_keeps_its_own_cause() {
        let denied = || io::Error::from(ErrorKind::PermissionDenied);
        let first = first_unprivileged_port();
        assert_eq!(explain(denied(), first).to_string(), "permission denied");
        if first > 0 {
            assert_eq!(explain(denied(), 0).to_string(), format!("no permission: ports below {first} are for root"));
        }
        let error = explain(ErrorKind::OutOfMemory.into(), 1);
        assert_eq!((error.kind(), &*error.to_string()), (ErrorKind::OutOfMemory, "out of memory"));
    }

    #[test]
    fn the_tables_tell_a_listener_from_a_connection() {
        let tables = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid
   0: 0100007F:7D64 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1
   1: 0100007F:7D64 0100007F:C000 01 00000000:00000000 00:00000000 00000000     0        0 2
   2: 0100007F:C000 0100007F:7D64 01 00000000:00000000 00:00000000 00000000     0        0 3
  sl  local_address                         remote_address                        st
   0: 00000000000000000000000001000000:0050 00000000000000000000000000000000:0000 0A 00000000:00000000
";
        for (port, wanted) in [(0x7D64, false), (0xC000, true), (80, false), (81, false)] {
            assert_eq!(is_of_connection(tables, port), wanted, "{port}");
        }
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        assert!(!is_of_connection(&self::tables(), port(&listener)));
    }
}
