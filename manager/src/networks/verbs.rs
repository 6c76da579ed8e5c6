//! The verbs, for callers that must not block: each on a thread of its own.

use std::collections::HashMap;

use super::connect::{self, Member};
use super::error::NetworkError;
use super::handle::{Inner, Networks};
use super::list::{self, Listed};
use super::model::{EndpointRequest, Joined, Joiner, Network, NetworkRequest, Networking, Presence};
use super::{check, create, join, remove, reserve, restore};
use crate::filters::Filters;
use crate::held::OwnerId;

impl Networks {
    async fn off_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, NetworkError> + Send + 'static,
    ) -> Result<T, NetworkError> {
        let inner = self.inner.clone();
        tokio::task::spawn_blocking(move || work(&inner)).await?
    }

    /// Makes a network.
    ///
    /// # Errors
    /// [`NetworkError`], as for all that follow; nothing is left behind then.
    pub(crate) async fn create(&self, request: NetworkRequest) -> Result<Network, NetworkError> {
        self.off_thread(move |inner| create::create(inner, request)).await
    }

    /// All networks that match, with who is in them.
    pub(crate) async fn list(&self, filters: Filters) -> Result<Vec<Listed>, NetworkError> {
        self.off_thread(move |inner| list::list(inner, &filters)).await
    }

    /// One network, by name, id or the beginning of an id.
    pub(crate) async fn inspect(&self, text: &str) -> Result<Listed, NetworkError> {
        let text = text.to_owned();
        self.off_thread(move |inner| list::inspect(inner, &text)).await
    }

    /// Removes a network that nobody is in.
    pub(crate) async fn remove(&self, text: &str) -> Result<Network, NetworkError> {
        let text = text.to_owned();
        self.off_thread(move |inner| remove::remove(inner, &text)).await
    }

    /// Removes all networks that nobody is in.
    pub(crate) async fn prune(&self, filters: Filters) -> Result<Vec<String>, NetworkError> {
        self.off_thread(move |inner| remove::prune(inner, &filters)).await
    }

    /// Records where a container is to be.
    pub(crate) async fn reserve(
        &self,
        owner: &OwnerId,
        requests: Vec<EndpointRequest>,
    ) -> Result<Vec<Network>, NetworkError> {
        let owner = owner.clone();
        self.off_thread(move |inner| reserve::reserve(inner, &owner, requests)).await
    }

    /// Looks at what a container asks of networks, before anything is made.
    pub(crate) fn check(&self, networking: &Networking) -> Result<(), NetworkError> {
        check::networking(networking)
    }

    /// Brings a container into its networks. What fails halfway is let go by `Held`.
    pub(crate) async fn join(&self, joiner: Joiner) -> Result<Joined, NetworkError> {
        self.off_thread(move |inner| join::join(inner, &joiner)).await
    }

    /// Connects a container to one more network.
    pub(crate) async fn connect(&self, member: Member, request: EndpointRequest) -> Result<(), NetworkError> {
        self.off_thread(move |inner| connect::connect(inner, &member, request)).await
    }

    /// Disconnects a container from a network.
    pub(crate) async fn disconnect(&self, member: Member, text: &str) -> Result<(), NetworkError> {
        let text = text.to_owned();
        self.off_thread(move |inner| connect::disconnect(inner, &member, &text)).await
    }

    /// Tells others the new name of a container that runs.
    pub(crate) async fn renamed(&self, joiner: Joiner) -> Result<(), NetworkError> {
        self.off_thread(move |inner| connect::renamed(inner, &joiner)).await
    }

    /// What is known of a container's places.
    pub(crate) async fn presence(&self, owner: &OwnerId) -> Result<Presence, NetworkError> {
        let owner = owner.clone();
        let mut all = self
            .off_thread({
                let owner = owner.clone();
                move |inner| list::presences(inner, Some(&owner))
            })
            .await?;
        Ok(all.remove(&owner).unwrap_or_default())
    }

    /// The same of all containers.
    pub(crate) async fn presences(&self) -> Result<HashMap<OwnerId, Presence>, NetworkError> {
        self.off_thread(|inner| list::presences(inner, None)).await
    }

    /// What has to be before containers are recovered.
    pub(crate) async fn prepare(&self) {
        let prepared = self.off_thread(|inner| {
            restore::prepare(inner);
            Ok(())
        });
        if let Err(error) = prepared.await {
            tracing::error!(error = %crate::error::Chain(&error), "the networks were not prepared");
        }
    }

    /// Makes the kernel what running containers need.
    pub(crate) async fn restore(&self, running: Vec<Joiner>) -> Result<(), NetworkError> {
        self.off_thread(move |inner| restore::restore(inner, &running)).await
    }
}
