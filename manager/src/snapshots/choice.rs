//! Which snapshotter is used, decided once at start: the one that made what is here, else overlayfs where it works, else
//! copies. A second choice is never silent: it is logged, and `knarr info` tells it with its consequence.

use std::path::Path;

use super::native::Native;
use super::overlay::Overlay;
use super::probe::{ProbeError, probe};
use super::{SnapshotError, Snapshotter};
use crate::error::Chain;

/// The names that snapshotters record.
pub(super) const NAMES: [&str; 2] = ["overlayfs", "native"];

/// What every copy costs.
const CONSEQUENCE: &str = "every container is a whole copy of its image";

/// Which snapshotter to use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Choice {
    /// overlayfs where the kernel and the file system can, otherwise native; what was chosen once stays.
    #[default]
    Automatic,
    /// overlayfs or an error.
    Overlayfs,
    /// Plain copies.
    Native,
}

/// The snapshotter, and what should be known of it.
pub(super) struct Chosen {
    pub(super) snapshotter: Box<dyn Snapshotter>,
    pub(super) warning: Option<String>,
}

/// Decides, and logs what it would be wrong to keep silent about. `used` is the name of the snapshotter that made the
/// snapshots in `root`.
pub(super) fn choose(root: &Path, choice: Choice, used: Option<&str>) -> Result<Chosen, SnapshotError> {
    let wanted = match (choice, used) {
        (Choice::Automatic, Some("native")) | (Choice::Native, None | Some("native")) => Choice::Native,
        (Choice::Automatic | Choice::Overlayfs, Some("overlayfs")) | (Choice::Overlayfs, None) => {
            Choice::Overlayfs
        }
        (Choice::Automatic, None) => Choice::Automatic,
        (_, Some(used)) => return Err(SnapshotError::OtherSnapshotter { used: used.to_owned() }),
    };
    let chosen = match (wanted, probe(root)) {
        (Choice::Automatic | Choice::Overlayfs, Ok(())) => overlay(None),
        // A full disk says nothing against overlayfs.
        (Choice::Automatic | Choice::Overlayfs, Err(error @ ProbeError::Untried(_))) => overlay(Some(&error)),
        // The images that are here can be had in no other way.
        (Choice::Overlayfs, Err(error)) if used.is_some() => overlay(Some(&error)),
        (Choice::Overlayfs, Err(ProbeError::Refused(source))) => {
            return Err(SnapshotError::Unsupported { root: root.to_owned(), source });
        }
        (Choice::Automatic | Choice::Native, Err(error)) => native(format!(
            "{CONSEQUENCE}, because {} in {}: put --root on another file system, or start a newer kernel",
            Chain(&error),
            root.display()
        )),
        (Choice::Native, Ok(())) if used.is_some() => native(format!(
            "{CONSEQUENCE}, because the images here were unpacked as copies, although overlayfs works: to change that, \
             remove all containers and images and restart knarrd"
        )),
        (Choice::Native, Ok(())) => native(format!("{CONSEQUENCE}, as was chosen")),
    };
    if let Some(warning) = &chosen.warning {
        tracing::warn!(snapshotter = chosen.snapshotter.name(), "{warning}");
    }
    Ok(chosen)
}

fn overlay(error: Option<&ProbeError>) -> Chosen {
    let warning = error.map(|error| format!("containers may not start: {}", Chain(error)));
    Chosen { snapshotter: Box::new(Overlay), warning }
}

fn native(warning: String) -> Chosen {
    Chosen { snapshotter: Box::new(Native), warning: Some(warning) }
}
