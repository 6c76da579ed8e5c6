//! Directories that no record names. A few that nothing uses are what interrupted work has left, and are removed. All
//! others are set aside in `lost/`: where records are missing, or a mount still shows it, a directory without one may
//! hold what a container has written.

use std::collections::HashSet;
use std::path::Path;

use super::{SnapshotError, removed};
use crate::files::failed;
use crate::lost::Lost;
use crate::store::History;

/// As many snapshots can be in the making when knarrd is killed; when more have no record, records are missing.
const FEW: usize = 8;

/// What is known of the numbered directories.
pub(super) struct Known<'a> {
    /// Those that records name.
    pub(super) numbers: HashSet<i64>,
    /// Those whose record said that a layer was being unpacked into it.
    pub(super) interrupted: HashSet<i64>,
    pub(super) history: &'a History,
}

/// Clears the root of what no record names. Returns the numbers of all directories that were there. What cannot be
/// removed or moved now is logged, and tried again at the next start.
pub(super) fn sweep(root: &Path, known: &Known<'_>) -> Result<Vec<i64>, SnapshotError> {
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir(root).map_err(failed("list", root))? {
        let name = entry.map_err(failed("list", root))?.file_name();
        numbers.extend(name.to_str().and_then(|name| name.parse::<i64>().ok()));
    }
    let is_unknown = |number: &&i64| !known.numbers.contains(number) && !known.interrupted.contains(number);
    let unknown: HashSet<i64> = numbers.iter().filter(is_unknown).copied().collect();
    let mounted = mounted(root);
    let lost = Lost::below(root.parent().unwrap_or(root));
    for number in numbers.iter().filter(|number| !known.numbers.contains(number)) {
        let directory = root.join(number.to_string());
        let is_rubbish =
            known.interrupted.contains(number) || (*known.history == History::Whole && unknown.len() <= FEW);
        if is_rubbish && !mounted.contains(number) {
            if let Err(error) = removed(&directory) {
                tracing::warn!(number, error = %crate::error::Chain(&error), "an orphaned snapshot stays");
            }
            continue;
        }
        match lost.set_aside(&directory) {
            Ok(kept) => {
                tracing::warn!(number, kept = %kept.display(), "a snapshot without a record was set aside");
            }
            Err(error) => tracing::warn!(number, %error, "a snapshot without a record stays"),
        }
    }
    Ok(numbers)
}

/// The numbers of the directories that some mount shows or is made of.
fn mounted(root: &Path) -> HashSet<i64> {
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let prefix = format!("{}/", root.display());
    let after = table.split(prefix.as_str()).skip(1);
    after.filter_map(|rest| rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()).collect()
}
