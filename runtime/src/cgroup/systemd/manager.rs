//! The two kinds of systemd.

use serde::{Deserialize, Serialize};

/// Which systemd.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Manager {
    /// The one of the machine.
    System,
    /// The caller's own.
    User,
}
