//! One repository of one registry, for the time of one pull: requests with whatever proves who we are, tried again
//! where that helps.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use reqwest::header::{HeaderMap, RANGE, RETRY_AFTER, WWW_AUTHENTICATE};
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use serde::Deserialize;
use tokio::sync::Mutex;

use super::auth::{self, Authorization};
use super::budget::{Budget, Exhausted};
use super::challenge;
use super::error::{Cause, RegistryError};
use crate::images::reference::Reference;
use crate::images::registry::credentials::Credentials;

/// Tries of one request, of which the first fails for a reason that may pass.
const MAX_TRIES: u32 = 5;
/// Doubled each time: 0.2 s to 1.6 s.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// A registry that wants us to wait longer is told to the person instead.
const MAX_PAUSE: Duration = Duration::from_secs(10);
/// A registry's own words: so many bytes, which come in so much time.
const MAX_SAID_BYTES: usize = 64 << 10;
const SAID_LIMIT: Duration = Duration::from_secs(5);
const MAX_SAID_CHARS: usize = 200;

/// See the module.
pub(in crate::images) struct Session {
    client: Client,
    base: String,
    registry: String,
    /// Without the registry, as in URLs.
    pub(super) path: String,
    /// With the registry, as a person writes it.
    pub(super) name: String,
    given: Option<Credentials>,
    authorization: Mutex<Identity>,
    was_answered: AtomicBool,
}

/// What is known of who we are.
#[derive(Default)]
struct Identity {
    credentials: Option<Credentials>,
    is_looked_up: bool,
    authorization: Option<Authorization>,
    /// How often it was made anew: who finds it refused and changed meanwhile just tries again.
    generation: u64,
}

/// A registry's error (distribution specification, "Error Codes").
#[derive(Deserialize)]
struct Said {
    errors: Vec<SaidError>,
}
#[derive(Deserialize)]
struct SaidError {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

/// An answer that is no success.
pub(super) struct Refused {
    pub(super) status: u16,
    pub(super) code: String,
    pub(super) said: String,
}

impl Session {
    pub(super) fn new(
        client: Client,
        base: String,
        reference: &Reference,
        given: Option<Credentials>,
    ) -> Self {
        let registry = base.split_once("://").map_or(base.as_str(), |(_, host)| host).to_owned();
        let (path, name) = (reference.path().to_owned(), reference.name());
        let (authorization, was_answered) = (Mutex::default(), AtomicBool::new(false));
        Self { client, base, registry, path, name, given, authorization, was_answered }
    }

    /// Host and port.
    pub(super) fn registry(&self) -> &str {
        &self.registry
    }

    /// Sends a GET for `below` (`manifests/…`, `blobs/…`) until there is an answer that is final. A response that is
    /// returned has the whole object, or the part that `headers` ask for.
    ///
    /// # Errors
    /// [`RegistryError::Connect`], [`RegistryError::Broken`], [`RegistryError::GaveUp`], and what authorisation says.
    /// A refusal is no error yet.
    pub(super) async fn get(
        &self,
        below: &str,
        headers: &HeaderMap,
        budget: &mut Budget,
    ) -> Result<Result<Response, Refused>, RegistryError> {
        let url = format!("{}/v2/{}/{below}", self.base, self.path);
        let mut pause = FIRST_PAUSE;
        let mut challenges = 0;
        let mut tries = 1;
        loop {
            budget.take_request().map_err(|error| self.gave_up(error))?;
            let request = self.client.get(&url).headers(headers.clone());
            let sent = budget.wait(async {
                // Another download of this session may be fetching a token: that is waiting for the registry, too.
                let (request, generation) = self.authorized(request).await;
                (request.send().await, generation)
            });
            let (sent, generation) = sent.await.map_err(|error| self.gave_up(error))?;
            let response = match sent {
                Ok(response) => response,
                Err(error) => {
                    let may_pass = self.was_answered.load(Ordering::Relaxed) && !error.is_redirect();
                    if !may_pass || tries == MAX_TRIES {
                        return Err(self.lost(&error.without_url()));
                    }
                    pause = wait(pause, None).await;
                    tries += 1;
                    continue;
                }
            };
            self.was_answered.store(true, Ordering::Relaxed);
            let status = response.status().as_u16();
            if status == 401 && challenges < 2 {
                challenges += 1;
                budget.take_request().map_err(|error| self.gave_up(error))?;
                let authorized = budget.wait(self.authorize(&response, generation)).await;
                if authorized.map_err(|error| self.gave_up(error))?? {
                    continue;
                }
            } else if matches!(status, 429 | 500 | 502..=504) && tries < MAX_TRIES {
                let wanted = retry_after(response.headers());
                if wanted.is_none_or(|wanted| wanted <= MAX_PAUSE) {
                    pause = wait(pause, wanted).await;
                    tries += 1;
                    continue;
                }
            }
            // Each other answer (201, 204, a part that was not asked for) has not what was asked for.
            let is_complete = match response.status() {
                StatusCode::OK | StatusCode::NON_AUTHORITATIVE_INFORMATION => true,
                status => status == StatusCode::PARTIAL_CONTENT && headers.contains_key(RANGE),
            };
            if is_complete {
                return Ok(Ok(response));
            }
            return Ok(Err(refused(response).await));
        }
    }

    /// One object costs more than it may.
    pub(super) fn gave_up(&self, source: Exhausted) -> RegistryError {
        RegistryError::GaveUp { registry: self.registry.clone(), source }
    }

    /// What a connection's end means: nobody there, or no longer.
    pub(super) fn lost(&self, error: &reqwest::Error) -> RegistryError {
        let registry = self.registry.clone();
        let source = Cause::of_request(error);
        if error.is_connect() || !self.was_answered.load(Ordering::Relaxed) {
            RegistryError::Connect { registry, source }
        } else {
            RegistryError::Broken { registry, source }
        }
    }

    /// A refusal that means the same wherever it comes.
    pub(super) async fn refusal(&self, refused: Refused) -> RegistryError {
        let (registry, name) = (self.registry.clone(), self.name.clone());
        match refused.status {
            401 => {
                let credentials = self.authorization.lock().await.credentials.clone();
                match credentials {
                    Some(Credentials { username, .. }) => {
                        RegistryError::WrongCredentials { registry, username }
                    }
                    None => RegistryError::Unauthenticated { registry, name },
                }
            }
            403 => RegistryError::Denied { registry, name },
            429 => RegistryError::TooMany { registry },
            status => RegistryError::Status { registry, status, said: refused.said },
        }
    }

    async fn authorized(&self, request: RequestBuilder) -> (RequestBuilder, u64) {
        let identity = self.authorization.lock().await;
        let request = match &identity.authorization {
            Some(Authorization::Basic(credentials)) => {
                request.basic_auth(&credentials.username, Some(&credentials.password))
            }
            Some(Authorization::Bearer(token)) => request.bearer_auth(token),
            None => request,
        };
        (request, identity.generation)
    }

    /// Does what a 401 asks for; says whether it is worth another try. Challenges of where the registry has redirected
    /// us to are not the registry's, and are not answered (CVE-2020-15157).
    async fn authorize(&self, response: &Response, generation: u64) -> Result<bool, RegistryError> {
        let origin = response.url().origin().ascii_serialization();
        let ours = self.base.parse::<reqwest::Url>().map(|base| base.origin().ascii_serialization());
        if ours.is_ok_and(|ours| ours != origin) {
            return Ok(false);
        }
        let headers = response.headers().get_all(WWW_AUTHENTICATE);
        let texts: Vec<&str> = headers.iter().filter_map(|header| header.to_str().ok()).collect();
        let Some(challenge) = challenge::choose(texts.iter().copied()) else {
            let challenge = texts.join(", ").chars().take(MAX_SAID_CHARS).collect();
            return Err(RegistryError::Challenge { registry: self.registry.clone(), challenge });
        };
        let mut identity = self.authorization.lock().await;
        if identity.generation != generation {
            return Ok(true);
        }
        if !identity.is_looked_up {
            identity.credentials = match &self.given {
                Some(given) => Some(given.clone()),
                None => {
                    let registry = self.registry.clone();
                    tokio::task::spawn_blocking(move || auth::stored(&registry)).await??
                }
            };
            identity.is_looked_up = true;
        }
        let scope = format!("repository:{}:pull", self.path);
        let at = (self.registry.as_str(), self.base.as_str());
        let answer = auth::answer(&self.client, at, challenge, &scope, identity.credentials.as_ref()).await?;
        identity.generation += 1;
        identity.authorization = answer;
        Ok(identity.authorization.is_some())
    }
}

/// Waits, and says how long to wait the next time.
async fn wait(pause: Duration, wanted: Option<Duration>) -> Duration {
    tokio::time::sleep(wanted.unwrap_or(pause)).await;
    (pause * 2).min(MAX_PAUSE)
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok().map(Duration::from_secs)
}

async fn refused(mut response: Response) -> Refused {
    let status = response.status().as_u16();
    let mut body = Vec::new();
    let read = async {
        while let Ok(Some(piece)) = response.chunk().await {
            body.extend_from_slice(&piece);
            if body.len() > MAX_SAID_BYTES {
                break;
            }
        }
    };
    // What the registry says is a help only; that it cannot be read, or not in time, changes nothing.
    drop(tokio::time::timeout(SAID_LIMIT, read).await);
    let said = serde_json::from_slice::<Said>(&body).ok().and_then(|said| said.errors.into_iter().next());
    let Some(SaidError { code, message }) = said else {
        return Refused { status, code: String::new(), said: String::new() };
    };
    let words = if message.is_empty() { code.as_str() } else { message.as_str() };
    let words: String = words.chars().filter(|letter| !letter.is_control()).take(MAX_SAID_CHARS).collect();
    Refused { status, code, said: format!(": {words}") }
}
