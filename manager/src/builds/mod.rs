//! Builds: a Dockerfile and a context become an image. Three stages with a plain value between them: text → instructions →
//! plan (`dockerfile`, pure) → snapshots and a configuration (`solve`). A step that touches files runs on an active
//! snapshot (`step`), which becomes a layer and a committed snapshot; what it made is kept under a key of all that it
//! depends on (`key`, `records`).

mod config;
mod context;
mod copy;
pub(crate) mod dockerfile;
mod error;
mod key;
mod mounts;
mod records;
mod request;
mod run;
mod selected;
mod solve;
mod state;
mod step;
mod stubs;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

pub(crate) use error::BuildError;
pub(crate) use records::{SCHEMA_1, SCHEMA_2, needed};
pub(crate) use request::{BuildRequest, Progress};

use crate::collect::Collector;
use crate::content::Content;
use crate::error::Chain;
use crate::held::{Held, OwnerId, Until};
use crate::images::{Image, Images};
use crate::snapshots::Snapshots;
use crate::store::Store;
use crate::tasks::Tasks;

/// What builds are made with, and where they work.
pub(crate) struct BuildParts {
    pub(crate) images: Images,
    pub(crate) snapshots: Snapshots,
    pub(crate) content: Content,
    pub(crate) collector: Collector,
    pub(crate) tasks: Tasks,
    pub(crate) store: Store,
    /// Contexts and cache mounts.
    pub(crate) directory: PathBuf,
    /// Secrets, in memory.
    pub(crate) secrets: PathBuf,
}

type Turns = HashMap<String, Arc<tokio::sync::Mutex<()>>>;

/// The builds; clones share them.
#[derive(Clone)]
pub(crate) struct Builds {
    shared: Arc<Shared>,
}

struct Shared {
    parts: BuildParts,
    /// Cache mounts that one command at a time may use.
    turns: Mutex<Turns>,
}

/// A build's context, as it comes: pieces of a tar.
pub(crate) type ContextPieces = mpsc::Receiver<Vec<u8>>;

impl Builds {
    pub(crate) fn new(parts: BuildParts) -> Self {
        Self { shared: Arc::new(Shared { parts, turns: Mutex::default() }) }
    }

    /// Builds an image. `progress` is told what happens; `cancelled` ends it, with every process of it.
    ///
    /// # Errors
    /// [`BuildError`]; steps that were done stay in the cache.
    pub(crate) async fn build(
        &self,
        request: BuildRequest,
        context: ContextPieces,
        progress: mpsc::Sender<Progress>,
        cancelled: CancellationToken,
    ) -> Result<Image, BuildError> {
        let shared = Arc::clone(&self.shared);
        // In a task of its own: should the caller leave, what is under way has to be cleaned up all the same.
        tokio::spawn(async move { solve::solve(&shared, request, context, progress, cancelled).await })
            .await?
    }

    /// Forgets what steps have made, and removes what no image needs. Returns the digests that are gone, and the bytes.
    ///
    /// # Errors
    /// [`BuildError`].
    pub(crate) async fn prune(&self) -> Result<(Vec<String>, u64), BuildError> {
        let parts = &self.shared.parts;
        let before = usage(&parts.snapshots).await?;
        let store = parts.store.for_removal();
        store.write("forget the build cache", records::forget).await?;
        let gone = parts.collector.collect().await?;
        Ok((gone, before.saturating_sub(usage(&parts.snapshots).await?)))
    }

    /// Removes what an earlier knarrd's builds have left.
    ///
    /// # Errors
    /// [`BuildError`] when the directories or records cannot be read at all.
    pub(crate) async fn recover(&self) -> Result<usize, BuildError> {
        let parts = &self.shared.parts;
        let (directory, secrets) = (parts.directory.clone(), parts.secrets.clone());
        spawn_blocking(move || context::sweep(&directory).and_then(|()| context::sweep(&secrets))).await??;
        let steps = parts.store.read("list the steps under way", records::under_way).await?;
        let count = steps.len();
        for id in steps {
            if let Ok(owner) = id.parse::<OwnerId>() {
                let swept = async {
                    parts.tasks.release(&owner, Until::Ever).await?;
                    parts.snapshots.release(&owner, Until::Ever).await
                };
                if let Err(error) = swept.await {
                    tracing::warn!(step = %owner, error = %Chain(&error), "a build's step was not cleaned up");
                    continue;
                }
            }
            let store = parts.store.for_removal();
            store.write_unsynced("forget a step", move |tx| records::end(tx, &id)).await?;
        }
        Ok(count)
    }
}

async fn usage(snapshots: &Snapshots) -> Result<u64, BuildError> {
    let all = snapshots.list().await?;
    Ok(all.iter().filter_map(|snapshot| snapshot.usage).map(|usage| usage.size_bytes).sum())
}
