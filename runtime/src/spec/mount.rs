//! `mounts[]`.

use serde::Deserialize;

use super::linux::IdMapping;
use super::null::null_is_default;

/// One mount. Options keep their text; `plan` decides what they mean.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Mount {
    /// Path inside the container.
    pub(crate) destination: String,
    /// Filesystem type; `bind` or none with a bind option.
    #[serde(default, rename = "type", deserialize_with = "null_is_default")]
    pub(crate) kind: String,
    /// Device or path; relative to the bundle for binds.
    #[serde(default, deserialize_with = "null_is_default")]
    pub(crate) source: String,
    /// Flags of mount(8) and filesystem data.
    #[serde(default, deserialize_with = "null_is_default")]
    pub(crate) options: Vec<String>,
    /// Users of an id-mapped mount.
    #[serde(default, deserialize_with = "null_is_default")]
    pub(crate) uid_mappings: Vec<IdMapping>,
    /// Groups of an id-mapped mount.
    #[serde(default, deserialize_with = "null_is_default")]
    pub(crate) gid_mappings: Vec<IdMapping>,
}
