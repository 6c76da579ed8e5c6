//! COPY, ADD and WORKDIR: files and directories into the stage, by the confined edit helper.
#![allow(clippy::disallowed_methods, reason = "files are touched on blocking threads")]

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use rustix::fs::{Mode, OFlags};
use tokio::task::spawn_blocking;

use super::dockerfile::instruction::{Copy, Instruction};
use super::error::BuildError;
use super::key::Key;
use super::solve::Build;
use super::state::State;
use super::step::Step;
use super::{dockerfile, selected};
use crate::files::failed;
use crate::layers::edit::select::{self, Selection};
use crate::layers::edit::{self, Change, CopyEdit, Edit, EditFault, Owner, Target};
use crate::layers::unpack::{self, Plain};
use crate::tasks::user;
use crate::trees;
use crate::untrusted::UntrustedRoot;

/// Where files are copied from.
#[derive(Clone)]
pub(super) struct Sources {
    /// Nearest first; empty for an image without files.
    pub(super) layers: Vec<PathBuf>,
    /// The key of the snapshot; `None` for the context.
    snapshot: Option<String>,
}

/// What a copy puts where, in the order in which it does.
struct Placed {
    edits: Vec<Edit>,
    /// Archives that are unpacked, by their paths in the sources.
    archives: Vec<Vec<u8>>,
    target: String,
}

impl Build<'_> {
    /// What `--from` means: an earlier stage, an image, or without it the context.
    pub(super) async fn sources(&mut self, from: Option<&str>, stage: usize) -> Result<Sources, BuildError> {
        let Some(name) = from else {
            return Ok(Sources { layers: vec![self.place.context()], snapshot: None });
        };
        let chain_id = match self.plan.earlier(name, stage) {
            Some(earlier) => self.done[&earlier].chain_id.clone(),
            None => self.find_image(name, self.request.platform.clone()).await?.chain_id,
        };
        let Some(chain_id) = chain_id else {
            return Ok(Sources { layers: Vec::new(), snapshot: Some(String::new()) });
        };
        let layout = self.layout(chain_id.to_string()).await?;
        let mut layers = vec![layout.upper()];
        if self.parts().snapshots.is_layered() {
            layers.extend(layout.lower);
        }
        Ok(Sources { layers, snapshot: Some(chain_id.to_string()) })
    }

    /// Adds what is selected to a key.
    pub(super) async fn add_selected(
        &self,
        key: &mut Key,
        sources: &Sources,
        selection: Selection,
        with_owners: bool,
    ) -> Result<(), BuildError> {
        if selection.sources.is_empty() {
            return Ok(());
        }
        let (snapshots, sources) = (self.parts().snapshots.clone(), sources.clone());
        let digest = spawn_blocking(move || {
            let root = root(&snapshots, &sources)?;
            let mut part = Key::new("selected");
            selected::add(&mut part, &root, &selection, with_owners)?;
            Ok::<_, BuildError>(part.finish())
        });
        key.add(digest.await??);
        Ok(())
    }

    /// Carries out COPY or ADD.
    pub(super) async fn copy(
        &mut self,
        state: &mut State,
        instruction: &Instruction,
        copy: &Copy,
        stage: usize,
    ) -> Result<(), BuildError> {
        let expand = |word: &String| state.expand(word, instruction).map_err(|error| self.wrong(error));
        let sources_of = copy.sources.iter().map(expand).collect::<Result<Vec<_>, _>>()?;
        let target = expand(&copy.target)?;
        check(copy, (&sources_of, &target)).map_err(|what| self.refused(instruction, what))?;
        let selection = Selection {
            sources: sources_of,
            excludes: copy.excludes.iter().map(expand).collect::<Result<_, _>>()?,
            parents: copy.parents,
        };
        let mode = copy.mode.as_ref().map(expand).transpose()?.unwrap_or_default();
        Change::parse(&mode).map_err(|what| self.refused(instruction, what))?;
        let owner = match copy.owner.as_ref().map(expand).transpose()? {
            Some(owner) => Some(self.owner(state, instruction, &owner).await?),
            None => None,
        };
        let target = state.path(&target);
        let sources = self.sources(copy.from.as_deref(), stage).await?;
        let mut key = Key::new(if copy.is_add { "add" } else { "copy" });
        key.add(state.chain_id.as_ref().map_or("", |id| id.as_str()))
            .add(&target)
            .add(format!("{owner:?}"))
            .add(&mode);
        key.add(format!("{:?}", (copy.link, copy.parents, copy.unpack)));
        let heredocs = heredocs(state, copy).map_err(|what| self.refused(instruction, what))?;
        for (name, text) in &heredocs {
            key.add(name).add(text);
        }
        self.add_selected(&mut key, &sources, selection.clone(), copy.from.is_some())
            .await
            .map_err(|error| self.missing(instruction, copy, error))?;
        let key = key.finish();
        if let Some(step) = self.begin(state, key).await? {
            let edit_owner = match copy.from {
                // What is in a context belongs to nobody in an image.
                None => Some(owner.unwrap_or_default()),
                Some(_) => owner,
            };
            let edit = CopyEdit { selection, target, owner: edit_owner, mode };
            let done = self.place(&step, copy, (edit, heredocs), &sources).await;
            self.finish(step, done, state, &instruction.text).await?;
        }
        let (word, rest) =
            instruction.text.split_once(char::is_whitespace).unwrap_or((&instruction.text, ""));
        state.remember(format!("{} {} # buildkit", word.to_ascii_uppercase(), rest.trim()), false);
        Ok(())
    }

    /// A source that is not there, told with the line that names it.
    fn missing(&self, instruction: &Instruction, copy: &Copy, error: BuildError) -> BuildError {
        match error {
            BuildError::Read(EditFault::Missing(source)) => {
                let what = match copy.from.as_deref() {
                    Some(from) => format!("{source:?}: not found in {from}"),
                    None => format!(
                        "file not found in the context or left out by .dockerignore: stat {source}: file does not exist"
                    ),
                };
                self.refused(instruction, what)
            }
            other => other,
        }
    }

    /// The numbers of `user:group`, which the stage's own files may have to say.
    async fn owner(&self, state: &State, instruction: &Instruction, text: &str) -> Result<Owner, BuildError> {
        // A number alone is the group's, too.
        if let Ok(uid) = text.parse() {
            return Ok(Owner { uid, gid: uid });
        }
        if let Some((uid, gid)) = text.split_once(':')
            && let (Ok(uid), Ok(gid)) = (uid.parse(), gid.parse())
        {
            return Ok(Owner { uid, gid });
        }
        let Some(chain_id) = state.chain_id.clone() else {
            return Err(
                self.refused(instruction, format!("cannot look up {text:?}: the stage has no files yet"))
            );
        };
        let (snapshots, name) = (self.parts().snapshots.clone(), text.to_owned());
        let looked = spawn_blocking(move || {
            let root = UntrustedRoot::new(snapshots.view(chain_id.as_str())?);
            Ok::<_, BuildError>(user::look_up(&root, &name, &[]).map_err(|error| error.to_string()))
        });
        let account = looked.await??.map_err(|what| self.refused(instruction, what))?;
        Ok(Owner { uid: account.uid, gid: account.gid })
    }

    async fn place(
        &mut self,
        step: &Step,
        copy: &Copy,
        (edit, heredocs): (CopyEdit, Vec<(String, String)>),
        sources: &Sources,
    ) -> Result<(), BuildError> {
        let unpacks = copy.is_add && copy.unpack.unwrap_or(true);
        let placed = self.placed(unpacks, edit, heredocs, sources).await?;
        let is_layered = self.parts().snapshots.is_layered();
        let target = match copy.link && is_layered {
            // Upon nothing: no link of what is below is followed.
            true => Target::Directory(step.layout.upper()),
            false => Target::Snapshot(step.layout.clone(), step.mounts.clone()),
        };
        if !placed.edits.is_empty() {
            edit::edit(target, sources.layers.clone(), placed.edits, self.cancelled).await?;
        }
        for path in placed.archives {
            let context = self.place.context();
            let blob = spawn_blocking(move || {
                let root = rustix::fs::open(&context, trees::OPEN_DIRECTORY, Mode::empty());
                let root = root.map_err(failed("open", &context))?;
                let opened = select::open(&root, &path, OFlags::RDONLY | OFlags::NONBLOCK);
                Ok::<_, BuildError>(File::from(opened.map_err(edit::failed("open", &path))?))
            });
            let archive = Plain {
                blob: blob.await??,
                root: step.layout.upper(),
                below: is_layered.then(|| step.layout.lower.clone()),
                prefix: &placed.target,
            };
            unpack::unpack_plain(archive, self.cancelled).await.map_err(BuildError::Context)?;
        }
        Ok(())
    }

    async fn placed(
        &self,
        unpacks: bool,
        edit: CopyEdit,
        heredocs: Vec<(String, String)>,
        sources: &Sources,
    ) -> Result<Placed, BuildError> {
        let mut edits: Vec<Edit> = Vec::new();
        let (owner, target) = (edit.owner.unwrap_or_default(), edit.target.clone());
        let mode = Change::parse(&edit.mode).map_err(BuildError::Request)?.apply(0o644, false);
        for (name, text) in heredocs {
            let path = if target.ends_with('/') { format!("{target}{name}") } else { target.clone() };
            edits.push(Edit::File { path, text, mode, owner });
        }
        let mut archives = Vec::new();
        let mut edit = edit;
        if unpacks && !edit.selection.sources.is_empty() {
            let (snapshots, sources, selection) =
                (self.parts().snapshots.clone(), sources.clone(), edit.selection.clone());
            let found = spawn_blocking(move || split(&root(&snapshots, &sources)?, &selection)).await??;
            archives = found.0;
            if !archives.is_empty() {
                edit.selection.sources = found.1;
                edits.push(Edit::Directory { path: target.clone(), owner });
            }
        }
        if !edit.selection.sources.is_empty() {
            edits.push(Edit::Copy(edit));
        }
        Ok(Placed { edits, archives, target })
    }

    /// Carries out WORKDIR.
    pub(super) async fn workdir(
        &mut self,
        state: &mut State,
        instruction: &Instruction,
        path: &str,
    ) -> Result<(), BuildError> {
        let path = state.expand(path, instruction).map_err(|error| self.wrong(error))?;
        let whole = state.path(&path);
        let path = match whole.trim_end_matches('/') {
            "" => "/".to_owned(),
            path => path.to_owned(),
        };
        state.document.config.working_dir.clone_from(&path);
        let is_there = path == "/" || self.is_directory(state, &path).await?;
        if !is_there {
            let owner = match state.document.config.user.as_str() {
                "" => Owner::default(),
                // One that is not in the image yet owns nothing.
                user => self.owner(state, instruction, user).await.unwrap_or_default(),
            };
            let mut key = Key::new("workdir");
            key.add(state.chain_id.as_ref().map_or("", |id| id.as_str()))
                .add(&path)
                .add(format!("{owner:?}"));
            let key = key.finish();
            if let Some(step) = self.begin(state, key).await? {
                let edits = vec![Edit::Directory { path: path.clone(), owner }];
                let target = Target::Snapshot(step.layout.clone(), step.mounts.clone());
                let done = edit::edit(target, Vec::new(), edits, self.cancelled).await;
                self.finish(step, done.map_err(BuildError::from), state, &instruction.text).await?;
            }
        }
        state.remember(format!("WORKDIR {path}"), is_there);
        match is_there {
            true => self.tell_known(state).await,
            false => Ok(()),
        }
    }

    async fn is_directory(&self, state: &State, path: &str) -> Result<bool, BuildError> {
        let Some(chain_id) = state.chain_id.clone() else { return Ok(false) };
        let (snapshots, path) = (self.parts().snapshots.clone(), path.to_owned());
        let looked = spawn_blocking(move || {
            let root = UntrustedRoot::new(snapshots.view(chain_id.as_str())?);
            // What cannot be looked at is found out where it is made.
            Ok::<_, BuildError>(matches!(root.directory(path.as_ref()), Ok(Some(_))))
        });
        looked.await?
    }
}

/// What no COPY and no ADD can be asked for.
fn check(copy: &Copy, (sources, target): (&[String], &str)) -> Result<(), String> {
    let word = if copy.is_add { "ADD" } else { "COPY" };
    let is_remote = |source: &&String| {
        ["http://", "https://", "git@", "git://", "ssh://"].iter().any(|scheme| source.starts_with(scheme))
    };
    if let Some(remote) = sources.iter().find(is_remote) {
        let what = match copy.is_add {
            true => format!("{remote} cannot be added: ADD takes files of the context only, for now"),
            false => format!("source can't be a URL for COPY: {remote}"),
        };
        return Err(what);
    }
    if copy.checksum.is_some() {
        return Err("checksum requires an HTTP(S) or git source".to_owned());
    }
    let is_directory = target.ends_with('/') || matches!(target, "." | "..") || target.ends_with("/.");
    if sources.len() + copy.heredocs.len() > 1 && !is_directory {
        let what = format!(
            "When using {word} with more than one source file, the destination must be a directory and end with a /"
        );
        return Err(what);
    }
    Ok(())
}

/// The files that are written in the Dockerfile itself.
fn heredocs(state: &State, copy: &Copy) -> Result<Vec<(String, String)>, String> {
    let expander = dockerfile::expand::Expander {
        keeps_quotes: true,
        ..dockerfile::expand::Expander::new(state.escape)
    };
    let text = |one: &dockerfile::Heredoc| match one.expands {
        false => Ok((one.name.clone(), one.body.clone())),
        true => state.expand_with(&expander, &one.body).map(|body| (one.name.clone(), body)),
    };
    copy.heredocs.iter().map(text).collect()
}

fn root(snapshots: &crate::snapshots::Snapshots, sources: &Sources) -> Result<OwnedFd, BuildError> {
    match (&sources.snapshot, sources.layers.first()) {
        (Some(_), None) => Err(BuildError::Read(EditFault::Missing("an image without files".to_owned()))),
        (Some(key), Some(_)) => Ok(snapshots.view(key)?),
        (None, first) => {
            let context = first.cloned().unwrap_or_default();
            let root = rustix::fs::open(&context, trees::OPEN_DIRECTORY, Mode::empty());
            Ok(root.map_err(failed("open", context))?)
        }
    }
}

/// The archives of a selection, and the patterns of all else.
type Split = (Vec<Vec<u8>>, Vec<String>);

fn split(root: &OwnedFd, selection: &Selection) -> Result<Split, BuildError> {
    let (mut archives, mut others) = (Vec::new(), Vec::new());
    for source in &selection.sources {
        let one = Selection { sources: vec![source.clone()], ..selection.clone() };
        for chosen in one.find(root)? {
            if !chosen.is_directory && is_archive(root, &chosen.path)? {
                archives.push(chosen.path);
                continue;
            }
            let literal =
                String::from_utf8_lossy(&chosen.path).chars().fold(String::new(), |mut text, letter| {
                    if matches!(letter, '*' | '?' | '[' | '\\') {
                        text.push('\\');
                    }
                    text.push(letter);
                    text
                });
            others.push(if literal.is_empty() { "/".to_owned() } else { literal });
        }
    }
    Ok((archives, others))
}

/// By its content: a tar, plain or compressed.
fn is_archive(root: &OwnedFd, path: &[u8]) -> Result<bool, BuildError> {
    let opened =
        select::open(root, path, OFlags::RDONLY | OFlags::NONBLOCK).map_err(edit::failed("open", path))?;
    let mut file = File::from(opened);
    if !file.metadata().map_err(|error| BuildError::System("look at a file", error))?.is_file() {
        return Ok(false);
    }
    let mut magic = [0; 6];
    let count = file.read(&mut magic).map_err(|error| BuildError::System("read a file", error))?;
    let restart = |file: &mut File| {
        std::io::Seek::rewind(file).map_err(|error| BuildError::System("read a file", error))
    };
    restart(&mut file)?;
    let mut block = [0; 512];
    let filled = match &magic[..count] {
        [0x1f, 0x8b, ..] => fill(&mut flate2::read::MultiGzDecoder::new(file), &mut block),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => match zstd::stream::read::Decoder::new(file) {
            Ok(mut decoder) => fill(&mut decoder, &mut block),
            Err(_) => false,
        },
        [0xfd, b'7', b'z', b'X', b'Z', 0] | [b'B', b'Z', b'h', ..] => {
            let name = String::from_utf8_lossy(path).into_owned();
            let what =
                "is compressed with xz or bzip2, which is not supported: use gzip or zstd, or --unpack=false";
            return Err(BuildError::Request(format!("{name} {what}")));
        }
        _ => fill(&mut file, &mut block),
    };
    Ok(filled && is_header(&block))
}

fn fill(reader: &mut impl Read, block: &mut [u8; 512]) -> bool {
    reader.read_exact(block).is_ok()
}

/// Whether a block has the checksum that it says.
fn is_header(block: &[u8; 512]) -> bool {
    let header = tar::Header::from_byte_slice(block);
    let sum: u32 = block
        .iter()
        .enumerate()
        .map(|(at, byte)| match at {
            148..156 => u32::from(b' '),
            _ => u32::from(*byte),
        })
        .sum();
    block.iter().any(|byte| *byte != 0) && header.cksum().is_ok_and(|told| told == sum)
}
