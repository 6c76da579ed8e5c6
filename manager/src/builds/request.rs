//! What a client asks a build for, and what it is told on the way.

use std::collections::BTreeMap;

use knarr_proto::frame::Stream;

use crate::images::Platform;
use crate::tasks::plan::{Resources, Ulimit};

/// A build, beside its context.
#[derive(Clone, Debug, Default)]
pub(crate) struct BuildRequest {
    /// The Dockerfile's path in the context; "Dockerfile" when empty.
    pub(crate) dockerfile: String,
    /// Its text, where it is not in the context.
    pub(crate) dockerfile_text: Option<Vec<u8>>,
    pub(crate) tags: Vec<String>,
    /// A name without a value is known and not set.
    pub(crate) build_args: BTreeMap<String, Option<String>>,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) target: String,
    pub(crate) no_cache: bool,
    pub(crate) pull: bool,
    pub(crate) platform: Option<Platform>,
    /// "none", "host", or "" and "default".
    pub(crate) network: String,
    pub(crate) extra_hosts: Vec<String>,
    pub(crate) shm_size_bytes: u64,
    pub(crate) ulimits: Vec<Ulimit>,
    pub(crate) resources: Resources,
    pub(crate) cgroup_parent: String,
    /// By id.
    pub(crate) secrets: BTreeMap<String, Vec<u8>>,
}

/// What happens in a build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// An instruction begins.
    Step {
        number: usize,
        total: usize,
        stage: String,
        text: String,
    },
    /// A base is fetched.
    Pulling {
        image: String,
    },
    /// The step was done before.
    Cached,
    /// The step's process runs.
    Running {
        id: String,
    },
    Output {
        stream: Stream,
        data: Vec<u8>,
    },
    /// A line for people: what was not used, what runs without being written.
    Note(String),
    /// The step is done: the digits of what it made, or of the configuration.
    Done {
        id: String,
    },
}
