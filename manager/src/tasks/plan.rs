//! What a task is made of, as plain data: what was decided about its process, streams, files and limits. It knows no names,
//! records or images.
//!
//! Records keep these groups as JSON: fields are only ever added, with a default.

mod isolation;
mod resources;

use std::collections::BTreeMap;

use knarr_proto::id::ContainerId;
use serde::{Deserialize, Serialize};

use crate::volumes::VolumeSource;

pub(crate) use isolation::{
    Confinement, Devices, Isolation, Joined, NetworkMode, Partner, Placement, RequestedDevice, Rights,
    SeccompChoice, Sharing, SharingMode,
};
pub(crate) use resources::{BlockIo, Cpu, DeviceLimit, DeviceWeight, Memory, Resources, Ulimit};

/// Everything that a task's config.json is made of, besides what is looked up in its root filesystem.
#[derive(Clone, Debug)]
pub(crate) struct TaskPlan {
    pub(crate) id: ContainerId,
    pub(crate) process: Process,
    pub(crate) streams: Streams,
    pub(crate) files: Files,
    pub(crate) isolation: Isolation,
    pub(crate) resources: Resources,
    /// The containers whose namespaces it shares, as they run now.
    pub(crate) joined: Joined,
    /// What is mounted for its volumes, by their targets.
    pub(crate) volumes: BTreeMap<String, VolumeSource>,
    /// Where it is in its networks; `None` for one that is in none, and while a plan is only checked.
    pub(crate) place: Option<crate::networks::Joined>,
}

/// The first process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Process {
    /// Never empty.
    pub(crate) args: Vec<String>,
    pub(crate) env: Vec<String>,
    pub(crate) working_dir: String,
    /// As written; looked up in the root filesystem at each start.
    pub(crate) user: String,
    /// Extra groups, looked up likewise.
    pub(crate) group_add: Vec<String>,
    /// The kernel's readiness to kill it when memory runs out: -1000 (never) to 1000.
    pub(crate) oom_score_adj: i32,
    /// One of ours is in front of it.
    pub(crate) init: bool,
}

/// The first process's standard streams.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Streams {
    pub(crate) tty: bool,
    pub(crate) open_stdin: bool,
    pub(crate) stdin_once: bool,
    /// At start, for one with a terminal.
    pub(crate) terminal_size: Option<TerminalSize>,
    pub(crate) log: LogChoice,
}

/// What becomes of the output, besides what attached clients see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogChoice {
    /// A file in the bundle, within knarrd's bounds.
    #[default]
    Default,
    /// The same, within bounds of its own; 0 is knarrd's.
    Bounded { max_size_bytes: u64, max_files: u32 },
    /// Nothing.
    None,
}

/// What a container finds in its file system besides its snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Files {
    pub(crate) read_only_rootfs: bool,
    /// Of /dev/shm; 0 is docker's 64 MiB.
    pub(crate) shm_size_bytes: u64,
    /// Those that were asked for, and the volumes of the image that none of them replaces.
    pub(crate) mounts: Vec<Mount>,
    /// Containers whose mounts it has, too: a name or id each, perhaps with `:ro` or `:rw`.
    pub(crate) volumes_from: Vec<String>,
}

/// Something mounted into a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mount {
    pub(crate) kind: MountKind,
    /// Absolute path in the container.
    pub(crate) target: String,
    pub(crate) read_only: bool,
}

/// Where a mount's content comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum MountKind {
    /// A directory or file of the host.
    Bind { source: String, propagation: String, create_source: bool },
    /// Memory; 0 is the kernel's default size, and mode 1777.
    Tmpfs { size_bytes: u64, mode: u32 },
    /// A volume that outlives the container.
    Named(NamedVolume),
    /// What an image declares, in containers of earlier versions: a directory that begins with what the image has there, and
    /// is part of the snapshot, or memory where the root is read-only.
    Volume {},
}

/// A volume as a container asks for it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct NamedVolume {
    /// Its name; that of an anonymous one is made up when the container is made.
    pub(crate) name: String,
    pub(crate) origin: VolumeOrigin,
    /// An empty volume stays empty, whatever the image has there.
    pub(crate) no_copy: bool,
    /// For one that is made with the container.
    pub(crate) driver: String,
    pub(crate) options: BTreeMap<String, String>,
    pub(crate) labels: BTreeMap<String, String>,
}

/// Who wants a volume.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum VolumeOrigin {
    /// The request, by a name.
    #[default]
    Named,
    /// The request, without a name.
    Anonymous,
    /// The image.
    Image,
    /// Another container has it (`--volumes-from`).
    Shared,
}

/// Of a terminal, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TerminalSize {
    pub(crate) rows: u32,
    pub(crate) columns: u32,
}

impl Mount {
    /// A volume that an image declares at `target`, with the name that it gets.
    pub(crate) fn of_image(target: String, name: String) -> Self {
        let volume = NamedVolume { name, origin: VolumeOrigin::Image, ..NamedVolume::default() };
        Self { kind: MountKind::Named(volume), target, read_only: false }
    }

    /// The volume that it is.
    pub(crate) fn named(&self) -> Option<&NamedVolume> {
        match &self.kind {
            MountKind::Named(volume) => Some(volume),
            _ => None,
        }
    }
}

impl Files {
    /// All that is mounted, but for what is part of the snapshot.
    pub(crate) fn mounted(&self) -> impl Iterator<Item = &Mount> {
        self.mounts.iter().filter(|mount| !matches!(mount.kind, MountKind::Volume {}))
    }

    /// Where the volumes are that are part of the snapshot.
    pub(crate) fn volumes(&self) -> impl Iterator<Item = &str> {
        let inside = self.mounts.iter().filter(|mount| matches!(mount.kind, MountKind::Volume {}));
        inside.map(|mount| mount.target.as_str())
    }
}
