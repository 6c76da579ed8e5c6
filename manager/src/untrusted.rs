//! Files that a container or an image wrote, opened without trusting what they are. A name in such a tree may be a
//! device of the host, a FIFO that nothing writes to, a socket, or a link to another place: opening it would already
//! act. So a name is first resolved beneath the root without opening it, then its type is looked at, and only a regular
//! file is opened, by the very descriptor that was looked at: what the container puts there meanwhile is not met.
#![allow(clippy::disallowed_methods, reason = "its functions are called on blocking threads")]

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

/// The root directory of a tree that is not ours.
#[derive(Debug)]
pub(crate) struct UntrustedRoot {
    directory: OwnedFd,
}

/// A file of the tree cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UntrustedFileError {
    /// The kernel's reason.
    #[error("it cannot be opened")]
    Open(#[source] Errno),
    /// A device, FIFO, socket, directory or link.
    #[error("it is a {0}, not a regular file")]
    Type(&'static str),
    /// Longer than the caller reads.
    #[error("it has {length} bytes, more than the {limit} that are read")]
    TooLarge { length: u64, limit: u64 },
}

impl UntrustedRoot {
    /// Takes an open directory, O_PATH is enough.
    pub(crate) fn new(directory: OwnedFd) -> Self {
        Self { directory }
    }

    /// Opens the directory at `path`, whose own name is trusted.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self::new(rustix::fs::open(path, flags, Mode::empty())?))
    }

    /// Opens the regular file `name` for reading, as the tree's own links lead to it; `None` when there is none. The
    /// reader ends at `limit` bytes, also when the file grows meanwhile.
    ///
    /// # Errors
    /// [`UntrustedFileError`].
    pub(crate) fn read(&self, name: &str, limit: u64) -> Result<Option<io::Take<File>>, UntrustedFileError> {
        let Some((place, stat)) = self.resolve(Path::new(name))? else { return Ok(None) };
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => {}
            other => return Err(UntrustedFileError::Type(type_name(other))),
        }
        let length = u64::try_from(stat.st_size).unwrap_or(u64::MAX);
        if length > limit {
            return Err(UntrustedFileError::TooLarge { length, limit });
        }
        // The descriptor's own entry in /proc opens the file that was looked at, not what has its name now.
        let entry = format!("/proc/self/fd/{}", place.as_raw_fd());
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
        let opened = rustix::fs::open(entry, flags, Mode::empty()).map_err(UntrustedFileError::Open)?;
        Ok(Some(File::from(opened).take(limit)))
    }

    /// What is known of the directory `name`, as the tree's own links lead to it; `None` when there is none.
    ///
    /// # Errors
    /// [`UntrustedFileError`].
    pub(crate) fn directory(&self, name: &Path) -> Result<Option<Stat>, UntrustedFileError> {
        let resolved = self.resolve(name)?.map(|(_, stat)| stat);
        Ok(resolved.filter(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory))
    }

    /// The place that `name` leads to, not opened, and what is there.
    fn resolve(&self, name: &Path) -> Result<Option<(OwnedFd, Stat)>, UntrustedFileError> {
        let within = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let place = match rustix::fs::openat2(self.directory.as_fd(), name, flags, Mode::empty(), within) {
            Ok(place) => place,
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
            Err(errno) => return Err(UntrustedFileError::Open(errno)),
        };
        let stat = rustix::fs::fstat(&place).map_err(UntrustedFileError::Open)?;
        Ok(Some((place, stat)))
    }
}

fn type_name(file_type: FileType) -> &'static str {
    match file_type {
        FileType::RegularFile => "regular file",
        FileType::Directory => "directory",
        FileType::Symlink => "link",
        FileType::Fifo => "FIFO",
        FileType::Socket => "socket",
        FileType::CharacterDevice => "character device",
        FileType::BlockDevice => "block device",
        FileType::Unknown => "file of an unknown type",
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use rustix::fs::{CWD, mknodat};

    use super::*;

    const LIMIT: u64 = 1024;

    fn root(directory: &tempfile::TempDir) -> UntrustedRoot {
        UntrustedRoot::open(directory.path()).expect("the directory")
    }

    fn text(root: &UntrustedRoot, name: &str) -> Result<Option<String>, UntrustedFileError> {
        Ok(root.read(name, LIMIT)?.map(|mut file| {
            let mut text = String::new();
            file.read_to_string(&mut text).expect("readable");
            text
        }))
    }

    /// Opening the FIFO for writing without waiting succeeds only where a reader has it open: it must not.
    #[test]
    fn only_regular_files_are_ever_opened() {
        let directory = tempfile::tempdir().expect("a directory");
        let make = |name: &str, kind, device| {
            mknodat(CWD, directory.path().join(name), kind, Mode::from(0o666), device).expect(name);
        };
        make("fifo", FileType::Fifo, 0);
        make("socket", FileType::Socket, 0);
        // A device without a driver: that it is refused for its type shows that it was not opened.
        make("char", FileType::CharacterDevice, rustix::fs::makedev(240, 7));
        make("block", FileType::BlockDevice, rustix::fs::makedev(240, 7));
        std::fs::create_dir(directory.path().join("directory")).expect("made");
        for name in ["fifo", "socket", "char", "block"] {
            symlink(name, directory.path().join(format!("link-to-{name}"))).expect("a link");
        }
        let root = root(&directory);
        for name in ["fifo", "socket", "char", "block", "directory", "link-to-fifo", "link-to-char"] {
            assert!(matches!(text(&root, name), Err(UntrustedFileError::Type(_))), "{name}");
        }
    }

    #[test]
    fn links_lead_to_what_the_tree_has_and_no_further() {
        let outside = tempfile::tempdir().expect("a directory");
        std::fs::write(outside.path().join("secret"), "of the host").expect("written");
        let directory = tempfile::tempdir().expect("a directory");
        let at = |name: &str| directory.path().join(name);
        std::fs::write(at("plain"), "inside").expect("written");
        std::fs::hard_link(at("plain"), at("hard")).expect("linked");
        symlink("/plain", at("absolute")).expect("a link");
        symlink("../../../plain", at("climbing")).expect("a link");
        symlink(outside.path().join("secret"), at("out")).expect("a link");
        symlink("/proc/self/root/etc/passwd", at("magic")).expect("a link");
        symlink("circle", at("circle")).expect("a link");
        symlink(outside.path(), at("etc")).expect("a link");
        let root = root(&directory);
        for name in ["plain", "hard", "absolute", "climbing", "/plain", "../plain"] {
            assert_eq!(text(&root, name).expect(name).as_deref(), Some("inside"), "{name}");
        }
        for name in ["out", "magic", "etc/secret", "nothing", "plain/x"] {
            assert!(text(&root, name).expect(name).is_none(), "{name}");
        }
        assert!(matches!(text(&root, "circle"), Err(UntrustedFileError::Open(Errno::LOOP))));
    }

    #[test]
    fn a_file_beyond_the_limit_is_refused_and_one_that_grows_is_cut() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("file");
        let file = File::create(&path).expect("made");
        file.set_len(LIMIT + 1).expect("sparse");
        let root = root(&directory);
        assert!(matches!(text(&root, "file"), Err(UntrustedFileError::TooLarge { .. })));
        file.set_len(LIMIT).expect("shortened");
        let mut reader = root.read("file", LIMIT).expect("readable").expect("there");
        file.set_len(1 << 30).expect("grown");
        let mut content = Vec::new();
        reader.read_to_end(&mut content).expect("readable");
        assert_eq!(content.len() as u64, LIMIT);
    }
}
