//! Leases: what is being pulled or imported right now, and so is not rubbish although no image needs it yet.
//!
//! A lease names a blob or a snapshot before its holder looks whether it is here; the collector holds the same lock
//! from its look at the leases to its last removal. So nobody builds on what is being removed.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::content::Digest;

#[derive(Clone, Default)]
pub(crate) struct Leases {
    held: Arc<Mutex<HashMap<Digest, usize>>>,
}

/// Keeps what it names until it is dropped.
pub(crate) struct Lease {
    leases: Leases,
    names: Mutex<HashSet<Digest>>,
}

/// While it lives, no lease can be taken.
pub(crate) struct Frozen<'a>(MutexGuard<'a, HashMap<Digest, usize>>);

impl Leases {
    pub(crate) fn lease(&self) -> Lease {
        Lease { leases: self.clone(), names: Mutex::default() }
    }

    pub(crate) fn freeze(&self) -> Frozen<'_> {
        Frozen(self.lock())
    }

    // The map is changed in single steps, so a panic elsewhere leaves it right.
    fn lock(&self) -> MutexGuard<'_, HashMap<Digest, usize>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Frozen<'_> {
    pub(crate) fn names(&self) -> impl Iterator<Item = &Digest> {
        self.0.keys()
    }
}

impl Lease {
    /// Adds a blob's digest or a snapshot's chain id. May wait for a collection to end, so it may block.
    pub(crate) fn add(&self, digest: &Digest) {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if names.insert(digest.clone()) {
            *self.leases.lock().entry(digest.clone()).or_insert(0) += 1;
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut held = self.leases.lock();
        for name in self.names.get_mut().unwrap_or_else(PoisonError::into_inner).drain() {
            if let Some(count) = held.get_mut(&name) {
                *count -= 1;
                if *count == 0 {
                    held.remove(&name);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_kept_until_its_last_lease_ends() {
        let leases = Leases::default();
        let digest = Digest::of(b"x");
        let (first, second) = (leases.lease(), leases.lease());
        for lease in [&first, &second, &second] {
            lease.add(&digest);
        }
        drop(first);
        assert_eq!(leases.freeze().names().collect::<Vec<_>>(), [&digest]);
        drop(second);
        assert_eq!(leases.freeze().names().count(), 0);
    }
}
