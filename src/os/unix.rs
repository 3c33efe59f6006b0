//! The kind of file system that a socket's file is on.

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::c;
use super::result::check;

/// The number of the file system that `path` is on, as `linux/magic.h` lists them.
///
/// # Errors
/// What `statfs(2)` reports.
pub(crate) fn file_system(path: &Path) -> io::Result<u64> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut found = c::statfs64::EMPTY;
    // SAFETY: the path is live and ends in a NUL; the kernel's structure is smaller than ours.
    check(unsafe { c::statfs64(path.as_ptr(), &raw mut found) })?;
    // The kernel's numbers have 32 bits. A word with a sign may repeat the topmost of them.
    #[allow(clippy::unnecessary_cast, clippy::useless_conversion)] // the type differs by architecture
    Ok(found.kind as u64 & 0xFFFF_FFFF)
}
