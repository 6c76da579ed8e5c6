//! Which containers there are, by id and by name. One lock, held for moments and never while waiting.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use knarr_proto::id::ContainerId;

use super::container::Container;
use super::error::ContainerError;
use super::name;
use crate::tasks::shims::short;

/// Attempts at a generated name that is free: with the numbers in it, never all taken in practice.
const NAME_ATTEMPTS: u32 = 64;

/// The containers that there are.
#[derive(Default)]
pub(super) struct Registry {
    index: Mutex<Index>,
}

#[derive(Default)]
struct Index {
    by_id: BTreeMap<ContainerId, Arc<Container>>,
    id_by_name: HashMap<String, ContainerId>,
}

impl Registry {
    fn index(&self) -> MutexGuard<'_, Index> {
        // A panic while it was held cannot have left it half changed: every change is one insert or remove.
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The container that `text` names: full id, name, or unambiguous prefix of an id.
    ///
    /// # Errors
    /// [`ContainerError::NotFound`], [`ContainerError::Ambiguous`].
    pub(super) fn find(&self, text: &str) -> Result<Arc<Container>, ContainerError> {
        let index = self.index();
        let exact = text.parse::<ContainerId>().ok().and_then(|id| index.by_id.get(&id));
        let named = || index.id_by_name.get(text).and_then(|id| index.by_id.get(id));
        if let Some(container) = exact.or_else(named) {
            return Ok(Arc::clone(container));
        }
        let mut beginning =
            index.by_id.values().filter(|container| container.id().as_str().starts_with(text));
        match (beginning.next(), beginning.next()) {
            (Some(container), None) if !text.is_empty() => Ok(Arc::clone(container)),
            (Some(_), Some(_)) if !text.is_empty() => Err(ContainerError::Ambiguous(text.to_owned())),
            _ => Err(ContainerError::NotFound(text.chars().take(256).collect())),
        }
    }

    /// All containers, by id.
    pub(super) fn all(&self) -> Vec<Arc<Container>> {
        self.index().by_id.values().cloned().collect()
    }

    /// Reserves an id and a name (a made-up one for an empty `wanted`) before anything is written, so that no other
    /// request gets them.
    ///
    /// # Errors
    /// [`ContainerError::NameTaken`], [`ContainerError::NoFreeName`].
    pub(super) fn reserve(
        &self,
        wanted: String,
        container: impl FnOnce(ContainerId, String) -> Container,
    ) -> Result<Arc<Container>, ContainerError> {
        let mut index = self.index();
        let name = if wanted.is_empty() {
            let mut names = (0..NAME_ATTEMPTS).map(name::generate);
            let free = names.find(|name| !index.id_by_name.contains_key(name));
            free.ok_or(ContainerError::NoFreeName)?
        } else {
            wanted
        };
        if let Some(holder) = index.id_by_name.get(&name) {
            return Err(ContainerError::NameTaken { name, holder: short(holder).to_owned() });
        }
        // Socket names have only the first 12 characters.
        let taken = |id: &ContainerId| index.by_id.keys().any(|other| short(other) == short(id));
        let id = std::iter::repeat_with(name::new_id).find(|id| !taken(id)).expect("ids do not run out");
        let container = Arc::new(container(id.clone(), name.clone()));
        index.by_id.insert(id.clone(), Arc::clone(&container));
        index.id_by_name.insert(name, id);
        Ok(container)
    }

    /// Adds a container that was recorded by an earlier knarrd.
    pub(super) fn add(&self, container: &Arc<Container>) {
        let mut index = self.index();
        index.id_by_name.insert(container.name(), container.id().clone());
        index.by_id.insert(container.id().clone(), Arc::clone(container));
    }

    /// Reserves `name` for a container, beside the one that it has.
    ///
    /// # Errors
    /// [`ContainerError::NameTaken`].
    pub(super) fn reserve_name(&self, container: &Container, name: &str) -> Result<(), ContainerError> {
        let mut index = self.index();
        if let Some(holder) = index.id_by_name.get(name) {
            let holder = short(holder).to_owned();
            return Err(ContainerError::NameTaken { name: name.to_owned(), holder });
        }
        index.id_by_name.insert(name.to_owned(), container.id().clone());
        Ok(())
    }

    /// Frees a name that a container has no more.
    pub(super) fn free_name(&self, name: &str) {
        self.index().id_by_name.remove(name);
    }

    /// Frees a container's name and id.
    pub(super) fn forget(&self, container: &Container) {
        let mut index = self.index();
        index.by_id.remove(container.id());
        index.id_by_name.remove(&container.settings().name);
    }
}
