//! Directories that are to be the root of an image: with the mode and owner they should have, whatever the directory
//! that they are made in passes on, or the umask takes away.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Gid, Mode, Uid};
use rustix::io::Errno;

use super::SnapshotError;
use crate::files::failed;

/// Makes root's directory `path`, without ACLs.
pub(super) fn make_directory(path: &Path, mode: u32) -> Result<(), SnapshotError> {
    DirBuilder::new().mode(mode).create(path).map_err(failed("make directory", path))?;
    for acl in [c"system.posix_acl_default", c"system.posix_acl_access"] {
        match rustix::fs::removexattr(path, acl) {
            Ok(()) | Err(Errno::NODATA | Errno::OPNOTSUPP) => {}
            Err(errno) => return Err(failed("remove the ACL of", path)(errno).into()),
        }
    }
    // A directory with the setgid bit passes on its group.
    rustix::fs::chownat(CWD, path, Some(Uid::ROOT), Some(Gid::ROOT), AtFlags::empty())
        .map_err(failed("set the owner of", path))?;
    rustix::fs::chmod(path, Mode::from_raw_mode(mode)).map_err(failed("set the mode of", path))?;
    Ok(())
}
