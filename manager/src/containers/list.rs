//! Looking at containers: one, those that docker's filters choose, those of an image.

use super::container::View;
use super::error::ContainerError;
use super::handle::Containers;
use super::life::Phase;
use crate::content::Digest;
use crate::filters::{FilterKeys, Filters, Values, label_matches};
use crate::images::Users;

/// The states that docker has; some of them knarr's containers never are in.
const STATES: [&str; 7] = ["created", "restarting", "running", "removing", "paused", "exited", "dead"];

/// The words for their health.
const HEALTH: [&str; 4] = ["none", "starting", "healthy", "unhealthy"];

/// What containers can be filtered by.
pub(crate) const FILTER_KEYS: FilterKeys = FilterKeys {
    things: "containers",
    keys: &[
        ("id", Values::Any),
        ("name", Values::Any),
        ("label", Values::Any),
        ("status", Values::OneOf(&STATES)),
        ("ancestor", Values::Any),
        ("exited", Values::Number),
        ("health", Values::OneOf(&HEALTH)),
    ],
};

fn matches(view: &View, key: &str, value: &str) -> bool {
    let (spec, settings) = (&view.spec, &view.settings);
    match key {
        "id" => spec.id.as_str().starts_with(value),
        "name" => settings.name.contains(value.strip_prefix('/').unwrap_or(value)),
        "label" => label_matches(value, |name| settings.labels.get(name).map(String::as_str)),
        "status" => view.life.phase.as_str() == value,
        "ancestor" => is_ancestor(view, value),
        "exited" => {
            let exit = view.life.exit.as_ref();
            view.life.phase == Phase::Exited && exit.is_some_and(|exit| exit.code.to_string() == value)
        }
        "health" => health_word(view) == value,
        _ => false,
    }
}

/// Docker's word; that of one which does not run is the last.
fn health_word(view: &View) -> &'static str {
    view.health.as_ref().map_or("none", |health| health.status.as_str())
}

fn is_ancestor(view: &View, value: &str) -> bool {
    let (image, id) = (view.spec.image.reference.as_str(), view.spec.image.id.as_str());
    let digits = value.strip_prefix("sha256:").unwrap_or(value);
    let is_id = digits.len() >= 4 && id.strip_prefix("sha256:").is_some_and(|id| id.starts_with(digits));
    is_id
        || image == value
        || image.strip_prefix(value).is_some_and(|rest| rest == ":latest")
        || value.strip_prefix(image).is_some_and(|rest| rest == ":latest")
}

/// Everything about one container at this moment.
///
/// # Errors
/// [`ContainerError::NotFound`], [`ContainerError::Ambiguous`].
pub(crate) fn inspect(containers: &Containers, text: &str) -> Result<View, ContainerError> {
    containers.registry.find(text).map(|container| container.view())
}

/// The containers that match, newest first; without `all` and without a condition on it, only running ones.
pub(crate) fn list(containers: &Containers, all: bool, filters: &Filters) -> Vec<View> {
    // A condition about containers that do not run means those.
    let all = all || ["status", "exited"].iter().any(|key| filters.values(key).is_some());
    let shown = |view: &View| {
        let there = view.life.phase != Phase::Creating && !view.life.removed;
        there && (all || view.life.phase.is_up()) && filters.all_match(|key, value| matches(view, key, value))
    };
    let views = containers.registry.all().into_iter().map(|container| container.view());
    let mut views: Vec<View> = views.filter(shown).collect();
    views.sort_by_key(|view| std::cmp::Reverse(view.spec.created_at));
    views
}

/// The containers that were made from the image `id`: a removal of it asks. One that is being made counts.
pub(crate) fn users_of(containers: &Containers, id: &Digest) -> Users {
    let mut users = Users::default();
    for container in containers.registry.all() {
        let life = container.life();
        if container.spec.image.id != id.as_str() || life.removed {
            continue;
        }
        let list = if life.phase.holds_shim() { &mut users.running } else { &mut users.stopped };
        list.push(container.name());
    }
    users
}
