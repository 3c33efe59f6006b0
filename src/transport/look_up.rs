//! Host names to addresses, within a time limit.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::time::Duration;

use crate::threads::in_time;

/// The distinct addresses of a host, in the order of the name service, with `port` each. There is at least one.
///
/// A name service can take as long as it likes, and the C library's look-up cannot be interrupted. So a name is looked
/// up in a thread of its own, which is left running when the time is over; the C library ends it sooner or later.
///
/// # Errors
/// `TimedOut` when the time is over, else the name service's answer.
pub(super) fn look_up(host: &str, port: u16, timeout: Duration) -> io::Result<Vec<SocketAddr>> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![(ip, port).into()]);
    }
    let host = host.to_owned();
    in_time(timeout, move || distinct((host.as_str(), port).to_socket_addrs()?)).map_err(|error| match error.kind() {
        ErrorKind::TimedOut => io::Error::new(ErrorKind::TimedOut, "the name service did not answer in time"),
        _ => error,
    })
}

fn distinct(found: impl Iterator<Item = SocketAddr>) -> io::Result<Vec<SocketAddr>> {
    let mut all = Vec::new();
    for one in found {
        if !all.contains(&one) {
            all.push(one);
        }
    }
    if all.is_empty() {
        return Err(io::Error::new(ErrorKind::NotFound, "the name has no address"));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ip_address_is_taken_as_it_is() {
        for host in ["127.0.0.1", "::1"] {
            let wanted = vec![SocketAddr::new(host.parse().unwrap(), 80)];
            assert_eq!(look_up(host, 80, Duration::ZERO).unwrap(), wanted);
        }
    }

    #[test]
    fn each_address_comes_once_and_none_is_an_error() {
        let [one, two] = ["127.0.0.1:1", "[::1]:1"].map(|text| text.parse::<SocketAddr>().unwrap());
        assert_eq!(distinct([one, two, one].into_iter()).unwrap(), [one, two]);
        assert_eq!(distinct([].into_iter()).unwrap_err().kind(), ErrorKind::NotFound);
    }
}
