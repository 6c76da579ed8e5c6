//! Versions of docker's API: which there are, the prefix of a path, the headers that every answer has, and what older
//! clients are shown otherwise. Handlers know one version only.

use http::header::SERVER;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

use super::failures::Refusal;

/// The newest one, whose shape all answers have. Later ones leave out what programs still read.
pub(super) const NEWEST: Version = Version { major: 1, minor: 51 };
/// The oldest one that is still in use, by testcontainers and docker-py.
pub(super) const OLDEST: Version = Version { major: 1, minor: 24 };
/// From here on a stream says that it is multiplexed.
pub(super) const MULTIPLEXED: Version = Version { major: 1, minor: 42 };

/// A version of the API; the newest for a path without one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version {
    major: u32,
    minor: u32,
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl Version {
    pub(super) const fn new(major: u32, minor: u32) -> Self {
        Self { major, minor }
    }

    fn parse(text: &str) -> Self {
        // What is no number is 0 to docker, and what is too large is surely too new.
        let number = |part: &str| match part {
            "" => 0,
            part => part.parse().unwrap_or(u32::MAX),
        };
        let mut parts = text.split('.').map(number);
        Self { major: parts.next().unwrap_or(0), minor: parts.next().unwrap_or(0) }
    }
}

/// The version that a path begins with, and the rest of it.
///
/// # Errors
/// [`Refusal`] for a version that knarrd does not speak.
pub(super) fn split(path: &str) -> Result<(Version, &str), Refusal> {
    let Some((text, rest)) = prefix(path) else { return Ok((NEWEST, path)) };
    let version = Version::parse(text);
    if version < OLDEST {
        let refusal = Refusal::bad(format!(
            "client version {text} is too old. Minimum supported API version is {OLDEST}, \
             please upgrade your client to a newer version"
        ));
        return Err(refusal.in_plain_text());
    }
    if version > NEWEST {
        return Err(Refusal::bad(format!(
            "client version {text} is too new. Maximum supported API version is {NEWEST}"
        )));
    }
    Ok((version, rest))
}

/// `1.41` and `/info` of `/v1.41/info`.
fn prefix(path: &str) -> Option<(&str, &str)> {
    let behind = path.strip_prefix("/v")?;
    let slash = behind.find('/')?;
    let (text, rest) = behind.split_at(slash);
    let is_version = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    is_version.then_some((text, rest))
}

/// What every answer says of the server.
pub(super) fn stamp(headers: &mut HeaderMap) {
    const SERVER_TEXT: &str = concat!("Docker/", env!("CARGO_PKG_VERSION"), " (linux)");
    headers.insert(SERVER, HeaderValue::from_static(SERVER_TEXT));
    let newest = HeaderValue::try_from(NEWEST.to_string()).expect("digits and a dot");
    headers.insert(HeaderName::from_static("api-version"), newest);
    headers.insert(HeaderName::from_static("ostype"), HeaderValue::from_static("linux"));
}

/// Until which version, of what, and how it is changed back.
type Change = (Version, Part, fn(&mut Value));

/// What was otherwise in older versions: until which one, of which path, and how.
const CHANGES: [Change; 3] = [
    (Version { major: 1, minor: 43 }, Part::Images, with_no_names),
    (Version { major: 1, minor: 44 }, Part::Images, with_virtual_size),
    (Version { major: 1, minor: 44 }, Part::Image, with_virtual_size),
];

/// What an answer is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// One object of the list of images.
    Images,
    /// An image as inspected.
    Image,
}

/// Gives an answer the shape that it had in `version`.
pub(super) fn adapt(version: Version, part: Part, value: &mut Value) {
    let changes = CHANGES.iter().filter(|(until, of, _)| version < *until && *of == part);
    for (_, _, change) in changes {
        change(value);
    }
}

fn with_no_names(image: &mut Value) {
    for (key, none) in [("RepoTags", "<none>:<none>"), ("RepoDigests", "<none>@<none>")] {
        if image[key].as_array().is_some_and(Vec::is_empty) {
            image[key] = Value::from(vec![none]);
        }
    }
}

fn with_virtual_size(image: &mut Value) {
    image["VirtualSize"] = image["Size"].clone();
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_prefix_is_a_version_or_part_of_the_path() {
        for (path, version, rest) in [
            ("/info", NEWEST, "/info"),
            ("/v1.24/info", OLDEST, "/info"),
            ("/v1.51/info", NEWEST, "/info"),
            ("/v1.30/v1.31/info", Version { major: 1, minor: 30 }, "/v1.31/info"),
            ("/version", NEWEST, "/version"),
            ("/volumes/v1.9", NEWEST, "/volumes/v1.9"),
            ("/v/info", NEWEST, "/v/info"),
            ("/v1.41", NEWEST, "/v1.41"),
        ] {
            assert_eq!(split(path), Ok((version, rest)), "{path}");
        }
        for (path, text) in [
            ("/v1.23/info", "client version 1.23 is too old. Minimum supported API version is 1.24"),
            ("/v1.9/info", "client version 1.9 is too old"),
            ("/v1/info", "client version 1 is too old"),
            ("/v1.52/info", "client version 1.52 is too new. Maximum supported API version is 1.51"),
            ("/v2.0/info", "client version 2.0 is too new"),
            ("/v1.99999999999/info", "client version 1.99999999999 is too new"),
        ] {
            let refusal = split(path).expect_err(path);
            assert!(refusal.message().starts_with(text), "{refusal:?}");
        }
    }

    #[test]
    fn older_clients_see_what_they_expect_of_images() {
        let shown = |minor, part| {
            let mut image = json!({"RepoTags": [], "RepoDigests": ["a@b"], "Size": 7});
            adapt(Version { major: 1, minor }, part, &mut image);
            image
        };
        assert_eq!(shown(51, Part::Images), json!({"RepoTags": [], "RepoDigests": ["a@b"], "Size": 7}));
        assert_eq!(shown(43, Part::Images)["VirtualSize"], 7);
        assert_eq!(shown(42, Part::Images)["RepoTags"], json!(["<none>:<none>"]));
        assert_eq!(shown(24, Part::Image)["RepoTags"], json!([]));
    }
}
