//! The file of a Unix socket: put in place without ever robbing a live server, removed by its owner only.
//!
//! Whether a file is stale can only be found out by connecting to it, and between that and putting a socket of one's
//! own there another server could do the same. So all of it happens under a lock (flock) on the directory, which
//! leaves nothing behind and ends with the process. Where the file system or the directory's permissions do not allow
//! the lock, it happens without. A file is removed only if it is the very one that was examined or bound (device and
//! inode).

use std::fs::{self, File, FileType, Metadata, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use super::connect;
use super::error::{failed, reworded};
use super::file_system;
use super::socket_path::socket_address;
use crate::os;

/// How often and how long the lock is tried for. Other servers hold it for microseconds, or while they probe.
const LOCK_TRIES: u32 = 500;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// A dead server's socket refuses at once. One that takes longer belongs to a live server that is busy. (Where that one
/// would refuse too, half of this is for trying again.)
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl SocketFile {
    /// Listens at `path` with the permissions `mode`.
    pub(super) fn listen(path: &Path, mode: u32) -> io::Result<(SocketFile, UnixListener)> {
        let address = socket_address(path)?;
        let absolute = std::path::absolute(path)?;
        let _lock = lock_directory(path)?;
        match fs::symlink_metadata(path) {
            Ok(found) => clear_the_way(path, &address, &found)?,
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(cannot_make(path, error)),
        }
        let socket = UnixListener::bind_addr(&address).map_err(|error| cannot_make(path, error))?;
        let bound = fs::symlink_metadata(path).map_err(|error| failed("cannot look at the socket's file", &error))?;
        // From here on, a failure removes the file.
        let file = SocketFile { path: absolute, identity: identity(&bound) };
        file.make_mode(path, mode, &bound)?;
        Ok((file, socket))
    }

    /// Gives the file back what the umask has taken, and makes sure that nobody else may connect: some file systems
    /// have permissions of their own.
    fn make_mode(&self, path: &Path, mode: u32, bound: &Metadata) -> io::Result<()> {
        if bound.permissions().mode() & 0o7777 == mode {
            return Ok(());
        }
        if !bound.file_type().is_socket() {
            return Err(io::Error::other("another program has put something else in the place of the socket's file"));
        }
        os::set_mode(path, mode).map_err(|error| cannot_set(mode, &error))?;
        let now = fs::symlink_metadata(path)?;
        match now.permissions().mode() & 0o7777 {
            other if other != mode && identity(&now) == self.identity => Err(io::Error::other(format!(
                "the file system does not keep permissions: the socket's file has {other:o} instead of {mode:o}"
            ))),
            _ => Ok(()),
        }
    }

    /// Whether this is the file at `path`.
    pub(super) fn is_at(&self, path: &Path) -> bool {
        fs::symlink_metadata(path).is_ok_and(|found| identity(&found) == self.identity)
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        remove(&self.path, self.identity).ok();
    }
}

/// Listens on an abstract name.
pub(super) fn listen_abstract(name: &[u8]) -> io::Result<UnixListener> {
    if name.is_empty() {
        return Err(io::Error::other("the name is empty"));
    }
    let address = os::abstract_address(name)?;
    UnixListener::bind_addr(&address).map_err(|error| match error.kind() {
        ErrorKind::AddrInUse => reworded(&error, "in use: another program has this name"),
        _ => error,
    })
}

fn identity(file: &Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}

/// Removes a file if it is still the same one.
fn remove(path: &Path, identity_of_file: (u64, u64)) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if identity(&found) == identity_of_file => fs::remove_file(path),
        _ => Ok(()),
    }
}

/// The lock, or `None` where there can be none: a directory that may be searched but not read, a file system without
/// locks.
fn lock_directory(path: &Path) -> io::Result<Option<File>> {
    let directory = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    // The dot lets anything but a directory fail at once: opening a pipe would wait for its other end.
    let file = match File::open(directory.join(".")) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(reworded(&error, format!("there is no directory {}", directory.display())));
        }
        // What else is wrong with the directory, making the socket will tell.
        Err(_) => return Ok(None),
    };
    for _ in 0..LOCK_TRIES {
        match file.try_lock() {
            Ok(()) => return Ok(Some(file)),
            Err(TryLockError::WouldBlock) => thread::sleep(LOCK_PAUSE),
            Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Interrupted => {}
            Err(TryLockError::Error(_)) => return Ok(None),
        }
    }
    Err(io::Error::other(format!("another program holds a lock on {}", directory.display())))
}

/// Removes a dead server's socket; refuses to touch anything else.
fn clear_the_way(path: &Path, address: &SocketAddr, found: &Metadata) -> io::Result<()> {
    if !found.file_type().is_socket() {
        return Err(io::Error::other(format!("in use: {} is there, which is left as it is", kind(found.file_type()))));
    }
    let unsure = "in use: a socket is there, and it is unclear whether a server still uses it";
    let Err(error) = connect::to_address(address.clone(), PROBE_TIMEOUT) else {
        return Err(io::Error::other("in use: a live server listens there"));
    };
    match error.kind() {
        // Another server has just removed it.
        ErrorKind::NotFound => Ok(()),
        ErrorKind::TimedOut => {
            Err(reworded(&error, "in use: a live server listens there, which accepts no connections now"))
        }
        ErrorKind::ConnectionRefused => match file_system::shared(path) {
            Ok(None) => remove(path, identity(found))
                .map_err(|error| failed("a stale socket is there, which cannot be removed", &error)),
            Ok(Some(system)) => Err(reworded(
                &error,
                format!("{unsure} (on a {system} file system); if none does, remove {} by hand", path.display()),
            )),
            Err(error) => Err(failed(unsure, &error)),
        },
        _ => Err(failed(unsure, &error)),
    }
}

fn kind(file: FileType) -> &'static str {
    match () {
        () if file.is_dir() => "a directory",
        () if file.is_symlink() => "a symbolic link",
        () if file.is_file() => "a regular file",
        () => "a file that is not a socket",
    }
}

fn cannot_set(mode: u32, error: &io::Error) -> io::Error {
    failed(&format!("cannot give the socket the permissions {mode:o}"), error)
}

/// Why there cannot be a socket at `path`.
fn cannot_make(path: &Path, error: io::Error) -> io::Error {
    // EPERM and EACCES are one kind to std. Only the second is about permissions: a file system that has no sockets
    // answers with the first.
    const EPERM: i32 = 1;
    match error.kind() {
        ErrorKind::AddrInUse => reworded(&error, "in use: another program has just put a socket there"),
        ErrorKind::PermissionDenied if error.raw_os_error() != Some(EPERM) => {
            reworded(&error, "no permission to make a file there")
        }
        ErrorKind::NotADirectory => {
            reworded(&error, format!("{} is not a directory", path.parent().unwrap_or(path).display()))
        }
        _ => failed("the file system refuses a socket there", &error),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;

    use super::*;

    #[test]
    fn an_error_keeps_its_own_cause() {
        let text = |number| cannot_make(Path::new("/dir/hub"), io::Error::from_raw_os_error(number)).to_string();
        assert_eq!(text(13), "no permission to make a file there");
        assert_eq!(text(20), "/dir is not a directory");
        for (number, name) in [(1, "Operation not permitted"), (22, "Invalid argument"), (30, "Read-only file system")]
        {
            let wanted = format!("the file system refuses a socket there: {name} (os error {number})");
            assert_eq!(text(number), wanted);
        }
        let error = cannot_set(0o600, &io::Error::from_raw_os_error(22));
        assert_eq!(error.to_string(), "cannot give the socket the permissions 600: Invalid argument (os error 22)");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }

    #[test]
    fn a_file_is_removed_only_if_it_is_the_one_that_was_meant() {
        let directory = std::env::temp_dir().join(format!("localsocket-remove-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let (one, other) = (directory.join("one"), directory.join("other"));
        fs::write(&one, "").unwrap();
        fs::write(&other, "").unwrap();
        remove(&one, identity(&fs::metadata(&other).unwrap())).unwrap();
        assert!(one.exists());
        remove(&one, identity(&fs::metadata(&one).unwrap())).unwrap();
        assert!(!one.exists());
        fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn permissions_are_given_to_a_socket_alone_and_never_through_a_link() {
        let directory = std::env::temp_dir().join(format!("localsocket-mode-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let (path, victim) = (directory.join("hub"), directory.join("victim"));
        fs::write(&victim, "").unwrap();
        fs::set_permissions(&victim, Permissions::from_mode(0o600)).unwrap();
        let _socket = UnixListener::bind(&path).unwrap();
        let bound = fs::symlink_metadata(&path).unwrap();
        let file = SocketFile { path: path.clone(), identity: identity(&bound) };
        file.make_mode(&path, 0o666, &bound).unwrap();
        assert_eq!(fs::symlink_metadata(&path).unwrap().permissions().mode() & 0o777, 0o666);
        // Somebody puts a link in its place before it is looked at, or right after.
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(&victim, &path).unwrap();
        let link = fs::symlink_metadata(&path).unwrap();
        for found in [&link, &bound] {
            file.make_mode(&path, 0o640, found).unwrap_err();
        }
        assert_eq!(fs::metadata(&victim).unwrap().permissions().mode() & 0o777, 0o600);
        fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn an_abstract_name_that_cannot_be_one_is_refused() {
        assert_eq!(listen_abstract(b"").unwrap_err().to_string(), "the name is empty");
        assert!(listen_abstract(&[b'x'; 108]).is_err());
    }
}
