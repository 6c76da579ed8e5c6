//! Keys: a digest over all that a step depends on. No time and no path of the host is in it.

use crate::content::{Algorithm, Hasher};

/// A key in the making. Every part has its length before it, so that no two lists of parts are the same.
pub(super) struct Key(Hasher);

/// Changes whenever what the parts mean does.
const VERSION: &str = "knarr build step 1";

impl Key {
    /// The key of a step of this kind.
    pub(super) fn new(kind: &str) -> Self {
        let mut key = Self(Hasher::new(Algorithm::Sha256));
        key.add(VERSION).add(kind);
        key
    }

    pub(super) fn add(&mut self, part: impl AsRef<[u8]>) -> &mut Self {
        let part = part.as_ref();
        self.0.update(&(part.len() as u64).to_le_bytes());
        self.0.update(part);
        self
    }

    pub(super) fn add_all<T: AsRef<[u8]>>(&mut self, parts: &[T]) -> &mut Self {
        self.add((parts.len() as u64).to_le_bytes());
        for part in parts {
            self.add(part);
        }
        self
    }

    pub(super) fn finish(self) -> String {
        self.0.finish().to_string()
    }
}
