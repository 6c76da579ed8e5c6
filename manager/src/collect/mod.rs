//! Garbage collection: the blobs and snapshots that nothing needs are removed. What is needed each noun says by its
//! roots, a question to its own tables, so that a noun that comes later loses nothing and is not known here. What is on
//! its way, and so in no table yet, is held by a lease.

mod leases;

use std::collections::HashSet;
use std::sync::Arc;

use knarr_proto::kind::Kind;
use rusqlite::Transaction;

pub(crate) use leases::{Lease, Leases};

use crate::content::{Content, ContentError, Digest};
use crate::failure::Failure as _;
use crate::snapshots::{SnapshotError, Snapshots};
use crate::store::{Store, StoreError};

/// What a noun needs, with all that is below it.
#[derive(Debug, Default)]
pub(crate) struct Needed {
    /// Blobs.
    pub(crate) blobs: Vec<Digest>,
    /// Chain ids of committed snapshots.
    pub(crate) snapshots: Vec<Digest>,
}

/// How a noun says what it needs.
pub(crate) type Roots = fn(&Transaction<'_>) -> rusqlite::Result<Needed>;

/// Why not all that could be removed was.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CollectError {
    /// What is needed is not known; nothing was removed.
    #[error("cannot find out what is needed")]
    Store(#[from] StoreError),
    /// A blob could not be removed.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// A snapshot could not be removed.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The blocking task is gone: the daemon is stopping, or it panicked.
    #[error("the collection ended early")]
    Task(#[from] tokio::task::JoinError),
}

impl CollectError {
    /// What kind of failure this is.
    #[must_use]
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Store(source) => source.kind(),
            Self::Content(source) => source.kind(),
            Self::Snapshot(source) => source.kind(),
            Self::Task(_) => Kind::Internal,
        }
    }
}

/// The collector; clones share it.
#[derive(Clone)]
pub(crate) struct Collector {
    shared: Arc<Shared>,
}

struct Shared {
    content: Content,
    snapshots: Snapshots,
    store: Store,
    leases: Leases,
    roots: Vec<Roots>,
}

impl Collector {
    /// Removes from `content` and `snapshots` what none of the `roots` names. They are read in one transaction.
    pub(crate) fn new(content: Content, snapshots: Snapshots, store: Store, roots: &[Roots]) -> Self {
        let (leases, roots) = (Leases::default(), roots.to_vec());
        Self { shared: Arc::new(Shared { content, snapshots, store, leases, roots }) }
    }

    /// A lease that names nothing yet.
    pub(crate) fn lease(&self) -> Lease {
        self.shared.leases.lease()
    }

    /// Removes the blobs and snapshots that nothing needs; returns their digests and chain ids. One that cannot be
    /// removed keeps no other.
    ///
    /// # Errors
    /// The first [`CollectError`].
    pub(crate) async fn collect(&self) -> Result<Vec<String>, CollectError> {
        let collector = self.clone();
        tokio::task::spawn_blocking(move || collector.collect_blocking()).await?
    }

    fn collect_blocking(&self) -> Result<Vec<String>, CollectError> {
        let shared = &self.shared;
        // No lease can be taken until all is removed: nothing is looked for that is being removed.
        let frozen = shared.leases.freeze();
        let needed = shared.store.read_blocking("list what is needed", |tx| {
            shared.roots.iter().map(|roots| roots(tx)).collect::<rusqlite::Result<Vec<Needed>>>()
        })?;
        let mut blobs: HashSet<Digest> = frozen.names().cloned().collect();
        let mut snapshots = blobs.clone();
        for needed in needed {
            blobs.extend(needed.blobs);
            snapshots.extend(needed.snapshots);
        }
        let collected = shared.snapshots.collect_blocking(&snapshots);
        let mut removed = Vec::new();
        let mut failure = None;
        for digest in shared.content.list()?.into_iter().filter(|digest| !blobs.contains(digest)) {
            match shared.content.remove(&digest) {
                Ok(true) => removed.push(digest.to_string()),
                Ok(false) => {}
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        shared.content.sweep_old_blocking()?;
        drop(frozen);
        let mut gone = collected?;
        gone.extend(removed);
        failure.map_or(Ok(gone), |error| Err(error.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshots::Choice;

    const KEPT: &[u8] = b"kept by a noun";
    const OTHER: &[u8] = b"kept by another noun";

    fn noun(_: &Transaction<'_>) -> rusqlite::Result<Needed> {
        Ok(Needed { blobs: vec![Digest::of(KEPT)], snapshots: Vec::new() })
    }

    fn other_noun(_: &Transaction<'_>) -> rusqlite::Result<Needed> {
        Ok(Needed { blobs: vec![Digest::of(OTHER)], snapshots: Vec::new() })
    }

    fn broken_noun(_: &Transaction<'_>) -> rusqlite::Result<Needed> {
        Err(rusqlite::Error::InvalidQuery)
    }

    fn opened(directory: &tempfile::TempDir, roots: &[Roots]) -> (Content, Collector) {
        let store = Store::open(&directory.path().join("knarr.db"), &[crate::snapshots::SCHEMA_1]);
        let store = store.expect("a database");
        let content = Content::open(&directory.path().join("content")).expect("content");
        let snapshots = directory.path().join("snapshots");
        let snapshots = Snapshots::open(&snapshots, store.clone(), Choice::Native).expect("snapshots");
        (content.clone(), Collector::new(content, snapshots, store, roots))
    }

    #[tokio::test]
    async fn what_no_noun_needs_and_no_lease_holds_goes() {
        let directory = tempfile::tempdir().expect("a directory");
        let (content, collector) = opened(&directory, &[noun, other_noun]);
        for bytes in [KEPT, OTHER, b"leased", b"rubbish"] {
            content.put(bytes.to_vec()).await.expect("put");
        }
        let lease = collector.lease();
        lease.add(&Digest::of(b"leased"));
        let gone = collector.collect().await.expect("collected");
        assert_eq!(gone, [Digest::of(b"rubbish").to_string()]);
        drop(lease);
        let gone = collector.collect().await.expect("collected");
        assert_eq!(gone, [Digest::of(b"leased").to_string()]);
        assert_eq!(content.list().expect("listed").len(), 2);
    }

    #[tokio::test]
    async fn nothing_goes_while_a_noun_cannot_say_what_it_needs() {
        let directory = tempfile::tempdir().expect("a directory");
        let (content, collector) = opened(&directory, &[noun, broken_noun]);
        content.put(b"perhaps rubbish".to_vec()).await.expect("put");
        assert!(matches!(collector.collect().await, Err(CollectError::Store(_))));
        assert_eq!(content.list().expect("listed").len(), 1);
    }
}
