//! The containers, as every verb is given them. A verb is a function in a file of its own, beside this one; it takes
//! what it needs of the parts below. So this type does not grow with them.

use std::sync::Arc;

use tokio::sync::watch;

use super::execs::Execs;
use super::execution::Execution;
use super::records::Records;
use super::registry::Registry;
use super::storage::Storage;
use super::work::Work;
use crate::events::Events;
use crate::store::Store;

/// The containers; clones share them.
#[derive(Clone)]
pub(crate) struct Containers {
    pub(super) registry: Arc<Registry>,
    pub(super) records: Records,
    pub(super) storage: Arc<Storage>,
    pub(super) execution: Arc<Execution>,
    pub(super) execs: Arc<Execs>,
    pub(super) work: Work,
}

impl Containers {
    /// Nothing is loaded yet: [`super::recover`] does that.
    pub(crate) fn new(storage: Storage, execution: Execution, store: Store, events: Arc<Events>) -> Self {
        Self {
            registry: Arc::default(),
            records: Records::new(store, events),
            storage: Arc::new(storage),
            execution: Arc::new(execution),
            execs: Arc::default(),
            work: Work::default(),
        }
    }

    /// How many containers have a process, now and as it changes.
    pub(crate) fn live(&self) -> watch::Receiver<usize> {
        self.records.live()
    }

    /// Stops watching; containers go on. Returns when verbs under way are done, or hang: recovery then undoes them.
    pub(crate) async fn close(&self) {
        self.work.close().await;
    }
}
