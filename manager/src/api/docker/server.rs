//! Connections of docker's clients: HTTP/1.1, one request after the other, each counted and bounded as gRPC's calls are.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::{Method, Uri};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::UnixListener;
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tonic::codegen::{Bytes, Service};
use tonic::transport::server::Connected;

use super::engine::Engine;
use super::failures::Refusal;
use super::hangup::HangUp;
use super::place::Place;
use super::routes::router;
use super::versions;
use crate::api::grpc::Calls;
use crate::connections::{self, Client, Connection, Connections, Protocol};

/// A head of a request: its line and headers, of which `X-Registry-Auth` and `filters` are the longest.
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// Paths that may take as long as a container, a person or a network does, by how they end.
const LONG: [&str; 12] = [
    "/attach", "/create", "/events", "/get", "/load", "/logs", "/prune", "/restart", "/start", "/stats",
    "/stop", "/wait",
];

/// Serves clients until knarrd stops.
pub(crate) async fn serve(
    listener: UnixListener,
    renewed: mpsc::Receiver<UnixListener>,
    connections: Connections,
    engine: Arc<Engine>,
) {
    let mut accepted = connections::accept(listener, renewed, &connections, Protocol::Http1);
    let routes = router(Arc::clone(&engine));
    loop {
        tokio::select! {
            connection = accepted.next() => match connection {
                Some(Ok(connection)) => {
                    let client = client(connection, routes.clone(), Arc::clone(&engine));
                    engine.work.spawn(client);
                }
                Some(Err(_)) | None => break,
            },
            () = engine.stopping.cancelled() => break,
        }
    }
    drop(accepted);
    engine.work.close();
    engine.work.wait().await;
}

async fn client(connection: Connection, routes: Router, engine: Arc<Engine>) {
    let hang_up = match HangUp::of(&connection) {
        Ok(hang_up) => Arc::new(hang_up),
        Err(error) => {
            tracing::warn!(%error, "a client of docker's API is turned away");
            return;
        }
    };
    let peer = Peer {
        client: connection.connect_info(),
        hang_up: Arc::clone(&hang_up),
        calls: engine.calls.clone(),
    };
    let service = service_fn(move |request| {
        let (peer, routes) = (peer.clone(), routes.clone());
        async move { Ok::<_, std::convert::Infallible>(answer(request, &peer, routes).await) }
    });
    let serving = http1::Builder::new()
        .half_close(true)
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(TokioIo::new(connection), service)
        .with_upgrades();
    tokio::pin!(serving);
    // A client that breaks the protocol has been told so by hyper, and one that has gone wants to know nothing.
    tokio::select! {
        _ = &mut serving => {}
        () = hang_up.wait() => {}
        () = engine.stopping.cancelled() => {
            serving.as_mut().graceful_shutdown();
            tokio::select! {
                _ = serving => {}
                () = hang_up.wait() => {}
            }
        }
    }
}

/// The client of a connection.
#[derive(Clone)]
struct Peer {
    client: Arc<Client>,
    hang_up: Arc<HangUp>,
    calls: Calls,
}

async fn answer(request: http::Request<Incoming>, peer: &Peer, routes: Router) -> Response {
    let mut response = match begin(request.map(Body::new), peer) {
        Err(refusal) => refusal.into_response(),
        Ok(None) => ().into_response(),
        Ok(Some((request, place))) => {
            let response = routed(routes, request).await;
            response.map(|body| Body::new(Held { body, _place: place }))
        }
    };
    versions::stamp(response.headers_mut());
    response
}

async fn routed(mut routes: Router, request: Request) -> Response {
    let Ok(response) = routes.call(request).await;
    response
}

/// What comes before the route: the version, and a place. `None` for a request that is answered by nothing at all.
fn begin(mut request: Request, peer: &Peer) -> Result<Option<(Request, Place)>, Refusal> {
    if request.method() == Method::OPTIONS {
        return Ok(None);
    }
    let (version, path) = versions::split(request.uri().path())?;
    let is_asked_by_head = path == "/_ping" || path.ends_with("/archive");
    if request.method() == Method::HEAD && !is_asked_by_head {
        return Err(Refusal::page_not_found());
    }
    let is_long = LONG.iter().any(|end| path.ends_with(end));
    let uri = without_version(request.uri(), path)?;
    let permit = peer.calls.begin(is_long)?;
    let call = peer.client.call(is_long);
    call.arrive();
    let place = Place::new(Arc::clone(&peer.hang_up), call, permit);
    *request.uri_mut() = uri;
    request.extensions_mut().insert(version);
    request.extensions_mut().insert(place.clone());
    Ok(Some((request, place)))
}

fn without_version(uri: &Uri, path: &str) -> Result<Uri, Refusal> {
    let text = match uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    text.parse().map_err(|_| Refusal::page_not_found())
}

/// An answer's body; its place is given back when it is dropped.
struct Held {
    body: Body,
    _place: Place,
}

impl http_body::Body for Held {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
