//! Paths as addresses of sockets.

use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::SocketAddr;
use std::path::Path;

use crate::os::LONGEST_PATH;

/// # Errors
/// `InvalidInput`, with the rule that the path breaks.
pub(super) fn socket_address(path: &Path) -> io::Result<SocketAddr> {
    let bytes = path.as_os_str().as_bytes();
    let rule = match bytes.len() {
        0 => "the path is empty".to_owned(),
        length if length > LONGEST_PATH => {
            format!("the path is too long: {length} bytes, and a socket's path may have {LONGEST_PATH}")
        }
        _ if bytes.contains(&0) => "the path has a NUL in it".to_owned(),
        _ => return SocketAddr::from_pathname(path),
    };
    Err(io::Error::new(ErrorKind::InvalidInput, rule))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_cannot_be_an_address_is_explained() {
        let text = |path: &str| socket_address(Path::new(path)).map_err(|error| error.to_string());
        let longest = "x".repeat(LONGEST_PATH);
        assert_eq!(text(&longest).unwrap().as_pathname(), Some(Path::new(&longest)));
        let length = LONGEST_PATH + 1;
        let wanted = format!("the path is too long: {length} bytes, and a socket's path may have {LONGEST_PATH}");
        assert_eq!(text(&"x".repeat(length)).unwrap_err(), wanted);
        assert_eq!(text("").unwrap_err(), "the path is empty");
        assert_eq!(text("a\0b").unwrap_err(), "the path has a NUL in it");
    }
}
