//! What the file system that a socket's file is on has to do with connecting.

use std::fmt;
use std::io;
use std::path::Path;

use crate::os;

/// The file systems where a socket may be alive although connecting is refused: the file can be seen from several
/// machines, or in several places of one, and only where it was bound does it lead to the socket. Numbers are those of
/// `linux/magic.h`; virtiofs has that of FUSE.
const SHARED: [(u64, &str); 12] = [
    (0x6573_5546, "FUSE"),
    (0x0102_1997, "9p"),
    (0x6969, "NFS"),
    (0xFF53_4D42, "CIFS"),
    (0xFE53_4D42, "SMB"),
    (0x517B, "SMB"),
    (0x00C3_6400, "Ceph"),
    (0x5346_414F, "AFS"),
    (0x6B41_4653, "AFS"),
    (0x7375_7245, "Coda"),
    (0x786F_4256, "VirtualBox shared folder"),
    (0xBACB_ACBC, "VMware shared folder"),
];

/// A kind of file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileSystem(u64);

impl FileSystem {
    /// # Errors
    /// What `statfs(2)` reports.
    pub(super) fn of(path: &Path) -> io::Result<FileSystem> {
        os::file_system(path).map(FileSystem)
    }

    /// Whether a socket on it that refuses connections is dead for sure.
    pub(super) fn proves_staleness(self) -> bool {
        SHARED.iter().all(|(number, _)| *number != self.0)
    }
}

impl fmt::Display for FileSystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match SHARED.iter().find(|(number, _)| *number == self.0) {
            Some((_, name)) => f.write_str(name),
            None => write!(f, "{:#x}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_a_proof_on_local_file_systems_only() {
        for (number, name, proves) in [
            (0x6573_5546, "FUSE", false),
            (0x0102_1997, "9p", false),
            (0x6969, "NFS", false),
            (0xFF53_4D42, "CIFS", false),
            (0xFE53_4D42, "SMB", false),
            (0xEF53, "0xef53", true),          // ext4
            (0x0102_1994, "0x1021994", true),  // tmpfs
            (0x794C_7630, "0x794c7630", true), // overlayfs: containers
        ] {
            let system = FileSystem(number);
            assert_eq!((system.proves_staleness(), &*system.to_string()), (proves, name));
        }
        assert!(FileSystem::of(Path::new("/")).unwrap().proves_staleness());
    }
}
