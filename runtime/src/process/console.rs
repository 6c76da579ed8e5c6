//! A process's terminal, from the side of the container: made from its own devpts, never found by a path that an image
//! or another process could have prepared (CVE-2016-9962, CVE-2025-52565).

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{FileType, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;
use rustix::pty::OpenptFlags;
use rustix::termios::Winsize;

use crate::null::is_null;
use crate::plan::process::Terminal;
use crate::rootfs::tree::{Links, Tree, attach, copy_tree};
use crate::sys::descriptor;
use crate::sys::mount::Reach;

/// DEVPTS_SUPER_MAGIC.
const DEVPTS_MAGIC: i64 = 0x1cd1;

/// Why there is no terminal.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub(crate) enum ConsoleError {
    #[error("cannot open the container's /dev/pts/ptmx: mount a devpts at /dev/pts")]
    Open { source: Errno },
    #[error("/dev/pts/ptmx in the container is not a pseudoterminal multiplexer")]
    NotPtmx,
    #[error("cannot make a pseudoterminal")]
    Make { source: Errno },
    #[error("cannot put the pseudoterminal on /dev/console")]
    Bind { source: Errno },
    #[error("cannot make the pseudoterminal the controlling terminal")]
    Control { source: Errno },
    #[error("cannot change the owner of stdio")]
    Owner { source: Errno },
}

/// Both ends of a pseudoterminal.
#[derive(Debug)]
pub(crate) struct Console {
    /// The end for the outside.
    pub(crate) master: OwnedFd,
    slave: OwnedFd,
}

impl Console {
    /// Makes one in the devpts of `devpts`, a descriptor of that mount, or of /dev/pts below `tree`.
    pub(crate) fn open(
        tree: &Tree,
        devpts: Option<BorrowedFd<'_>>,
        terminal: Terminal,
    ) -> Result<Self, ConsoleError> {
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let master = match devpts {
            Some(devpts) => rustix::fs::openat(devpts, c"ptmx", flags, Mode::empty()),
            None => tree.open("dev/pts/ptmx", flags, Links::Refuse),
        };
        let master = master.map_err(|source| ConsoleError::Open { source })?;
        let make = |source| ConsoleError::Make { source };
        let status = rustix::fs::fstat(&master).map_err(make)?;
        let is_ptmx = FileType::from_raw_mode(status.st_mode) == FileType::CharacterDevice
            && status.st_rdev == rustix::fs::makedev(5, 2)
            && rustix::fs::fstatfs(&master).map_err(make)?.f_type as i64 == DEVPTS_MAGIC;
        if !is_ptmx {
            return Err(ConsoleError::NotPtmx);
        }
        rustix::pty::unlockpt(&master).map_err(make)?;
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let slave = rustix::pty::ioctl_tiocgptpeer(&master, flags).map_err(make)?;
        if let Some(size) = terminal.size {
            let size = Winsize { ws_row: size.height, ws_col: size.width, ws_xpixel: 0, ws_ypixel: 0 };
            rustix::termios::tcsetwinsize(&master, size).map_err(make)?;
        }
        Ok(Self { master, slave })
    }

    /// Shows the terminal at /dev/console, not where a link of the image would have it (CVE-2025-52565).
    pub(crate) fn bind(&self, tree: &Tree) -> Result<(), ConsoleError> {
        let bind = || {
            let target = tree.make_file("dev/console", Links::Refuse)?;
            let copy = copy_tree(self.slave.as_fd(), Reach::One)?;
            attach(copy.as_fd(), target.as_fd())
        };
        bind().map_err(|source| ConsoleError::Bind { source })
    }

    /// Makes this terminal the one that controls our session, and stdin, stdout and stderr.
    pub(crate) fn take_control(self) -> Result<(), ConsoleError> {
        let control = |source| ConsoleError::Control { source };
        rustix::process::ioctl_tiocsctty(&self.slave).map_err(control)?;
        (0..3)
            .try_for_each(|number| descriptor::duplicate_onto(self.slave.as_raw_fd(), number))
            .map_err(control)
    }
}

/// Leaves the caller's session and its terminal.
pub(crate) fn begin_session() -> Result<(), Errno> {
    match rustix::process::setsid() {
        // A session leader has left the caller's session already.
        Ok(_) | Err(Errno::PERM) => Ok(()),
        Err(source) => Err(source),
    }
}

/// Lets a user other than root reopen its stdio by /dev/stdout and the like. /dev/null belongs to all and stays so;
/// what cannot change its owner keeps it.
pub(crate) fn own_stdio(uid: u32) -> Result<(), ConsoleError> {
    let stdio = [rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()];
    for descriptor in stdio {
        let status = match rustix::fs::fstat(descriptor) {
            Err(Errno::BADF) => continue,
            status => status.map_err(|source| ConsoleError::Owner { source })?,
        };
        if is_null(&status) || status.st_uid == uid {
            continue;
        }
        match rustix::fs::fchown(descriptor, Some(Uid::from_raw(uid)), None::<Gid>) {
            Ok(()) | Err(Errno::INVAL | Errno::PERM | Errno::ROFS) => {}
            Err(source) => return Err(ConsoleError::Owner { source }),
        }
    }
    Ok(())
}
