//! `checkpoint`.

use std::path::{Path, PathBuf};

use knarr_proto::status::Status;

use super::CommandError;
use super::create::absolute;
use crate::args::{CheckpointArgs, ImageArgs};
use crate::checkpoint::dump::{DumpOptions, check_parent, dump};
use crate::checkpoint::{CheckpointError, Options};
use crate::join::kept_spec;
use crate::output::Log;
use crate::state::State;

/// Where images are unless `--image-path` says otherwise: runc's.
const IMAGES: &str = "checkpoint";

/// Saves a container, and removes it unless it is to go on.
pub(super) fn run(root: &Path, args: &CheckpointArgs, log: &Log) -> Result<(), CommandError> {
    let state = State::load(root, &args.id)?;
    let status = state.observe(root)?.status;
    if !matches!(status, Status::Running | Status::Paused) {
        return Err(CheckpointError::Status(status).into());
    }
    let common = options(&args.image)?;
    if let Some(parent) = &args.parent_path {
        check_parent(&common.images, parent.as_os_str())?;
    }
    let options = DumpOptions {
        common,
        parent: args.parent_path.as_ref().map(|path| path.display().to_string()),
        leave_running: args.leave_running,
        tcp_skip_in_flight: args.tcp_skip_in_flight,
        link_remap: args.link_remap,
        pre_dump: args.pre_dump,
        page_server: args.page_server.clone(),
        status_fd: args.status_fd,
    };
    let spec = kept_spec(root, &state)?;
    dump(&state, &root.join(state.id.as_str()), spec, &options, log)?;
    if args.leave_running || args.pre_dump {
        return Ok(());
    }
    super::delete::destroy(root, &state, log)
}

/// What both verbs have, with paths that do not depend on where we are.
pub(super) fn options(args: &ImageArgs) -> Result<Options, CommandError> {
    Ok(Options {
        images: absolute(args.image_path.as_deref().or(Some(Path::new(IMAGES))))?
            .unwrap_or_else(|| PathBuf::from(IMAGES)),
        work: absolute(args.work_path.as_deref())?,
        tcp_established: args.tcp_established,
        ext_unix_sk: args.ext_unix_sk,
        shell_job: args.shell_job,
        file_locks: args.file_locks,
        cgroups: args.cgroups,
        auto_dedup: args.auto_dedup,
        lazy_pages: args.lazy_pages,
    })
}
