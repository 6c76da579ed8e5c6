//! A fact that becomes true once and stays so, with any number of waiters. It carries nothing else.

use std::sync::Arc;

use tokio::sync::watch;

/// Something that has not happened yet, or has.
#[derive(Clone, Debug)]
pub(crate) struct Flag(Arc<watch::Sender<bool>>);

impl Default for Flag {
    fn default() -> Self {
        Self(Arc::new(watch::channel(false).0))
    }
}

impl Flag {
    /// It has happened.
    pub(crate) fn raise(&self) {
        self.0.send_replace(true);
    }

    /// Whether it has happened.
    pub(crate) fn is_raised(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until it has happened.
    pub(crate) async fn raised(&self) {
        // The sender is in self, so there is no other outcome.
        self.0.subscribe().wait_for(|raised| *raised).await.ok();
    }
}
