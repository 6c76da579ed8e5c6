//! Stopping and starting a container as one verb, which goes to its end whether or not its client stays.

use super::error::ContainerError;
use super::{Containers, Outcome};

impl Containers {
    /// Stops a container if it runs, and starts it. Its pid.
    ///
    /// # Errors
    /// [`ContainerError::AutoRemoved`], or what [`Containers::stop`] and [`Containers::start`] say.
    pub(crate) async fn restart(
        &self,
        text: &str,
        timeout_seconds: Option<u32>,
        signal: &str,
    ) -> Result<u32, ContainerError> {
        let container = self.find(text)?;
        if container.settings.auto_remove {
            return Err(ContainerError::AutoRemoved(container.name()));
        }
        let (this, id, signal) = (self.clone(), container.id().to_string(), signal.to_owned());
        self.to_the_end(async move {
            this.stop(&id, timeout_seconds, &signal).await?;
            this.start(&id).await.map(Outcome::into_inner)
        })
        .await
    }
}
