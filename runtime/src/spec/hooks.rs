//! `hooks`: host programs that the runtime calls at fixed places (runtime-spec, "POSIX-platform Hooks").

use serde::Deserialize;

use super::null::null_is_default;

/// Hooks by place, each list in calling order.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Hooks {
    /// Deprecated: runtime namespace, after the namespaces are made.
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) prestart: Vec<Hook>,
    /// Runtime namespace, during create, after `prestart`.
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) create_runtime: Vec<Hook>,
    /// Container namespaces, before pivot_root.
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) create_container: Vec<Hook>,
    /// Container namespaces, after start was asked, before the user's program.
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) start_container: Vec<Hook>,
    /// Runtime namespace, after the user's program runs.
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) poststart: Vec<Hook>,
    /// Runtime namespace, after delete.
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) poststop: Vec<Hook>,
}

/// One program to call.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Hook {
    /// Absolute path of the program.
    pub(crate) path: String,
    /// argv, with argv[0]; empty means the path alone.
    #[serde(default, deserialize_with = "null_is_default")]
    pub(crate) args: Vec<String>,
    /// `KEY=value`, and nothing else; absent means the environment of the process that calls it.
    #[serde(default)]
    pub(crate) env: Option<Vec<String>>,
    /// Seconds until it is killed; must be above zero when given.
    #[serde(default)]
    pub(crate) timeout: Option<i64>,
}
