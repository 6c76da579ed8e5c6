//! What is known of a container's shim at this moment. A shim that does not answer is dead only when the kernel says so.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use knarr_proto::id::ContainerId;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

use super::record::{self, Liveness};
use super::{ShimError, Shims, Task, TaskState};

/// A living shim whose socket is missing makes it anew within milliseconds of being asked.
const SOCKET_LIMIT: Duration = Duration::from_secs(2);
/// Between two attempts to connect meanwhile.
const SOCKET_PAUSE: Duration = Duration::from_millis(20);

/// What is known of a container's shim.
pub(crate) enum ShimLook {
    /// It answers and has the container.
    HasTask(Task, TaskState),
    /// It answers and has no container: nothing is mounted or running. [`Task::shutdown`] ends it.
    NoTask(Task),
    /// The kernel says that its process has ended: [`Shims::clean_up`] is safe, and needed. The container's first
    /// process may have outlived it.
    Dead,
    /// It runs, or may run, and does not answer. Nothing may be concluded from that: look again later.
    Unknown(ShimError),
}

/// A socket in the shims' directory that belongs to no container of the caller's records.
pub(crate) struct UnknownSocket {
    pub(crate) path: PathBuf,
    pub(crate) owner: SocketOwner,
}

/// Which process serves a socket.
pub(crate) enum SocketOwner {
    /// None: the file can be removed.
    Dead,
    /// A shim that has no container. [`Task::shutdown`] ends it, and the socket goes with it.
    EmptyShim(Task),
    /// A shim with a container, which may be all that is left of lost records.
    Container { id: ContainerId, bundle: PathBuf, state: TaskState },
    /// One that does not answer.
    Silent(ShimError),
}

impl Shims {
    /// Asks the container's shim, and where it does not answer, the kernel. It takes at most some seconds, and changes
    /// nothing but that a living shim without its socket makes it anew.
    pub(crate) async fn look(&self, id: &ContainerId, bundle: &Path) -> ShimLook {
        let refused = match self.ask(id).await {
            Answer::Known(look) => return look,
            Answer::Nobody(error) => error,
        };
        let bundle = bundle.to_owned();
        let asked = spawn_blocking(move || {
            let record = record::read(&bundle)?;
            let shim = record::liveness(record.shim);
            if shim == Liveness::Alive {
                record::ask_for_sockets(record.shim);
            }
            Some(shim)
        });
        match asked.await.ok().flatten() {
            Some(Liveness::Dead) => ShimLook::Dead,
            Some(Liveness::Alive) => self.await_socket(id, refused).await,
            Some(Liveness::Unknown) => ShimLook::Unknown(refused),
            // A shim writes its record before its address is told: there has been none, or the record was lost.
            None => ShimLook::Dead,
        }
    }

    /// Whether a living shim, which has been asked for its sockets, has the container's task.
    pub(crate) async fn has_task(&self, id: &ContainerId) -> bool {
        let look = match self.ask(id).await {
            Answer::Known(look) => look,
            Answer::Nobody(refused) => self.await_socket(id, refused).await,
        };
        matches!(look, ShimLook::HasTask(..))
    }

    async fn await_socket(&self, id: &ContainerId, mut refused: ShimError) -> ShimLook {
        let connected = timeout(SOCKET_LIMIT, async {
            loop {
                match self.ask(id).await {
                    Answer::Known(look) => return look,
                    Answer::Nobody(error) => refused = error,
                }
                sleep(SOCKET_PAUSE).await;
            }
        });
        match connected.await {
            Ok(look) => look,
            Err(_) => ShimLook::Unknown(refused),
        }
    }

    async fn ask(&self, id: &ContainerId) -> Answer {
        let task = match self.connect(id).await {
            Ok(task) => task,
            Err(error @ ShimError::Connect { .. }) => return Answer::Nobody(error),
            Err(error) => return Answer::Known(ShimLook::Unknown(error)),
        };
        match task.state().await {
            Ok(state) => Answer::Known(ShimLook::HasTask(task, state)),
            Err(error) if error.is_not_found() => Answer::Known(ShimLook::NoTask(task)),
            // It ended while it was asked.
            Err(error @ ShimError::Lost { .. }) => Answer::Nobody(error),
            Err(error) => Answer::Known(ShimLook::Unknown(error)),
        }
    }

    /// The sockets whose names are not those of `known` containers, each asked which shim serves it.
    ///
    /// # Errors
    /// When the directory of the sockets cannot be read.
    pub(crate) async fn unknown_sockets(
        &self,
        known: &HashSet<ContainerId>,
    ) -> std::io::Result<Vec<UnknownSocket>> {
        let known: HashSet<PathBuf> = known.iter().map(|id| self.socket(id)).collect();
        let directory = self.sockets.clone();
        #[allow(clippy::disallowed_methods, reason = "on a blocking thread")]
        let read = move || -> std::io::Result<Vec<PathBuf>> {
            let entries = std::fs::read_dir(directory)?;
            let paths = entries.flatten().map(|entry| entry.path());
            Ok(paths.filter(|path| path.extension().is_some_and(|end| end == "sock")).collect())
        };
        let paths = spawn_blocking(read).await.map_err(std::io::Error::other)??;
        let mut unknown = Vec::new();
        for path in paths.into_iter().filter(|path| !known.contains(path)) {
            let owner = owner_of(&path).await;
            unknown.push(UnknownSocket { path, owner });
        }
        Ok(unknown)
    }
}

/// What asking the shim itself gave.
enum Answer {
    Known(ShimLook),
    /// No process listens on the socket, or it is not there.
    Nobody(ShimError),
}

async fn owner_of(socket: &Path) -> SocketOwner {
    let task = match Task::connect(socket, String::new()).await {
        Ok(task) => task,
        Err(ShimError::Connect { .. }) => return SocketOwner::Dead,
        Err(error) => return SocketOwner::Silent(error),
    };
    match task.identify().await {
        Ok((id, bundle, state)) => SocketOwner::Container { id, bundle, state },
        Err(error) if error.is_not_found() => SocketOwner::EmptyShim(task),
        Err(ShimError::Lost { .. }) => SocketOwner::Dead,
        Err(error) => SocketOwner::Silent(error),
    }
}
