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
mod error;
mod manifest;
mod session;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

pub(crate) use error::RegistryError;
pub(super) use manifest::{By, Fetched};
pub(super) use session::Session;

use super::{Credentials, Reference};

/// docker.io is a name for people; this machine answers.
const DOCKER_HUB: (&str, &str) = ("docker.io", "registry-1.docker.io");

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

/// Whether `host[:port]` is this machine.
fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_loopback() {
        for host in ["localhost", "localhost:5000", "127.0.0.1:5000", "127.9.9.9", "[::1]:5000"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in
            ["127.0.0.1.example.com", "localhost.example.com", "10.0.0.1", "[fe80::1]", "example.com:5000"]
        {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
