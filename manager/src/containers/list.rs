//! Listing containers, with docker's filters: different keys must all match, values of one key are alternatives.

use std::collections::BTreeMap;

use super::Containers;
use super::error::ContainerError;
use super::model::{Phase, View};
use crate::content::Digest;
use crate::images::Users;

/// The keys that can be filtered by.
const KEYS: [&str; 6] = ["id", "name", "label", "status", "ancestor", "exited"];
/// The states that docker has; some of them knarr's containers never are in.
const STATES: [&str; 7] = ["created", "restarting", "running", "removing", "paused", "exited", "dead"];

/// Conditions on containers; none lets all through.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filters {
    values_by_key: BTreeMap<String, Vec<String>>,
}

impl Filters {
    /// Reads key and value pairs.
    ///
    /// # Errors
    /// [`ContainerError::Filter`] for a key that is not known, a state or an exit code that cannot be.
    pub(crate) fn parse(pairs: impl IntoIterator<Item = (String, String)>) -> Result<Self, ContainerError> {
        let mut values_by_key = BTreeMap::<_, Vec<_>>::new();
        for (key, value) in pairs {
            let fits = match key.as_str() {
                "status" => STATES.contains(&value.as_str()),
                "exited" => value.parse::<u32>().is_ok(),
                known => KEYS.contains(&known),
            };
            if !fits {
                return Err(ContainerError::Filter { key, value });
            }
            values_by_key.entry(key).or_default().push(value);
        }
        Ok(Self { values_by_key })
    }

    fn matches(&self, view: &View) -> bool {
        self.values_by_key.iter().all(|(key, values)| values.iter().any(|value| matches(view, key, value)))
    }

    /// Whether one of the conditions is about containers that do not run.
    fn wants_stopped(&self) -> bool {
        ["status", "exited"].iter().any(|key| self.values_by_key.contains_key(*key))
    }
}

fn matches(view: &View, key: &str, value: &str) -> bool {
    let identity = &view.identity;
    match key {
        "id" => identity.id.as_str().starts_with(value),
        "name" => identity.name.contains(value.strip_prefix('/').unwrap_or(value)),
        "label" => match value.split_once('=') {
            Some((name, wanted)) => identity.config.labels.get(name).is_some_and(|is| is == wanted),
            None => identity.config.labels.contains_key(value),
        },
        "status" => view.life.phase.as_str() == value,
        "ancestor" => is_ancestor(view, value),
        "exited" => {
            let exit = view.life.exit.as_ref();
            view.life.phase == Phase::Exited && exit.is_some_and(|exit| exit.code.to_string() == value)
        }
        _ => false,
    }
}

fn is_ancestor(view: &View, value: &str) -> bool {
    let (image, id) = (view.identity.config.image.as_str(), view.identity.image_id.as_str());
    let digits = value.strip_prefix("sha256:").unwrap_or(value);
    let is_id = digits.len() >= 4 && id.strip_prefix("sha256:").is_some_and(|id| id.starts_with(digits));
    is_id
        || image == value
        || image.strip_prefix(value).is_some_and(|rest| rest == ":latest")
        || value.strip_prefix(image).is_some_and(|rest| rest == ":latest")
}

impl Containers {
    /// The containers that match, newest first; without `all` and without a condition on it, only running ones.
    pub(crate) fn list(&self, all: bool, filters: &Filters) -> Vec<View> {
        let views: Vec<View> = self.registry().by_id.values().map(|container| container.view()).collect();
        let all = all || filters.wants_stopped();
        let shown = |view: &View| {
            let there = view.life.phase != Phase::Creating && !view.life.removed;
            there && (all || view.life.phase == Phase::Running) && filters.matches(view)
        };
        let mut views: Vec<View> = views.into_iter().filter(shown).collect();
        views.sort_by_key(|view| std::cmp::Reverse(view.identity.created_at));
        views
    }

    /// The containers that were made from the image `id`, for whoever wants to remove it. One that is being made counts.
    pub(crate) fn users_of(&self, id: &Digest) -> Users {
        let mut users = Users::default();
        for container in self.registry().by_id.values() {
            let (life, identity) = (container.life(), &container.identity);
            if identity.image_id != id.as_str() || life.removed {
                continue;
            }
            let list = if life.phase.is_live() { &mut users.running } else { &mut users.stopped };
            list.push(identity.name.clone());
        }
        users
    }
}
