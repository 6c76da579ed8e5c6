//! Removing the volumes that nobody uses.

use super::error::VolumeError;
use super::handle::Volumes;
use super::model::View;
use crate::filters::{FilterKeys, Filters, Values, label_matches};
use crate::trees;

/// What volumes that are to go can be filtered by. With `all`, named ones go, too.
pub(crate) const PRUNE_KEYS: FilterKeys = FilterKeys {
    things: "volumes to be removed",
    keys: &[
        ("label", Values::Any),
        ("label!", Values::Any),
        ("all", Values::OneOf(&["true", "false", "1", "0"])),
    ],
};

/// What is gone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pruned {
    pub(crate) names: Vec<String>,
    /// The lengths of their files.
    pub(crate) freed_bytes: u64,
}

impl Volumes {
    /// Removes anonymous volumes that no container uses, and with `all` named ones, too. One whose options name files of
    /// somebody else is left alone.
    ///
    /// # Errors
    /// [`VolumeError::Pruning`] while another prune is under way; [`VolumeError::Store`].
    pub(crate) async fn prune(&self, filters: Filters) -> Result<Pruned, VolumeError> {
        let _pruning = self.pruning.try_lock().map_err(|_| VolumeError::Pruning)?;
        self.blocking(move |volumes| {
            let changing = volumes.changing();
            let mut pruned = Pruned::default();
            for view in volumes.views()? {
                if !view.users.is_empty() || !view.volume.options.is_empty() || !is_meant(&view, &filters) {
                    continue;
                }
                // One whose files cannot be counted can be removed all the same.
                pruned.freed_bytes += trees::file_bytes(&view.path).unwrap_or(0);
                volumes.discard(&changing, &view.volume)?;
                pruned.names.push(view.volume.name);
            }
            Ok(pruned)
        })
        .await
    }
}

fn is_meant(view: &View, filters: &Filters) -> bool {
    let says_all = |value: &String| ["true", "1"].contains(&value.as_str());
    let all = filters.values("all").is_some_and(|values| values.iter().any(says_all));
    let label = |name: &str| view.volume.labels.get(name).map(String::as_str);
    let is_chosen = filters.all_match(|key, value| match key {
        "label" => label_matches(value, label),
        "label!" => !label_matches(value, label),
        _ => true,
    });
    (all || view.volume.is_anonymous) && is_chosen
}
