//! The VOLUMEs that an image declares. They are data of the image: they are looked at as such, and those that would
//! cover what knarr or the kernel puts into a container are left out, with a warning.

use std::path::Path;

use super::mounts::{MAX_MOUNTS, OWN_FILES};
use super::target::MountTarget;
use crate::untrusted::{UntrustedFileError, UntrustedRoot};

/// So many warnings of one image are worth reading.
const MAX_WARNINGS: usize = 8;

/// A volume of the image with its directory's owner and mode in the container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct VolumeRoot {
    pub(crate) target: MountTarget,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// Owners and modes of these volumes' directories in the container; those that are not there yet are root's. Blocks.
///
/// # Errors
/// [`UntrustedFileError`] for a place that cannot be looked at.
pub(crate) fn volume_roots<'a>(
    rootfs: &UntrustedRoot,
    volumes: impl Iterator<Item = &'a str>,
) -> Result<Vec<VolumeRoot>, UntrustedFileError> {
    let mut roots = Vec::new();
    for text in volumes {
        // Containers of earlier versions have them as their image wrote them.
        let Ok(target) = text.parse::<MountTarget>() else { continue };
        if target.is_kernels() {
            continue;
        }
        let stat = rootfs.directory(target.as_path())?;
        let (mode, uid, gid) =
            stat.map_or((0o755, 0, 0), |stat| (stat.st_mode & 0o7777, stat.st_uid, stat.st_gid));
        roots.push(VolumeRoot { target, mode, uid, gid });
    }
    Ok(roots)
}

/// Which of the volumes that an image `declared` are used, in one spelling each, and why the others are not.
pub(crate) fn usable_volumes(declared: &[String]) -> (Vec<String>, Vec<String>) {
    let mut used: Vec<String> = Vec::new();
    let mut warnings = Vec::new();
    // In one order: an image's volumes are a JSON object, read in any.
    let mut declared: Vec<&String> = declared.iter().collect();
    declared.sort_unstable();
    let mut untold = 0_usize;
    for text in declared {
        let problem = match text.parse::<MountTarget>() {
            Err(_) => "is no path below / without ..",
            Ok(target) if target.is_kernels() => "is the kernel's",
            Ok(target) if OWN_FILES.iter().any(|(file, _)| target.as_path() == Path::new(file)) => {
                "is a file of knarr's own"
            }
            Ok(_) if used.len() >= MAX_MOUNTS => "is beyond the number of mounts that a container may have",
            Ok(target) => {
                let target = target.to_string();
                if !used.contains(&target) {
                    used.push(target);
                }
                continue;
            }
        };
        if warnings.len() < MAX_WARNINGS {
            let shown: String = text.chars().take(80).collect();
            warnings
                .push(format!("the image declares the volume {shown:?}, which {problem}: it is left out"));
        } else {
            untold += 1;
        }
    }
    if untold > 0 {
        warnings.push(format!("the image declares more volumes that are left out: {untold}"));
    }
    (used, warnings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_covers_nothing_that_is_not_its_own() {
        let declared = [
            "/data",
            "/data/",
            "//var/./lib",
            "/sys",
            "/proc/sys",
            "/dev",
            "/dev/shm",
            "/",
            "/a/../etc",
            "x",
            "",
            "/etc/hosts",
            "/etc",
        ];
        let (used, warnings) = usable_volumes(&declared.map(str::to_owned));
        assert_eq!(used, ["/var/lib", "/data", "/etc"]);
        assert_eq!(warnings.len(), MAX_WARNINGS + 1);
        assert!(warnings[0].contains("\"\""), "{warnings:?}");
        assert_eq!(warnings[MAX_WARNINGS], "the image declares more volumes that are left out: 1");
        let mut other_order = declared;
        other_order.reverse();
        assert_eq!(usable_volumes(&other_order.map(str::to_owned)), (used, warnings));
    }

    #[test]
    fn an_image_with_very_many_volumes_has_some() {
        let declared: Vec<String> = (0..20_000).map(|number| format!("/v{number}")).collect();
        let (used, warnings) = usable_volumes(&declared);
        assert_eq!((used.len(), warnings.len()), (MAX_MOUNTS, MAX_WARNINGS + 1));
    }
}
