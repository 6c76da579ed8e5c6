//! The Events service: request → noun → reply.

use std::sync::Arc;
use std::time::SystemTime;

use knarr_proto::v1;
use knarr_proto::v1::events_server::Events as Service;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use super::replies::Replies;
use super::translate;
use crate::events::{Events, FILTER_KEYS, Subscription};
use crate::filters::Filters;

/// Events under way to one subscriber; the noun remembers the rest for it.
const UNDER_WAY: usize = 64;

/// The service, on the noun.
pub(crate) struct EventsService {
    pub(crate) events: Arc<Events>,
    pub(crate) stopping: CancellationToken,
}

#[tonic::async_trait]
impl Service for EventsService {
    type SubscribeStream = Replies<v1::Event>;

    async fn subscribe(
        &self,
        request: Request<v1::SubscribeRequest>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        let request = request.into_inner();
        let filters = Filters::parse(&FILTER_KEYS, translate::filters(request.filters))?;
        let until = request.until.map(translate::system_time);
        // Docker: with only an end, everything remembered is meant.
        let since = request.since.map(translate::system_time).or(until.map(|_| SystemTime::UNIX_EPOCH));
        let subscription = self.events.subscribe(since);
        let (sender, receiver) = mpsc::channel(UNDER_WAY);
        let stopping = self.stopping.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = tell(subscription, &filters, until, &sender) => {}
                () = sender.closed() => {}
                () = stopping.cancelled() => {}
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }
}

async fn tell(
    mut subscription: Subscription,
    filters: &Filters,
    until: Option<SystemTime>,
    sender: &mpsc::Sender<Result<v1::Event, Status>>,
) {
    while let Some(event) = subscription.next_until(until).await {
        if event.passes(filters) && sender.send(Ok(translate::event(&event))).await.is_err() {
            return;
        }
    }
}
