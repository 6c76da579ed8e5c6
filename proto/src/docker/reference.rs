//! Image references as docker shows them: `docker.io/library/alpine:latest` is `alpine` and `latest`. It only shortens; what
//! a reference means is the daemon's to say.

/// The parts of a full reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Familiar<'a> {
    /// Without `docker.io/` and `library/`.
    pub repository: &'a str,
    /// None for a reference by digest alone.
    pub tag: Option<&'a str>,
    /// `sha256:…`
    pub digest: Option<&'a str>,
}

/// Takes a reference apart.
#[must_use]
pub fn familiar(reference: &str) -> Familiar<'_> {
    let (rest, digest) = match reference.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest)),
        None => (reference, None),
    };
    // A colon before the last slash is the registry's port.
    let name_start = rest.rfind('/').map_or(0, |slash| slash + 1);
    let (name, tag) = match rest[name_start..].split_once(':') {
        Some((name, tag)) => (&rest[..name_start + name.len()], Some(tag)),
        None => (rest, None),
    };
    let repository = match name.strip_prefix("docker.io/") {
        Some(path) => path.strip_prefix("library/").unwrap_or(path),
        None => name,
    };
    Familiar { repository, tag, digest }
}

/// A reference in its short form: `alpine:3.20`, `alpine@sha256:…`.
#[must_use]
pub fn short(reference: &str) -> String {
    let parts = familiar(reference);
    let mut out = parts.repository.to_owned();
    if let Some(tag) = parts.tag {
        out.push(':');
        out.push_str(tag);
    }
    if let Some(digest) = parts.digest {
        out.push('@');
        out.push_str(digest);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_shortened_as_by_docker() {
        for (full, short_form) in [
            ("docker.io/library/alpine:latest", "alpine:latest"),
            ("docker.io/bitnami/redis:7", "bitnami/redis:7"),
            ("localhost:5000/a/b:c", "localhost:5000/a/b:c"),
            ("docker.io/library/alpine@sha256:00", "alpine@sha256:00"),
            ("localhost:5000/a", "localhost:5000/a"),
        ] {
            assert_eq!(short(full), short_form);
        }
        assert_eq!(familiar("localhost:5000/a").tag, None);
    }
}
