//! Who we are, to a registry that asks: docker's credentials for it, and the tokens that they are changed for.

use docker_credential::{CredentialRetrievalError, DockerCredential};
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, RequestBuilder, Response, Url};
use serde::Deserialize;

use super::address::{DOCKER_HUB, is_loopback, is_private_to_the_host, literal};
use super::challenge::Challenge;
use super::error::{Cause, RegistryError};
use crate::images::registry::credentials::Credentials;

/// Tokens are a few KiB, whatever is in them.
const MAX_TOKEN_BYTES: usize = 1 << 20;
/// A longer one fits into no header.
const MAX_TOKEN_CHARS: usize = 64 << 10;
/// Of a wrong realm, in a message.
const MAX_QUOTED_CHARS: usize = 200;
/// docker's own key for the hub.
const DOCKER_HUB_KEY: &str = "https://index.docker.io/v1/";
/// What a credential helper calls a user who is a token.
const IDENTITY: &str = "<token>";

/// The value of an `Authorization` header.
#[derive(Clone)]
pub(super) enum Authorization {
    Basic(Credentials),
    Bearer(String),
}

/// The administrator's credentials for `registry`, if there are any. Blocks, and may run a helper program.
pub(super) fn stored(registry: &str) -> Result<Option<Credentials>, RegistryError> {
    let key = if registry == DOCKER_HUB.1 { DOCKER_HUB_KEY } else { registry };
    match docker_credential::get_credential(key) {
        Ok(DockerCredential::UsernamePassword(username, password)) => Ok(Some(Credentials { username, password })),
        Ok(DockerCredential::IdentityToken(password)) => {
            Ok(Some(Credentials { username: IDENTITY.to_owned(), password }))
        }
        Err(
            CredentialRetrievalError::NoCredentialConfigured
            | CredentialRetrievalError::ConfigNotFound
            // It cannot be opened: mostly, it is not there.
            | CredentialRetrievalError::ConfigReadError,
        ) => Ok(None),
        // "credentials not found in native keychain" is how helpers say no.
        Err(CredentialRetrievalError::HelperFailure { stdout, .. }) if stdout.contains("not found") => Ok(None),
        Err(error) => {
            let source = Cause::said(error.to_string().lines().next().unwrap_or_default());
            Err(RegistryError::Credentials { registry: registry.to_owned(), source })
        }
    }
}

#[derive(Deserialize)]
struct TokenReply {
    token: Option<String>,
    access_token: Option<String>,
}

/// Answers a challenge of `registry`, which is spoken to at `base`. `None` when it wants what we do not have.
///
/// # Errors
/// [`RegistryError::Realm`], [`RegistryError::WrongCredentials`], and as for any request.
pub(super) async fn answer(
    client: &Client,
    (registry, base): (&str, &str),
    challenge: Challenge,
    scope: &str,
    credentials: Option<&Credentials>,
) -> Result<Option<Authorization>, RegistryError> {
    let Challenge::Bearer { realm, service, scope: asked } = challenge else {
        return Ok(credentials.cloned().map(Authorization::Basic));
    };
    let url = token_server(&realm, registry, base)?;
    let server = format!("{registry} (its token server {})", url.host_str().unwrap_or_default());
    let service = service.unwrap_or_default();
    let scope = asked.filter(|asked| asked.starts_with("repository:")).unwrap_or_else(|| scope.to_owned());
    let request = token_request(client, url, (&service, &scope), credentials);
    let failed = |error: reqwest::Error| RegistryError::Connect {
        registry: server.clone(),
        source: Cause::of_request(&error.without_url()),
    };
    let response = request.send().await.map_err(failed)?;
    let status = response.status();
    if matches!(status.as_u16(), 400..=403) {
        return match credentials {
            None => Ok(None),
            Some(Credentials { username, .. }) => Err(RegistryError::WrongCredentials {
                registry: registry.to_owned(),
                username: username.clone(),
            }),
        };
    }
    let body = read(response, failed).await?;
    // Some answer 201 to a POST that makes a token; other successes have none.
    let is_made = matches!(status.as_u16(), 200 | 201 | 203);
    let reply = serde_json::from_slice::<TokenReply>(&body).ok().filter(|_| is_made);
    match reply.and_then(|reply| reply.token.or(reply.access_token)).filter(|token| is_token(token)) {
        Some(token) => Ok(Some(Authorization::Bearer(token))),
        None => Err(RegistryError::Status {
            registry: server,
            status: status.as_u16(),
            said: ": there is no usable token in it".to_owned(),
        }),
    }
}

/// Whether it can stand in a header.
fn is_token(text: &str) -> bool {
    (1..=MAX_TOKEN_CHARS).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Where tokens are made. A registry without TLS has its token server with TLS, on its own machine or on ours.
fn token_server(realm: &str, registry: &str, base: &str) -> Result<Url, RegistryError> {
    let refused = |why| {
        let (registry, realm) = (registry.to_owned(), realm.chars().take(MAX_QUOTED_CHARS).collect());
        RegistryError::Realm { registry, realm, why }
    };
    let url: Url = realm.parse().map_err(|_| refused("is no URL"))?;
    let registry_address = base.parse().ok().and_then(|base| literal(&base));
    if literal(&url).is_some_and(is_private_to_the_host)
        && !registry_address.is_some_and(is_private_to_the_host)
    {
        return Err(refused("is a link-local or metadata address"));
    }
    let host = url.host_str().unwrap_or_default();
    let is_near = is_loopback(host) || registry.split(':').next() == Some(host);
    match url.scheme() {
        "https" => Ok(url),
        "http" if base.starts_with("http://") && is_near => Ok(url),
        _ => Err(refused("is not encrypted")),
    }
}

fn token_request(
    client: &Client,
    url: Url,
    (service, scope): (&str, &str),
    credentials: Option<&Credentials>,
) -> RequestBuilder {
    let Some(Credentials { username, password }) = credentials else {
        return client.get(encoded(url, &[("service", service), ("scope", scope)]));
    };
    if username != IDENTITY {
        let url = encoded(url, &[("service", service), ("scope", scope)]);
        return client.get(url).basic_auth(username, Some(password));
    }
    let fields = [
        ("grant_type", "refresh_token"),
        ("refresh_token", password),
        ("service", service),
        ("scope", scope),
        ("client_id", "knarr"),
    ];
    let body = encoded(url.clone(), &fields).query().unwrap_or_default().to_owned();
    client.post(url).header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(body)
}

async fn read(
    mut response: Response,
    failed: impl Fn(reqwest::Error) -> RegistryError,
) -> Result<Vec<u8>, RegistryError> {
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(&failed)? {
        if body.len() + piece.len() > MAX_TOKEN_BYTES {
            return Err(RegistryError::TooLarge { what: "a token", limit: MAX_TOKEN_BYTES as u64 });
        }
        body.extend_from_slice(&piece);
    }
    Ok(body)
}

/// The fields as the URL's query.
fn encoded(mut url: Url, fields: &[(&str, &str)]) -> Url {
    let mut query = url.query_pairs_mut();
    for (name, value) in fields.iter().filter(|(_, value)| !value.is_empty()) {
        query.append_pair(name, value);
    }
    drop(query);
    url
}
