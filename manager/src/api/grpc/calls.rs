//! Calls under way: counted for each client, and bounded, so that calls that wait (attach, logs, events …) never take the
//! places of those that answer at once (ps, stop, rm …), and a request that does not arrive ends.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http_body::{Frame, SizeHint};
use knarr_proto::kind::Kind;
use knarr_proto::reason::Reason;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Sleep;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::{Bytes, Service, http};
use tower_layer::Layer;

use super::status;
use crate::connections::{Call, Client};
use crate::failure::Failure;

/// A request of one message, at most 4 MiB from the same machine, takes milliseconds. One that stops in the middle would
/// hold its place for ever.
pub(super) const ARRIVAL_LIMIT: Duration = Duration::from_secs(30);

/// Methods that may take as long as a container, a person or a network does.
const LONG: [&str; 17] = [
    "/knarr.v1.Builds/Build",
    "/knarr.v1.Builds/Prune",
    "/knarr.v1.Containers/Attach",
    "/knarr.v1.Containers/ExecStart",
    "/knarr.v1.Containers/Logs",
    "/knarr.v1.Containers/Prune",
    "/knarr.v1.Containers/Restart",
    "/knarr.v1.Containers/Stop",
    "/knarr.v1.Containers/Wait",
    "/knarr.v1.Events/Subscribe",
    "/knarr.v1.Images/Export",
    "/knarr.v1.Images/Import",
    "/knarr.v1.Images/Prune",
    "/knarr.v1.Images/Pull",
    "/grpc.health.v1.Health/Watch",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];

/// Of them, those whose requests are streams, too: they arrive for as long as the client has something to say.
const STREAMED: [&str; 6] = [
    "/knarr.v1.Builds/Build",
    "/knarr.v1.Containers/Attach",
    "/knarr.v1.Containers/ExecStart",
    "/knarr.v1.Images/Import",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];

/// How many calls there may be at a time.
#[derive(Clone)]
pub(crate) struct Calls {
    long: Arc<Semaphore>,
    short: Arc<Semaphore>,
}

/// The services behind it.
#[derive(Clone)]
pub(crate) struct Counted<S> {
    calls: Calls,
    inner: S,
}

/// There is no place for a call.
#[derive(Debug, thiserror::Error)]
#[error("knarrd has as many calls {what} as it takes: try again when some have ended")]
pub(in crate::api) struct TooManyCalls {
    what: &'static str,
}

impl Failure for TooManyCalls {
    fn kind(&self) -> Kind {
        Kind::ResourceExhausted
    }

    fn reason(&self) -> Option<Reason> {
        None
    }
}

impl Calls {
    /// So many of each sort.
    pub(crate) fn new(long: usize, short: usize) -> Self {
        Self { long: Arc::new(Semaphore::new(long)), short: Arc::new(Semaphore::new(short)) }
    }

    /// A place for one more call.
    ///
    /// # Errors
    /// [`TooManyCalls`].
    pub(in crate::api) fn begin(&self, is_long: bool) -> Result<OwnedSemaphorePermit, TooManyCalls> {
        let (free, what) = match is_long {
            true => (&self.long, "that wait or stream"),
            false => (&self.short, "at once"),
        };
        Arc::clone(free).try_acquire_owned().map_err(|_| TooManyCalls { what })
    }
}

impl<S> Layer<S> for Calls {
    type Service = Counted<S>;

    fn layer(&self, inner: S) -> Counted<S> {
        Counted { calls: self.clone(), inner }
    }
}

impl<S> Service<http::Request<Body>> for Counted<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let path = request.uri().path();
        let (is_long, is_streamed) = (LONG.contains(&path), STREAMED.contains(&path));
        let place = match self.calls.begin(is_long) {
            Ok(place) => place,
            Err(error) => return Box::pin(std::future::ready(Ok(status::status(&error).into_http()))),
        };
        let client = request.extensions().get::<Arc<Client>>();
        let call = client.map(|client| Arc::new(client.call(is_long)));
        let late = (!is_streamed).then(|| Box::pin(tokio::time::sleep(ARRIVAL_LIMIT)));
        let request = request.map(|body| Body::new(Arriving { body, late, call: call.clone() }));
        let answered = self.inner.call(request);
        Box::pin(async move {
            let answer = answered.await?;
            Ok(answer.map(|body| Body::new(Answer { body, _call: call, _place: place })))
        })
    }
}

/// A request's body on its way.
struct Arriving {
    body: Body,
    /// When it has to be here; a stream has no end that could be waited for.
    late: Option<Pin<Box<Sleep>>>,
    call: Option<Arc<Call>>,
}

impl http_body::Body for Arriving {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(context) {
            let is_here = match &frame {
                Some(Ok(_)) => this.late.is_none() || this.body.is_end_stream(),
                Some(Err(_)) => false,
                None => true,
            };
            if let Some(call) = this.call.as_ref().filter(|_| is_here) {
                call.arrive();
            }
            return Poll::Ready(frame);
        }
        match &mut this.late {
            Some(late) => {
                std::task::ready!(late.as_mut().poll(context));
                Poll::Ready(Some(Err(self::late())))
            }
            None => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// What a client is told whose request stops in the middle.
pub(super) fn late() -> Status {
    let seconds = ARRIVAL_LIMIT.as_secs();
    Status::deadline_exceeded(format!("the request did not arrive within {seconds} seconds"))
}

/// An answer's body; the call is over when it is dropped.
struct Answer {
    body: Body,
    _call: Option<Arc<Call>>,
    _place: OwnedSemaphorePermit,
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
