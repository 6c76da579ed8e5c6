//! What a volume is, and what is asked for when one is made.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::error::VolumeError;
use crate::filters::{FilterKeys, Values};
use crate::random;
use crate::time::UnixNs;

/// The only driver.
pub(super) const LOCAL: &str = "local";
/// The label that docker gives volumes without a name of their own.
pub(super) const ANONYMOUS: &str = "com.docker.volume.anonymous";

/// What volumes can be filtered by.
pub(crate) const FILTER_KEYS: FilterKeys = FilterKeys {
    things: "volumes",
    keys: &[
        ("name", Values::Any),
        ("driver", Values::Any),
        ("label", Values::Any),
        ("dangling", Values::OneOf(&["true", "false", "1", "0"])),
    ],
};

/// A volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Volume {
    pub(crate) name: String,
    pub(crate) options: BTreeMap<String, String>,
    pub(crate) labels: BTreeMap<String, String>,
    /// Made for one container, and removed with it where that is asked for.
    pub(crate) is_anonymous: bool,
    pub(crate) created_at: UnixNs,
}

/// A volume as seen from outside.
#[derive(Clone, Debug)]
pub(crate) struct View {
    pub(crate) volume: Volume,
    /// Where its files are, on the host.
    pub(crate) path: PathBuf,
    /// The ids of the containers that use it.
    pub(crate) users: Vec<String>,
}

/// A volume that is to be there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct NewVolume {
    pub(crate) name: String,
    /// Empty for the local one.
    pub(crate) driver: String,
    pub(crate) options: BTreeMap<String, String>,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) is_anonymous: bool,
}

/// A container's place for a volume, which is made where it is missing.
#[derive(Clone, Debug)]
pub(crate) struct VolumeUse {
    pub(crate) volume: NewVolume,
    /// Absolute path in the container.
    pub(crate) target: String,
    /// Whether an empty volume gets what the image has in that place.
    pub(crate) is_seeded: bool,
}

impl NewVolume {
    /// One that is asked for by itself; without a name it gets one, and is anonymous.
    pub(crate) fn asked(
        name: String,
        driver: String,
        options: BTreeMap<String, String>,
        labels: BTreeMap<String, String>,
    ) -> Self {
        let is_anonymous = name.is_empty();
        let name = if is_anonymous { random::hex() } else { name };
        Self { name, driver, options, labels, is_anonymous }
    }

    /// The volume, made now.
    ///
    /// # Errors
    /// [`VolumeError::Name`], [`VolumeError::Driver`], [`VolumeError::Options`].
    pub(super) fn volume(&self) -> Result<Volume, VolumeError> {
        check_name(&self.name)?;
        if !["", LOCAL].contains(&self.driver.as_str()) {
            return Err(VolumeError::Driver { name: self.name.clone(), driver: self.driver.clone() });
        }
        super::local::check(&self.name, &self.options)?;
        let mut labels = self.labels.clone();
        if self.is_anonymous {
            labels.insert(ANONYMOUS.to_owned(), String::new());
        }
        Ok(Volume {
            name: self.name.clone(),
            options: self.options.clone(),
            labels,
            is_anonymous: self.is_anonymous,
            created_at: UnixNs::now(),
        })
    }
}

/// A name is a directory's name, too.
fn check_name(name: &str) -> Result<(), VolumeError> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    let begins_well = name.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric);
    match begins_well && (2..=255).contains(&name.len()) && name.bytes().all(is_allowed) {
        true => Ok(()),
        false => Err(VolumeError::Name(name.chars().take(256).collect())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_name_of_a_directory() {
        for name in ["ab", "data", "a.b-c_d", "0x", &"a".repeat(255)] {
            assert!(check_name(name).is_ok(), "{name}");
        }
        for name in
            ["", "a", ".a", "-a", "_a", "..", "a/b", "a b", "ä1", "a\n", "a\0", &"a".repeat(256), "/data"]
        {
            assert!(check_name(name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn only_the_local_driver_is_here() {
        let asked = |driver: &str| NewVolume {
            name: "data".to_owned(),
            driver: driver.to_owned(),
            ..NewVolume::default()
        };
        assert!(asked("").volume().is_ok() && asked("local").volume().is_ok());
        let refused = asked("rexray").volume().expect_err("another driver").to_string();
        assert!(refused.contains("\"rexray\""), "{refused}");
    }
}
