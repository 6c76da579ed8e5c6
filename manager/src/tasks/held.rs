//! Tasks, as held by their containers: processes, mounts, shim and sockets for a run, and the bundle for good.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::Path;

use tokio::task::spawn_blocking;

use super::shims::{ShimLook, SocketOwner, UnknownSocket, short};
use super::{TaskError, Tasks, bundle};
use crate::error::Chain;
use crate::files::{FileError, failed};
use crate::held::{self, Held, HeldError, OwnerId, Until};

impl Held for Tasks {
    /// A shim that does not answer and is not dead keeps all of it: [`knarr_proto::kind::Kind::Unavailable`].
    async fn release(&self, owner: &OwnerId, until: Until) -> Result<(), HeldError> {
        self.end_if_there(owner).await.map_err(of_task("end the container's task"))?;
        match until {
            Until::NextRun => Ok(()),
            Until::Ever => {
                self.remove_files(owner).await.map_err(of_task("remove the container's directory"))
            }
        }
    }

    async fn sweep(&self, living: &HashSet<OwnerId>) -> Result<usize, HeldError> {
        let (bundles, known) = (self.bundles.clone(), living.clone());
        let cleared = spawn_blocking(move || clear_bundles(&bundles, &known)).await;
        let doing = "clear the containers' directories";
        let cleared = cleared.map_err(TaskError::from).and_then(|done| Ok(done?));
        let bundles = cleared.map_err(of_task(doing))?;
        let shims = self.sweep_shims(living).await.map_err(of_task("clear the shims' sockets"))?;
        let sockets = self.sweep_attach_sockets(living).await.map_err(of_task("clear the attach sockets"))?;
        Ok(bundles + shims + sockets)
    }
}

impl Tasks {
    pub(super) async fn end_if_there(&self, owner: &OwnerId) -> Result<(), TaskError> {
        match self.shims.look(owner, &self.bundle(owner)).await {
            ShimLook::HasTask(task, _) | ShimLook::NoTask(task) => self.end(owner, Some(task)).await,
            // A shim that has cleaned up has taken its socket with it.
            ShimLook::Dead => match tokio::fs::try_exists(self.shims.socket(owner)).await {
                Ok(false) => self.unmount(owner).await,
                Ok(true) | Err(_) => self.end(owner, None).await,
            },
            ShimLook::Unknown(error) => Err(error.into()),
        }
    }

    pub(super) async fn remove_files(&self, owner: &OwnerId) -> Result<(), TaskError> {
        let (directory, socket) = (self.bundle(owner), self.attach_socket(owner));
        let removed = spawn_blocking(move || {
            bundle::remove(&directory)?;
            remove_file(&socket)
        });
        Ok(removed.await??)
    }

    /// Ends shims that have no container, and leaves alone those that have one.
    async fn sweep_shims(&self, living: &HashSet<OwnerId>) -> Result<usize, TaskError> {
        let unknown = self.shims.unknown_sockets(living).await;
        let mut swept = 0;
        for UnknownSocket { path, owner } in unknown.map_err(failed("read", &self.shims.sockets))? {
            swept += match owner {
                SocketOwner::Dead => held::swept("an orphaned shim's socket", remove_file(&path)),
                SocketOwner::EmptyShim(task) => held::swept("an orphaned shim", task.shutdown().await),
                SocketOwner::Container { id, bundle, state } => {
                    let bundle = bundle.display();
                    tracing::error!(container = %id, %bundle, pid = state.pid, "a container runs that no record or directory here belongs to: it is left alone");
                    0
                }
                SocketOwner::Silent(error) => {
                    tracing::warn!(socket = %path.display(), error = %Chain(&error), "a shim that belongs to no container does not answer");
                    0
                }
            };
        }
        Ok(swept)
    }

    async fn sweep_attach_sockets(&self, living: &HashSet<OwnerId>) -> Result<usize, TaskError> {
        let shorts: HashSet<&str> = living.iter().map(short).collect();
        let mut swept = 0;
        for name in bundle::names(&self.attach)? {
            let owner = name.split(['.', '-']).next().unwrap_or_default();
            let path = self.attach.join(&name);
            if shorts.contains(owner) || tokio::net::UnixStream::connect(&path).await.is_ok() {
                continue;
            }
            swept += held::swept("an orphaned attach socket", remove_file(&path));
        }
        Ok(swept)
    }
}

/// Removes the bundles of interrupted creations, in which there is nothing. Returns how many.
fn clear_bundles(bundles: &Path, living: &HashSet<OwnerId>) -> Result<usize, FileError> {
    let mut cleared = 0;
    for name in bundle::names(bundles)? {
        let directory = bundles.join(&name);
        let is_unknown = name.parse::<OwnerId>().is_ok_and(|id| !living.contains(&id));
        if is_unknown && bundle::is_empty(&directory) {
            bundle::remove(&directory)?;
            cleared += 1;
        }
    }
    Ok(cleared)
}

#[allow(clippy::disallowed_methods, reason = "sockets in the state directory, before clients are served")]
fn remove_file(path: &Path) -> Result<(), FileError> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(failed("remove", path)(source)),
        _ => Ok(()),
    }
}

fn of_task(doing: &'static str) -> impl FnOnce(TaskError) -> HeldError {
    held::failed(doing, TaskError::kind)
}
