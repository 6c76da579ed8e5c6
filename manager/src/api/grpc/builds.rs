//! The Builds service: request → noun → reply.

use knarr_proto::frame::Stream as Streams;
use knarr_proto::v1;
use knarr_proto::v1::build_reply::Message as Reply;
use knarr_proto::v1::build_request::Message;
use knarr_proto::v1::builds_server::Builds as Service;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use super::images::{message, platform};
use super::replies::{self, Replies};
use super::sessions;
use crate::builds::{BuildError, BuildRequest, Builds, Progress};
use crate::tasks::plan::Ulimit;

/// Pieces of a context, and steps, under way.
const UNDER_WAY: usize = 16;

/// The service, on the noun.
pub(crate) struct BuildsService(pub(crate) Builds);

#[tonic::async_trait]
impl Service for BuildsService {
    type BuildStream = Replies<v1::BuildReply>;

    async fn build(
        &self,
        request: Request<Streaming<v1::BuildRequest>>,
    ) -> Result<Response<Self::BuildStream>, Status> {
        let mut requests = request.into_inner();
        let Some(Message::Open(open)) = sessions::first(&mut requests).await?.and_then(|first| first.message)
        else {
            return Err(Status::invalid_argument("the first message must be `open`"));
        };
        let (builds, request) = (self.0.clone(), wanted(open)?);
        let replies: Replies<v1::BuildReply> = replies::replies(async move |client| {
            let cancelled = CancellationToken::new();
            // A client that leaves drops this, and with it the build.
            let _ends_with_us = cancelled.clone().drop_guard();
            let (sender, pieces) = mpsc::channel(UNDER_WAY);
            let (progress, mut told) = mpsc::channel(UNDER_WAY);
            let feeding = feed(requests, sender);
            let telling = async {
                while let Some(step) = told.recv().await {
                    drop(client.send(Ok(reply(said(step)))).await);
                }
            };
            let building = builds.build(request, pieces, progress, cancelled.clone());
            let (fed, built, ()) = tokio::join!(feeding, building, telling);
            fed?;
            drop(client.send(Ok(reply(Reply::Built(message(built?))))).await);
            Ok::<(), Status>(())
        });
        Ok(Response::new(replies))
    }

    async fn prune(
        &self,
        _: Request<v1::PruneBuildCacheRequest>,
    ) -> Result<Response<v1::PruneBuildCacheReply>, Status> {
        let (deleted, reclaimed_bytes) = self.0.prune().await?;
        Ok(Response::new(v1::PruneBuildCacheReply { deleted, reclaimed_bytes }))
    }
}

impl From<BuildError> for Status {
    fn from(error: BuildError) -> Self {
        super::status::status(&error)
    }
}

fn wanted(open: v1::BuildOpen) -> Result<BuildRequest, Status> {
    let ulimit = |one: v1::Ulimit| Ulimit { name: one.name, soft: one.soft, hard: one.hard };
    Ok(BuildRequest {
        dockerfile: open.dockerfile,
        dockerfile_text: open.dockerfile_text,
        tags: open.tags,
        build_args: open.build_args.into_iter().map(|one| (one.name, one.value)).collect(),
        labels: open.labels.into_iter().collect(),
        target: open.target,
        no_cache: open.no_cache,
        pull: open.pull,
        platform: platform(&open.platform)?,
        network: open.network,
        shm_size_bytes: open.shm_size_bytes,
        ulimits: open.ulimits.into_iter().map(ulimit).collect(),
        secrets: open.secrets.into_iter().collect(),
        cgroup_parent: open.cgroup_parent,
        ..BuildRequest::default()
    })
}

async fn feed(
    mut requests: Streaming<v1::BuildRequest>,
    pieces: mpsc::Sender<Vec<u8>>,
) -> Result<(), Status> {
    while let Some(request) = requests.message().await? {
        let Some(Message::Data(data)) = request.message else {
            return Err(Status::invalid_argument("after `open`, every message must be `data`"));
        };
        if pieces.send(data).await.is_err() {
            // The build has failed and says why.
            return Ok(());
        }
    }
    Ok(())
}

fn reply(message: Reply) -> v1::BuildReply {
    v1::BuildReply { message: Some(message) }
}

fn said(progress: Progress) -> Reply {
    match progress {
        Progress::Step { number, total, stage, text } => Reply::Step(v1::BuildStep {
            number: u32::try_from(number).unwrap_or(u32::MAX),
            total: u32::try_from(total).unwrap_or(u32::MAX),
            stage,
            text,
        }),
        Progress::Pulling { image } => Reply::Pulling(image),
        Progress::Note(text) => Reply::Note(text),
        Progress::Cached => Reply::Cached(true),
        Progress::Running { id } => Reply::Running(id),
        Progress::Output { stream, data } => {
            Reply::Output(v1::BuildOutput { is_stderr: stream == Streams::Stderr, data })
        }
        Progress::Done { id } => Reply::Done(id),
    }
}
