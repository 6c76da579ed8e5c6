//! RUN's mounts: where each has its content from, and what of it is in a key. Of secrets only their ids ever are, and of
//! caches likewise.
#![allow(clippy::disallowed_methods, reason = "its functions are called on blocking threads")]

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

use knarr_proto::id::ContainerId;
use rustix::fs::{FileType, OFlags};
use tokio::sync::OwnedMutexGuard;
use tokio::task::spawn_blocking;

use super::context::Workplace;
use super::dockerfile::instruction::{Instruction, Run};
use super::dockerfile::mount::{Mount, MountKind, Sharing, mount};
use super::error::BuildError;
use super::key::Key;
use super::solve::{Build, text};
use super::state::State;
use super::step::Step;
use crate::content::Digest;
use crate::files::{FileError, failed};
use crate::layers::edit::select::{self, Selection};
use crate::layers::edit::{self, CopyEdit, Edit, Target};
use crate::tasks::plan;

/// Directories of one private cache at most.
const MAX_PRIVATE: usize = 64;

/// What a command finds mounted, for as long as it runs.
#[derive(Default)]
pub(super) struct Mounted {
    pub(super) mounts: Vec<plan::Mount>,
    pub(super) env: Vec<String>,
    /// Caches that are nobody else's meanwhile.
    turns: Vec<OwnedMutexGuard<()>>,
    /// Secrets, which go with it.
    secrets: Vec<PathBuf>,
}

impl Drop for Mounted {
    fn drop(&mut self) {
        self.turns.clear();
        for secret in &self.secrets {
            if let Err(error) = fs::remove_file(secret) {
                tracing::warn!(path = %secret.display(), %error, "a secret stays until the next start");
            }
        }
    }
}

impl Mounted {
    /// Where things are mounted.
    pub(super) fn targets(&self) -> Vec<String> {
        self.mounts.iter().map(|mount| mount.target.clone()).collect()
    }

    fn bind(&mut self, source: &Path, target: &str, read_only: bool) {
        let kind =
            plan::MountKind::Bind { source: text(source), propagation: String::new(), create_source: false };
        self.mounts.push(plan::Mount { kind, target: target.to_owned(), read_only });
    }

    /// A heredoc that is a program.
    pub(super) async fn script(
        &mut self,
        place: &Workplace,
        id: &ContainerId,
        name: &str,
        script: &str,
    ) -> Result<(), BuildError> {
        let path = place.directory(&format!("script-{id}"))?.join("script");
        let (file, script) = (path.clone(), script.to_owned());
        spawn_blocking(move || write(&file, script.as_bytes(), 0o755)).await??;
        self.bind(&path, &format!("/dev/pipes/{name}"), true);
        Ok(())
    }
}

fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), FileError> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(failed("make", path))?;
    file.write_all(bytes).map_err(failed("write", path))?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(failed("set the mode of", path))
}

impl Build<'_> {
    /// Reads the flags of a RUN.
    pub(super) fn read_mounts(
        &self,
        state: &State,
        instruction: &Instruction,
        run: &Run,
    ) -> Result<Vec<Mount>, BuildError> {
        let read = |text: &String| {
            let expand = |word: &str| state.expand(word, instruction).map_err(|error| error.what);
            let mut mount =
                mount(text, expand).map_err(|what| self.wrong(instruction.place.of(text).error(what)))?;
            if mount.kind == MountKind::Ssh {
                return Err(self.refused(instruction, "RUN --mount=type=ssh is not supported"));
            }
            if mount.env.is_some() {
                let what = "a secret as a variable (env) is not supported: it would be in the bundle's configuration";
                return Err(self.refused(instruction, what));
            }
            if mount.kind == MountKind::Bind && !mount.read_only && mount.from.is_none() {
                // What is written is thrown away with the copy that it goes to.
            }
            mount.target = state.path(&mount.target).trim_end_matches('/').to_owned();
            match mount.target.is_empty() {
                true => Err(self.refused(instruction, "a mount's target can't be the root")),
                false => Ok(mount),
            }
        };
        run.mounts.iter().map(read).collect()
    }

    /// What of the mounts a step depends on.
    pub(super) async fn add_mounts(
        &mut self,
        key: &mut Key,
        mounts: &[Mount],
        stage: usize,
    ) -> Result<(), BuildError> {
        for mount in mounts {
            key.add(format!("{:?}", mount.kind))
                .add(&mount.target)
                .add(mount.id.as_deref().unwrap_or_default());
            key.add(mount.size_bytes.to_le_bytes()).add(format!("{:?}", (mount.mode, mount.uid, mount.gid)));
            if mount.kind == MountKind::Bind || (mount.kind == MountKind::Cache && mount.from.is_some()) {
                let selection = selection(mount);
                let sources = self.sources(mount.from.as_deref(), stage).await?;
                self.add_selected(key, &sources, selection, mount.from.is_some()).await?;
            }
        }
        Ok(())
    }

    /// Gets everything ready that is to be mounted.
    pub(super) async fn mount(
        &mut self,
        step: &Step,
        state: &State,
        mounts: &[Mount],
        stage: usize,
    ) -> Result<Mounted, BuildError> {
        let _ = state;
        let mut mounted = Mounted::default();
        for (number, mount) in mounts.iter().enumerate() {
            match mount.kind {
                MountKind::Bind => {
                    let source = self.bound(step, (number, mount), stage).await?;
                    mounted.bind(&source, &mount.target, mount.read_only);
                }
                MountKind::Cache => {
                    let source = self.cache(mount, stage, &mut mounted).await?;
                    mounted.bind(&source, &mount.target, mount.read_only);
                }
                MountKind::Tmpfs => mounted.mounts.push(plan::Mount {
                    kind: plan::MountKind::Tmpfs {
                        size_bytes: mount.size_bytes,
                        mode: mount.mode.unwrap_or(0),
                    },
                    target: mount.target.clone(),
                    read_only: false,
                }),
                MountKind::Secret => self.secret(step, (number, mount), &mut mounted).await?,
                MountKind::Ssh => {}
            }
        }
        Ok(mounted)
    }

    /// The host's path of what a bind mount shows: of the context itself where that is enough, otherwise a copy.
    async fn bound(
        &mut self,
        step: &Step,
        (number, mount): (usize, &Mount),
        stage: usize,
    ) -> Result<PathBuf, BuildError> {
        let selection = selection(mount);
        if mount.from.is_none() && mount.read_only {
            let context = self.place.context();
            let source = selection.sources.first().cloned().unwrap_or_default();
            return spawn_blocking(move || resolved(&context, &source)).await?;
        }
        let directory = self.place.directory(&format!("bind-{}-{number}", step.id))?;
        let sources = self.sources(mount.from.as_deref(), stage).await?;
        let copy = CopyEdit { selection, target: "/content".to_owned(), owner: None, mode: String::new() };
        let target = Target::Directory(directory.clone());
        edit::edit(target, sources.layers, vec![Edit::Copy(copy)], self.cancelled).await?;
        Ok(directory.join("content"))
    }

    async fn cache(
        &mut self,
        mount: &Mount,
        stage: usize,
        mounted: &mut Mounted,
    ) -> Result<PathBuf, BuildError> {
        let id = mount.id.clone().unwrap_or_else(|| mount.target.clone());
        let name = Digest::of(id.as_bytes()).hex().to_owned();
        let (name, turn) = self.turn(name, mount.sharing).await?;
        mounted.turns.extend(turn);
        let path = self.parts().directory.join("cache").join(name);
        let (made, mode) = (path.clone(), mount.mode.unwrap_or(0o755));
        let (uid, gid) = (mount.uid, mount.gid);
        let is_new = spawn_blocking(move || make_cache(&made, mode, (uid, gid))).await??;
        if is_new && mount.from.is_some() {
            let sources = self.sources(mount.from.as_deref(), stage).await?;
            let copy = CopyEdit {
                selection: selection(mount),
                target: "/".to_owned(),
                owner: None,
                mode: String::new(),
            };
            let target = Target::Directory(path.clone());
            edit::edit(target, sources.layers, vec![Edit::Copy(copy)], self.cancelled).await?;
        }
        Ok(path)
    }

    /// A cache's directory, and the right to it alone where that is wanted.
    async fn turn(
        &self,
        name: String,
        sharing: Sharing,
    ) -> Result<(String, Option<OwnedMutexGuard<()>>), BuildError> {
        let lock = |name: &str| {
            let mut turns = self.shared.turns.lock().unwrap_or_else(PoisonError::into_inner);
            turns.retain(|_, turn| Arc::strong_count(turn) > 1);
            Arc::clone(turns.entry(name.to_owned()).or_default())
        };
        match sharing {
            Sharing::Shared => Ok((name, None)),
            Sharing::Locked => {
                let waiting = lock(&name).lock_owned();
                tokio::select! {
                    turn = waiting => Ok((name, Some(turn))),
                    () = self.cancelled.cancelled() => Err(BuildError::Cancelled),
                }
            }
            Sharing::Private => {
                let one = (0..MAX_PRIVATE).find_map(|number| {
                    let name = format!("{name}-{number}");
                    let turn = lock(&name).try_lock_owned().ok()?;
                    Some((name, Some(turn)))
                });
                one.ok_or_else(|| {
                    BuildError::Request(format!("{MAX_PRIVATE} commands use this private cache already"))
                })
            }
        }
    }

    async fn secret(
        &self,
        step: &Step,
        (number, mount): (usize, &Mount),
        mounted: &mut Mounted,
    ) -> Result<(), BuildError> {
        let id = mount.id.clone().unwrap_or_default();
        let Some(secret) = self.request.secrets.get(&id).cloned() else {
            return match mount.required {
                true => Err(BuildError::Request(format!("the secret {id} is required and was not given"))),
                false => Ok(()),
            };
        };
        let path = self.parts().secrets.join(format!("{}-{number}", step.id));
        mounted.secrets.push(path.clone());
        let (file, mode, owner) = (path.clone(), mount.mode.unwrap_or(0o400), (mount.uid, mount.gid));
        let written = move || {
            write(&file, &secret, mode)?;
            std::os::unix::fs::chown(&file, Some(owner.0), Some(owner.1)).map_err(failed("give away", &file))
        };
        spawn_blocking(written).await??;
        mounted.bind(&path, &mount.target, true);
        Ok(())
    }
}

fn selection(mount: &Mount) -> Selection {
    let source = mount.source.clone().unwrap_or_else(|| "/".to_owned());
    let literal = source.chars().flat_map(|letter| {
        let escaped = matches!(letter, '*' | '?' | '[' | '\\').then_some('\\');
        escaped.into_iter().chain([letter])
    });
    Selection { sources: vec![literal.collect()], excludes: Vec::new(), parents: false }
}

/// A path of the context with all of its links resolved, none of which leads out: the mount is made by the host's path.
fn resolved(context: &Path, source: &str) -> Result<PathBuf, BuildError> {
    use std::os::fd::AsRawFd;
    let open = |path: &Path| rustix::fs::open(path, crate::trees::OPEN_DIRECTORY, rustix::fs::Mode::empty());
    let root = open(context).map_err(failed("open", context))?;
    let unescaped = source.replace('\\', "");
    let path = unescaped.trim_start_matches('/').as_bytes();
    let found = select::open(&root, path, OFlags::PATH).map_err(edit::failed("mount", path))?;
    let stat = rustix::fs::fstat(&found).map_err(edit::failed("look at", path))?;
    let kind = FileType::from_raw_mode(stat.st_mode);
    if !matches!(kind, FileType::Directory | FileType::RegularFile) {
        return Err(BuildError::Request(format!("{source} is neither a directory nor a file")));
    }
    let entry = format!("/proc/self/fd/{}", found.as_raw_fd());
    Ok(fs::read_link(&entry).map_err(failed("resolve", entry))?)
}

/// Returns true if it is new.
fn make_cache(path: &Path, mode: u32, (uid, gid): (u32, u32)) -> Result<bool, FileError> {
    let above = path.parent().unwrap_or(path);
    DirBuilder::new().recursive(true).mode(0o700).create(above).map_err(failed("make", above))?;
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => return Ok(false),
        made => made.map_err(failed("make", path))?,
    }
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(failed("set the mode of", path))?;
    std::os::unix::fs::chown(path, Some(uid), Some(gid)).map_err(failed("give away", path))?;
    Ok(true)
}
