//! A first process of ours in front of the container's own, where that was asked for: it passes signals on and reaps
//! orphans. Its program is knarr-runtime under another name. Each container has a copy of its own: one that gains the
//! right to write to it harms nobody else.
#![allow(clippy::disallowed_methods, reason = "its functions are called on blocking threads")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use oci_spec::runtime::{Mount, Spec};

use crate::files::{FileError, failed};

/// Docker's place for it in the container.
const TARGET: &str = "/sbin/docker-init";
/// The copy's name in the bundle.
const FILE_NAME: &str = "docker-init";

/// Puts it in front of the command.
pub(super) fn put_in_front(spec: &mut Spec, bundle: &Path) {
    if let Some(process) = spec.process_mut() {
        let own = process.args().clone().unwrap_or_default();
        let words = [TARGET, "--"].map(str::to_owned).into_iter().chain(own);
        process.set_args(Some(words.collect()));
    }
    let mut mount = Mount::default();
    mount.set_destination(TARGET.into());
    mount.set_typ(Some("bind".to_owned()));
    mount.set_source(Some(bundle.join(FILE_NAME)));
    let options = ["bind", "ro", "nosuid", "nodev", "rprivate"];
    mount.set_options(Some(options.map(str::to_owned).to_vec()));
    spec.mounts_mut().get_or_insert_default().push(mount);
}

/// Puts the program's copy into the bundle, in place of an earlier version's.
///
/// # Errors
/// [`FileError`] when the program is missing or there is no room for it.
pub(crate) fn place(bundle: &Path, program: &Path) -> Result<(), FileError> {
    let temporary = bundle.join(".docker-init.new");
    fs::copy(program, &temporary).map_err(failed("copy the container's init from", program))?;
    let executable = fs::Permissions::from_mode(0o755);
    fs::set_permissions(&temporary, executable).map_err(failed("make executable", &temporary))?;
    let path = bundle.join(FILE_NAME);
    fs::rename(&temporary, &path).map_err(failed("write", path))
}
