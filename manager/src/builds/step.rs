//! A step that touches files: looked up by its key, or made on an active snapshot, which then becomes a layer.

use knarr_proto::id::ContainerId;
use tokio::task::spawn_blocking;

use super::error::BuildError;
use super::records::{self, Made};
use super::request::Progress;
use super::solve::Build;
use super::state::State;
use crate::content::Digest;
use crate::error::Chain;
use crate::images::chain_ids;
use crate::layers::pack::{self, Packing, Times};
use crate::snapshots::{Layout, Mount, SnapshotError};

/// A step under way.
pub(super) struct Step {
    pub(super) id: ContainerId,
    pub(super) layout: Layout,
    pub(super) mounts: Vec<Mount>,
    key: String,
}

impl Build<'_> {
    /// What the step of this key made before, or a snapshot to make it on.
    pub(super) async fn begin(&mut self, state: &mut State, key: String) -> Result<Option<Step>, BuildError> {
        if self.cancelled.is_cancelled() {
            return Err(BuildError::Cancelled);
        }
        if !self.request.no_cache
            && let Some(made) = self.cached(&key).await?
        {
            state.add(made, self.epoch);
            self.used.push(key);
            self.tell(Progress::Cached).await;
            return Ok(None);
        }
        let id = random_id()?;
        let name = id.to_string();
        let store = &self.parts().store;
        store.write_unsynced("record a step", move |tx| records::begin(tx, &name)).await?;
        let prepared = self.parts().snapshots.prepare(id.as_str(), state.chain_id.as_ref()).await;
        let located = match prepared {
            Ok(mounts) => self.layout(id.to_string()).await.map(|layout| (layout, mounts)),
            Err(error) => Err(error.into()),
        };
        match located {
            Ok((layout, mounts)) => Ok(Some(Step { id, layout, mounts, key })),
            Err(error) => {
                self.end(&id).await;
                Err(error)
            }
        }
    }

    /// Makes a layer of what was done, or clears it away.
    pub(super) async fn finish(
        &mut self,
        step: Step,
        done: Result<(), BuildError>,
        state: &mut State,
        text: &str,
    ) -> Result<(), BuildError> {
        let made = match done {
            Ok(()) => self.commit(&step, state, text).await,
            Err(error) => Err(error),
        };
        self.end(&step.id).await;
        state.add(made?, self.epoch);
        Ok(())
    }

    async fn cached(&self, key: &str) -> Result<Option<Made>, BuildError> {
        let parts = self.parts();
        let wanted = key.to_owned();
        let found = parts.store.read("look for a step", move |tx| records::find(tx, &wanted)).await?;
        let Some(made) = found else { return Ok(None) };
        self.lease.add(&made.chain_id);
        self.lease.add(&made.diff_id);
        let (content, diff_id) = (parts.content.clone(), made.diff_id.clone());
        let has_blob = spawn_blocking(move || content.size(&diff_id)).await??.is_some();
        Ok((has_blob && parts.snapshots.has(&made.chain_id).await?).then_some(made))
    }

    async fn commit(&self, step: &Step, state: &State, text: &str) -> Result<Made, BuildError> {
        let parts = self.parts();
        let mut packing = Packing::changes(&step.layout, parts.snapshots.is_layered());
        packing.times = self.epoch.map_or(Times::Kept, Times::AtMost);
        let blob = pack::pack(packing, &parts.content, self.cancelled).await?;
        let (diff_id, size_bytes) = (blob.digest().clone(), blob.size_bytes());
        let chain_id = above(state.chain_id.as_ref(), &diff_id);
        self.lease.add(&diff_id);
        self.lease.add(&chain_id);
        let content = parts.content.clone();
        spawn_blocking(move || content.name_all(vec![blob])).await??;
        match parts.snapshots.commit(step.id.as_str(), &chain_id).await {
            // Another step has made the same: its files are these.
            Ok(()) | Err(SnapshotError::Exists { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        let made = Made { chain_id, diff_id, size_bytes, made_at: records::now() };
        let (kept, key, text) = (made.clone(), step.key.clone(), text.to_owned());
        let keep = move |tx: &rusqlite::Transaction<'_>| records::keep(tx, &key, &kept, &text);
        parts.store.write_unsynced("keep a step", keep).await?;
        Ok(made)
    }

    /// Removes what is left of a step's snapshot, and its record.
    async fn end(&self, id: &ContainerId) {
        let parts = self.parts();
        match parts.snapshots.remove(id.as_str()).await {
            Ok(()) | Err(SnapshotError::NotFound { .. }) => {}
            Err(error) => {
                tracing::warn!(step = %id, error = %Chain(&error), "a step's snapshot stays until the next start");
                return;
            }
        }
        let name = id.to_string();
        let store = parts.store.for_removal();
        if let Err(error) = store.write_unsynced("forget a step", move |tx| records::end(tx, &name)).await {
            tracing::warn!(step = %id, error = %Chain(&error), "a step stays recorded until the next start");
        }
    }

    /// Where a snapshot is.
    pub(super) async fn layout(&self, key: String) -> Result<Layout, BuildError> {
        let snapshots = self.parts().snapshots.clone();
        Ok(spawn_blocking(move || snapshots.layout(&key)).await??)
    }
}

/// The chain id of a layer on what is below it.
fn above(below: Option<&Digest>, diff_id: &Digest) -> Digest {
    let chain: Vec<Digest> = below.into_iter().chain([diff_id]).cloned().collect();
    chain_ids(&chain).pop().expect("there is a layer")
}

/// An id that no container has.
pub(super) fn random_id() -> Result<ContainerId, BuildError> {
    let mut bytes = [0; 32];
    let filled = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    filled.map_err(|errno| BuildError::System("make an id", errno.into()))?;
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(digits.parse().expect("digits are an id"))
}
