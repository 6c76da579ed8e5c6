//! `restore`: files become a running container. The id is claimed, the cgroups made and the state kept as in
//! [`crate::create`]; where `create` clones the first process, criu brings all of them back. Whatever fails, nothing of
//! the container is left.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::UnmountFlags;

use super::criu::{Criu, CriuStart, Notice};
use super::error::CheckpointError;
use super::options::RestoreOptions;
use super::protocol::{Kind, Message, field, request};
use super::request::{DESCRIPTORS, Directories, namespace_key, require_mount_namespace};
use crate::cgroup::fence::Fence;
use crate::cgroup::layout::Version;
use crate::cgroup::paths::CgroupPaths;
use crate::checkpoint::external;
use crate::child::error::CreateError;
use crate::child::process::Child;
use crate::child::setup;
use crate::create::decision::{CreateDecisions, decide, first_state};
use crate::create::request::{CreateRequest, Created};
use crate::create::undo::Undo;
use crate::hooks::{self, HookKind};
use crate::host::open_namespace;
use crate::mount_view::View;
use crate::plan::mounts::{Mount, MountKind};
use crate::plan::{self, Plan};
use crate::resctrl;
use crate::rootfs::error::MountError;
use crate::rootfs::mounts::open_source;
use crate::rootfs::tree::{Links, Tree, attach, copy_tree};
use crate::spec::Spec;
use crate::spec::field_names::field;
use crate::spec::linux::NamespaceKind;
use crate::state::claim::Claim;
use crate::state::record::{Process, State};
use crate::sys::file::open_directory;
use crate::sys::mount::{Reach, propagate};
use crate::sys::pidfd;

/// criu writes it below the work directory.
const LOG_FILE: &str = "restore.log";

/// In the state directory: where criu finds the root filesystem, which must be a mount of its own.
const ROOT: &str = "criu-root";

/// descriptors.json has three short lines.
const DESCRIPTORS_MAX_BYTES: usize = 64 * 1024;

/// What criu's notifications change.
struct Progress<'a> {
    request: &'a CreateRequest<'a>,
    spec: &'a Spec,
    state: &'a mut State,
    claim: &'a Claim,
    child: &'a mut Option<Child>,
    master: Option<OwnedFd>,
}

/// Brings a container back from the images of `options`.
///
/// # Errors
/// [`CheckpointError`]; nothing of the container is left then.
pub(crate) fn restore(
    request: &CreateRequest<'_>,
    mut spec: Spec,
    options: &RestoreOptions,
) -> Result<Created, CheckpointError> {
    if request.options.notify.is_some() {
        crate::notify::show(&mut spec, &request.root.join(request.id.as_str()));
    }
    let decided = decide(request, spec)?;
    require_mount_namespace(&decided.plan)?;
    let mut undo = Undo::default();
    match make(request, options, &decided, &mut undo) {
        Ok(created) => Ok(created),
        Err(error) => {
            undo.undo(&decided.spec.hooks, &request.bundle.path, request.log);
            Err(error)
        }
    }
}

fn make(
    request: &CreateRequest<'_>,
    options: &RestoreOptions,
    decided: &CreateDecisions,
    undo: &mut Undo,
) -> Result<Created, CheckpointError> {
    let descriptors = read_descriptors(&options.common.images)?;
    let namespaces = GivenNamespaces::open(&decided.plan)?;
    let claim = undo.claim.insert(Claim::take(request.root, request.id)?);
    let mut state = first_state(request, decided)?;
    state.descriptors.clone_from(&descriptors);
    Fence::check(&decided.cgroups)?;
    claim.keep_config(&request.bundle.text)?;
    if let Some(watcher) = &request.options.notify {
        watcher.make_directory(claim.dir()).map_err(CreateError::from)?;
    }
    let root = claim.path().join(ROOT);
    rustix::fs::mkdirat(claim.dir(), ROOT, Mode::from_raw_mode(0o700))
        .map_err(|source| CheckpointError::Root { path: root.clone(), source })?;
    claim.record(&state)?;
    undo.stopped = Some(state.oci("stopped", 0));
    let fence = undo.fence.insert(Fence::create(&decided.cgroups)?);
    state.cgroups = fence.paths().clone();
    undo.resctrl = decided
        .resctrl
        .as_ref()
        .map(resctrl::group::GroupPlan::make)
        .transpose()
        .map_err(CreateError::from)?;

    let away = View::unshare().map_err(|source| CheckpointError::View { source })?;
    let staged = stage(options, &decided.plan, &root, fence, &namespaces);
    away.leave().map_err(|source| CheckpointError::View { source })?;
    let (criu, directories) = staged?;
    if let Some(group) = &undo.resctrl {
        // All that criu brings back is born of it, and so where it is.
        group.enter(criu.pid()).map_err(CreateError::from)?;
    }
    criu.check(None)?;

    let mut message = options.common.message(&directories, LOG_FILE, &decided.spec);
    describe(&mut message, options, &root, fence.paths());
    namespaces.say(&mut message);
    external::say_what(&mut message, &external::list(&decided.plan, fence.paths()));
    for (number, name) in (0..).zip(&descriptors) {
        if name.contains("pipe:") {
            message.named(field::INHERIT_FD, name, number);
        }
    }
    fence.settle(&decided.cgroups)?;
    let spec = &decided.spec;
    let mut progress =
        Progress { request, spec, state: &mut state, claim, child: &mut undo.child, master: None };
    let answered = criu.carry_out(&self::request(Kind::Restore, &message), &mut |notice| {
        request.log.debug(&format!("criu says {}", notice.script));
        progress.hear(notice)
    });
    let master = progress.master.take();
    options.common.conclude(criu, answered, "RESTORE", LOG_FILE)?;
    let Child { pid, pidfd } = finish(request, decided, &root, &state, undo)?;
    Ok(Created { pid, pidfd, master, notify: None, warnings: decided.plan.warnings.clone() })
}

/// In mounts of our own, which only criu sees besides us, and which go with it: the root filesystem where criu
/// wants it, and criu. It makes mounts in its directories, so that they must be of these as well.
fn stage(
    options: &RestoreOptions,
    plan: &Plan,
    root: &Path,
    fence: &Fence,
    namespaces: &GivenNamespaces,
) -> Result<(Criu, Directories), CheckpointError> {
    prepare_root(plan, root)?;
    let directories = Directories::open(&options.common)?;
    let entrance = fence.entrance()?;
    let given: Vec<&OwnedFd> = namespaces.inherited.iter().map(|(_, opened)| opened).collect();
    let criu = Criu::start(&CriuStart {
        cgroup: entrance.v2.as_ref(),
        descriptors: &given,
        prepare: &|| entrance.enter_v1().map_err(|source| CheckpointError::Enter { source }),
    })?;
    Ok((criu, directories))
}

/// What is left to do for a container that runs.
fn finish(
    request: &CreateRequest<'_>,
    decided: &CreateDecisions,
    root: &Path,
    state: &State,
    undo: &mut Undo,
) -> Result<Child, CheckpointError> {
    let pid = undo.child.as_ref().ok_or(CheckpointError::NoProcess)?.pid;
    let claim = undo.claim.as_ref().ok_or(CheckpointError::NoProcess)?;
    rustix::fs::rmdir(root).map_err(|source| CheckpointError::Root { path: root.to_owned(), source })?;
    if let Some(text) = with_time_namespace(&decided.plan, &request.bundle.text, pid) {
        state.keep_config(request.root, &text)?;
    }
    claim.record(state)?;
    if state.cgroups.hierarchies.is_empty() {
        claim.keep_copy(state)?;
    }
    if let Some(path) = &request.options.pid_file {
        setup::write_pid_file(path, pid)?;
        undo.pid_file = Some(path.clone());
    }
    Ok(undo.keep()?)
}

fn describe(message: &mut Message, options: &RestoreOptions, root: &Path, cgroups: &CgroupPaths) {
    message.text(field::ROOT, &root.display().to_string());
    message.flag(field::EVASIVE_DEVICES, true);
    // The restored process is our child, not criu's.
    message.flag(field::RST_SIBLING, true);
    if let Some(profile) = &options.lsm_profile {
        message.text(field::LSM_PROFILE, profile);
    }
    if let Some(context) = &options.lsm_mount_context {
        message.text(field::LSM_MOUNT_CONTEXT, context);
    }
    for path in &cgroups.hierarchies {
        match path.version {
            Version::V2 => message.pair(field::CG_ROOT, "", &path.path),
            Version::V1 => path
                .controllers
                .iter()
                .for_each(|controller| message.pair(field::CG_ROOT, controller, &path.path)),
        }
    }
}

impl Progress<'_> {
    fn hear(&mut self, notice: Notice) -> Result<(), CheckpointError> {
        match notice.script.as_str() {
            "setup-namespaces" => {
                let text = self.state.oci("creating", notice.pid);
                let bundle = Some(self.request.bundle.path.as_path());
                hooks::run(HookKind::Prestart, &self.spec.hooks, &text, bundle)?;
                hooks::run(HookKind::CreateRuntime, &self.spec.hooks, &text, bundle)?;
            }
            "orphan-pts-master" => {
                let terminal = notice.descriptor.ok_or(CheckpointError::Malformed)?;
                let options = &self.request.options;
                self.master = setup::deliver_terminal(options, terminal, b"orphan-pts-master")?;
            }
            // Recorded before criu lets it go: from then on `delete` can find it.
            "post-restore" => {
                let opened = pidfd::open(notice.pid)
                    .map_err(|source| CheckpointError::Process { pid: notice.pid, source })?;
                self.state.init = Some(Process::from_pid(notice.pid)?);
                self.state.creator = None;
                *self.child = Some(Child { pid: notice.pid, pidfd: opened });
                self.claim.record(self.state)?;
            }
            _ => {}
        }
        Ok(())
    }
}

/// Namespaces that the container is given.
#[derive(Default)]
struct GivenNamespaces {
    /// Those that criu takes as open descriptors, by their names.
    inherited: Vec<(&'static str, OwnedFd)>,
    /// Those that it joins by path.
    joined: Vec<(&'static str, String)>,
}

impl GivenNamespaces {
    fn open(plan: &Plan) -> Result<Self, CheckpointError> {
        let mut given = Self::default();
        for (kind, path) in &plan.namespaces.join {
            match (namespace_key(*kind), kind) {
                (Some((_, key)), _) => {
                    let opened = open_namespace(*kind, path).map_err(CreateError::from)?;
                    given.inherited.push((key, opened));
                }
                (None, NamespaceKind::Cgroup) => return Err(CheckpointError::CgroupNamespace),
                // criu's word for the mount namespace is the kernel's.
                (None, NamespaceKind::Mount) => given.joined.push(("mnt", path.display().to_string())),
                (None, _) => given.joined.push((kind.name(), path.display().to_string())),
            }
        }
        Ok(given)
    }

    fn say(&self, message: &mut Message) {
        for (key, opened) in &self.inherited {
            message.named(field::INHERIT_FD, key, u64::from(opened.as_raw_fd().cast_unsigned()));
        }
        for (word, path) in &self.joined {
            message.pair(field::JOIN_NS, word, path);
        }
    }
}

fn read_descriptors(images: &Path) -> Result<Vec<String>, CheckpointError> {
    let path = images.join(DESCRIPTORS);
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let text = rustix::fs::open(&path, flags, Mode::empty())
        .and_then(|opened| crate::sys::file::read_all(&opened, DESCRIPTORS_MAX_BYTES))
        .map_err(|errno| CheckpointError::File { path: path.clone(), source: errno.into() })?;
    // Go's empty list is `null`.
    serde_json::from_str::<Option<Vec<String>>>(&text)
        .map(Option::unwrap_or_default)
        .map_err(|source| CheckpointError::Descriptors { path, source })
}

/// The root filesystem at `at`, with every mount point that `create` would have made, also
/// those inside bind mounts.
fn prepare_root(plan: &Plan, at: &Path) -> Result<(), CheckpointError> {
    let failed = |source| CheckpointError::Root { path: plan.root.path.clone(), source };
    propagate(c"/", libc::MS_SLAVE, Reach::Tree).map_err(failed)?;
    let tree = Tree::new(show_root(&plan.root, at).map_err(failed)?);
    let mut has_binds = false;
    for mount in &plan.root.mounts {
        // What is on a tmpfs criu brings back with it, and below /sys/fs/cgroup so does the kernel.
        if matches!(mount.kind, MountKind::Cgroup | MountKind::Remount) || is_on_tmpfs(plan, mount) {
            continue;
        }
        has_binds |= make_mount_point(&tree, mount).map_err(|source| CheckpointError::MountPoint {
            destination: format!("/{}", mount.destination),
            source,
        })?;
    }
    if has_binds {
        drop(tree);
        rustix::mount::unmount(at, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW).map_err(failed)?;
        show_root(&plan.root, at).map_err(failed)?;
    }
    Ok(())
}

fn show_root(root: &plan::Root, at: &Path) -> Result<OwnedFd, Errno> {
    let copy = copy_tree(open_directory(&root.path)?.as_fd(), Reach::Tree)?;
    attach(copy.as_fd(), open_directory(at)?.as_fd())?;
    Ok(copy)
}

fn is_on_tmpfs(plan: &Plan, mount: &Mount) -> bool {
    plan.root.mounts.iter().any(|other| {
        let is_tmpfs = matches!(&other.kind, MountKind::Filesystem(filesystem) if filesystem.kind == "tmpfs");
        let below = mount.destination.strip_prefix(other.destination.as_str());
        is_tmpfs && below.is_some_and(|rest| rest.starts_with('/'))
    })
}

/// Returns whether something is mounted there now.
fn make_mount_point(tree: &Tree, mount: &Mount) -> Result<bool, MountError> {
    let failed = |source| MountError::Target { source };
    let MountKind::Bind { source, reach } = &mount.kind else {
        tree.make_directory(&mount.destination, Links::Follow).map_err(failed)?;
        return Ok(false);
    };
    let source = open_source(source, *reach)?;
    let target = tree.make_target(&mount.destination, source.as_fd()).map_err(failed)?;
    attach(source.as_fd(), target.as_fd()).map_err(|source| MountError::Attach { source })?;
    Ok(true)
}

/// criu puts what it restores into a time namespace, so that clocks go on: `exec` must follow it there.
fn with_time_namespace(plan: &Plan, text: &[u8], pid: u32) -> Option<Vec<u8>> {
    let namespace = |path: &str| std::fs::read_link(path).ok();
    let theirs = namespace(&format!("/proc/{pid}/ns/time"))?;
    if plan.namespaces.has(NamespaceKind::Time) || Some(theirs) == namespace("/proc/self/ns/time") {
        return None;
    }
    let mut config: serde_json::Value = serde_json::from_slice(text).ok()?;
    let namespaces = field(field(&mut config, "linux"), "namespaces").as_array_mut()?;
    namespaces.push(serde_json::json!({ "type": "time" }));
    serde_json::to_vec(&config).ok()
}
