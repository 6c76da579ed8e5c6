//! A gRPC client of one knarrd, as any other program would be one. It adds nothing to the generated clients but a
//! runtime to wait in, so that tests read as plain functions.

use std::future::Future;
use std::path::Path;
use std::time::Duration;

use knarr_proto::v1;
use knarr_proto::v1::containers_client::ContainersClient;
use knarr_proto::v1::events_client::EventsClient;
use knarr_proto::v1::images_client::ImagesClient;
use knarr_proto::v1::snapshots_client::SnapshotsClient;
use knarr_proto::v1::system_client::SystemClient;
use tokio::runtime::Runtime;
use tonic::transport::{Channel, Endpoint};
use tonic::{Response, Status, Streaming};

/// No call in a test is meant to take longer; one that hangs fails its test.
const CALL_DEADLINE: Duration = Duration::from_secs(120);

/// A connection.
#[derive(Debug)]
pub struct Grpc {
    runtime: Runtime,
    channel: Channel,
}

impl Grpc {
    /// Connects to this socket.
    ///
    /// # Panics
    /// When nobody listens there.
    #[must_use]
    #[track_caller]
    pub fn connect(socket: &Path) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let endpoint =
            Endpoint::from_shared(format!("unix://{}", socket.display())).expect("a socket's path");
        let channel = runtime.block_on(endpoint.connect()).expect("knarrd listens");
        Self { runtime, channel }
    }

    /// Waits for a call, or several.
    ///
    /// # Panics
    /// When it takes longer than anything here may.
    #[track_caller]
    pub fn wait<T>(&self, call: impl Future<Output = T>) -> T {
        self.wait_within(CALL_DEADLINE, call)
    }

    /// As [`Self::wait`], for a call that may take longer or must be faster.
    ///
    /// # Panics
    /// When it takes longer.
    #[track_caller]
    pub fn wait_within<T>(&self, deadline: Duration, call: impl Future<Output = T>) -> T {
        let bounded = async { tokio::time::timeout(deadline, call).await };
        self.runtime.block_on(bounded).expect("knarrd answers in time")
    }

    /// Waits for a call, and for every reply of its stream.
    ///
    /// # Errors
    /// What knarrd says, at once or in the middle.
    #[track_caller]
    pub fn gather<T>(
        &self,
        call: impl Future<Output = Result<Response<Streaming<T>>, Status>>,
    ) -> Result<Vec<T>, Status> {
        self.wait(async {
            let mut stream = call.await?.into_inner();
            let mut replies = Vec::new();
            while let Some(reply) = stream.message().await? {
                replies.push(reply);
            }
            Ok(replies)
        })
    }

    /// All containers that match.
    ///
    /// # Errors
    /// What knarrd says.
    pub fn list_containers(
        &self,
        request: v1::ListContainersRequest,
    ) -> Result<Vec<v1::ContainerSummary>, Status> {
        let replies = self.gather(async { self.containers().list(request).await })?;
        Ok(replies.into_iter().flat_map(|reply| reply.containers).collect())
    }

    /// All images that match.
    ///
    /// # Errors
    /// What knarrd says.
    pub fn list_images(&self, request: v1::ListImagesRequest) -> Result<Vec<v1::ImageSummary>, Status> {
        let replies = self.gather(async { self.images().list(request).await })?;
        Ok(replies.into_iter().flat_map(|reply| reply.images).collect())
    }

    /// Pulls an image to its end.
    ///
    /// # Errors
    /// What knarrd says, at once or in the middle; a stream that ends without a result.
    pub fn pull_image(&self, reference: &str) -> Result<v1::Image, Status> {
        let request = v1::PullImageRequest { reference: reference.to_owned(), ..Default::default() };
        let replies = self.gather(async { self.images().pull(request).await })?;
        match replies.into_iter().last().and_then(|reply| reply.message) {
            Some(v1::pull_image_reply::Message::Done(done)) => Ok(done.image.unwrap_or_default()),
            _ => Err(Status::internal("the stream ended without a result")),
        }
    }

    /// All snapshots.
    ///
    /// # Errors
    /// What knarrd says.
    pub fn list_snapshots(&self) -> Result<Vec<v1::Snapshot>, Status> {
        let replies = self.gather(async { self.snapshots().list(v1::ListSnapshotsRequest {}).await })?;
        Ok(replies.into_iter().flat_map(|reply| reply.snapshots).collect())
    }

    /// The connection, for services that are not knarr's own.
    #[must_use]
    pub fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// knarr.v1.Containers.
    #[must_use]
    pub fn containers(&self) -> ContainersClient<Channel> {
        ContainersClient::new(self.channel())
    }

    /// knarr.v1.Events.
    #[must_use]
    pub fn events(&self) -> EventsClient<Channel> {
        EventsClient::new(self.channel())
    }

    /// knarr.v1.Images.
    #[must_use]
    pub fn images(&self) -> ImagesClient<Channel> {
        ImagesClient::new(self.channel())
    }

    /// knarr.v1.Snapshots.
    #[must_use]
    pub fn snapshots(&self) -> SnapshotsClient<Channel> {
        SnapshotsClient::new(self.channel())
    }

    /// knarr.v1.System.
    #[must_use]
    pub fn system(&self) -> SystemClient<Channel> {
        SystemClient::new(self.channel())
    }
}
