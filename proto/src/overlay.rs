//! Short names for overlayfs's directories. mount(2) takes one page of options, and no kernel before 6.5 has another way
//! to name the layers: so long lists are written relative to the directory that all of them are below, from which the
//! caller then mounts. Only texts; nothing is mounted here.

use std::path::{Path, PathBuf};

/// mount(2) takes one page of options, its last byte for the zero.
pub const MAX_MOUNT_DATA_BYTES: usize = 4095;

/// overlayfs options whose directories are relative to `directory`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelativeOptions {
    /// The working directory that the options are true in.
    pub directory: PathBuf,
    /// All options, in their order.
    pub options: Vec<String>,
}

/// Rewrites the directories in `options`. `None` when there are none, when one is relative already, or when one is
/// written with escapes.
#[must_use]
pub fn relative_options<S: AsRef<str>>(options: &[S]) -> Option<RelativeOptions> {
    let all = options.iter().filter_map(|option| directories(option.as_ref())).flat_map(|(_, paths)| paths);
    let mut common: Option<&Path> = None;
    for path in all {
        let path = Path::new(path);
        if !path.is_absolute() {
            return None;
        }
        // Never the directory itself: its relative name would be empty.
        let above = path.parent()?;
        common = match common {
            None => Some(above),
            Some(common) => common.ancestors().find(|ancestor| above.starts_with(ancestor)),
        };
    }
    let directory = common?;
    let mut relative = Vec::with_capacity(options.len());
    for option in options.iter().map(AsRef::as_ref) {
        let Some((key, paths)) = directories(option) else {
            relative.push(option.to_owned());
            continue;
        };
        if option.contains('\\') {
            return None;
        }
        let names = paths.map(|path| Path::new(path).strip_prefix(directory).ok()?.to_str());
        relative.push(format!("{key}={}", names.collect::<Option<Vec<_>>>()?.join(":")));
    }
    Some(RelativeOptions { directory: directory.to_owned(), options: relative })
}

/// The option's key and directories, when it has any.
fn directories(option: &str) -> Option<(&str, std::str::Split<'_, char>)> {
    let (key, value) = option.split_once('=')?;
    match key {
        "lowerdir" => Some((key, value.split(':'))),
        // One directory, in which a colon is a letter like any other.
        "upperdir" | "workdir" => Some((key, value.split('\0'))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_are_named_from_where_all_of_them_are() {
        for (options, directory, relative) in [
            (
                &["index=off", "workdir=/v/s/9/work", "upperdir=/v/s/9/fs", "lowerdir=/v/s/8/fs:/v/s/7/fs"][..],
                "/v/s",
                &["index=off", "workdir=9/work", "upperdir=9/fs", "lowerdir=8/fs:7/fs"][..],
            ),
            (&["ro", "lowerdir=/a:/b/c"], "/", &["ro", "lowerdir=a:b/c"]),
            (&["lowerdir=/a/b/c"], "/a/b", &["lowerdir=c"]),
            // One is above the other.
            (&["lowerdir=/a/b:/a/b/c"], "/a", &["lowerdir=b:b/c"]),
            // Names that only begin alike.
            (&["lowerdir=/a/bc/x:/a/b/x"], "/a", &["lowerdir=bc/x:b/x"]),
        ] {
            let relative = relative.iter().map(|option| (*option).to_owned()).collect();
            let expected = RelativeOptions { directory: directory.into(), options: relative };
            assert_eq!(relative_options(options), Some(expected), "{options:?}");
        }
    }

    #[test]
    fn what_cannot_be_rewritten_is_left_to_the_caller() {
        for options in [&["index=off"][..], &["lowerdir=a:/b"], &["lowerdir=/"], &[r"lowerdir=/a\:b:/c"], &[]]
        {
            assert_eq!(relative_options(options), None, "{options:?}");
        }
    }
}
