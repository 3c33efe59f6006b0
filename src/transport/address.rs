//! Addresses as people write them: `HOST:PORT`, `[IPV6]:PORT`, `unix:PATH`, `unix:@NAME`.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::look_up::look_up;
use crate::limits::LOOK_UP_TIMEOUT;

const FORMS: &str = "use HOST:PORT, [IPV6]:PORT, unix:PATH or unix:@NAME";

/// Where a server listens.
///
/// ```
/// use localsocket::Address;
/// let address: Address = "[::1]:12345".parse()?;
/// assert_eq!(address.to_string(), "[::1]:12345");
/// let address: Address = "/run/hub.sock".parse()?;
/// assert_eq!(address.to_string(), "unix:/run/hub.sock");
/// let address: Address = "unix:@hub".parse()?;
/// assert_eq!(address, Address::Abstract(b"hub".to_vec()));
/// # Ok::<(), localsocket::AddressError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
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
    /// A Unix socket in Linux's abstract name space: 1 to 107 bytes. There is no file, so there are no permissions:
    /// every user in the same network namespace can connect.
    Abstract(Vec<u8>),
}

impl Address {
    /// Whether it can be reached from this machine only. A host name counts by the addresses it stands for; one that
    /// stands for none cannot be reached at all. Looking up a name takes 5 seconds at most.
    pub fn is_local(&self) -> bool {
        match self {
            Address::Unix(_) | Address::Abstract(_) => true,
            Address::Tcp { host, port } => look_up(host, *port, LOOK_UP_TIMEOUT)
                .map_or(true, |all| all.iter().all(|one| one.ip().to_canonical().is_loopback())),
        }
    }

    /// Whether a listener there accepts connections to every address of the machine.
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

impl From<&Path> for Address {
    fn from(path: &Path) -> Address {
        Address::Unix(path.to_owned())
    }
}

impl From<&Address> for Address {
    fn from(address: &Address) -> Address {
        address.clone()
    }
}

impl TryFrom<&str> for Address {
    type Error = AddressError;

    fn try_from(text: &str) -> Result<Address, AddressError> {
        text.parse()
    }
}

impl TryFrom<String> for Address {
    type Error = AddressError;

    fn try_from(text: String) -> Result<Address, AddressError> {
        text.parse()
    }
}

impl FromStr for Address {
    type Err = AddressError;

    /// A text with a `/` in it is a path, also without `unix:` before it.
    fn from_str(text: &str) -> Result<Address, AddressError> {
        let fail = |why: &str| AddressError(format!("invalid address '{}': {why}; {FORMS}", text.escape_debug()));
        match text.strip_prefix("unix:") {
            Some("") => return Err(fail("missing path")),
            Some("@") => return Err(fail("missing name after the '@'")),
            Some(unix) => {
                let name = unix.strip_prefix('@').map(|name| Address::Abstract(name.into()));
                return Ok(name.unwrap_or_else(|| Address::Unix(unix.into())));
            }
            None if text.contains('/') => return Ok(Address::Unix(text.into())),
            None => {}
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(|| {
            let is_port = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            fail(&match text {
                "" => "it is empty".to_owned(),
                _ if is_port => format!("missing host: try 127.0.0.1:{text}"),
                _ => format!("missing port, or 'unix:' before a path: try {text}:12345 or unix:{text}"),
            })
        })?;
        // Digits only: the standard library takes a sign too.
        let port = Some(port).filter(|port| port.bytes().all(|byte| byte.is_ascii_digit()));
        let port = port.and_then(|port| port.parse().ok()).ok_or_else(|| fail("the port must be 0 to 65535"))?;
        let host = match host.strip_prefix('[').map(|rest| rest.strip_suffix(']')) {
            Some(Some(host)) if host.contains(':') => host,
            Some(_) => return Err(fail("no IPv6 address in the brackets")),
            None if host.contains(':') => return Err(fail("an IPv6 address needs brackets")),
            None if host.is_empty() => return Err(fail("missing host")),
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
            // So that it is not read as an abstract name.
            Address::Unix(path) if path.as_os_str().as_bytes().starts_with(b"@") => {
                write!(f, "unix:./{}", path.display())
            }
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
            Address::Abstract(name) => {
                f.write_str("unix:@")?;
                // Any byte can be part of a name, but not of a line.
                for c in String::from_utf8_lossy(name).chars() {
                    if c.is_control() { write!(f, "{}", c.escape_default())? } else { write!(f, "{c}")? }
                }
                Ok(())
            }
        }
    }
}

/// A text that is not an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressError(String);

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
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

    fn named(name: &[u8]) -> Address {
        Address::Abstract(name.to_vec())
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
            ("unix:./@hub", Address::Unix("./@hub".into())),
            ("unix:@hub", named(b"hub")),
            ("unix:@/run/hub:1", named(b"/run/hub:1")),
            ("unix:@@", named(b"@")),
        ] {
            assert_eq!(text.parse(), Ok(address.clone()), "{text}");
            assert_eq!(Address::try_from(text), Ok(address.clone()));
            assert_eq!(address.to_string(), text);
        }
    }

    #[test]
    fn values_become_addresses() {
        let link_local = SocketAddrV6::new("fe80::1".parse().unwrap(), 80, 0, 3);
        assert_eq!(Address::from(SocketAddr::from(link_local)), tcp("fe80::1%3", 80));
        assert_eq!(Address::from(Path::new("hub")), Address::Unix("hub".into()));
        assert_eq!(Address::from(Path::new("@hub")).to_string(), "unix:./@hub");
        assert_eq!("./hub:1".parse(), Ok(Address::Unix("./hub:1".into())));
        assert_eq!("@dir/hub".parse(), Ok(Address::Unix("@dir/hub".into())));
    }

    #[test]
    fn an_abstract_name_is_shown_in_one_line() {
        assert_eq!(named(b"a\0b\nc\xff").to_string(), "unix:@a\\u{0}b\\nc\u{fffd}");
    }

    #[test]
    fn an_invalid_address_is_explained() {
        for (text, why) in [
            ("31000", "missing host: try 127.0.0.1:31000"),
            ("hub.sock", "missing port, or 'unix:' before a path: try hub.sock:12345 or unix:hub.sock"),
            ("@hub", "missing port, or 'unix:' before a path: try @hub:12345 or unix:@hub"),
            ("", "it is empty"),
            ("host:", "the port must be 0 to 65535"),
            ("host:+1", "the port must be 0 to 65535"),
            ("host:65536", "the port must be 0 to 65535"),
            (":80", "missing host"),
            ("::1:80", "an IPv6 address needs brackets"),
            ("[::1:80", "no IPv6 address in the brackets"),
            ("[host]:80", "no IPv6 address in the brackets"),
            ("unix:", "missing path"),
            ("unix:@", "missing name after the '@'"),
        ] {
            let error = text.parse::<Address>().unwrap_err().to_string();
            let wanted =
                format!("invalid address '{text}': {why}; use HOST:PORT, [IPV6]:PORT, unix:PATH or unix:@NAME");
            assert_eq!(error, wanted);
        }
    }

    #[test]
    fn only_loopback_and_unix_sockets_are_local() {
        for (text, local) in [
            ("127.8.9.1:1", true),
            ("[::1]:1", true),
            ("[::ffff:127.0.0.1]:1", true),
            ("unix:x", true),
            ("unix:@x", true),
            ("0.0.0.0:1", false),
            ("[::]:1", false),
            ("192.0.2.1:1", false),
        ] {
            assert_eq!(text.parse::<Address>().unwrap().is_local(), local, "{text}");
        }
    }
}
