//! A container's directory: its OCI bundle, its three files of `/etc`, its log and its exit record. Everything in it
//! can be made again from the records, so nothing here is synced to disk.
#![allow(clippy::disallowed_methods, reason = "its functions are called on blocking threads")]

use std::fs::{self, DirBuilder};
use std::io::{self, Read};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use knarr_proto::exit::{self, ExitRecord};
use oci_spec::runtime::Spec;

use super::TaskError;
use super::plan::{NetworkMode, TaskPlan};
use super::spec;
use crate::files::{FileError, failed};
use crate::networks::HOSTS;

/// The name of the log file in the bundle; older ones have a number behind it.
pub(crate) const LOG: &str = "log";
/// No resolv.conf, hosts file or exit record of a sane host is longer.
const MAX_FILE_BYTES: u64 = 64 * 1024;

/// Makes the bundle directory. It must not be there yet.
pub(crate) fn make(bundle: &Path) -> Result<(), FileError> {
    for (directory, mode) in
        [(bundle.to_owned(), 0o700), (bundle.join("rootfs"), 0o755), (bundle.join("etc"), 0o755)]
    {
        DirBuilder::new().mode(mode).create(&directory).map_err(failed("make the directory", directory))?;
    }
    Ok(())
}

/// Whether a container was ever made in it: an interrupted creation leaves two empty directories at most.
pub(crate) fn is_empty(bundle: &Path) -> bool {
    let is_empty = |path: &Path| fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none());
    fs::read_dir(bundle).is_ok_and(|entries| {
        entries.flatten().all(|entry| {
            ["rootfs", "etc"].iter().any(|name| entry.file_name() == *name) && is_empty(&entry.path())
        })
    })
}

/// Writes what a start needs: config.json and the files that are mounted into `/etc`; the last run's exit record goes.
pub(crate) fn write(bundle: &Path, plan: &TaskPlan, spec: &Spec) -> Result<(), TaskError> {
    let hostname = spec::hostname(plan)?;
    // Who shares a network shares what names mean there.
    let partner =
        plan.joined.network.as_ref().map(|partner| bundle.with_file_name(partner.id.as_str()).join("etc"));
    let hosts = match (&plan.isolation.sharing.network, &partner) {
        (_, Some(etc)) => host_file(&etc.join("hosts")),
        _ if plan.place.is_some() => plan.place.as_ref().map(|place| place.hosts.clone()).unwrap_or_default(),
        (NetworkMode::Host, None) => host_file(Path::new("/etc/hosts")),
        (
            NetworkMode::None | NetworkMode::Default | NetworkMode::Container(_) | NetworkMode::Named(_),
            None,
        ) => HOSTS.as_bytes().to_vec(),
    };
    let resolver = match (&partner, &plan.place) {
        (Some(etc), _) => host_file(&etc.join("resolv.conf")),
        (None, Some(place)) => place.resolver.clone(),
        (None, None) => host_file(Path::new("/etc/resolv.conf")),
    };
    let etc = bundle.join("etc");
    put(&etc.join("hosts"), &hosts)?;
    put(&etc.join("hostname"), format!("{hostname}\n").as_bytes())?;
    put(&etc.join("resolv.conf"), &resolver)?;
    let json = serde_json::to_vec(spec).expect("a specification of our own types is JSON");
    put(&bundle.join("config.json"), &json)?;
    match fs::remove_file(bundle.join(exit::FILE_NAME)) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(failed("remove", bundle.join(exit::FILE_NAME))(source).into())
        }
        _ => Ok(()),
    }
}

/// The exit record, if the shim has left one that this build understands.
pub(crate) async fn exit_record(bundle: &Path) -> Option<ExitRecord> {
    let bundle = bundle.to_owned();
    // A panic is no record.
    tokio::task::spawn_blocking(move || read_exit_record(&bundle)).await.ok().flatten()
}

/// As [`exit_record`], on a blocking thread.
pub(crate) fn read_exit_record(bundle: &Path) -> Option<ExitRecord> {
    let mut text = Vec::new();
    let file = fs::File::open(bundle.join(exit::FILE_NAME)).ok()?;
    file.take(MAX_FILE_BYTES).read_to_end(&mut text).ok()?;
    let record: ExitRecord = serde_json::from_slice(&text).ok()?;
    (record.version == exit::VERSION).then_some(record)
}

/// Takes away mounts that a dead shim has left on the rootfs.
pub(crate) fn unmount(bundle: &Path) -> Result<(), FileError> {
    let rootfs = bundle.join("rootfs");
    // Mounts can be stacked; a bound, since another process could mount as fast as we unmount.
    for _ in 0..16 {
        match rustix::mount::unmount(&rootfs, rustix::mount::UnmountFlags::DETACH) {
            Ok(()) => {}
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOENT) => return Ok(()),
            Err(errno) => return Err(failed("unmount", rootfs)(errno)),
        }
    }
    Ok(())
}

/// The names in a directory.
pub(crate) fn names(directory: &Path) -> Result<Vec<String>, FileError> {
    let entries = fs::read_dir(directory).map_err(failed("read", directory))?;
    Ok(entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect())
}

/// Removes the bundle; that it is gone already is no error. It never enters a rootfs that is still mounted.
pub(crate) fn remove(bundle: &Path) -> Result<(), FileError> {
    let rootfs = bundle.join("rootfs");
    match fs::remove_dir(&rootfs) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            unmount(bundle)?;
            fs::remove_dir(&rootfs).map_err(failed("remove", rootfs))?;
        }
        _ => {}
    }
    match fs::remove_dir_all(bundle) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(failed("remove", bundle)(source)),
        _ => Ok(()),
    }
}

fn put(path: &Path, content: &[u8]) -> Result<(), FileError> {
    fs::write(path, content).map_err(failed("write", path))
}

fn host_file(path: &Path) -> Vec<u8> {
    let mut content = Vec::new();
    // Without one, the container has an empty one, as docker has it.
    if let Ok(file) = fs::File::open(path) {
        let read = file.take(MAX_FILE_BYTES).read_to_end(&mut content);
        if let Err(error) = read {
            tracing::debug!(path = %path.display(), %error, "the host's file cannot be read");
        }
    }
    content
}
