//! `linux.personality`: the execution domain, so that a 32-bit userland sees a 32-bit machine in uname.

use rustix::io::Errno;

use crate::spec;
use crate::sys::personality;

/// Why a personality cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PersonalityError {
    /// Neither of the two domains.
    #[error("invalid linux.personality.domain {0:?} (LINUX or LINUX32)")]
    Domain(String),
    /// The specification has the field, and no value for it.
    #[error("linux.personality.flags is not supported: the specification defines no flag, remove {0:?}")]
    Flag(String),
}

/// An execution domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Personality {
    /// PER_LINUX.
    Linux,
    /// PER_LINUX32: uname says i686 (or armv8l).
    Linux32,
}

impl Personality {
    /// Reads the domain.
    ///
    /// # Errors
    /// [`PersonalityError`].
    pub(crate) fn parse(personality: &spec::linux::Personality) -> Result<Self, PersonalityError> {
        if let Some(flag) = personality.flags.first() {
            return Err(PersonalityError::Flag(flag.clone()));
        }
        match personality.domain.as_str() {
            "LINUX" => Ok(Self::Linux),
            "LINUX32" => Ok(Self::Linux32),
            other => Err(PersonalityError::Domain(other.to_owned())),
        }
    }

    /// Applies it to the calling thread; must come before seccomp, whose profiles filter personality.
    ///
    /// # Errors
    /// The kernel's.
    pub(crate) fn apply(self) -> Result<(), Errno> {
        personality::set(match self {
            Self::Linux => 0x0000,
            Self::Linux32 => 0x0008,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(domain: &str, flags: &[&str]) -> Result<Personality, PersonalityError> {
        let flags = flags.iter().map(|&flag| flag.to_owned()).collect();
        Personality::parse(&spec::linux::Personality { domain: domain.to_owned(), flags })
    }

    #[test]
    fn only_the_two_domains_are_taken() {
        assert_eq!(parse("LINUX", &[]), Ok(Personality::Linux));
        assert_eq!(parse("LINUX32", &[]), Ok(Personality::Linux32));
        assert_eq!(parse("linux32", &[]), Err(PersonalityError::Domain("linux32".to_owned())));
    }

    #[test]
    fn a_flag_is_refused_because_the_specification_has_none() {
        assert_eq!(parse("LINUX", &["X"]), Err(PersonalityError::Flag("X".to_owned())));
    }
}
