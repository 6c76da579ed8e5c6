//! What has been done to the host so far, and how it is taken back: the last change first.

use std::path::{Path, PathBuf};

use crate::cgroup::fence::Fence;
use crate::child::error::CreateError;
use crate::child::process::Child;
use crate::handshake::CreatorEnd;
use crate::output::log::Log;
use crate::spec::hooks::Hooks;
use crate::state::claim::Claim;
use crate::{hooks, resctrl};

/// Changes to the host in the order in which they are made.
#[derive(Debug, Default)]
pub(crate) struct Undo {
    pub(crate) claim: Option<Claim>,
    pub(crate) fence: Option<Fence>,
    pub(crate) resctrl: Option<resctrl::group::Group>,
    pub(crate) child: Option<Child>,
    /// Open until the child has ended, which would say that we are gone.
    pub(crate) channel: Option<CreatorEnd>,
    pub(crate) pid_file: Option<PathBuf>,
    /// What poststop hooks are told, from when the container has a state on.
    pub(crate) stopped: Option<Vec<u8>>,
}

impl Undo {
    /// Takes everything back, and calls the poststop hooks as `delete` does. What cannot be taken back stays recorded
    /// in the state, for `delete --force`; the error that led here is the one to tell.
    pub(crate) fn undo(self, hooks: &Hooks, bundle: &Path, log: &Log) {
        if let Some(path) = self.pid_file {
            std::fs::remove_file(path).ok();
        }
        if let Some(child) = self.child {
            child.end();
        }
        let removed = match self.fence {
            Some(fence) => fence.kill_all().and_then(|()| fence.remove()).is_ok(),
            None => true,
        };
        let removed = self.resctrl.is_none_or(|group| group.remove().is_ok()) && removed;
        let is_gone = match (removed, self.claim) {
            (true, Some(claim)) => claim.release().is_ok(),
            _ => false,
        };
        if let Some(stopped) = self.stopped.filter(|_| is_gone) {
            hooks::run_poststop(hooks, &stopped, bundle, log);
        }
    }

    /// All went well: everything stays, and the child is the caller's from here on.
    pub(crate) fn keep(&mut self) -> Result<Child, CreateError> {
        let Self { claim, child, .. } = std::mem::take(self);
        claim.map_or(Ok(()), Claim::publish)?;
        child.ok_or(CreateError::Died)
    }
}
