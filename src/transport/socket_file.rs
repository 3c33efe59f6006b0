//! The file of a Unix socket: put in place without ever robbing a live server, removed by its owner only.
//!
//! Whether a file is stale can only be found out by connecting to it, and between that and putting an own
//! socket there another server could do the same. So all of it happens under a lock (flock) on the
//! directory, which leaves nothing behind and ends with the process. A file is removed only if it is the
//! very one that was bound (device and inode), while its socket still listens.

use std::fs::{self, File, Metadata, Permissions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use crate::limits::LISTEN_BACKLOG;
use crate::os;

/// How often and how long the lock is tried for. Others hold it for microseconds.
const LOCK_TRIES: u32 = 200;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// A dead server's socket refuses at once. One that takes longer belongs to a live server that is busy.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl SocketFile {
    /// Listens at `path` with the permissions `mode`; the error is a reason for people to read.
    pub(super) fn listen(path: &Path, mode: u32) -> Result<(SocketFile, UnixListener), String> {
        let _lock = lock_directory(path)?;
        if let Some(found) = look(path)? {
            clear_the_way(path, &found)?;
        }
        let say = |error: io::Error| reason(&error, path);
        let address = SocketAddr::from_pathname(path).map_err(say)?;
        let socket = os::unix_socket(mode).map_err(say)?;
        os::bind_unix(socket.as_fd(), &address).map_err(say)?;
        os::set_backlog(socket.as_fd(), LISTEN_BACKLOG).map_err(say)?;
        let bound = fs::symlink_metadata(path).map_err(say)?;
        let file = SocketFile { path: std::path::absolute(path).map_err(say)?, identity: identity(&bound) };
        if bound.permissions().mode() & 0o7777 != mode {
            fs::set_permissions(path, Permissions::from_mode(mode)).map_err(say)?;
        }
        Ok((file, socket.into()))
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|found| identity(&found) == self.identity) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(file: &Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}

fn lock_directory(path: &Path) -> Result<File, String> {
    let directory = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let file = File::open(directory).map_err(|error| match error.kind() {
        ErrorKind::NotFound => format!("there is no directory {}", directory.display()),
        _ => format!("{}: {error}", directory.display()),
    })?;
    for _ in 0..LOCK_TRIES {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => thread::sleep(LOCK_PAUSE),
            Err(TryLockError::Error(error)) => return Err(format!("cannot lock {}: {error}", directory.display())),
        }
    }
    Err(format!("another program holds a lock on {}", directory.display()))
}

fn look(path: &Path) -> Result<Option<Metadata>, String> {
    match fs::symlink_metadata(path) {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(reason(&error, path)),
    }
}

/// Removes a dead server's socket; refuses to touch anything else.
fn clear_the_way(path: &Path, found: &Metadata) -> Result<(), String> {
    let kind = found.file_type();
    if !kind.is_socket() {
        let what = match () {
            () if kind.is_dir() => "a directory",
            () if kind.is_symlink() => "a symbolic link",
            () if kind.is_file() => "a regular file",
            () => "a file that is no socket",
        };
        return Err(format!("in use: {what} is there, which is left as it is"));
    }
    match SocketAddr::from_pathname(path).and_then(|address| os::connect_unix(&address, PROBE_TIMEOUT)) {
        Ok(_) => Err("in use: a live server listens there".to_owned()),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(|error| format!("cannot remove the stale socket there: {error}"))
        }
        Err(error) => {
            Err(format!("in use: a socket is there, and whether a server lives behind it cannot be told: {error}"))
        }
    }
}

fn reason(error: &io::Error, path: &Path) -> String {
    match error.kind() {
        ErrorKind::InvalidInput | ErrorKind::InvalidFilename => {
            format!("the path is too long: {} bytes, and a socket's path may have 107", path.as_os_str().len())
        }
        ErrorKind::AddrInUse => "in use: another program has just put a socket there".to_owned(),
        ErrorKind::PermissionDenied => "no permission to make a file there".to_owned(),
        _ => error.to_string(),
    }
}
