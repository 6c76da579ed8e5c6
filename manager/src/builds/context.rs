//! A build's context: a tar from the client becomes a directory of the build's own, without what `.dockerignore` leaves out.
//! Nothing in it is trusted: names are resolved beneath it, and only regular files are opened.
#![allow(clippy::disallowed_methods, reason = "its functions are called on blocking threads")]

use std::fs::{self, DirBuilder, File};
use std::io::{Read, Seek, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use knarr_proto::ignore::Ignore;
use rustix::fs::{AtFlags, FileType, Mode};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use super::dockerfile::MAX_FILE_BYTES;
use super::error::BuildError;
use crate::files::{FileError, failed};
use crate::layers::unpack::{self, Plain};
use crate::trees;
use crate::untrusted::UntrustedRoot;

/// What a context may have as a tar; what it unpacks to has the bounds of a layer.
const MAX_TAR_BYTES: u64 = 64 << 30;

/// A build's own directory, which goes with it.
#[derive(Debug)]
pub(super) struct Workplace {
    path: PathBuf,
}

impl Workplace {
    /// Makes the directory.
    pub(super) fn make(builds: &Path, id: &str) -> Result<Self, FileError> {
        let path = builds.join(id);
        let context = path.join("context");
        DirBuilder::new().recursive(true).mode(0o700).create(&path).map_err(failed("make", &path))?;
        // What copies the whole context makes a directory like it.
        DirBuilder::new().mode(0o755).create(&context).map_err(failed("make", context))?;
        Ok(Self { path })
    }

    pub(super) fn context(&self) -> PathBuf {
        self.path.join("context")
    }

    /// A new directory for other things of the build.
    pub(super) fn directory(&self, name: &str) -> Result<PathBuf, FileError> {
        let path = self.path.join(name);
        DirBuilder::new().mode(0o755).create(&path).map_err(failed("make", &path))?;
        Ok(path)
    }
}

impl Drop for Workplace {
    fn drop(&mut self) {
        // Should it fail, the next start sweeps it.
        trees::remove(&self.path).ok();
    }
}

/// Removes what earlier builds have left.
pub(super) fn sweep(builds: &Path) -> Result<(), FileError> {
    DirBuilder::new().recursive(true).mode(0o700).create(builds).map_err(failed("make", builds))?;
    for entry in fs::read_dir(builds).map_err(failed("list", builds))?.flatten() {
        if entry.file_name() != "cache" {
            trees::remove(&entry.path()).map_err(failed("remove", entry.path()))?;
        }
    }
    Ok(())
}

/// Takes the pieces of a tar, plain or compressed, until the sender is gone.
///
/// # Errors
/// [`BuildError`].
pub(super) async fn receive(
    place: &Workplace,
    mut pieces: mpsc::Receiver<Vec<u8>>,
    cancelled: &CancellationToken,
) -> Result<(), BuildError> {
    let path = place.path.join("context.tar");
    let read = spawn_blocking(move || {
        let mut file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)
            .map_err(failed("make", &path))?;
        let mut total = 0;
        while let Some(piece) = pieces.blocking_recv() {
            total += piece.len() as u64;
            if total > MAX_TAR_BYTES {
                return Err(BuildError::Request(format!("the context is larger than {MAX_TAR_BYTES} bytes")));
            }
            file.write_all(&piece).map_err(failed("write", &path))?;
        }
        file.rewind().map_err(failed("read", &path))?;
        fs::remove_file(&path).map_err(failed("remove", &path))?;
        Ok((file, total))
    });
    let (blob, total) = read.await??;
    if cancelled.is_cancelled() {
        return Err(BuildError::Cancelled);
    }
    if total == 0 {
        return Ok(());
    }
    let archive = Plain { blob, root: place.context(), below: None, prefix: "" };
    unpack::unpack_plain(archive, cancelled).await.map_err(BuildError::Context)
}

/// Reads the Dockerfile, then takes away what the context's ignore file names.
///
/// # Errors
/// [`BuildError::NoDockerfile`], [`BuildError::Ignore`].
pub(super) fn open(context: &Path, dockerfile: &str) -> Result<Vec<u8>, BuildError> {
    let root = UntrustedRoot::open(context).map_err(failed("open", context))?;
    let name = dockerfile.trim_start_matches('/');
    let text = small(&root, name)?;
    let ignore = match small(&root, &format!("{name}.dockerignore"))? {
        Some(own) => Some(own),
        None => small(&root, ".dockerignore")?,
    };
    if let Some(ignore) = ignore {
        let ignore = Ignore::read(&String::from_utf8_lossy(&ignore)).map_err(BuildError::Ignore)?;
        if !ignore.is_empty() {
            let directory = rustix::fs::open(context, trees::OPEN_DIRECTORY, Mode::empty());
            let directory = directory.map_err(failed("open", context))?;
            prune(&directory, b"", &ignore, 0).map_err(failed("clear", context))?;
        }
    }
    text.ok_or_else(|| BuildError::NoDockerfile(dockerfile.to_owned()))
}

fn small(root: &UntrustedRoot, name: &str) -> Result<Option<Vec<u8>>, BuildError> {
    let read = |error: &dyn std::fmt::Display| BuildError::Request(format!("cannot read {name}: {error}"));
    let Some(mut file) = root.read(name, MAX_FILE_BYTES).map_err(|error| read(&error))? else {
        return Ok(None);
    };
    let mut text = Vec::new();
    file.read_to_end(&mut text).map_err(|error| read(&error))?;
    Ok(Some(text))
}

/// As deep as the unpacker makes directories.
const MAX_DEPTH: usize = 1024;

/// Removes what is left out. Returns true when nothing is left of the directory.
fn prune(directory: &OwnedFd, path: &[u8], ignore: &Ignore, depth: usize) -> Result<bool, rustix::io::Errno> {
    if depth > MAX_DEPTH {
        return Err(rustix::io::Errno::NAMETOOLONG);
    }
    let mut is_empty = true;
    for (name, kind) in trees::list(directory)? {
        let below = match path.is_empty() {
            true => name.as_bytes().to_vec(),
            false => [path, b"/", name.as_bytes()].concat(),
        };
        let excluded = ignore.excludes(&below);
        if kind == FileType::Directory {
            if excluded && !ignore.may_include_below(&below) {
                trees::remove_below(directory, name.as_bytes())?;
                continue;
            }
            let inner = rustix::fs::openat(directory, &name, trees::OPEN_DIRECTORY, Mode::empty())?;
            if prune(&inner, &below, ignore, depth + 1)? && excluded {
                rustix::fs::unlinkat(directory, &name, AtFlags::REMOVEDIR)?;
                continue;
            }
        } else if excluded {
            rustix::fs::unlinkat(directory, &name, AtFlags::empty())?;
            continue;
        }
        is_empty = false;
    }
    Ok(is_empty)
}
