//! Paths as layers have them, made harmless once: relative, without `.` and `..`, within the kernel's bounds.

use super::error::{LayerError, PathFault, shown};

/// NAME_MAX.
const MAX_NAME_BYTES: usize = 255;
/// PATH_MAX, with its NUL.
const MAX_PATH_BYTES: usize = 4095;
/// Directories below each other; descriptors and stack are a matter of it.
const MAX_DEPTH: usize = 512;

/// Whiteouts start with it.
const WHITEOUT: &[u8] = b".wh.";
/// AUFS's own files start with it; one of them is the opaque marker.
const WHITEOUT_META: &[u8] = b".wh..wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";
/// Where AUFS keeps files that have several names. They are there for hard links of the same layer to lead to.
pub(super) const AUFS_LINKS: &[u8] = b".wh..wh.plnk";

/// `a/b/c`; empty for the root.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct EntryPath(Vec<u8>);

/// What a name means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Meaning<'a> {
    /// Itself.
    Entry(&'a [u8]),
    /// That this one of the layers below is gone.
    Whiteout(&'a [u8]),
    /// That everything of the layers below in this directory is gone.
    Opaque,
    /// Nothing: AUFS's bookkeeping.
    Ignored,
}

impl EntryPath {
    /// Cleans `raw` as a tar has it. `..` may go up as far as the image's root.
    pub(super) fn parse(raw: &[u8]) -> Result<Self, LayerError> {
        let fault = |source| LayerError::Path { path: shown(raw), source };
        if raw.is_empty() {
            return Err(fault(PathFault::Empty));
        }
        if raw.len() > MAX_PATH_BYTES {
            return Err(fault(PathFault::TooLong));
        }
        let mut parts: Vec<&[u8]> = Vec::new();
        for part in raw.split(|byte| *byte == b'/') {
            match part {
                b"" | b"." => {}
                b".." => drop(parts.pop().ok_or_else(|| fault(PathFault::LeadsOut))?),
                part if part.contains(&0) => return Err(fault(PathFault::Nul)),
                part if part.len() > MAX_NAME_BYTES => return Err(fault(PathFault::TooLong)),
                part => parts.push(part),
            }
        }
        if parts.len() > MAX_DEPTH {
            return Err(fault(PathFault::TooDeep));
        }
        Ok(Self(parts.join(&b'/')))
    }

    /// This path below `directory`.
    pub(super) fn under(&self, directory: &Self) -> Self {
        match (directory.0.is_empty(), self.0.is_empty()) {
            (true, _) => self.clone(),
            (_, true) => directory.clone(),
            _ => Self(below(&directory.0, &self.0)),
        }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The directory's path and the name in it; `None` for the root.
    pub(super) fn split(&self) -> Option<(&[u8], &[u8])> {
        if self.0.is_empty() {
            return None;
        }
        Some(match self.0.iter().rposition(|byte| *byte == b'/') {
            Some(slash) => (&self.0[..slash], &self.0[slash + 1..]),
            None => (&[], &self.0),
        })
    }
}

/// Names of a path, first to last.
pub(super) fn names(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/').filter(|name| !name.is_empty())
}

/// `directory/name`.
pub(super) fn below(directory: &[u8], name: &[u8]) -> Vec<u8> {
    let mut path = Vec::with_capacity(directory.len() + 1 + name.len());
    path.extend_from_slice(directory);
    if !directory.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name);
    path
}

/// What a name in a layer means (OCI image-spec, "Whiteouts").
pub(super) fn meaning<'a>(path: &EntryPath, name: &'a [u8]) -> Result<Meaning<'a>, LayerError> {
    let mut above = names(path.bytes()).peekable();
    if above.peek() == Some(&AUFS_LINKS) {
        return Ok(Meaning::Entry(name));
    }
    let is_opaque = name == OPAQUE;
    // AUFS's directories are no image's, at whatever depth, nor is what they hold.
    if above.any(|part| part.starts_with(WHITEOUT_META) && !(is_opaque && part == OPAQUE)) {
        return Ok(Meaning::Ignored);
    }
    if is_opaque {
        return Ok(Meaning::Opaque);
    }
    match name.strip_prefix(WHITEOUT) {
        None => Ok(Meaning::Entry(name)),
        Some(b"" | b"." | b"..") => {
            Err(LayerError::Path { path: shown(path.bytes()), source: PathFault::Whiteout })
        }
        Some(gone) => Ok(Meaning::Whiteout(gone)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cleaned(raw: &str) -> Result<String, PathFault> {
        match EntryPath::parse(raw.as_bytes()) {
            Ok(path) => Ok(String::from_utf8(path.0).expect("UTF-8")),
            Err(LayerError::Path { source, .. }) => Err(source),
            Err(other) => panic!("{raw}: {other}"),
        }
    }

    #[test]
    fn odd_spellings_are_the_same_path() {
        for raw in ["a/b", "/a/b", "./a/b", "a//b/", "a/./b", "a/x/../b", "//a/b/."] {
            assert_eq!(cleaned(raw).as_deref(), Ok("a/b"), "{raw}");
        }
        for raw in ["/", ".", "./", "a/.."] {
            assert_eq!(cleaned(raw).as_deref(), Ok(""), "{raw}");
        }
    }

    #[test]
    fn paths_that_lead_out_or_are_endless_are_refused() {
        let name = "n".repeat(256);
        let deep = "d/".repeat(513);
        let long = "l/".repeat(2048);
        for (raw, fault) in [
            ("..", PathFault::LeadsOut),
            ("../a", PathFault::LeadsOut),
            ("a/../../b", PathFault::LeadsOut),
            ("/../etc/passwd", PathFault::LeadsOut),
            ("", PathFault::Empty),
            ("a\0b", PathFault::Nul),
            (&name, PathFault::TooLong),
            (&deep, PathFault::TooDeep),
            (&long, PathFault::TooLong),
        ] {
            assert_eq!(cleaned(raw), Err(fault), "{raw:?}");
        }
        assert!(cleaned(&name[1..]).is_ok() && cleaned(&deep[2..]).is_ok());
    }

    #[test]
    fn whiteouts_name_what_is_gone() {
        let meaning = |raw: &'static str| {
            let path = EntryPath::parse(raw.as_bytes()).expect("a path");
            let name = raw.rsplit('/').next().expect("a name");
            meaning(&path, name.as_bytes())
        };
        assert_eq!(meaning("a"), Ok(Meaning::Entry(b"a")));
        assert_eq!(meaning(".wh.a"), Ok(Meaning::Whiteout(b"a")));
        assert_eq!(meaning(".wh..wh..opq"), Ok(Meaning::Opaque));
        for name in [".wh..wh.aufs", ".wh..wh.orph/x", "a/.wh..wh.plnk", "a/.wh..wh.x/b/c", ".wh..wh..opq/x"]
        {
            assert_eq!(meaning(name), Ok(Meaning::Ignored), "{name}");
        }
        assert_eq!(meaning("a/.wh..wh..opq"), Ok(Meaning::Opaque));
        // Placed for hard links to lead to, and taken away at the end.
        assert_eq!(meaning(".wh..wh.plnk/1.2"), Ok(Meaning::Entry(b"1.2")));
        for name in [".wh.", ".wh..", ".wh..."] {
            assert!(meaning(name).is_err(), "{name}");
        }
    }
}
