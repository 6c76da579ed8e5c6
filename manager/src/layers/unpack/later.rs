//! What directories get once nothing more is made in them: making a name in a directory changes its times, and a default
//! ACL would change what is made.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{Mode, Timespec, Timestamps, XattrFlags};
use rustix::io::Errno;

use super::error::{LayerError, placing};
use crate::trees::open_below;

/// The ACL that the kernel gives to what is made in a directory, instead of the mode that was asked for.
pub(super) const DEFAULT_ACL: &std::ffi::CStr = c"system.posix_acl_default";

/// By the directories' paths; later entries of the same path count.
#[derive(Default)]
pub(super) struct Later(BTreeMap<Vec<u8>, Finish>);

/// What one directory gets.
#[derive(Default)]
pub(super) struct Finish {
    pub(super) mode: Option<Mode>,
    pub(super) default_acl: Option<Vec<u8>>,
    pub(super) modified: Option<Timespec>,
}

impl Later {
    /// What the directory at `path` gets.
    pub(super) fn at(&mut self, path: &[u8]) -> &mut Finish {
        self.0.entry(path.to_vec()).or_default()
    }

    /// The directory is not there any more, nor is what was below it.
    pub(super) fn forget(&mut self, path: &[u8]) {
        self.0.remove(path);
        let below: Vec<_> = self.0.range(range_below(path)).map(|(path, _)| path.clone()).collect();
        for path in below {
            self.0.remove(&path);
        }
    }

    /// Gives all directories below `root` what they are to have.
    pub(super) fn finish(self, root: &OwnedFd) -> Result<(), LayerError> {
        for (path, finish) in self.0 {
            let directory = open_below(root, Path::new(OsStr::from_bytes(&path)));
            let directory = directory.map_err(placing("open", &path))?;
            if let Some(mode) = finish.mode {
                rustix::fs::fchmod(&directory, mode).map_err(placing("set the mode of", &path))?;
            }
            if let Some(acl) = finish.default_acl {
                rustix::fs::fsetxattr(&directory, DEFAULT_ACL, &acl, XattrFlags::empty())
                    .map_err(placing("set the default ACL of", &path))?;
            }
            if let Some(modified) = finish.modified {
                rustix::fs::futimens(&directory, &times(modified))
                    .map_err(placing("set the time of", &path))?;
            }
        }
        Ok(())
    }
}

/// Forgets the paths in `set` that are `path` or below it.
pub(super) fn forget_below(set: &mut BTreeSet<Vec<u8>>, path: &[u8]) {
    set.remove(path);
    let below: Vec<_> = set.range(range_below(path)).cloned().collect();
    for path in below {
        set.remove(&path);
    }
}

pub(super) fn times(modified: Timespec) -> Timestamps {
    Timestamps { last_access: modified, last_modification: modified }
}

/// From `path/` to what comes after it.
fn range_below(path: &[u8]) -> std::ops::Range<Vec<u8>> {
    let with = |end: u8| [path, &[end]].concat();
    with(b'/')..with(b'/' + 1)
}

/// Takes a directory's default ACL away until the end, when [`Later::finish`] gives it back: until then, what is made
/// in it has the mode that was asked for.
pub(super) fn suspend_default_acl(
    directory: &OwnedFd,
    path: &[u8],
    later: &mut Later,
) -> Result<(), LayerError> {
    /// Linux's bound for the value of one attribute.
    const MAX_VALUE_BYTES: usize = 64 << 10;
    let mut value = vec![0; MAX_VALUE_BYTES];
    let size = match rustix::fs::fgetxattr(directory, DEFAULT_ACL, value.as_mut_slice()) {
        Ok(0) | Err(Errno::NODATA | Errno::OPNOTSUPP) => return Ok(()),
        read => read.map_err(placing("read the default ACL of", path))?,
    };
    value.truncate(size);
    rustix::fs::fremovexattr(directory, DEFAULT_ACL).map_err(placing("suspend the default ACL of", path))?;
    later.at(path).default_acl.get_or_insert(value);
    Ok(())
}
