//! The registry's errors. The client is not built: nothing here speaks to a registry yet.

use knarr_proto::kind::Kind;

/// Why a registry did not give what was asked for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RegistryError {
    /// The machine cannot be reached.
    #[error("cannot reach the registry {0}")]
    Unreachable(String),
}
impl RegistryError {
    /// Kind.
    #[must_use]
    pub(crate) fn kind(&self) -> Kind {
        Kind::Unavailable
    }
}
