//! References and ids as a person types and reads them. What a reference means is the daemon's to say.

use knarr_proto::docker::reference::familiar;

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
