//! Images on their way: pulled, loaded and saved, with the progress that docker's CLI draws.

use std::collections::HashSet;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use http_body_util::BodyExt;
use knarr_proto::docker::reference::{familiar, short};
use knarr_proto::kind::Kind;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;

use super::answers::{self, Pieces, progress_line};
use super::engine::Engine;
use super::failures::{Answer, Refusal};
use super::query::Query;
use crate::api::grpc::images::platform;
use crate::failure::Failure as _;
use crate::images::{self, Credentials, ImageError, Input, Loaded, Phase, Progress, PullRequest, Pulled};

/// Steps under way to one client.
const UNDER_WAY: usize = 16;
/// Digits of a digest by which a layer is known.
const SHORT_DIGITS: usize = 12;

pub(super) async fn create(State(engine): State<Arc<Engine>>, query: Query, headers: HeaderMap) -> Answer {
    if !query.text("fromSrc").is_empty() {
        return Err(Refusal::not_implemented(
            "an image cannot be made of files yet: load an archive instead",
        ));
    }
    let request = PullRequest {
        reference: images::parsed(&named(&query)?)?,
        platform: platform(query.text("platform"))?,
        auth: credentials(&headers)?,
    };
    pull(&engine, request).await
}

/// The image that is asked for.
fn named(query: &Query) -> Result<String, Refusal> {
    let (name, tag) = (query.text("fromImage"), query.text("tag"));
    if name.is_empty() {
        return Err(Refusal::bad("no image is named: fromImage is empty"));
    }
    let parts = familiar(name);
    match (tag, parts.tag.or(parts.digest)) {
        ("", Some(_)) => Ok(name.to_owned()),
        ("", None) => {
            let message = format!("all tags of {name} cannot be pulled together: name one");
            Err(Refusal::not_implemented(message))
        }
        (tag, _) if tag.contains(':') => Ok(format!("{}@{tag}", name.split('@').next().unwrap_or(name))),
        (tag, None) => Ok(format!("{name}:{tag}")),
        (_, Some(_)) => Err(Refusal::bad("a tag is given twice")),
    }
}

/// An account that the client has for the registry; one that cannot be read is none, as to docker.
fn credentials(headers: &HeaderMap) -> Result<Option<Credentials>, Refusal> {
    let Some(object) = headers.get("x-registry-auth").and_then(|header| decoded(header.as_bytes())) else {
        return Ok(None);
    };
    let text = |key: &str| object.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    if !text("identitytoken").is_empty() || !text("registrytoken").is_empty() {
        return Err(Refusal::not_implemented(
            "tokens of registries are not taken yet: log in with a password",
        ));
    }
    let (username, password) = (text("username"), text("password"));
    Ok((!username.is_empty()).then_some(Credentials { username, password }))
}

/// Base64 in both alphabets, with padding or without.
fn decoded(text: &[u8]) -> Option<Value> {
    let config = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    [alphabet::URL_SAFE, alphabet::STANDARD].iter().find_map(|alphabet| {
        let bytes = GeneralPurpose::new(alphabet, config).decode(text).ok()?;
        serde_json::from_slice(&bytes).ok()
    })
}

/// Until there is something to tell, an error is the answer itself.
async fn pull(engine: &Arc<Engine>, request: PullRequest) -> Answer {
    let reference = request.reference.to_string();
    let is_anonymous = request.auth.is_none();
    let refused = |error: ImageError| match error.kind() {
        // Registries do not tell strangers which of the two it is, and docker's clients wait for a 404.
        Kind::Unauthenticated | Kind::PermissionDenied if is_anonymous => Refusal::not_found(format!(
            "pull access denied for {}, repository does not exist or may require 'docker login'",
            familiar(&reference).repository
        )),
        _ => error.into(),
    };
    let (progress, mut told) = mpsc::channel(UNDER_WAY);
    let noun = engine.system.images.clone();
    let mut pulling = Box::pin(async move { noun.pull(request, progress).await });
    let first = loop {
        tokio::select! {
            biased;
            step = told.recv() => match step {
                Some(step) if step.phase == Phase::Resolving => {}
                step => break step,
            },
            pulled = &mut pulling => return Ok(whole(engine, &reference, pulled.map_err(refused)?)),
        }
    };
    Ok(answers::stream(engine, answers::JSON, async move |pieces| {
        let mut teller = Teller { pieces: &pieces, reference: &reference, announced: HashSet::new() };
        teller.begin().await;
        if let Some(first) = first {
            teller.step(&first).await;
        }
        let steps = async {
            while let Some(step) = told.recv().await {
                teller.step(&step).await;
            }
        };
        let (pulled, ()) = tokio::join!(pulling, steps);
        for line in ended(&reference, pulled) {
            answers::send(&pieces, progress_line(&line)).await;
        }
    }))
}

/// A pull that had nothing to do.
fn whole(engine: &Engine, reference: &str, pulled: Pulled) -> Response {
    let lines: Vec<Value> =
        std::iter::once(beginning(reference)).chain(ended(reference, Ok(pulled))).collect();
    answers::stream(engine, answers::JSON, async move |pieces| {
        for line in lines {
            answers::send(&pieces, progress_line(&line)).await;
        }
    })
}

fn beginning(reference: &str) -> Value {
    let parts = familiar(reference);
    let repository = match parts.repository.contains('/') {
        true => parts.repository.to_owned(),
        false => format!("library/{}", parts.repository),
    };
    let tag = parts.tag.or(parts.digest).unwrap_or_default();
    json!({"status": format!("Pulling from {repository}"), "id": tag})
}

fn ended(reference: &str, pulled: Result<Pulled, ImageError>) -> Vec<Value> {
    let pulled = match pulled {
        Ok(pulled) => pulled,
        Err(error) => return vec![failed(error)],
    };
    let what = if pulled.changed { "Downloaded newer image for" } else { "Image is up to date for" };
    vec![
        json!({"status": format!("Digest: {}", pulled.digest)}),
        json!({"status": format!("Status: {what} {}", short(reference))}),
    ]
}

fn failed(error: ImageError) -> Value {
    let refusal = Refusal::from(error);
    json!({"errorDetail": {"message": refusal.message()}, "error": refusal.message()})
}

/// Tells a pull's steps in docker's words.
struct Teller<'a> {
    pieces: &'a Pieces,
    reference: &'a str,
    /// Layers that the client has a line for.
    announced: HashSet<String>,
}

impl Teller<'_> {
    async fn begin(&self) {
        answers::send(self.pieces, progress_line(&beginning(self.reference))).await;
    }

    async fn step(&mut self, step: &Progress) {
        let digits = step.digest.split_once(':').map_or(step.digest.as_str(), |(_, digits)| digits);
        let id = &digits[..digits.floor_char_boundary(SHORT_DIGITS)];
        if step.phase == Phase::Resolving {
            return;
        }
        if step.phase != Phase::Exists && self.announced.insert(step.digest.clone()) {
            self.tell(id, "Pulling fs layer", None).await;
        }
        let detail = Some((step.current_bytes, step.total_bytes)).filter(|(_, total)| *total > 0);
        let (status, detail) = match step.phase {
            Phase::Resolving => return,
            Phase::Waiting => ("Waiting", None),
            Phase::Downloading => ("Downloading", detail),
            Phase::Downloaded => ("Download complete", None),
            Phase::Unpacking => ("Extracting", detail),
            Phase::Complete => ("Pull complete", None),
            Phase::Exists => ("Already exists", None),
        };
        self.tell(id, status, detail).await;
    }

    async fn tell(&self, id: &str, status: &str, detail: Option<(u64, u64)>) {
        let detail = match detail {
            Some((current, total)) => json!({"current": current, "total": total}),
            None => json!({}),
        };
        let line = json!({"status": status, "progressDetail": detail, "id": id});
        answers::send(self.pieces, progress_line(&line)).await;
    }
}

/// Whatever is wrong with the archive is told in the stream, as docker does.
pub(super) async fn load(State(engine): State<Arc<Engine>>, query: Query, request: Request) -> Answer {
    let platform = platform(query.text("platform"))?;
    let (input, archive) = Input::channel();
    let loading = async {
        let noun = engine.system.images.clone();
        let (fed, loaded) = tokio::join!(feed(request.into_body(), input), noun.import(archive, platform));
        // What is wrong with the stream is the reason for what is wrong with the archive.
        fed.map(|()| loaded)
    };
    let lines = match loading.await? {
        Ok(loaded) => loaded.iter().flat_map(said_of).collect(),
        Err(error) => vec![failed(error)],
    };
    Ok(answers::stream(&engine, answers::JSON, async move |pieces| {
        for line in lines {
            answers::send(&pieces, progress_line(&line)).await;
        }
    }))
}

async fn feed(mut body: Body, input: Input) -> Result<(), Refusal> {
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Refusal::bad("cannot read the archive: the request ended early"))?;
        if let Ok(data) = frame.into_data()
            && !input.send(data.to_vec()).await
        {
            // The import has failed and says why.
            return Ok(());
        }
    }
    input.end().await;
    Ok(())
}

fn said_of(loaded: &Loaded) -> Vec<Value> {
    if loaded.references.is_empty() {
        return vec![json!({"stream": format!("Loaded image ID: {}\n", loaded.id)})];
    }
    let said = |reference: &String| json!({"stream": format!("Loaded image: {}\n", short(reference))});
    loaded.references.iter().map(said).collect()
}

pub(super) async fn save_several(State(engine): State<Arc<Engine>>, query: Query) -> Answer {
    let names: Vec<String> = query.texts("names").map(str::to_owned).collect();
    save(&engine, &names).await
}

/// One archive of all of them. An error in the middle cuts it short, which the client sees by its missing end.
pub(super) async fn save(engine: &Engine, names: &[String]) -> Answer {
    let mut export = engine.system.images.export(names).await?;
    let (sender, receiver) = mpsc::channel(UNDER_WAY);
    engine.work.spawn(async move {
        while let Some(piece) = export.next().await {
            if sender.send(piece).await.is_err() {
                return;
            }
        }
    });
    let pieces = ReceiverStream::new(receiver).map(|piece| piece.map_err(axum::Error::new));
    Ok(([(CONTENT_TYPE, answers::TAR)], Body::from_stream(pieces)).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_read_in_every_alphabet_and_junk_is_none() {
        let with = |text: &'static str| {
            HeaderMap::from_iter([(
                http::HeaderName::from_static("x-registry-auth"),
                http::HeaderValue::from_static(text),
            )])
        };
        let found = |text| credentials(&with(text)).expect("read").map(|found| found.username);
        for (text, name) in [
            ("eyJ1c2VybmFtZSI6IuKCrCIsInBhc3N3b3JkIjoicCJ9", Some("€")),
            ("eyJ1c2VybmFtZSI6ImEiLCJwYXNzd29yZCI6InAifQ==", Some("a")),
            ("eyJ1c2VybmFtZSI6ImEiLCJwYXNzd29yZCI6InAifQ", Some("a")),
            ("e30=", None),
            ("bnVsbA==", None),
            ("junk!", None),
        ] {
            assert_eq!(found(text).as_deref(), name, "{text}");
        }
        assert_eq!(credentials(&HeaderMap::new()), Ok(None));
        assert!(credentials(&with("eyJpZGVudGl0eXRva2VuIjoieCJ9")).is_err());
    }

    #[test]
    fn a_pull_begins_with_the_repository_and_the_tag() {
        for (reference, line) in [
            ("docker.io/library/alpine:3", json!({"status": "Pulling from library/alpine", "id": "3"})),
            ("localhost:5000/a/b:c", json!({"status": "Pulling from localhost:5000/a/b", "id": "c"})),
        ] {
            assert_eq!(beginning(reference), line);
        }
    }
}
