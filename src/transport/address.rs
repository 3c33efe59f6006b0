//! Addresses as people write them: `HOST:PORT`, `[IPV6]:PORT`, `unix:PATH`.

use std::fmt;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::str::FromStr;

/// Where a server listens.
///
/// ```
/// use localsocket::Address;
/// let address: Address = "[::1]:12345".parse()?;
/// assert_eq!(address.to_string(), "[::1]:12345");
/// let address: Address = "/run/hub.sock".parse()?;
/// assert_eq!(address.to_string(), "unix:/run/hub.sock");
/// # Ok::<(), localsocket::AddressError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A TCP port.
    Tcp {
        /// A host name or an IP address, the latter without brackets.
        host: String,
        /// 0 lets a listener pick a free one.
        port: u16,
    },
    /// A Unix socket's file.
    Unix(PathBuf),
}

impl Address {
    /// Whether it can be reached from this machine only. A host name counts by what it stands for; one that
    /// stands for nothing cannot be reached at all.
    pub fn is_local(&self) -> bool {
        match self {
            Address::Unix(_) => true,
            Address::Tcp { host, port } => (host.as_str(), *port)
                .to_socket_addrs()
                .map_or(true, |mut all| all.all(|one| one.ip().to_canonical().is_loopback())),
        }
    }

    /// Whether a listener there takes connections to every address of the machine.
    pub fn is_unspecified(&self) -> bool {
        matches!(self, Address::Tcp { host, .. } if host.parse::<IpAddr>().is_ok_and(|ip| ip.is_unspecified()))
    }
}

impl Default for Address {
    /// `127.0.0.1:12345`.
    fn default() -> Address {
        Address::Tcp { host: "127.0.0.1".to_owned(), port: 12345 }
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Address {
        let host = match address {
            // A link-local address means nothing without its interface.
            SocketAddr::V6(v6) if v6.scope_id() != 0 => format!("{}%{}", v6.ip(), v6.scope_id()),
            _ => address.ip().to_string(),
        };
        Address::Tcp { host, port: address.port() }
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Address, AddressError> {
        let fail = |why| AddressError { text: text.to_owned(), why };
        if let Some(path) = text.strip_prefix("unix:").or_else(|| text.contains('/').then_some(text)) {
            return if path.is_empty() { Err(fail("the path is empty")) } else { Ok(Address::Unix(path.into())) };
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(|| fail("there is no port"))?;
        let port = port
            .parse()
            .ok()
            .filter(|_| port.bytes().all(|digit| digit.is_ascii_digit()))
            .ok_or_else(|| fail("the port is not a number from 0 to 65535"))?;
        let host = match host.strip_prefix('[').map(|rest| rest.strip_suffix(']')) {
            Some(Some(host)) if host.contains(':') => host,
            Some(_) => return Err(fail("the brackets hold no IPv6 address")),
            None if host.contains(':') => return Err(fail("an IPv6 address needs brackets")),
            None if host.is_empty() => return Err(fail("there is no host")),
            None => host,
        };
        Ok(Address::Tcp { host: host.to_owned(), port })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Address::Tcp { host, port } => write!(f, "{host}:{port}"),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// A text that is no address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressError {
    text: String,
    why: &'static str,
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "'{}' is no address: {}; allowed: HOST:PORT, [IPV6]:PORT, unix:PATH",
            self.text.escape_debug(),
            self.why
        )
    }
}

impl std::error::Error for AddressError {}

#[cfg(test)]
mod tests {
    use std::net::SocketAddrV6;

    use super::*;

    fn tcp(host: &str, port: u16) -> Address {
        Address::Tcp { host: host.to_owned(), port }
    }

    #[test]
    fn every_form_is_read_and_written_back() {
        for (text, address) in [
            ("127.0.0.1:12345", tcp("127.0.0.1", 12345)),
            ("localhost:0", tcp("localhost", 0)),
            ("[::1]:80", tcp("::1", 80)),
            ("[fe80::1%eth0]:80", tcp("fe80::1%eth0", 80)),
            ("unix:hub.sock", Address::Unix("hub.sock".into())),
            ("unix:/run/a b:1", Address::Unix("/run/a b:1".into())),
        ] {
            assert_eq!(text.parse(), Ok(address.clone()), "{text}");
            assert_eq!(address.to_string(), text);
        }
        let link_local = SocketAddrV6::new("fe80::1".parse().unwrap(), 80, 0, 3);
        assert_eq!(Address::from(SocketAddr::from(link_local)), tcp("fe80::1%3", 80));
        assert_eq!("./hub:1".parse(), Ok(Address::Unix("./hub:1".into())));
    }

    #[test]
    fn what_is_no_address_is_told_why() {
        for (text, why) in [
            ("12345", "no port"),
            ("host:", "not a number"),
            ("host:+1", "not a number"),
            ("host:65536", "not a number"),
            (":80", "no host"),
            ("::1:80", "needs brackets"),
            ("[::1:80", "brackets"),
            ("[host]:80", "brackets"),
            ("unix:", "empty"),
            ("", "no port"),
        ] {
            let error = text.parse::<Address>().unwrap_err().to_string();
            assert!(error.contains(why) && error.contains("HOST:PORT"), "{text}: {error}");
        }
    }

    #[test]
    fn only_loopback_and_unix_sockets_are_local() {
        for (text, local) in [
            ("127.8.9.1:1", true),
            ("[::1]:1", true),
            ("[::ffff:127.0.0.1]:1", true),
            ("unix:x", true),
            ("0.0.0.0:1", false),
            ("[::]:1", false),
            ("192.0.2.1:1", false),
        ] {
            assert_eq!(text.parse::<Address>().unwrap().is_local(), local, "{text}");
        }
    }
}
