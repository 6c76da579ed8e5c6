//! Why something failed, as data beside the sentence for people: from the runtime (a field of its JSON log), over the shim
//! (a detail of the ttrpc status) and knarrd (the metadata key `knarr-reason`) to the exit code of the command line. No
//! program reads it out of a sentence.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The metadata key of gRPC, and the type of the detail in a ttrpc status.
pub const KEY: &str = "knarr-reason";

/// What a program may want to act upon; most errors have none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Reason {
    /// There is no such command in the container. Exit code 127.
    CommandNotFound,
    /// The command in the container is no program, or may not be executed. Exit code 126.
    CommandNotExecutable,
    /// The disk is full.
    NoSpace,
}

/// A word of a newer program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an unknown reason")]
pub struct UnknownReason;

impl Reason {
    const ALL: [Self; 3] = [Self::CommandNotFound, Self::CommandNotExecutable, Self::NoSpace];

    /// The word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CommandNotFound => "COMMAND_NOT_FOUND",
            Self::CommandNotExecutable => "COMMAND_NOT_EXECUTABLE",
            Self::NoSpace => "NO_SPACE",
        }
    }

    /// The exit code of a command that could not be started for this reason, as shells and docker have it.
    #[must_use]
    pub fn exit_code(self) -> Option<u8> {
        match self {
            Self::CommandNotFound => Some(127),
            Self::CommandNotExecutable => Some(126),
            Self::NoSpace => None,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Reason {
    type Err = UnknownReason;

    fn from_str(text: &str) -> Result<Self, UnknownReason> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == text).ok_or(UnknownReason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_the_same_word_everywhere() {
        for reason in Reason::ALL {
            assert_eq!(reason.as_str().parse(), Ok(reason));
            let json = serde_json::to_string(&reason).expect("a word");
            assert_eq!(json, format!("\"{reason}\""));
        }
        assert_eq!("TOO_LATE".parse::<Reason>(), Err(UnknownReason));
    }
}
