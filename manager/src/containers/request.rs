//! What is asked for when a container is made. Empty means: as the image says.

use std::collections::BTreeMap;

use knarr_proto::keep::policy::RestartPolicy;
use serde::{Deserialize, Serialize};

use crate::images::Platform;
use crate::networks::{EndpointRequest, Networking};
use crate::tasks::plan::{Files, Isolation, Resources, Streams};

/// A container that is to be made.
#[derive(Clone, Debug, Default)]
pub(crate) struct CreateRequest {
    /// Empty for one that is made up.
    pub(crate) name: String,
    /// As the caller wrote it.
    pub(crate) image: String,
    /// What the image has to be built for, when that was asked for.
    pub(crate) platform: Option<Platform>,
    pub(crate) process: ProcessRequest,
    pub(crate) streams: Streams,
    pub(crate) files: Files,
    pub(crate) isolation: Isolation,
    pub(crate) policy: PolicyRequest,
    pub(crate) health: HealthRequest,
    pub(crate) networking: Networking,
    /// Without any, the network of `isolation` as it comes.
    pub(crate) endpoints: Vec<EndpointRequest>,
}

/// How its health is to be found out; zeros are the image's, and without any docker's defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct HealthRequest {
    /// In docker's form.
    pub(crate) test: Vec<String>,
    pub(crate) interval_ns: i64,
    pub(crate) timeout_ns: i64,
    pub(crate) start_period_ns: i64,
    pub(crate) start_interval_ns: i64,
    pub(crate) retries: i64,
    /// Podman's word.
    pub(crate) on_failure: String,
}

/// The first process, as asked for. It is also kept, for inspection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct ProcessRequest {
    /// `Some` of nothing clears the image's entrypoint.
    pub(crate) entrypoint: Option<Vec<String>>,
    pub(crate) command: Vec<String>,
    pub(crate) env: Vec<String>,
    pub(crate) working_dir: String,
    pub(crate) user: String,
    pub(crate) group_add: Vec<String>,
    pub(crate) oom_score_adj: i32,
    pub(crate) init: Option<bool>,
}

/// What may be changed later.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct PolicyRequest {
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) resources: Resources,
    pub(crate) stop_signal: String,
    pub(crate) stop_timeout_seconds: Option<u32>,
    pub(crate) auto_remove: bool,
    pub(crate) restart: RestartPolicy,
}

impl CreateRequest {
    /// How large it is, as JSON.
    pub(super) fn size_bytes(&self) -> usize {
        let policies = (&self.policy, &self.health);
        let parts = (&self.image, &self.process, &self.streams, &self.files, &self.isolation, policies);
        serde_json::to_vec(&(parts, &self.networking, &self.endpoints)).map_or(usize::MAX, |json| json.len())
    }
}
