//! Platforms: what an image is built for, what this machine is, and which entry of an index fits best.

use std::fmt;
use std::str::FromStr;

/// `os/architecture[/variant]` with the names that Go and the OCI image-spec use.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Platform {
    /// "linux".
    pub(crate) os: String,
    /// "amd64", "arm64", …; empty for an image that does not say it.
    pub(crate) architecture: String,
    /// "v7" and the like; empty when there is only one or the usual one is meant.
    pub(crate) variant: String,
}

/// Any image that says its architecture fits better.
const UNKNOWN_FIT: u32 = 1000;

/// A platform is written `os/architecture[/variant]`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid platform {0:?}: it is written os/architecture[/variant], for example linux/arm64")]
pub(crate) struct InvalidPlatform(String);

impl Platform {
    /// What this program was built for, and so runs on.
    #[must_use]
    pub(crate) fn here() -> Self {
        normalised("linux", std::env::consts::ARCH, "")
    }

    /// How well an image for `offered` runs where `self` is wanted: smaller is better, `None` is not at all. An older
    /// arm variant runs on a newer processor; amd64's v2 and later are taken only when asked for.
    #[must_use]
    pub(crate) fn fit(&self, offered: &Self) -> Option<u32> {
        if self.os != offered.os {
            return None;
        }
        // An old image that does not say what it is built for: better than nothing.
        if offered.architecture.is_empty() {
            return Some(UNKNOWN_FIT);
        }
        if self.architecture != offered.architecture {
            return None;
        }
        let level = |platform: &Self| match (platform.architecture.as_str(), platform.variant.as_str()) {
            ("arm64", "") => Some(8),
            ("arm", "") => Some(7),
            (_, "") => Some(1),
            (_, variant) => variant.strip_prefix('v')?.split('.').next()?.parse::<u32>().ok(),
        };
        match (level(self), level(offered)) {
            (Some(wanted), Some(offered)) => wanted.checked_sub(offered),
            _ if self.variant == offered.variant => Some(0),
            _ => None,
        }
    }
}

/// containerd's platforms.Normalize.
fn normalised(os: &str, architecture: &str, variant: &str) -> Platform {
    let (os, architecture) = (os.to_lowercase(), architecture.to_lowercase());
    let variant = variant.to_lowercase();
    let (architecture, variant) = match (architecture.as_str(), variant.as_str()) {
        ("x86_64" | "x86-64" | "amd64", "" | "v1") => ("amd64", ""),
        ("x86_64" | "x86-64", other) => ("amd64", other),
        ("i386" | "i686" | "x86" | "386", _) => ("386", ""),
        ("aarch64" | "arm64", "" | "8" | "v8") => ("arm64", ""),
        ("aarch64", other) => ("arm64", other),
        ("armhf", _) | ("arm", "" | "7" | "v7") => ("arm", "v7"),
        ("armel", _) => ("arm", "v6"),
        ("powerpc64" | "powerpc64le", other) => ("ppc64le", other),
        (architecture, variant) => (architecture, variant),
    };
    Platform { os, architecture: architecture.to_owned(), variant: variant.to_owned() }
}

impl FromStr for Platform {
    type Err = InvalidPlatform;

    fn from_str(text: &str) -> Result<Self, InvalidPlatform> {
        let is_part = |part: &str| {
            !part.is_empty()
                && part.len() <= 32
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
        };
        let parts: Vec<&str> = text.split('/').collect();
        if !parts.iter().all(|part| is_part(part)) {
            return Err(InvalidPlatform(text.chars().take(80).collect()));
        }
        match parts.as_slice() {
            [os, architecture] => Ok(normalised(os, architecture, "")),
            [os, architecture, variant] => Ok(normalised(os, architecture, variant)),
            _ => Err(InvalidPlatform(text.chars().take(80).collect())),
        }
    }
}

impl From<&oci_spec::image::Platform> for Platform {
    fn from(platform: &oci_spec::image::Platform) -> Self {
        let variant = platform.variant().as_deref().unwrap_or("");
        normalised(&platform.os().to_string(), &platform.architecture().to_string(), variant)
    }
}

impl From<&oci_spec::image::ImageConfiguration> for Platform {
    fn from(config: &oci_spec::image::ImageConfiguration) -> Self {
        let variant = config.variant().as_deref().unwrap_or("");
        normalised(&config.os().to_string(), &config.architecture().to_string(), variant)
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.os)?;
        let rest = [&self.architecture, &self.variant];
        rest.into_iter().filter(|part| !part.is_empty()).try_for_each(|part| write!(f, "/{part}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fit(wanted: &str, offered: &str) -> Option<u32> {
        let parsed = |text: &str| text.parse::<Platform>().expect(text);
        parsed(wanted).fit(&parsed(offered))
    }

    #[test]
    fn older_variants_run_on_newer_processors_and_not_the_other_way() {
        assert_eq!(fit("linux/arm64", "linux/arm64/v8"), Some(0));
        assert_eq!(fit("linux/arm", "linux/arm/v7"), Some(0));
        assert_eq!(fit("linux/arm/v7", "linux/arm/v6"), Some(1));
        assert_eq!(fit("linux/arm/v6", "linux/arm/v7"), None);
        assert_eq!(fit("linux/amd64", "linux/amd64/v3"), None);
        assert_eq!(fit("linux/amd64/v3", "linux/amd64"), Some(2));
        assert_eq!(fit("linux/amd64", "linux/arm64"), None);
        assert_eq!(fit("linux/amd64", "windows/amd64"), None);
    }

    #[test]
    fn other_names_for_a_platform_are_understood() {
        for (text, full) in [
            ("linux/x86_64", "linux/amd64"),
            ("Linux/aarch64", "linux/arm64"),
            ("linux/armhf", "linux/arm/v7"),
        ] {
            assert_eq!(text.parse::<Platform>().expect(text).to_string(), full);
        }
        for text in ["", "linux", "linux/", "/amd64", "a/b/c/d", "linux/amd 64"] {
            assert!(text.parse::<Platform>().is_err(), "{text:?}");
        }
    }
}
