//! What happens, as a stream.

use std::sync::Arc;
use std::time::SystemTime;

use axum::extract::State;
use knarr_proto::docker;
use tonic::codegen::Bytes;

use super::engine::Engine;
use super::failures::{Answer, Refusal};
use super::query::Query;
use super::{answers, times};
use crate::api::grpc::translate;
use crate::events::FILTER_KEYS;

pub(super) async fn events(State(engine): State<Arc<Engine>>, query: Query) -> Answer {
    let filters = query.filters(&FILTER_KEYS)?;
    let time = |name| Ok::<_, Refusal>(times::parse(name, query.text(name))?.map(translate::system_time));
    let (since, until) = (time("since")?, time("until")?);
    if since.zip(until).is_some_and(|(since, until)| until < since) {
        return Err(Refusal::bad("`since` time cannot be after `until` time"));
    }
    // Docker: with only an end, everything remembered is meant.
    let since = since.or(until.map(|_| SystemTime::UNIX_EPOCH));
    let mut subscription = engine.events.subscribe(since);
    let stopping = engine.stopping.clone();
    Ok(answers::stream(&engine, answers::JSON, async move |pieces| {
        let telling = async {
            while let Some(event) = subscription.next_until(until).await {
                if event.passes(&filters) {
                    let object = docker::event(&translate::event(&event));
                    answers::send(&pieces, Bytes::from(format!("{object}\n"))).await;
                }
            }
        };
        tokio::select! {
            () = telling => {}
            () = stopping.cancelled() => {}
        }
    }))
}
