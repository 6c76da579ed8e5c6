//! Everything that a task needs in its bundle before its shim can make it. Files of the host and of the container are
//! looked at on blocking threads: they may be on a mount that hangs.

use super::plan::{Isolation, TaskPlan};
use super::spec::volumes::volume_roots;
use super::spec::{self, MachineFacts, RootfsFacts};
use super::user::{self, Account};
use super::{TaskError, Tasks, bundle};
use crate::snapshots::Snapshots;
use crate::untrusted::UntrustedRoot;

impl Tasks {
    /// The AppArmor profile of a container's processes; `None` for one that is privileged or has asked for another, and
    /// where there is none.
    ///
    /// # Errors
    /// [`TaskError::AppArmor`] when the profile is not in the kernel and cannot be loaded.
    pub(crate) async fn profile(&self, isolation: &Isolation) -> Result<Option<&'static str>, TaskError> {
        let rights = &isolation.rights;
        match rights.privileged || !rights.confinement.apparmor.is_empty() {
            true => Ok(None),
            false => Ok(self.apparmor.profile().await?),
        }
    }

    /// Writes config.json and the files of `/etc` for one run on the snapshot of the plan's id; which numbers the user has
    /// may have changed since the last one.
    ///
    /// # Errors
    /// [`TaskError`].
    pub(crate) async fn prepare(&self, plan: TaskPlan, snapshots: Snapshots) -> Result<(), TaskError> {
        let (directory, cgroups, init) = (self.bundle(&plan.id), self.cgroups.clone(), self.init.clone());
        let machine =
            MachineFacts { profile: self.profile(&plan.isolation).await?, counts_swap: self.counts_swap };
        tokio::task::spawn_blocking(move || {
            let root = UntrustedRoot::new(snapshots.view(plan.id.as_str())?);
            let account = user::look_up(&root, &plan.process.user, &plan.process.group_add)?;
            let volumes = volume_roots(&root, plan.files.volumes())?;
            drop(root);
            let spec = spec::build(&plan, &RootfsFacts { account, volumes }, machine, &directory, &cgroups)?;
            if plan.process.init {
                spec::init::place(&directory, &init)?;
            }
            bundle::write(&directory, &plan, &spec)
        })
        .await?
    }
}

/// Finds whatever is wrong with a plan before anything is made; the user is looked up at start.
///
/// # Errors
/// [`TaskError`].
pub(crate) async fn check(tasks: &Tasks, plan: TaskPlan) -> Result<(), TaskError> {
    let (directory, cgroups) = (tasks.bundle(&plan.id), tasks.cgroups.clone());
    let machine = MachineFacts { profile: None, counts_swap: tasks.counts_swap };
    tokio::task::spawn_blocking(move || {
        let account = Account { uid: 0, gid: 0, groups: Vec::new(), home: None };
        let placeholder = RootfsFacts { account, volumes: Vec::new() };
        Ok(spec::build(&plan, &placeholder, machine, &directory, &cgroups).map(drop)?)
    })
    .await?
}
