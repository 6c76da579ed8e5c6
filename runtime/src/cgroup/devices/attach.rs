//! The device rules put in force: lines for v1's device cgroup, a program for v2.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::cgroup::devices::{DeviceList, program};
use crate::cgroup::error::CgroupError;
use crate::cgroup::fence::Fence;
use crate::sys::bpf;

impl Fence {
    /// Lets the container's processes have these devices and no others.
    ///
    /// # Errors
    /// [`CgroupError::Write`] and [`CgroupError::DeviceProgram`]; [`CgroupError::NoController`] when there is neither a
    /// v1 device cgroup nor v2 alone.
    pub(in super::super) fn allow_devices(&self, list: &DeviceList) -> Result<(), CgroupError> {
        if let Some(cgroup) = self.v1("devices") {
            let mut writes = list.v1_writes().into_iter();
            return writes.try_for_each(|(file, lines)| cgroup.write_each(file, &lines));
        }
        match self.v2() {
            Some(cgroup) if self.paths().is_unified() => attach(cgroup.directory()?, list)
                .map_err(|source| CgroupError::DeviceProgram { path: cgroup.path.directory(), source }),
            _ => Err(CgroupError::NoController {
                what: "the device rules".to_owned(),
                controller: "devices".to_owned(),
            }),
        }
    }
}

/// Puts the program in place of those that are there. In between both are asked, so that there is no moment without.
fn attach(directory: BorrowedFd<'_>, list: &DeviceList) -> Result<(), Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let cgroup = rustix::fs::openat(directory, Path::new("."), flags, Mode::empty())?;
    let present = present(cgroup.as_fd())?;
    let program = bpf::load_device_program(&program::assemble(list))?;
    bpf::attach_device_program(cgroup.as_fd(), program.as_fd())?;
    present.iter().try_for_each(|old| bpf::detach_device_program(cgroup.as_fd(), old.as_fd()))
}

fn present(cgroup: BorrowedFd<'_>) -> Result<Vec<OwnedFd>, Errno> {
    let mut programs = Vec::new();
    for id in bpf::device_programs(cgroup)? {
        match bpf::program_by_id(id) {
            Ok(program) => programs.push(program),
            // Gone meanwhile, or guarded by an LSM: a program that stays can only forbid more.
            Err(Errno::NOENT | Errno::PERM | Errno::ACCESS) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(programs)
}
