//! What a container uses, read from its cgroups into the shape that `runc events` prints. A controller that the
//! container has not is left at zero; what a kernel does not tell is left out.

pub(crate) mod read;
pub(crate) mod usage;
pub(crate) mod v1;
pub(crate) mod v2;

use super::error::CgroupError;
use super::fence::Fence;
use super::layout::Version;
use read::Files;
use usage::Stats;

impl Fence {
    /// Reads what the container uses.
    ///
    /// # Errors
    /// [`CgroupError::Read`] and [`CgroupError::Nonsense`].
    pub(crate) fn stats(&self) -> Result<Stats, CgroupError> {
        let mut stats = Stats::default();
        let is_unified = self.paths().is_unified();
        for cgroup in self.cgroups() {
            let files = Files(cgroup);
            match cgroup.path.version {
                Version::V1 => v1::read(&mut stats, &files)?,
                Version::V2 => {
                    stats.cpu.psi = files.pressure("cpu.pressure")?;
                    stats.memory.psi = files.pressure("memory.pressure")?;
                    stats.blkio.psi = files.pressure("io.pressure")?;
                    if is_unified {
                        v2::read(&mut stats, &files)?;
                    }
                }
            }
        }
        Ok(stats)
    }
}

#[cfg(test)]
mod tests;
