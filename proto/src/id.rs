//! Container ids: the one way to own a name that is safe as a directory, a cgroup and a socket name.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A container's or an exec's id: `[A-Za-z0-9_+.-]{1,240}`, not `.` or `..` (runc's syntax, which containerd's and Docker's ids fit).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ContainerId(String);

/// runc has no bound; the kernel's for one path component is 255 bytes, and cgroup and socket names add to it.
const MAX_LENGTH: usize = 240;

/// Why a text is no container id. The messages are runc's, which its callers look for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidId {
    /// Nothing was given.
    #[error("container id cannot be empty")]
    Empty,
    /// Characters or length that are not allowed.
    #[error("invalid container ID format: {0:?} (allowed are 1 to 240 letters, digits and _ + . -)")]
    Format(String),
}

impl ContainerId {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ContainerId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_+.-".contains(&byte);
        match text {
            "" => Err(InvalidId::Empty),
            "." | ".." => Err(InvalidId::Format(text.to_owned())),
            _ if text.len() <= MAX_LENGTH && text.bytes().all(allowed) => Ok(Self(text.to_owned())),
            _ => Err(InvalidId::Format(text.chars().take(80).collect())),
        }
    }
}

impl TryFrom<String> for ContainerId {
    type Error = InvalidId;

    fn try_from(text: String) -> Result<Self, InvalidId> {
        text.parse()
    }
}

impl From<ContainerId> for String {
    fn from(id: ContainerId) -> Self {
        id.0
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for ContainerId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_runc_takes_are_taken() {
        for text in ["a", "web_1", "A+b.c-d", "...", "-x", &"f".repeat(240)] {
            assert_eq!(text.parse::<ContainerId>().expect(text).as_str(), text);
        }
    }

    #[test]
    fn names_that_could_leave_their_directory_are_refused() {
        assert_eq!("".parse::<ContainerId>(), Err(InvalidId::Empty));
        for text in [".", "..", "a/b", "a\0", "ä", "a b", "/", &"f".repeat(241)] {
            assert!(matches!(text.parse::<ContainerId>(), Err(InvalidId::Format(_))), "{text:?}");
        }
    }
}
