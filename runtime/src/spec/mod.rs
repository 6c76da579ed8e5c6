//! config.json of the OCI runtime-spec 1.3 as plain data: what was asked, not whether it can be done.
//!
//! Lenient where the specification is (unknown fields are ignored, unknown capability names are kept as text for the
//! plan to warn about), strict elsewhere; every error names the JSON path of the field. Nothing here touches the host
//! beyond reading one file.
#![forbid(unsafe_code)]

pub(crate) mod field_names;
pub(crate) mod hooks;
pub(crate) mod linux;
pub(crate) mod load;
pub(crate) mod locate;
pub(crate) mod merge;
pub(crate) mod mount;
pub(crate) mod null;
pub(crate) mod process;
pub(crate) mod resources;
pub(crate) mod seccomp;
pub(crate) mod strict;
pub(crate) mod words;

use std::collections::BTreeMap;

use serde::Deserialize;

use hooks::Hooks;
use linux::Linux;
use mount::Mount;
use null::null_is_default;
use process::Process;

/// What config.json is read by, and what `state`, hooks and seccomp agents are told follows.
pub(crate) const VERSION: &str = "1.3.0";

/// The whole of config.json, as far as it concerns Linux.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Spec {
    /// Version of the specification that the bundle follows.
    pub(crate) oci_version: String,
    /// Hooks by their place in the container's life.
    #[serde(default, deserialize_with = "null_is_default")]
    pub(crate) hooks: Hooks,
    /// Free text that the state repeats.
    #[serde(default, deserialize_with = "null_is_default")]
    pub(crate) annotations: BTreeMap<String, String>,
    /// The UTS namespace's host name.
    #[serde(default, deserialize_with = "null_is_default")]
    pub(crate) hostname: String,
    /// The UTS namespace's NIS domain name.
    #[serde(default, deserialize_with = "null_is_default")]
    pub(crate) domainname: String,
    /// Additional mounts, in this order.
    #[serde(default, deserialize_with = "null_is_default")]
    pub(crate) mounts: Vec<Mount>,
    /// The root filesystem. Required on Linux.
    pub(crate) root: Option<Root>,
    /// The first process. Required by `start`, and so by us. Like `linux` in a box, for a `Spec` passes through many
    /// hands: by value both would cost ten pages of stack.
    pub(crate) process: Option<Box<Process>>,
    /// Everything that only Linux has.
    #[serde(default, deserialize_with = "null_is_default")]
    pub(crate) linux: Box<Linux>,
}

/// `root`: where the container's root filesystem is.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Root {
    /// Absolute, or relative to the bundle.
    pub(crate) path: String,
    /// Whether the container sees it read-only.
    #[serde(default, deserialize_with = "null_is_default")]
    pub(crate) readonly: bool,
}
