//! What docker's handlers ask: the nouns, and who waits for what at knarrd's end.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::api::grpc::{Calls, SystemService};
use crate::builds::Builds;
use crate::containers::Containers;
use crate::events::Events;
use crate::volumes::Volumes;

/// What the handlers ask.
pub(crate) struct Engine {
    /// With the containers, images and snapshots.
    pub(super) system: SystemService,
    pub(super) builds: Builds,
    pub(super) events: Arc<Events>,
    pub(super) calls: Calls,
    /// knarrd is about to end.
    pub(super) stopping: CancellationToken,
    /// Connections, and what is sent on them.
    pub(super) work: TaskTracker,
}

impl Engine {
    pub(crate) fn new(
        (system, builds): (SystemService, Builds),
        events: Arc<Events>,
        calls: Calls,
        stopping: CancellationToken,
    ) -> Self {
        Self { system, builds, events, calls, stopping, work: TaskTracker::new() }
    }

    pub(super) fn containers(&self) -> &Containers {
        &self.system.containers
    }

    pub(super) fn volumes(&self) -> &Volumes {
        &self.system.volumes
    }
}
