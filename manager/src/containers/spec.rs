//! What was decided when a container was made, and what verbs may change later. Both are kept in the database and in the
//! bundle as JSON: fields are only ever added, with a default.

use std::collections::BTreeMap;

use knarr_proto::id::ContainerId;
use knarr_proto::keep::health::{HealthCheck, OnUnhealthy};
use knarr_proto::keep::policy::RestartPolicy;
use serde::{Deserialize, Serialize};

use super::request::ProcessRequest;
use crate::networks::Networking;
use crate::tasks::plan::{Files, Isolation, Joined, Process, Resources, Streams, TaskPlan};
use crate::time::UnixNs;

/// What a container is. It never changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Spec {
    pub(crate) id: ContainerId,
    pub(crate) created_at: UnixNs,
    pub(crate) image: ImageRef,
    /// The process as it was asked for.
    #[serde(default)]
    pub(crate) asked: ProcessRequest,
    /// The process as it runs: what was asked for, over what the image said then.
    #[serde(default)]
    pub(crate) process: Process,
    #[serde(default)]
    pub(crate) streams: Streams,
    #[serde(default)]
    pub(crate) files: Files,
    #[serde(default)]
    pub(crate) isolation: Isolation,
    /// How its health is found out.
    #[serde(default)]
    pub(crate) health: HealthSpec,
    #[serde(default)]
    pub(crate) networking: Networking,
}

/// How a container's health is found out: what was asked for, over what the image said then.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct HealthSpec {
    /// In docker's form: `CMD` or `CMD-SHELL` and a command, `NONE`, or nothing.
    pub(crate) test: Vec<String>,
    /// The same with the command as it is executed; without one, health is not found out.
    pub(crate) check: HealthCheck,
    pub(crate) on_unhealthy: OnUnhealthy,
}

impl HealthSpec {
    /// The check, if there is one.
    pub(crate) fn active(&self) -> Option<&HealthCheck> {
        Some(&self.check).filter(|check| !check.args.is_empty())
    }
}

/// The image that a container was made from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ImageRef {
    /// As the caller wrote it.
    pub(crate) reference: String,
    /// Its config digest.
    pub(crate) id: String,
}

/// What verbs may change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Settings {
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) resources: Resources,
    pub(crate) stop: StopSettings,
    pub(crate) auto_remove: bool,
    pub(crate) restart: RestartPolicy,
}

/// How a container is stopped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct StopSettings {
    /// The signal's number.
    pub(crate) signal: i32,
    /// The signal as it was asked for; empty for the image's.
    pub(crate) asked_signal: String,
    /// How long it may take after that signal; docker's ten seconds by default.
    pub(crate) timeout_seconds: Option<u32>,
}

impl Default for StopSettings {
    fn default() -> Self {
        Self { signal: super::signal::TERM, asked_signal: String::new(), timeout_seconds: None }
    }
}

/// All that is kept of a container besides its life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) spec: Spec,
    pub(crate) settings: Settings,
}

impl Record {
    /// Stands for a container of which only id and name are known.
    pub(super) fn unknown(id: ContainerId, name: String) -> Self {
        let spec = Spec {
            id,
            created_at: UnixNs(0),
            image: ImageRef::default(),
            asked: ProcessRequest::default(),
            process: Process::default(),
            streams: Streams::default(),
            files: Files::default(),
            isolation: Isolation::default(),
            health: HealthSpec::default(),
            networking: Networking::default(),
        };
        Self { spec, settings: Settings { name, ..Settings::default() } }
    }
}

/// What the container's task is made of.
pub(super) fn task_plan(spec: &Spec, settings: &Settings) -> TaskPlan {
    TaskPlan {
        id: spec.id.clone(),
        process: spec.process.clone(),
        streams: spec.streams.clone(),
        files: spec.files.clone(),
        isolation: spec.isolation.clone(),
        resources: settings.resources.clone(),
        joined: Joined::default(),
        volumes: BTreeMap::new(),
        place: None,
    }
}
