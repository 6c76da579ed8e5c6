//! What a noun holds for an owner. Undoing what failed, cleaning up after an end, removal and recovery all let go in the
//! same way: by the owner's id, and as often as they like.

use std::collections::HashSet;
use std::error::Error;

use knarr_proto::id::ContainerId;
use knarr_proto::kind::Kind;

/// The container that something is held for.
pub(crate) type OwnerId = ContainerId;

/// What an owner lets go of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    /// What one run needs: processes, mounts, sockets.
    NextRun,
    /// Everything.
    Ever,
}

/// Something is still held. The call can be repeated.
#[derive(Debug, thiserror::Error)]
#[error("cannot {doing}")]
pub(crate) struct HeldError {
    pub(crate) kind: Kind,
    pub(crate) doing: &'static str,
    pub(crate) source: Box<dyn Error + Send + Sync>,
}

/// A noun that holds things for owners.
pub(crate) trait Held {
    /// Lets go of what is held for `owner`; that nothing is held is no error. Of the errors the first is told.
    fn release(&self, owner: &OwnerId, until: Until) -> impl Future<Output = Result<(), HeldError>> + Send;

    /// Lets go of what is held for owners that are not `living` any more. Returns of how many things; what stays is
    /// logged, and tried again the next time.
    fn sweep(&self, living: &HashSet<OwnerId>) -> impl Future<Output = Result<usize, HeldError>> + Send;
}

/// For `map_err`: what could not be done, and what kind of failure that is.
pub(crate) fn failed<E: Error + Send + Sync + 'static>(
    doing: &'static str,
    kind: impl FnOnce(&E) -> Kind,
) -> impl FnOnce(E) -> HeldError {
    move |source| HeldError { kind: kind(&source), doing, source: Box::new(source) }
}

/// Counts and logs what a sweep did with one thing.
pub(crate) fn swept<E: Error + 'static>(what: &'static str, done: Result<(), E>) -> usize {
    match done {
        Ok(()) => {
            tracing::info!(what, "swept");
            1
        }
        Err(error) => {
            tracing::warn!(what, error = %crate::error::Chain(&error), "not swept");
            0
        }
    }
}
