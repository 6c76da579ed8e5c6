//! Unpacking's errors. The helper is not built: no layer is unpacked yet.

use knarr_proto::kind::Kind;

/// Why a layer could not be unpacked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UnpackError {
    /// Helper.
    #[error("cannot start the unpack helper")]
    Start(#[source] std::io::Error),
}
impl UnpackError {
    /// Kind.
    #[must_use]
    pub(crate) fn kind(&self) -> Kind {
        Kind::Internal
    }
}
