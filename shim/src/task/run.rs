//! One run of a container: its first process, its cgroup, and what is watched of them. A container that is started again
//! has one after the other, of the same bundle and root file system.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::sync::Arc;

use knarr_proto::processes::{CgroupIdentity, ProcessRecord};
use knarr_proto::status::Event;
use tokio::sync::oneshot;

use super::context::ShimContext;
use super::error::TaskError;
use super::launch::Launch;
use super::oom::OomTeller;
use super::process::Process;
use crate::cgroup::Cgroup;
use crate::chain::chain;
use crate::reaper::Exit;
use crate::record;
use crate::runtime::{Runtime, RuntimeError, Streams};
use crate::stdio::{PipeOwner, Request};
use crate::{exit, journal};

/// How each run of a container is made.
#[derive(Debug)]
pub(super) struct RunMaker {
    pub(super) id: String,
    pub(super) runtime: Runtime,
    pub(super) owner: PipeOwner,
    /// The first process's streams.
    pub(super) stdio: Request,
    /// Flags of the runtime's create.
    pub(super) flags: Vec<&'static str>,
}

/// One run.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) init: Arc<Process>,
    pub(super) oom: Option<Arc<OomTeller>>,
    pub(super) cgroup: Option<Cgroup>,
    pub(super) own_cgroups: Vec<CgroupIdentity>,
}

impl RunMaker {
    /// Makes the first process, up to the point where it waits for its start; its end comes through what is returned. On
    /// an error nothing of the run is left.
    pub(super) async fn make(
        &self,
        context: &ShimContext,
        bundle: &Path,
    ) -> Result<(Run, oneshot::Receiver<Exit>), TaskError> {
        exit::forget(bundle).map_err(TaskError::Exit)?;
        let init = Process::new(String::new(), self.stdio.clone())?;
        init.open_streams(self.owner, bundle)?;
        let mut arguments = vec![OsString::from("--bundle"), bundle.as_os_str().to_owned()];
        arguments.extend(self.flags.iter().map(OsString::from));
        let pid_file = bundle.join("init.pid");
        let launch = Launch { operation: "create", arguments, id: &self.id, pid_file };
        let exit = match launch.run(&self.runtime, context, &init).await {
            Ok(exit) => exit,
            Err(error) => {
                init.close_streams().await;
                self.take_back(&error).await;
                return Err(error);
            }
        };
        let pid = init.state().pid;
        // A process that has ended already has taken its cgroup's name with it.
        let cgroup = Cgroup::find(pid).ok();
        let own_cgroups = keep_record(bundle, pid, cgroup.as_ref());
        let oom = cgroup.as_ref().and_then(|cgroup| OomTeller::watch(cgroup, &self.id, &context.publisher));
        // No other has seen the process yet, so this is the first move.
        init.advance(Event::InitReady, "create")?;
        Ok((Run { init, oom, cgroup, own_cgroups }, exit))
    }

    /// What a create that failed may have left with the runtime. A container of this name that was there before stays.
    async fn take_back(&self, cause: &TaskError) {
        if matches!(cause, TaskError::Runtime(error) if error.is_taken() || error.is_spawn()) {
            return;
        }
        self.delete_by_force("after a create that failed").await;
    }

    /// Has the runtime delete whatever it has of this id.
    pub(super) async fn delete_by_force(&self, when: &'static str) {
        match self.runtime.run("delete", &["--force", &self.id].map(OsStr::new), Streams::Collected).await {
            Err(error @ RuntimeError::Failed { .. }) if error.is_gone() => {}
            Err(error) => journal::warn(&format!("{when}: {}", chain(&error))),
            Ok(_) => {}
        }
    }
}

/// Adds the first process and its cgroups to the bundle's record, for a `delete` without this shim. Returns
/// the cgroups. Without the record everything else works.
fn keep_record(bundle: &Path, pid: u32, cgroup: Option<&Cgroup>) -> Vec<CgroupIdentity> {
    let cgroups = cgroup.map(|cgroup| cgroup.own(pid)).unwrap_or_default();
    let kept = record::new(std::process::id()).and_then(|record| {
        let init = Some(record::identify(pid)?);
        record::write(bundle, &ProcessRecord { init, cgroups: cgroups.clone(), ..record })
    });
    if let Err(error) = kept {
        journal::warn(&format!("the container's process is not recorded in the bundle: {error}"));
    }
    cgroups
}
