//! The context: a directory as a tar without what `.dockerignore` leaves out, or what comes from standard input.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use knarr_proto::ignore::Ignore;
use knarr_proto::v1::BuildRequest;
use knarr_proto::v1::build_request::Message;
use tokio::sync::mpsc;

use crate::error::Error;
use crate::terminal;

/// One message; well below what gRPC takes.
const CHUNK_BYTES: usize = 256 * 1024;
const DOCKERFILE: &str = "Dockerfile";
/// More of a file is no Dockerfile.
const MAX_DOCKERFILE_BYTES: u64 = 16 << 20;

/// Where the files come from, and where the Dockerfile is.
pub(super) struct Context {
    source: Source,
    /// In the context.
    pub(super) dockerfile: String,
    /// Where it is not in the context.
    pub(super) dockerfile_text: Option<Vec<u8>>,
}

enum Source {
    Nothing,
    Directory(PathBuf),
    /// What was read of it to see what it is, then the rest.
    Stdin(Vec<u8>),
}

impl Context {
    /// Finds the context and the Dockerfile that were named.
    pub(super) fn find(context: &str, file: &str) -> Result<Self, Error> {
        let is_remote = ["http://", "https://", "git@", "git://", "github.com/"];
        if is_remote.iter().any(|scheme| context.starts_with(scheme)) {
            let words =
                format!("a remote context is not supported: fetch {context}, and build its directory");
            return Err(Error::State(words));
        }
        match (context, file) {
            ("-", "-") => Err(Error::State(
                "invalid argument: can't use stdin for both build context and dockerfile".to_owned(),
            )),
            ("-", file) => Self::from_stdin(file),
            (directory, file) => Self::directory(directory, file),
        }
    }

    fn from_stdin(file: &str) -> Result<Self, Error> {
        if terminal::stdin_is_terminal() {
            return Err(Error::State(
                "the context is to come from stdin, but stdin is a terminal".to_owned(),
            ));
        }
        let failed = |source| Error::Stream { action: "read standard input", source };
        let mut head = vec![0; 512];
        let mut filled = 0;
        let mut stdin = io::stdin().lock();
        while filled < head.len() {
            match stdin.read(&mut head[filled..]).map_err(failed)? {
                0 => break,
                count => filled += count,
            }
        }
        head.truncate(filled);
        if is_archive(&head) {
            return Ok(Self {
                source: Source::Stdin(head),
                dockerfile: file.to_owned(),
                dockerfile_text: None,
            });
        }
        let mut text = head;
        stdin.take(MAX_DOCKERFILE_BYTES).read_to_end(&mut text).map_err(failed)?;
        Ok(Self { source: Source::Nothing, dockerfile: String::new(), dockerfile_text: Some(text) })
    }

    fn directory(directory: &str, file: &str) -> Result<Self, Error> {
        let failed = |action, path: &Path| {
            let path = path.to_owned();
            move |source| Error::File { action, path, source }
        };
        let path = PathBuf::from(directory);
        if !fs::metadata(&path).map_err(failed("prepare the context", &path))?.is_dir() {
            return Err(Error::State(format!("the context {directory} is not a directory")));
        }
        let source = Source::Directory(path.clone());
        if file == "-" {
            let mut text = Vec::new();
            let read = io::stdin().lock().take(MAX_DOCKERFILE_BYTES).read_to_end(&mut text);
            read.map_err(|source| Error::Stream { action: "read standard input", source })?;
            return Ok(Self { source, dockerfile: String::new(), dockerfile_text: Some(text) });
        }
        let named = if file.is_empty() { path.join(DOCKERFILE) } else { PathBuf::from(file) };
        // As docker: what is not where we are may be below the context.
        let named = if named.exists() || file.is_empty() { named } else { path.join(file) };
        let whole = fs::canonicalize(&named).map_err(failed("read the Dockerfile", &named))?;
        let root = fs::canonicalize(&path).map_err(failed("prepare the context", &path))?;
        match whole.strip_prefix(&root).ok().and_then(Path::to_str) {
            Some(inside) => Ok(Self { source, dockerfile: inside.to_owned(), dockerfile_text: None }),
            None => {
                let text = fs::read(&whole).map_err(failed("read the Dockerfile", &named))?;
                Ok(Self { source, dockerfile: String::new(), dockerfile_text: Some(text) })
            }
        }
    }

    /// Sends the context as messages, until the daemon wants no more.
    pub(super) fn send(self, messages: &mpsc::Sender<BuildRequest>) -> Result<(), Error> {
        let mut pieces = Pieces { messages, piece: Vec::with_capacity(CHUNK_BYTES), is_wanted: true };
        match self.source {
            Source::Nothing => Ok(()),
            Source::Stdin(head) => {
                let copied =
                    pieces.write_all(&head).and_then(|()| io::copy(&mut io::stdin().lock(), &mut pieces));
                copied
                    .and_then(|_| pieces.flush())
                    .map_err(|source| Error::Stream { action: "read standard input", source })
            }
            Source::Directory(path) => {
                let ignore = ignore(&path, &self.dockerfile)?;
                let kept =
                    [self.dockerfile.as_str(), ".dockerignore", &format!("{}.dockerignore", self.dockerfile)]
                        .map(str::to_owned);
                let mut tar = tar::Builder::new(&mut pieces);
                tar.follow_symlinks(false);
                let added = add(&mut tar, &path, Path::new(""), &ignore, &kept);
                let ended = added.and_then(|()| tar.into_inner().and_then(Write::flush));
                match ended {
                    // When it wants no more, its answer says why.
                    Err(_) if !pieces.is_wanted => Ok(()),
                    ended => ended.map_err(|source| Error::File { action: "read the context", path, source }),
                }
            }
        }
    }
}

/// Bytes as messages.
struct Pieces<'a> {
    messages: &'a mpsc::Sender<BuildRequest>,
    piece: Vec<u8>,
    is_wanted: bool,
}

impl Write for Pieces<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(CHUNK_BYTES - self.piece.len());
        self.piece.extend_from_slice(&bytes[..count]);
        if self.piece.len() == CHUNK_BYTES {
            self.flush()?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        let data = std::mem::replace(&mut self.piece, Vec::with_capacity(CHUNK_BYTES));
        if data.is_empty() {
            return Ok(());
        }
        let message = BuildRequest { message: Some(Message::Data(data)) };
        self.messages.blocking_send(message).map_err(|_| {
            self.is_wanted = false;
            io::ErrorKind::BrokenPipe.into()
        })
    }
}

fn ignore(root: &Path, dockerfile: &str) -> Result<Ignore, Error> {
    let own = root.join(format!("{dockerfile}.dockerignore"));
    let path = if own.is_file() { own } else { root.join(".dockerignore") };
    match fs::read_to_string(&path) {
        Ok(text) => Ignore::read(&text).map_err(|what| Error::State(format!("{}: {what}", path.display()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Ignore::default()),
        Err(source) => Err(Error::File { action: "read", path, source }),
    }
}

/// Adds what is in a directory of the context; what the build itself reads is sent whatever is left out.
fn add(
    tar: &mut tar::Builder<&mut Pieces<'_>>,
    root: &Path,
    below: &Path,
    ignore: &Ignore,
    kept: &[String],
) -> io::Result<()> {
    let mut entries: Vec<_> = fs::read_dir(root.join(below))?.collect::<Result<_, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let name = below.join(entry.file_name());
        let bytes = name.as_os_str().as_encoded_bytes();
        let kind = entry.file_type()?;
        let excluded = ignore.excludes(bytes);
        if kind.is_dir() {
            let holds_kept = kept.iter().any(|kept| Path::new(kept).starts_with(&name));
            if !excluded {
                tar.append_dir(&name, entry.path())?;
            }
            if !excluded || ignore.may_include_below(bytes) || holds_kept {
                add(tar, root, &name, ignore, kept)?;
            }
        } else if !kind.is_socket() && (!excluded || kept.iter().any(|kept| Path::new(kept) == name)) {
            append(tar, &name, &entry.path(), kind.is_file())?;
        }
    }
    Ok(())
}

fn append(
    tar: &mut tar::Builder<&mut Pieces<'_>>,
    name: &Path,
    path: &Path,
    is_file: bool,
) -> io::Result<()> {
    match is_file {
        true => tar.append_file(name, &mut File::open(path)?),
        false => tar.append_path_with_name(path, name),
    }
}

/// By its first bytes: a tar, plain or compressed.
fn is_archive(head: &[u8]) -> bool {
    const MAGICS: [&[u8]; 4] =
        [&[0x1f, 0x8b], b"BZh", &[0xfd, b'7', b'z', b'X', b'Z', 0], &[0x28, 0xb5, 0x2f, 0xfd]];
    let has_magic = MAGICS.iter().any(|magic| head.starts_with(magic));
    has_magic || head.get(257..262) == Some(b"ustar")
}
