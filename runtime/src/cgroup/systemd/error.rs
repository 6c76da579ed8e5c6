//! Why systemd did not do what was asked of it.

use std::path::PathBuf;

/// Why systemd could not be asked, or what it said.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub(crate) enum BusError {
    #[error("cannot connect to systemd at {path}")]
    Connect { path: PathBuf, source: std::io::Error },
    #[error("there is no socket to reach systemd by: {0}")]
    NoSocket(&'static str),
    #[error("the connection to systemd broke")]
    Broken { source: std::io::Error },
    #[error("systemd does not let us in: {0:?}")]
    Authentication(String),
    #[error("{text} ({name})")]
    Refused { name: String, text: String },
    #[error("a message of systemd's cannot be understood")]
    Malformed,
    #[error("the job ended as {0:?}")]
    Job(String),
}

impl BusError {
    /// Whether systemd refused with the error of this name.
    pub(super) fn is(&self, refusal: &str) -> bool {
        matches!(self, Self::Refused { name, .. } if name == refusal)
    }
}
