//! A request's body: JSON as Go's decoder reads it, of a bounded size.

use std::time::Duration;

use axum::extract::{FromRequest, Request};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use http_body::Body as _;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use knarr_proto::docker::Fields;
use serde::Deserialize;
use serde_json::{Map, Value};
use tonic::codegen::Bytes;

use super::failures::Refusal;

/// A container with a thousand mounts and labels fits.
const MAX_BODY_BYTES: usize = 4 * 1024 * 1024;
/// A body of that size takes milliseconds from the same machine. One that stops in the middle would hold its place for ever.
const ARRIVAL_LIMIT: Duration = Duration::from_secs(30);
/// What a client of 1.24 sent with a start: `{}`, `null` and the like.
const MAX_START_BYTES: usize = 7;

/// The object that a request has to have.
pub(super) struct Json(pub(super) Fields);

impl<S: Send + Sync> FromRequest<S> for Json {
    type Rejection = Refusal;

    async fn from_request(request: Request, _: &S) -> Result<Self, Refusal> {
        let has_type = is_json(&request);
        let bytes = read(request).await?;
        match has_type {
            Ok(true) => {}
            // No type is taken for that of no body.
            Ok(false) if bytes.is_empty() => {}
            Ok(false) => return Err(wrong_type("")),
            Err(name) => return Err(wrong_type(&name)),
        }
        object(&bytes).map(|object| Self(Fields::new(object)))
    }
}

/// A request that must not have a body worth mentioning.
pub(super) struct Nothing;

impl<S: Send + Sync> FromRequest<S> for Nothing {
    type Rejection = Refusal;

    async fn from_request(request: Request, _: &S) -> Result<Self, Refusal> {
        let bytes = read(request).await?;
        match bytes.len() > MAX_START_BYTES {
            false => Ok(Self),
            true => Err(Refusal::bad(
                "starting container with non-empty request body was deprecated since API v1.22 and removed in v1.24",
            )),
        }
    }
}

/// A body that does not matter. It is read all the same: a client that is still sending takes the end of its connection
/// for the answer.
pub(super) struct Ignored;

impl<S: Send + Sync> FromRequest<S> for Ignored {
    type Rejection = Refusal;

    async fn from_request(request: Request, _: &S) -> Result<Self, Refusal> {
        // What is wrong with it does not matter, either.
        drop(read(request).await);
        Ok(Self)
    }
}

fn wrong_type(name: &str) -> Refusal {
    Refusal::bad(format!("unsupported Content-Type header ({name}): must be 'application/json'"))
}

/// Whether the type is JSON; false when there is none, and the name of another one.
fn is_json(request: &Request) -> Result<bool, String> {
    let Some(header) = request.headers().get(CONTENT_TYPE) else { return Ok(false) };
    let text = String::from_utf8_lossy(header.as_bytes());
    let name = text.split(';').next().unwrap_or_default().trim();
    match name.eq_ignore_ascii_case("application/json") {
        true => Ok(true),
        false => Err(text.chars().take(64).collect()),
    }
}

async fn read(request: Request) -> Result<Bytes, Refusal> {
    let too_large = || Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "the request's body is larger than 4 MiB");
    let body = request.into_body();
    if body.size_hint().lower() > MAX_BODY_BYTES as u64 {
        return Err(too_large());
    }
    let body = Limited::new(body, MAX_BODY_BYTES);
    let read = tokio::time::timeout(ARRIVAL_LIMIT, body.collect()).await.map_err(|_| {
        let seconds = ARRIVAL_LIMIT.as_secs();
        let message = format!("the request did not arrive within {seconds} seconds");
        Refusal::new(StatusCode::REQUEST_TIMEOUT, message)
    })?;
    match read {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(too_large()),
        Err(_) => Err(Refusal::bad("cannot read the request's body")),
    }
}

/// One object; `null` is one without fields.
fn object(bytes: &[u8]) -> Result<Map<String, Value>, Refusal> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(Refusal::bad("invalid JSON: got EOF while reading request body"));
    }
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value =
        Value::deserialize(&mut reader).map_err(|error| Refusal::bad(format!("invalid JSON: {error}")))?;
    reader.end().map_err(|_| Refusal::bad("unexpected content after JSON"))?;
    match value {
        Value::Object(object) => Ok(object),
        Value::Null => Ok(Map::new()),
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Err(Refusal::bad("invalid JSON: the request's body must be an object"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_one_object() {
        assert_eq!(object(b" {\"a\": 1}\n").expect("an object").len(), 1);
        assert_eq!(object(b"null").expect("an object").len(), 0);
        for (text, message) in [
            ("", "invalid JSON: got EOF while reading request body"),
            (" \n", "invalid JSON: got EOF while reading request body"),
            ("{", "invalid JSON: "),
            ("{}{}", "unexpected content after JSON"),
            ("[]", "invalid JSON: "),
            (&"[".repeat(100_000), "invalid JSON: "),
        ] {
            let refusal = object(text.as_bytes()).expect_err(message);
            assert!(refusal.message().starts_with(message), "{refusal:?}");
        }
    }
}
