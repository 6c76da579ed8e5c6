//! `--tmpfs TARGET[:OPTIONS]`

use knarr_proto::v1::{Mount, MountType};

use super::volume::target_path;
use super::{BadOption, size};

/// Reads a tmpfs mount.
pub(crate) fn parse(text: &str) -> Result<Mount, BadOption> {
    let (target, options) = text.split_once(':').unwrap_or((text, ""));
    let mut mount =
        Mount { r#type: MountType::Tmpfs.into(), target: target_path(target, text)?, ..Mount::default() };
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option.split_once('=').unwrap_or((option, "")) {
            ("ro", "") => mount.read_only = true,
            ("rw", "") => mount.read_only = false,
            // These are always on, as by docker's default.
            ("noexec" | "nosuid" | "nodev", "") => {}
            ("size", value) => mount.tmpfs_size_bytes = bytes(value)?,
            ("mode", value) => mount.tmpfs_mode = mode(value, text)?,
            _ => {
                return Err(BadOption::part(
                    option,
                    text,
                    "is not supported: options of a tmpfs are size, mode, ro, rw, noexec, nosuid and nodev",
                ));
            }
        }
    }
    Ok(mount)
}

/// A tmpfs's size.
pub(super) fn bytes(value: &str) -> Result<u64, BadOption> {
    size::parse(value)?.try_into().map_err(|_| BadOption::form(value, "a size that is not negative"))
}

/// Octal permissions.
pub(super) fn mode(value: &str, text: &str) -> Result<u32, BadOption> {
    u32::from_str_radix(value, 8)
        .ok()
        .filter(|mode| *mode <= 0o7777)
        .ok_or_else(|| BadOption::part(value, text, "is no octal mode such as 1777"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tmpfs_mounts_are_understood() {
        let mount = parse("/run:rw,noexec,nosuid,size=65536k,mode=700").expect("a tmpfs");
        assert_eq!(
            (mount.target.as_str(), mount.tmpfs_size_bytes, mount.tmpfs_mode),
            ("/run", 64 << 20, 0o700)
        );
        assert!(parse("/run:ro").expect("a tmpfs").read_only);
        for text in ["run", "/run:size=50%", "/run:mode=9", "/run:mode=77777", "/run:exec", "/", "/run:ro=1"]
        {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
