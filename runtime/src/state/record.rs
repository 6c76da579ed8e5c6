//! What is written of a container: a versioned file that only this program reads. `state` prints another, runc's.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use knarr_proto::id::ContainerId;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::error::StateError;
use super::names::CONFIG;
use crate::cgroup::paths::CgroupPaths;
use crate::resctrl;
use crate::spec::Spec;
use crate::spec::load::SpecError;
use crate::sys::{file, pidfd};

/// The layout that this build writes and reads.
pub(crate) const VERSION: u32 = 1;

/// Bundle, annotations and cgroup paths; config.json itself has the same bound.
const MAX_STATE_BYTES: usize = 16 << 20;

pub(super) const FILE_NAME: &str = "state.json";
pub(super) const NEW_FILE_NAME: &str = ".state.json";
pub(super) const NEW_CONFIG: &str = ".config.json";

/// A process that cannot be mistaken for a later one with the same pid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Process {
    /// In the pid namespace of the container's creator.
    pub(crate) pid: u32,
    /// Clock ticks since boot, as in `/proc/<pid>/stat`: a pid does not come again within one, 10 ms, since all others
    /// are given out before it.
    pub(crate) start_time: u64,
}

impl Process {
    /// The process that has `pid` now.
    ///
    /// # Errors
    /// [`StateError::Process`] when there is none.
    pub(crate) fn from_pid(pid: u32) -> Result<Self, StateError> {
        let stat = pidfd::stat(pid).map_err(|source| StateError::Process { pid, source })?;
        Ok(Self { pid, start_time: stat.start_time })
    }

    /// Whether it still runs; a zombie does not.
    ///
    /// # Errors
    /// [`StateError::Process`] when procfs cannot be read.
    pub(crate) fn is_alive(&self) -> Result<bool, StateError> {
        match pidfd::stat(self.pid) {
            Ok(stat) => Ok(stat.start_time == self.start_time && !stat.is_dead()),
            Err(Errno::SRCH) => Ok(false),
            Err(source) => Err(StateError::Process { pid: self.pid, source }),
        }
    }

    /// A descriptor of it, or `None` when it has ended: signals go through it and reach no other process.
    ///
    /// # Errors
    /// [`StateError::Process`].
    pub(crate) fn open(&self) -> Result<Option<OwnedFd>, StateError> {
        let opened = match pidfd::open(self.pid) {
            Ok(opened) => opened,
            Err(Errno::SRCH | Errno::INVAL) => return Ok(None),
            Err(source) => return Err(StateError::Process { pid: self.pid, source }),
        };
        // Looked at after the pid was pinned: it is ours or it is not, and stays so.
        Ok(self.is_alive()?.then_some(opened))
    }
}

/// Everything that is remembered of a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct State {
    /// [`VERSION`].
    pub(crate) version: u32,
    /// The container.
    pub(crate) id: ContainerId,
    /// Absolute path of the bundle.
    pub(crate) bundle: String,
    /// Absolute path of the root filesystem on the host.
    pub(crate) rootfs: String,
    /// RFC 3339 with nanoseconds, UTC.
    pub(crate) created: String,
    /// The user that made it.
    pub(crate) owner: u32,
    /// As in the configuration.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) annotations: BTreeMap<String, String>,
    /// Where its cgroups are, recorded before they are made.
    pub(crate) cgroups: CgroupPaths,
    /// Where its resctrl groups are, recorded before they are made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) resctrl: Option<resctrl::group::Group>,
    /// The program that is making it, for as long as it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) creator: Option<Process>,
    /// Its first process, once there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) init: Option<Process>,
    /// Whether it has a pid namespace of its own, so that all of it ends with its first process.
    #[serde(default)]
    pub(crate) has_pid_namespace: bool,
    /// Whether the kept configuration has poststart hooks for `start` to run.
    #[serde(default)]
    pub(crate) has_poststart_hooks: bool,
    /// Whether the kept configuration has poststop hooks for `delete` to run.
    #[serde(default)]
    pub(crate) has_poststop_hooks: bool,
    /// What the standard streams of its first process are, as `/proc/<pid>/fd` has them; none with a terminal.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) descriptors: Vec<String>,
}

#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

impl State {
    /// Reads the state of container `id`.
    ///
    /// # Errors
    /// [`StateError::NotFound`] when there is no such container or it has no state yet, [`StateError::Parse`] and
    /// [`StateError::Version`] when the file is not ours.
    pub(crate) fn load(root: &Path, id: &ContainerId) -> Result<Self, StateError> {
        Self::load_file(root, id, FILE_NAME)
    }

    /// Reads the copy beside the state: the state before, which has the cgroups but no process, or the same state where
    /// there are no cgroups.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub(crate) fn load_copy(root: &Path, id: &ContainerId) -> Result<Self, StateError> {
        Self::load_file(root, id, NEW_FILE_NAME)
    }

    fn load_file(root: &Path, id: &ContainerId, name: &str) -> Result<Self, StateError> {
        let directory = root.join(id.as_str());
        // A symbolic link among the containers is none: what is done to it would be done to another.
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = rustix::fs::open(&directory, flags, Mode::empty());
        let text =
            opened.and_then(|opened| file::read_text_at(opened.as_fd(), Path::new(name), MAX_STATE_BYTES));
        let path = directory.join(name);
        match text {
            Ok(text) => Self::parse(&text, path),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Err(StateError::NotFound(id.clone())),
            Err(source) => Err(StateError::Read { path, source }),
        }
    }

    /// Reads the text of a state file; `path` is for messages only.
    ///
    /// # Errors
    /// [`StateError::Parse`] and [`StateError::Version`] when it is not ours.
    pub(crate) fn parse(text: &str, path: PathBuf) -> Result<Self, StateError> {
        match serde_json::from_str::<Self>(text) {
            Ok(state) if state.version == VERSION => Ok(state),
            other => match (serde_json::from_str::<Versioned>(text), other) {
                (Ok(Versioned { version }), _) if version != VERSION => {
                    Err(StateError::Version { path, found: version })
                }
                (Ok(_), Err(source)) | (Err(source), _) => Err(StateError::Parse { path, source }),
                (Ok(_), Ok(state)) => Ok(state),
            },
        }
    }

    /// What is known of a container whose own state is lost, from when the paths of its cgroups are found.
    #[must_use]
    pub(crate) fn from_cgroups(id: ContainerId, cgroups: CgroupPaths, has_poststop_hooks: bool) -> Self {
        Self {
            version: VERSION,
            id,
            bundle: String::new(),
            rootfs: String::new(),
            created: String::new(),
            owner: 0,
            annotations: BTreeMap::new(),
            cgroups,
            resctrl: None,
            creator: None,
            init: None,
            has_pid_namespace: false,
            has_poststart_hooks: false,
            has_poststop_hooks,
            descriptors: Vec::new(),
        }
    }

    /// A descriptor of its first process, if there is one that has not ended.
    ///
    /// # Errors
    /// [`StateError::Process`].
    pub(crate) fn open_init(&self) -> Result<Option<OwnedFd>, StateError> {
        self.init.map_or(Ok(None), |init| init.open())
    }

    /// The configuration that the container was made from, with the limits of its last `update`.
    ///
    /// # Errors
    /// [`SpecError`].
    pub(crate) fn spec(&self, root: &Path) -> Result<Spec, SpecError> {
        Spec::load_kept(&root.join(self.id.as_str()).join(CONFIG))
    }

    /// Replaces the kept configuration; readers see the old one or the new one.
    ///
    /// # Errors
    /// [`StateError::Write`].
    pub(crate) fn keep_config(&self, root: &Path, config: &[u8]) -> Result<(), StateError> {
        let path = root.join(self.id.as_str());
        let failed = |source| StateError::Write { path: path.join(CONFIG), source };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory = rustix::fs::open(&path, flags, Mode::empty()).map_err(failed)?;
        write_private(directory.as_fd(), NEW_CONFIG, config)
            .and_then(|()| rustix::fs::renameat(&directory, NEW_CONFIG, &directory, CONFIG))
            .map_err(failed)
    }

    /// As it stands in the container's directory, which is at `path`.
    pub(super) fn text(&self, path: &Path) -> Result<Vec<u8>, StateError> {
        serde_json::to_vec(self).map_err(|source| StateError::Parse { path: path.join(FILE_NAME), source })
    }
}

/// Writes a new file that only its owner reads.
pub(super) fn write_private(directory: BorrowedFd<'_>, name: &str, content: &[u8]) -> Result<(), Errno> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let opened = rustix::fs::openat(directory, name, flags, Mode::from_raw_mode(0o600))?;
    let mut rest = content;
    while !rest.is_empty() {
        let count = rustix::io::retry_on_intr(|| rustix::io::write(&opened, rest))?;
        rest = rest.get(count..).unwrap_or_default();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path() -> PathBuf {
        PathBuf::from("/run/x/state.json")
    }

    fn state() -> State {
        State {
            version: VERSION,
            id: "web".parse().expect("an id"),
            bundle: "/b".to_owned(),
            rootfs: "/b/rootfs".to_owned(),
            created: "2026-11-24T00:00:00Z".to_owned(),
            owner: 0,
            annotations: BTreeMap::new(),
            cgroups: CgroupPaths::default(),
            resctrl: None,
            creator: None,
            init: Some(Process { pid: 7, start_time: 9 }),
            has_pid_namespace: true,
            has_poststart_hooks: false,
            has_poststop_hooks: false,
            descriptors: Vec::new(),
        }
    }

    #[test]
    fn what_was_written_is_read_back() {
        let text = serde_json::to_string(&state()).expect("plain data");
        assert_eq!(State::parse(&text, path()).expect("our own"), state());
    }

    /// Written by version 1 of this program; must stay readable for as long as [`VERSION`] is 1.
    #[test]
    fn a_state_written_by_the_first_release_is_read() {
        let text = r#"{"version":1,"id":"web","ociVersion":"1.3.0","bundle":"/b","rootfs":"/b/rootfs",
            "created":"2026-11-24T00:00:00Z","owner":0,"cgroups":{"hierarchies":[]},
            "init":{"pid":7,"startTime":9},"hasPidNamespace":true,"hasPoststopHooks":false}"#;
        assert_eq!(State::parse(text, path()).expect("version 1"), state());
    }

    #[test]
    fn another_version_is_named_rather_than_guessed() {
        let error = State::parse(r#"{"version":2,"new":true}"#, path()).expect_err("version 2");
        assert!(matches!(error, StateError::Version { found: 2, .. }), "{error}");
        for text in ["", "{", "[]", r#"{"version":1}"#, r#"{"id":"web"}"#] {
            let error = State::parse(text, path()).expect_err(text);
            assert!(matches!(error, StateError::Parse { .. }), "{text}: {error}");
        }
    }

    #[test]
    fn another_process_with_the_same_pid_is_not_ours() {
        let own = Process::from_pid(std::process::id()).expect("we are alive");
        assert!(own.is_alive().expect("procfs"));
        let earlier = Process { start_time: own.start_time - 1, ..own };
        assert!(!earlier.is_alive().expect("procfs"));
        assert!(earlier.open().expect("procfs").is_none());
    }

    proptest::proptest! {
        /// Half written, or by another program: an error, and never another container's state.
        #[test]
        fn a_damaged_state_is_an_error_or_the_same_kind_of_thing(
            changes in proptest::collection::vec((proptest::prelude::any::<proptest::sample::Index>(), proptest::prelude::any::<u8>()), 1..4),
            cut in proptest::prelude::any::<proptest::sample::Index>(),
        ) {
            let mut text = serde_json::to_vec(&state()).expect("plain data");
            for (index, byte) in changes {
                let at = index.index(text.len());
                text[at] = byte;
            }
            let whole = String::from_utf8_lossy(&text).into_owned();
            if let Ok(parsed) = State::parse(&whole, path()) {
                proptest::prop_assert_eq!(parsed.version, VERSION);
                proptest::prop_assert!(!parsed.id.as_str().contains('/') && parsed.id.as_str() != "..");
            }
            let half: String = whole.chars().take(cut.index(whole.len())).collect();
            drop(State::parse(&half, path()));
        }
    }
}
