//! What every container, run and process is given of its shim.

use std::sync::Arc;

use crate::publisher::Publisher;
use crate::reaper::Reaper;
use crate::settings::Settings;

/// What a container has from its shim.
#[derive(Clone, Debug)]
pub(crate) struct ShimContext {
    /// Where things are.
    pub(crate) settings: Arc<Settings>,
    /// Sees its processes end.
    pub(crate) reaper: Arc<Reaper>,
    /// Publishes events to containerd.
    pub(crate) publisher: Arc<Publisher>,
}
