//! Image references as docker shows them: `docker.io/library/alpine:latest` is `alpine` and `latest`.
//! It only shortens; what a reference means is the daemon's to say.

/// The parts of a full reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Familiar<'a> {
    /// Without `docker.io/` and `library/`.
    pub(crate) repository: &'a str,
    /// None for a reference by digest alone.
    pub(crate) tag: Option<&'a str>,
    /// `sha256:…`
    pub(crate) digest: Option<&'a str>,
}

/// Takes a reference apart.
pub(crate) fn familiar(reference: &str) -> Familiar<'_> {
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
pub(crate) fn short(reference: &str) -> String {
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

/// What a person typed, with the tag that it implies: `alpine` is `alpine:latest`.
pub(crate) fn with_default_tag(typed: &str) -> String {
    let parts = familiar(typed);
    match (parts.tag, parts.digest) {
        (None, None) => format!("{typed}:latest"),
        _ => typed.to_owned(),
    }
}

/// Whether this names a blob: an algorithm, and digits in hexadecimal.
pub(crate) fn is_digest(text: &str) -> bool {
    text.split_once(':').is_some_and(|(algorithm, digits)| {
        let named = !algorithm.is_empty() && algorithm.bytes().all(|byte| byte.is_ascii_alphanumeric());
        named && digits.len() >= 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

/// The first 12 digits of an id or digest.
pub(crate) fn short_id(id: &str) -> &str {
    let digits = id.strip_prefix("sha256:").unwrap_or(id);
    digits.get(..12).unwrap_or(digits)
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

    #[test]
    fn a_missing_tag_is_latest() {
        for (typed, expected) in [
            ("alpine", "alpine:latest"),
            ("localhost:5000/a", "localhost:5000/a:latest"),
            ("a:1", "a:1"),
            ("a@sha256:00", "a@sha256:00"),
        ] {
            assert_eq!(with_default_tag(typed), expected);
        }
    }

    #[test]
    fn a_reference_is_no_digest() {
        assert!(is_digest(&format!("sha256:{}", "0f".repeat(32))));
        for text in ["", "docker.io/library/alpine:latest", "localhost:5000", "sha256:", "a:b", "sha256:zz"] {
            assert!(!is_digest(text), "{text}");
        }
    }

    #[test]
    fn ids_are_cut_to_twelve_digits() {
        assert_eq!(short_id("sha256:0123456789abcdef"), "0123456789ab");
        assert_eq!(short_id("abc"), "abc");
    }
}
