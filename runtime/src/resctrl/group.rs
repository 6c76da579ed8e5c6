//! A container's control group and its monitoring group: made empty, entered by pid, removed with the
//! container if they were made for it.

use std::path::{Path, PathBuf};

use knarr_proto::id::ContainerId;
use rustix::fs::{AtFlags, CWD, Mode};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::error::ResctrlError;
use super::filesystem::{Resctrl, read};
use super::schema::Schemata;
use crate::resctrl::schema;
use crate::spec::linux::IntelRdt;
use crate::sys::file;

/// `closID` for the root group, which holds all processes that are in no other.
const ROOT_CLASS: &str = "/";

/// What is remembered of a container's groups.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Group {
    /// Where resctrl is mounted.
    pub(super) root: PathBuf,
    /// The control group's directory.
    path: PathBuf,
    /// The monitoring group's directory, inside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    monitor: Option<PathBuf>,
    /// Whether the control group is made for the container alone.
    is_own: bool,
}

/// A group that is to be made or used.
#[derive(Debug)]
pub(crate) struct GroupPlan {
    group: Group,
    schemata: Schemata,
    /// Whether the control group was there before.
    exists: bool,
}

impl GroupPlan {
    /// Decides what to do for a container; nothing is changed.
    ///
    /// # Errors
    /// [`ResctrlError`] for what the configuration asks for and cannot have.
    pub(crate) fn new(resctrl: &Resctrl, wanted: &IntelRdt, id: &ContainerId) -> Result<Self, ResctrlError> {
        let class = wanted.clos_id.as_str();
        if matches!(class, "." | "..") || (class.contains('/') && class != ROOT_CLASS) {
            return Err(ResctrlError::Class(class.to_owned()));
        }
        let schemata = Schemata::new(wanted, resctrl)?;
        let path = match class {
            "" => resctrl.root.join(id.as_str()),
            ROOT_CLASS => resctrl.root.clone(),
            name => resctrl.root.join(name),
        };
        let exists = match rustix::fs::stat(&path) {
            Ok(_) => true,
            Err(Errno::NOENT) if class.is_empty() || !schemata.is_empty() => false,
            Err(source) => return Err(ResctrlError::NoClass { path, source }),
        };
        let monitor = wanted.enable_monitoring.then(|| path.join("mon_groups").join(id.as_str()));
        let is_own = class.is_empty() && !exists;
        let group = Group { root: resctrl.root.clone(), path, monitor, is_own };
        Ok(Self { group, schemata, exists })
    }

    /// What is to be remembered before anything is made.
    #[must_use]
    pub(crate) fn group(&self) -> &Group {
        &self.group
    }

    /// Makes the groups and gives them their shares. Of a failure nothing is left.
    ///
    /// # Errors
    /// [`ResctrlError`].
    pub(crate) fn make(&self) -> Result<Group, ResctrlError> {
        let group = &self.group;
        if !self.exists {
            group.make_directory(&group.path)?;
        }
        let made = self.share().and_then(|()| match &group.monitor {
            // One of the container's name is left over from an earlier one.
            Some(path) => match group.make_directory(path) {
                Err(ResctrlError::Make { source: Errno::EXIST, .. }) => Ok(()),
                made => made,
            },
            None => Ok(()),
        });
        if made.is_err() && !self.exists {
            rustix::fs::unlinkat(CWD, &group.path, AtFlags::REMOVEDIR).ok();
        }
        made.map(|()| group.clone())
    }

    /// A class that was there before has its shares already, and they must be these.
    fn share(&self) -> Result<(), ResctrlError> {
        let mut schemata = self.schemata.clone();
        if self.exists {
            let path = self.group.schemata();
            let found = if schemata.named.is_empty() { String::new() } else { read(&path)? };
            if let Some(wanted) = schemata.named.iter().find(|line| !schema::is_in(line, &found)) {
                return Err(ResctrlError::Differs { path, wanted: wanted.clone(), found });
            }
            schemata.named.clear();
        }
        self.group.share(&schemata)
    }
}

impl Group {
    /// Puts a process of ours into the groups; what it starts from now on is born there.
    ///
    /// # Errors
    /// [`ResctrlError::Write`].
    pub(crate) fn enter(&self, pid: u32) -> Result<(), ResctrlError> {
        // A process that moves to another control group falls out of the monitoring group of the one before.
        for path in [Some(&self.path), self.monitor.as_ref()].into_iter().flatten() {
            self.write(&path.join("tasks"), &pid.to_string())?;
        }
        Ok(())
    }

    /// Writes shares.
    ///
    /// # Errors
    /// [`ResctrlError::Write`].
    pub(crate) fn share(&self, schemata: &Schemata) -> Result<(), ResctrlError> {
        if schemata.is_empty() {
            return Ok(());
        }
        self.write(&self.schemata(), &schemata.text())
    }

    /// Removes what was made for the container. Processes that are still in it fall back to the group above.
    ///
    /// # Errors
    /// [`ResctrlError::Remove`].
    pub(crate) fn remove(&self) -> Result<(), ResctrlError> {
        // With the control group goes what is in it.
        let made = if self.is_own { Some(&self.path) } else { self.monitor.as_ref() };
        let Some(path) = made else { return Ok(()) };
        match rustix::fs::unlinkat(CWD, path, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(source) => Err(ResctrlError::Remove { path: path.clone(), source }),
        }
    }

    /// The filesystem that they are in.
    #[must_use]
    pub(crate) fn resctrl(&self) -> Resctrl {
        Resctrl::at(self.root.clone())
    }

    pub(super) fn schemata(&self) -> PathBuf {
        self.path.join("schemata")
    }

    /// Where the kernel counts for the container, or for all of its control group.
    pub(super) fn counters(&self) -> PathBuf {
        self.monitor.as_ref().unwrap_or(&self.path).join("mon_data")
    }

    fn make_directory(&self, path: &Path) -> Result<(), ResctrlError> {
        rustix::fs::mkdirat(CWD, path, Mode::from_raw_mode(0o755)).map_err(|source| ResctrlError::Make {
            path: path.to_owned(),
            status: self.resctrl().status(),
            source,
        })
    }

    fn write(&self, path: &Path, value: &str) -> Result<(), ResctrlError> {
        file::write_at(CWD, path, value.as_bytes()).map_err(|source| ResctrlError::Write {
            path: path.to_owned(),
            value: value.to_owned(),
            status: self.resctrl().status(),
            source,
        })
    }
}
