//! `checkpoint`: a running container becomes files. criu ends its processes when all is written, unless it is to go on;
//! when anything fails the container goes on as if nothing had been asked.

use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::criu::{Criu, CriuStart, Feature, Notice};
use super::error::CheckpointError;
use super::options::DumpOptions;
use super::protocol::{Kind, Message, field, request};
use super::request::{DESCRIPTORS, Directories, make, namespace_key, require_mount_namespace};
use crate::checkpoint::external;
use crate::output::log::Log;
use crate::plan::Plan;
use crate::spec::Spec;
use crate::state::names::NOTIFY_DIRECTORY;
use crate::state::record::State;
use crate::sys::{descriptor, errno_of};

/// criu writes it below the work directory.
const LOG_FILE: &str = "dump.log";

/// Saves a container. `state_directory` is where its state is, `spec` how it was made.
///
/// # Errors
/// [`CheckpointError`]; the container runs on then.
pub(crate) fn dump(
    state: &State,
    state_directory: &Path,
    mut spec: Spec,
    options: &DumpOptions,
    log: &Log,
) -> Result<(), CheckpointError> {
    if state_directory.join(NOTIFY_DIRECTORY).is_dir() {
        crate::notify::show(&mut spec, state_directory);
    }
    crate::host::leave_out_own_namespaces(&mut spec);
    let plan = Plan::new(&spec, Path::new(&state.bundle))?;
    require_mount_namespace(&plan)?;
    let init = state.init.ok_or(CheckpointError::NoProcess)?;
    let mut status = options.status_fd.map(status_descriptor).transpose()?;
    make(&options.common.images)?;
    let directories = Directories::open(&options.common)?;
    let mut message = options.common.message(&directories, LOG_FILE, &spec);
    describe(&mut message, state, options, init.pid);
    say_namespaces(&mut message, &plan)?;
    if !options.pre_dump {
        external::say_where(&mut message, &external::list(&plan, &state.cgroups), &plan, init.pid)?;
        write_descriptors(&options.common.images, state)?;
    }
    let criu = Criu::start(&CriuStart { cgroup: None, descriptors: &[], prepare: &|| Ok(()) })?;
    criu.check(match (options.pre_dump, options.common.lazy_pages) {
        (true, _) => Some((Feature::MemoryTracking, "track written memory, which --pre-dump needs")),
        (false, true) => Some((Feature::LazyPages, "send pages later, which --lazy-pages needs")),
        (false, false) => None,
    })?;
    let (kind, verb) = if options.pre_dump { (Kind::PreDump, "PRE_DUMP") } else { (Kind::Dump, "DUMP") };
    let answered = criu.carry_out(&request(kind, &message), &mut |notice: Notice| {
        log.debug(&format!("criu says {}", notice.script));
        if notice.script == "status-ready"
            && let Some(status) = status.take()
        {
            // A reader sees the end of the stream as well.
            rustix::io::write(status.as_fd(), &[0]).ok();
        }
        Ok(())
    });
    options.common.conclude(criu, answered, verb, LOG_FILE)
}

fn describe(message: &mut Message, state: &State, options: &DumpOptions, pid: u32) {
    message.number(field::PID, u64::from(pid));
    message.text(field::ROOT, &state.rootfs);
    message.flag(field::LEAVE_RUNNING, options.leave_running);
    message.flag(field::TCP_SKIP_IN_FLIGHT, options.tcp_skip_in_flight);
    message.flag(field::LINK_REMAP, options.link_remap);
    if let Some(parent) = &options.parent {
        message.text(field::PARENT_IMG, parent);
        message.flag(field::TRACK_MEM, true);
    }
    if let Some((address, port)) = &options.page_server {
        message.named(field::PAGE_SERVER, address, u64::from(*port));
    }
    // Otherwise criu stops one process after the other, and new ones get away.
    let freezer = match state.cgroups.v1("freezer") {
        None if state.cgroups.is_unified() => state.cgroups.v2(),
        freezer => freezer,
    };
    if let Some(freezer) = freezer {
        message.text(field::FREEZE_CGROUP, &freezer.directory().display().to_string());
    }
}

/// Network and pid namespaces that the container was given are not saved: at the restore it gets them again.
fn say_namespaces(message: &mut Message, plan: &Plan) -> Result<(), CheckpointError> {
    for (kind, path) in &plan.namespaces.join {
        let Some((word, key)) = namespace_key(*kind) else { continue };
        let status = std::fs::metadata(path).map_err(|error| CheckpointError::Namespace {
            kind: *kind,
            path: path.clone(),
            source: errno_of(&error),
        })?;
        message.text(field::EXTERNAL, &format!("{word}[{}]:{key}", status.ino()));
    }
    Ok(())
}

fn write_descriptors(images: &Path, state: &State) -> Result<(), CheckpointError> {
    let path = images.join(DESCRIPTORS);
    let text = serde_json::to_vec(&state.descriptors).expect("texts become JSON");
    std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
        .open(&path)
        .and_then(|mut file| file.write_all(&text))
        .map_err(|source| CheckpointError::File { path, source })
}

fn status_descriptor(number: i32) -> Result<OwnedFd, CheckpointError> {
    let failed = |_| CheckpointError::StatusFd { number };
    let taken = descriptor::duplicate(number).map_err(failed)?;
    let flags = rustix::fs::fcntl_getfl(&taken).map_err(failed)?;
    if !flags.intersects(OFlags::WRONLY | OFlags::RDWR) {
        return Err(CheckpointError::StatusFd { number });
    }
    Ok(taken)
}

/// Checks a `--parent-path`: relative to the images, and there.
///
/// # Errors
/// [`CheckpointError::ParentAbsolute`], [`CheckpointError::Parent`].
pub(crate) fn check_parent(images: &Path, parent: &str) -> Result<(), CheckpointError> {
    let parent = PathBuf::from(parent);
    if parent.is_absolute() {
        return Err(CheckpointError::ParentAbsolute);
    }
    let path = images.join(parent);
    match std::fs::read_dir(&path) {
        Ok(_) => Ok(()),
        Err(source) => Err(CheckpointError::Parent { path, source }),
    }
}
