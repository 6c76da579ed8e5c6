//! Image references: the grammar of distribution/reference, with docker's defaults filled in.
//!
//! ```text
//! reference  = name [ ":" tag ] [ "@" digest ]
//! name       = [ domain "/" ] path-component *( "/" path-component )     at most 255 bytes
//! domain     = host [ ":" port ]; the first component is one when it has "." or ":" or an upper-case letter, or is "localhost"
//! path       = [a-z0-9]+ ( ("." | "_" | "__" | "-"+) [a-z0-9]+ )*
//! tag        = [A-Za-z0-9_] [A-Za-z0-9_.-]{0,127}
//! ```
//! "alpine" is docker.io/library/alpine:latest.

use std::fmt;
use std::str::FromStr;

use crate::content::{Digest, InvalidDigest};

/// The registry meant when none is named, and its namespace for images without one.
const DEFAULT_DOMAIN: &str = "docker.io";
const DEFAULT_NAMESPACE: &str = "library";
const DEFAULT_TAG: &str = "latest";
/// distribution/reference's bound for domain and path together.
const MAX_NAME_BYTES: usize = 255;
const MAX_TAG_BYTES: usize = 128;
/// The shortest beginning of an id that is taken for one.
const MIN_ID_DIGITS: usize = 4;
/// As many digits of an id as lists show. So many are no name for an image; fewer may be a word ("cafe").
const SHOWN_ID_DIGITS: usize = 12;
/// What an id begins with.
const ID_ALGORITHMS: [&str; 2] = ["sha256", "sha512"];
/// Longer texts are not even looked at; 255 + 128 + a sha512 digest fit well below.
const MAX_REFERENCE_BYTES: usize = 5000;
/// Enough of a wrong text to recognise it in a message.
const MAX_QUOTED_CHARS: usize = 80;

/// A full reference. It has a tag or a digest, or both.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Reference {
    domain: String,
    path: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// What is wrong with a reference.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidReference {
    /// Nothing was given.
    #[error("image reference is empty")]
    Empty,
    /// Longer than any reference can be.
    #[error("image reference has {0} bytes, at most {MAX_REFERENCE_BYTES} are allowed")]
    TooLong(usize),
    /// Domain and path together are too long.
    #[error("image name has {0} bytes, at most {MAX_NAME_BYTES} are allowed")]
    NameTooLong(usize),
    /// The registry's host or port.
    #[error("invalid registry {0:?}: it is written host or host:port")]
    Domain(String),
    /// Upper case in the path, the most frequent mistake.
    #[error("invalid image name {0:?}: it must be lower case")]
    UpperCase(String),
    /// Another wrong path.
    #[error(
        "invalid image name {0:?}: its parts are lower-case letters and digits, with single . _ or - between them"
    )]
    Path(String),
    /// The part after the colon.
    #[error("invalid tag {0:?}: up to 128 letters, digits and _ . - are allowed, not starting with . or -")]
    Tag(String),
    /// The part after the @.
    #[error("invalid digest in the image reference")]
    Digest(#[source] InvalidDigest),
    /// It would be taken for an id.
    #[error(
        "invalid image name {0:?}: sha256:… and {SHOWN_ID_DIGITS} to 64 hexadecimal digits are image ids: choose another name"
    )]
    LooksLikeId(String),
    /// It begins like an id.
    #[error(
        "invalid image id {0:?}: it is written sha256:… with {MIN_ID_DIGITS} to 64 lower-case hexadecimal digits"
    )]
    Id(String),
}

/// What a person may mean by a text. One text has one reading first, whatever an image calls itself: an id before a
/// reference, and where the text says `sha256:`, nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ImageName {
    /// The beginning of an id, `sha256:…`.
    Id(String),
    /// Bare digits: the beginning of an id, or a reference. With an image for each, it is ambiguous.
    IdOrReference(String, Reference),
    /// A reference.
    Reference(Reference),
}

impl FromStr for ImageName {
    type Err = InvalidReference;

    fn from_str(text: &str) -> Result<Self, InvalidReference> {
        if let Some((algorithm, digits)) = text.split_once(':')
            && ID_ALGORITHMS.contains(&algorithm)
        {
            return match is_id_digits(digits, algorithm) {
                true => Ok(Self::Id(text.to_owned())),
                false => Err(InvalidReference::Id(quoted(text))),
            };
        }
        match text.parse::<Reference>() {
            Ok(reference) if is_id_digits(text, "sha256") => {
                Ok(Self::IdOrReference(format!("sha256:{text}"), reference))
            }
            Ok(reference) => Ok(Self::Reference(reference)),
            Err(InvalidReference::LooksLikeId(_)) => Ok(Self::Id(format!("sha256:{text}"))),
            Err(error) => Err(error),
        }
    }
}

/// Lower-case digits, and so many as are taken for an id.
fn is_id_digits(text: &str, algorithm: &str) -> bool {
    let most = if algorithm == "sha512" { 128 } else { 64 };
    let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    (MIN_ID_DIGITS..=most).contains(&text.len()) && text.bytes().all(is_hex)
}

impl Reference {
    /// The registry as it is written, "docker.io" or "localhost:5000".
    #[must_use]
    pub(crate) fn domain(&self) -> &str {
        &self.domain
    }

    /// The repository within the registry, "library/alpine".
    #[must_use]
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// The tag, if there is one.
    #[must_use]
    pub(crate) fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, if there is one; it counts more than the tag.
    #[must_use]
    pub(crate) fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// Refuses what a person could also write for an id: images get no such names, or one could pass for another.
    ///
    /// # Errors
    /// [`InvalidReference::LooksLikeId`].
    pub(crate) fn check_is_no_id(&self) -> Result<(), InvalidReference> {
        let Some(name) = self.path.strip_prefix("library/").filter(|_| self.domain == DEFAULT_DOMAIN) else {
            return Ok(());
        };
        let Some(tag) = &self.tag else { return Ok(()) };
        let is_shown_id = name.len() >= SHOWN_ID_DIGITS && is_id_digits(name, "sha256");
        if ID_ALGORITHMS.contains(&name) || (tag == DEFAULT_TAG && is_shown_id) {
            return Err(InvalidReference::LooksLikeId(quoted(&self.to_string())));
        }
        Ok(())
    }

    /// Domain and path, "docker.io/library/alpine".
    #[must_use]
    pub(crate) fn name(&self) -> String {
        format!("{}/{}", self.domain, self.path)
    }
}

impl FromStr for Reference {
    type Err = InvalidReference;

    fn from_str(text: &str) -> Result<Self, InvalidReference> {
        if text.is_empty() {
            return Err(InvalidReference::Empty);
        }
        if text.len() > MAX_REFERENCE_BYTES {
            return Err(InvalidReference::TooLong(text.len()));
        }
        if text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(InvalidReference::LooksLikeId(text.to_owned()));
        }
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.parse().map_err(InvalidReference::Digest)?)),
            None => (text, None),
        };
        let (name, tag) = match rest.rsplit_once(':') {
            // A colon before the last slash is a port's.
            Some((name, tag)) if !tag.contains('/') => (name, Some(checked_tag(tag)?)),
            _ => (rest, None),
        };
        let (domain, path) = split_domain(name);
        if !is_domain(domain) {
            return Err(InvalidReference::Domain(quoted(domain)));
        }
        check_path(path)?;
        let is_official = domain == DEFAULT_DOMAIN && !path.contains('/');
        let path = if is_official { format!("{DEFAULT_NAMESPACE}/{path}") } else { path.to_owned() };
        let length = domain.len() + 1 + path.len();
        if length > MAX_NAME_BYTES {
            return Err(InvalidReference::NameTooLong(length));
        }
        let tag = match (tag, &digest) {
            (None, None) => Some(DEFAULT_TAG.to_owned()),
            (tag, _) => tag,
        };
        Ok(Self { domain: domain.to_owned(), path, tag, digest })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.domain, self.path)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

fn quoted(text: &str) -> String {
    text.chars().take(MAX_QUOTED_CHARS).collect()
}

fn split_domain(name: &str) -> (&str, &str) {
    match name.split_once('/') {
        Some((first, rest))
            if first.contains(['.', ':'])
                || first == "localhost"
                || first.bytes().any(|byte| byte.is_ascii_uppercase()) =>
        {
            let domain = if first == "index.docker.io" { DEFAULT_DOMAIN } else { first };
            (domain, rest)
        }
        _ => (DEFAULT_DOMAIN, name),
    }
}

fn is_domain(domain: &str) -> bool {
    let (host, port) = match domain.strip_prefix('[') {
        Some(rest) => {
            let Some((address, port)) = rest.split_once(']') else { return false };
            if address.parse::<std::net::Ipv6Addr>().is_err() {
                return false;
            }
            ("", port)
        }
        None => domain.split_once(':').map_or((domain, ""), |(host, _)| (host, &domain[host.len()..])),
    };
    let is_port = match port.strip_prefix(':') {
        Some(digits) => digits.bytes().all(|byte| byte.is_ascii_digit()) && digits.parse::<u16>().is_ok(),
        None => port.is_empty(),
    };
    let is_label = |label: &str| {
        let bytes = label.as_bytes();
        let is_edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
        let is_inner = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-';
        is_edge(bytes.first()) && is_edge(bytes.last()) && bytes.iter().all(is_inner)
    };
    is_port && (domain.starts_with('[') || host.split('.').all(is_label))
}

fn check_path(path: &str) -> Result<(), InvalidReference> {
    if path.split('/').all(is_path_component) {
        return Ok(());
    }
    if path.bytes().any(|byte| byte.is_ascii_uppercase())
        && path.to_lowercase().split('/').all(is_path_component)
    {
        return Err(InvalidReference::UpperCase(quoted(path)));
    }
    Err(InvalidReference::Path(quoted(path)))
}

fn is_path_component(component: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_separator = |text: &str| match text {
        "." | "_" | "__" => true,
        dashes => dashes.bytes().all(|byte| byte == b'-'),
    };
    let bytes = component.as_bytes();
    let starts_and_ends =
        bytes.first().copied().is_some_and(is_word) && bytes.last().copied().is_some_and(is_word);
    let separators = component.split(|letter: char| letter.is_ascii() && is_word(letter as u8));
    starts_and_ends && separators.filter(|between| !between.is_empty()).all(is_separator)
}

fn checked_tag(tag: &str) -> Result<String, InvalidReference> {
    let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    let starts = tag.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if starts && tag.len() <= MAX_TAG_BYTES && tag.bytes().all(is_inner) {
        return Ok(tag.to_owned());
    }
    Err(InvalidReference::Tag(quoted(tag)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn short_references_are_filled_in_as_docker_does() {
        for (text, full) in [
            ("alpine", "docker.io/library/alpine:latest"),
            ("alpine:3.20", "docker.io/library/alpine:3.20"),
            ("docker.io/alpine", "docker.io/library/alpine:latest"),
            ("index.docker.io/alpine", "docker.io/library/alpine:latest"),
            ("user/image", "docker.io/user/image:latest"),
            ("quay.io/a/b/c:v1", "quay.io/a/b/c:v1"),
            ("localhost/x", "localhost/x:latest"),
            ("localhost:5000/x", "localhost:5000/x:latest"),
            ("127.0.0.1:5000/a/b:c", "127.0.0.1:5000/a/b:c"),
            ("[::1]:5000/x:1", "[::1]:5000/x:1"),
            ("a__b/c-d.e_f:T.1-x_", "docker.io/a__b/c-d.e_f:T.1-x_"),
            ("a---b", "docker.io/library/a---b:latest"),
        ] {
            assert_eq!(text.parse::<Reference>().expect(text).to_string(), full);
        }
        let pinned = format!("alpine@sha256:{HEX}");
        let reference = pinned.parse::<Reference>().expect("pinned");
        assert_eq!((reference.tag(), reference.to_string()), (None, format!("docker.io/library/{pinned}")));
        let both = format!("alpine:3@sha256:{HEX}").parse::<Reference>().expect("both");
        assert_eq!(both.tag(), Some("3"));
    }

    #[test]
    fn a_text_that_can_be_an_id_is_one_first_and_a_shown_one_is_no_name() {
        type Is = fn(&ImageName) -> bool;
        let id: Is = |name| matches!(name, ImageName::Id(_));
        let either: Is = |name| matches!(name, ImageName::IdOrReference(..));
        let reference: Is = |name| matches!(name, ImageName::Reference(_));
        let (full, short) = (format!("sha256:{HEX}"), format!("sha256:{}", &HEX[..12]));
        // Text, what it is first, whether an image may be called so.
        for (text, is_expected, is_allowed) in [
            (full.as_str(), id, false),
            (&short, id, false),
            ("sha256:cafe", id, false),
            ("sha512:cafe", id, false),
            (HEX, id, false),
            (&HEX[..63], either, false),
            (&HEX[..12], either, false),
            (&HEX[..11], either, true),
            ("cafe", either, true),
            ("abc", reference, true),
            ("cafe:1", reference, true),
            ("cafe/x", reference, true),
            ("cafex", reference, true),
            ("docker.io/cafe", reference, true),
            (&format!("docker.io/library/{}:latest", &HEX[..12]), reference, false),
            (&format!("library/{}", &HEX[..12]), reference, false),
            ("index.docker.io/library/sha256:cafe", reference, false),
            ("docker.io/sha256", reference, false),
            ("library/sha256:1", reference, false),
            ("library/sha512:x", reference, false),
            ("user/sha256:cafe", reference, true),
            ("localhost/sha256:cafe", reference, true),
            ("quay.io/cafe", reference, true),
        ] {
            let name = text.parse::<ImageName>().expect(text);
            assert!(is_expected(&name), "{text}: {name:?}");
            let allowed = text.parse::<Reference>().and_then(|reference| reference.check_is_no_id());
            assert_eq!(allowed.is_ok(), is_allowed, "{text}: {allowed:?}");
        }
        for text in
            ["sha256:", "sha256:abc", "sha256:latest", "sha256:CAFE", &format!("{full}0"), "sha256:cafe@x"]
        {
            let error = text.parse::<ImageName>().expect_err(text);
            assert!(matches!(error, InvalidReference::Id(_)), "{text}: {error:?}");
        }
    }

    #[test]
    fn the_message_names_what_is_wrong() {
        use InvalidReference as I;
        let long_tag = format!("a:{}", "t".repeat(129));
        let long_name = "n".repeat(250);
        for (text, is_expected) in [
            ("", (|error| matches!(error, I::Empty)) as fn(&I) -> bool),
            ("Alpine", |error| matches!(error, I::UpperCase(_))),
            ("a//b", |error| matches!(error, I::Path(_))),
            ("a/../b", |error| matches!(error, I::Path(_))),
            ("-a", |error| matches!(error, I::Path(_))),
            ("a___b", |error| matches!(error, I::Path(_))),
            ("a..b/c", |error| matches!(error, I::Domain(_))),
            ("bücher", |error| matches!(error, I::Path(_))),
            ("a b", |error| matches!(error, I::Path(_))),
            ("a:", |error| matches!(error, I::Tag(_))),
            ("a:-x", |error| matches!(error, I::Tag(_))),
            (&long_tag, |error| matches!(error, I::Tag(_))),
            ("a@sha256:beef", |error| matches!(error, I::Digest(_))),
            ("a@", |error| matches!(error, I::Digest(_))),
            ("host.:5000/a", |error| matches!(error, I::Domain(_))),
            ("host:port/a", |error| matches!(error, I::Domain(_))),
            ("host:99999/a", |error| matches!(error, I::Domain(_))),
            ("[::1/a", |error| matches!(error, I::Domain(_))),
            ("https://quay.io/a", |error| matches!(error, I::Domain(_))),
            (&long_name, |error| matches!(error, I::NameTooLong(_))),
            (&"a".repeat(5001), |error| matches!(error, I::TooLong(5001))),
            (HEX, |error| matches!(error, I::LooksLikeId(_))),
        ] {
            let error = text.parse::<Reference>().expect_err(text);
            assert!(is_expected(&error), "{text:?}: {error:?}");
        }
    }
}
