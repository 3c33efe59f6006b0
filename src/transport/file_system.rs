//! What the file system that a socket's file is on has to do with connecting.

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

/// The kind of file system that `path` is on, if it is such a one. `None`: a socket there that refuses connections is
/// dead for sure.
///
/// # Errors
/// What `statfs(2)` reports.
pub(super) fn shared(path: &Path) -> io::Result<Option<&'static str>> {
    os::file_system(path).map(name)
}

fn name(number: u64) -> Option<&'static str> {
    SHARED.iter().find(|(shared, _)| *shared == number).map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_a_proof_on_local_file_systems_only() {
        for (number, wanted) in [
            (0x6573_5546, Some("FUSE")),
            (0x0102_1997, Some("9p")),
            (0x6969, Some("NFS")),
            (0xFF53_4D42, Some("CIFS")),
            (0xFE53_4D42, Some("SMB")),
            (0xEF53, None),      // ext4
            (0x0102_1994, None), // tmpfs
            (0x794C_7630, None), // overlayfs: containers
        ] {
            assert_eq!(name(number), wanted);
        }
        assert_eq!(shared(Path::new("/")).unwrap(), None);
    }
}
