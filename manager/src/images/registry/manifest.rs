//! Manifests and indexes: small documents, whole and verified before anybody sees them.

use reqwest::Response;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue};

use super::budget::Budget;
use super::error::RegistryError;
use super::session::Session;
use crate::content::{Algorithm, Digest, Hasher};
use crate::images::document::{DOCKER_INDEX, DOCKER_MANIFEST, MAX_DOCUMENT_BYTES, OCI_INDEX, OCI_MANIFEST};

/// A document as it came.
pub(in crate::images) struct Fetched {
    pub(in crate::images) bytes: Vec<u8>,
    /// Without parameters; empty when the registry says nothing of use.
    pub(in crate::images) media_type: String,
    /// Of the bytes.
    pub(in crate::images) digest: Digest,
}

/// What a manifest is asked for by.
#[derive(Clone, Copy, Debug)]
pub(in crate::images) enum By<'a> {
    Tag(&'a str),
    Digest(&'a Digest),
}

impl Session {
    /// Fetches a manifest or an index.
    ///
    /// # Errors
    /// [`RegistryError`]; [`RegistryError::WrongDigest`] when the bytes are not what was asked for.
    pub(in crate::images) async fn manifest(&self, by: By<'_>) -> Result<Fetched, RegistryError> {
        let (what, reference) = match by {
            By::Tag(tag) => ("tag", tag),
            By::Digest(digest) => ("digest", digest.as_str()),
        };
        let mut headers = HeaderMap::new();
        for media_type in [OCI_INDEX, OCI_MANIFEST, DOCKER_INDEX, DOCKER_MANIFEST] {
            headers.append(ACCEPT, HeaderValue::from_static(media_type));
        }
        let mut budget = Budget::document();
        let mut response = match self.get(&format!("manifests/{reference}"), &headers, &mut budget).await? {
            Ok(response) => response,
            Err(refused) if refused.status == 404 && refused.code == "NAME_UNKNOWN" => {
                return Err(RegistryError::NoImage { name: self.name.clone() });
            }
            Err(refused) if refused.status == 404 => {
                let (name, reference) = (self.name.clone(), reference.to_owned());
                return Err(RegistryError::NoManifest { name, what, reference });
            }
            Err(refused) => return Err(self.refusal(refused).await),
        };
        let bytes = self.body(&mut response, &mut budget).await?;
        let text = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
        let promised = text("docker-content-digest").and_then(|text| text.parse::<Digest>().ok());
        let expected = match by {
            By::Digest(digest) => Some(digest.clone()),
            By::Tag(_) => promised,
        };
        let algorithm = expected.as_ref().map_or(Algorithm::Sha256, Digest::algorithm);
        let mut hasher = Hasher::new(algorithm);
        hasher.update(&bytes);
        let digest = hasher.finish();
        match expected {
            Some(expected) if expected != digest => {
                Err(RegistryError::WrongDigest { expected, found: digest })
            }
            _ => {
                let media_type = media_type(text(CONTENT_TYPE.as_str()).unwrap_or_default());
                Ok(Fetched { bytes, media_type, digest })
            }
        }
    }
}

impl Session {
    async fn body(&self, response: &mut Response, budget: &mut Budget) -> Result<Vec<u8>, RegistryError> {
        let mut bytes = Vec::new();
        loop {
            let piece = budget.wait(response.chunk()).await.map_err(|error| self.gave_up(error))?;
            let Some(piece) = piece.map_err(|error| self.lost(&error.without_url()))? else {
                return Ok(bytes);
            };
            if (bytes.len() + piece.len()) as u64 > MAX_DOCUMENT_BYTES {
                return Err(RegistryError::TooLarge { what: "a manifest", limit: MAX_DOCUMENT_BYTES });
            }
            bytes.extend_from_slice(&piece);
        }
    }
}

/// Simple servers of files say nothing better; then the document itself is asked.
fn media_type(header: &str) -> String {
    let plain = header.split(';').next().unwrap_or_default().trim();
    match plain {
        "application/octet-stream" | "application/json" | "text/plain" => String::new(),
        other => other.to_owned(),
    }
}
