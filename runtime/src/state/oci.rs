//! The state that hooks and the seccomp agent get (runtime-spec, "State").

use std::collections::BTreeMap;

use serde::Serialize;

use super::record::State;
use crate::spec;

/// runtime-spec's state object.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OciState<'a> {
    pub(crate) oci_version: &'static str,
    pub(crate) id: &'a str,
    pub(crate) status: &'a str,
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) pid: u32,
    pub(crate) bundle: &'a str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) annotations: &'a BTreeMap<String, String>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
pub(crate) fn is_zero(pid: &u32) -> bool {
    *pid == 0
}

impl State {
    /// The state object with this status and pid.
    pub(crate) fn oci_state<'a>(&'a self, status: &'a str, pid: u32) -> OciState<'a> {
        OciState {
            oci_version: spec::VERSION,
            id: self.id.as_str(),
            status,
            pid,
            bundle: &self.bundle,
            annotations: &self.annotations,
        }
    }

    /// The same as text.
    pub(crate) fn oci(&self, status: &str, pid: u32) -> Vec<u8> {
        serde_json::to_vec(&self.oci_state(status, pid)).expect("plain data serialises")
    }
}
