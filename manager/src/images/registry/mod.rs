//! The registry client: manifests and blobs by the OCI distribution specification, and nothing else. It keeps what is
//! needed to speak to a registry (connections, tokens); what the bytes mean, its caller knows.
//!
//! Plain HTTP is spoken with this machine's own loopback addresses and with registries that the administrator has named
//! as insecure; everything else is TLS with the system's certificates and those in /etc/docker/certs.d.

mod address;
mod auth;
mod blob;
mod budget;
mod challenge;
mod client;
pub(super) mod credentials;
pub(super) mod error;
pub(super) mod manifest;
pub(super) mod session;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use address::{DOCKER_HUB, is_loopback};
pub(crate) use credentials::Credentials;
pub(crate) use error::RegistryError;
use session::Session;

use super::reference::Reference;

/// All registries; clones share connections.
#[derive(Clone)]
pub(super) struct Registries {
    shared: Arc<Shared>,
}

struct Shared {
    insecure: Vec<String>,
    /// By host and port: each has its own certificates.
    clients: Mutex<HashMap<String, reqwest::Client>>,
}

impl Registries {
    pub(super) fn new(insecure: &[String]) -> Self {
        // Already there when several are made, as in tests; it is always the same.
        drop(rustls::crypto::ring::default_provider().install_default());
        let (insecure, clients) = (insecure.to_vec(), Mutex::default());
        Self { shared: Arc::new(Shared { insecure, clients }) }
    }

    /// Prepares to speak of one repository. Nothing is sent yet.
    pub(super) fn session(
        &self,
        reference: &Reference,
        credentials: Option<Credentials>,
    ) -> Result<Session, RegistryError> {
        let domain = reference.domain();
        let host = if domain == DOCKER_HUB.0 { DOCKER_HUB.1 } else { domain };
        let is_insecure = self.shared.insecure.iter().any(|insecure| insecure == domain);
        let is_plain = is_insecure || is_loopback(host);
        let scheme = if is_plain { "http" } else { "https" };
        let mut clients = self.shared.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let client = match clients.get(host) {
            Some(client) => client.clone(),
            None => {
                let client = client::build(host, is_insecure, is_plain)?;
                clients.insert(host.to_owned(), client.clone());
                client
            }
        };
        drop(clients);
        Ok(Session::new(client, format!("{scheme}://{host}"), reference, credentials))
    }
}
