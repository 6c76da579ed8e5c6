//! `state`: one container as JSON, with runc's fields in runc's order, indented by two spaces, without a newline.

use std::collections::BTreeMap;
use std::path::Path;

use knarr_proto::id::ContainerId;
use knarr_proto::status::Status;
use serde::Serialize;

use super::error::CommandError;
use super::print::print;
use crate::spec;
use crate::state::record::State;
use crate::state::status::Observed;

/// OCI runtime-spec, "State", with runc's additions.
#[derive(Debug, Serialize)]
pub(super) struct StateOutput<'a> {
    #[serde(rename = "ociVersion")]
    oci_version: &'static str,
    pub(super) id: &'a str,
    pub(super) pid: u32,
    pub(super) status: Status,
    pub(super) bundle: &'a str,
    rootfs: &'a str,
    pub(super) created: &'a str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: &'a BTreeMap<String, String>,
    pub(super) owner: &'a str,
}

impl<'a> StateOutput<'a> {
    pub(super) fn new(state: &'a State, observed: Observed, owner: &'a str) -> Self {
        Self {
            oci_version: spec::VERSION,
            id: state.id.as_str(),
            pid: observed.pid,
            status: observed.status,
            bundle: &state.bundle,
            rootfs: &state.rootfs,
            created: &state.created,
            annotations: &state.annotations,
            owner,
        }
    }
}

#[inline(never)]
pub(super) fn run(root: &Path, id: &ContainerId) -> Result<(), CommandError> {
    let state = State::load(root, id)?;
    let observed = state.observe(root)?;
    // runc leaves the owner empty here, and names it in `list`.
    let text =
        serde_json::to_vec_pretty(&StateOutput::new(&state, observed, "")).expect("plain data becomes JSON");
    print(&text)
}
