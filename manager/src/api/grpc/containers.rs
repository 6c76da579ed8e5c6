//! The Containers service: request → noun → reply.

use std::pin::Pin;

use knarr_proto::v1;
use knarr_proto::v1::containers_server::Containers as Service;
use tokio_stream::Stream;
use tonic::{Request, Response, Status, Streaming};

use super::{pieces, streams, translate};
use crate::containers::{Containers, FILTER_KEYS, LogOptions, WaitCondition};
use crate::filters::Filters;

/// A stream of replies.
pub(super) type Replies<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// The service, on the noun.
pub(crate) struct ContainersService(pub(crate) Containers);

#[tonic::async_trait]
impl Service for ContainersService {
    type ListStream = Replies<v1::ListContainersReply>;
    type LogsStream = Replies<v1::ContainerLogsReply>;
    type AttachStream = Replies<v1::AttachReply>;
    type ExecStream = Replies<v1::ExecReply>;

    async fn create(
        &self,
        request: Request<v1::CreateContainerRequest>,
    ) -> Result<Response<v1::CreateContainerReply>, Status> {
        let created = self.0.create(translate::create_request(request.into_inner())?).await?;
        Ok(Response::new(v1::CreateContainerReply {
            id: created.id.to_string(),
            name: created.name,
            warnings: created.warnings,
        }))
    }

    async fn start(
        &self,
        request: Request<v1::StartContainerRequest>,
    ) -> Result<Response<v1::StartContainerReply>, Status> {
        let pid = self.0.start(&request.into_inner().container).await?;
        Ok(Response::new(v1::StartContainerReply { pid }))
    }

    async fn stop(
        &self,
        request: Request<v1::StopContainerRequest>,
    ) -> Result<Response<v1::StopContainerReply>, Status> {
        let request = request.into_inner();
        self.0.stop(&request.container, request.timeout_seconds, &request.signal).await?;
        Ok(Response::new(v1::StopContainerReply {}))
    }

    async fn restart(
        &self,
        request: Request<v1::RestartContainerRequest>,
    ) -> Result<Response<v1::RestartContainerReply>, Status> {
        let request = request.into_inner();
        let pid = self.0.restart(&request.container, request.timeout_seconds, &request.signal).await?;
        Ok(Response::new(v1::RestartContainerReply { pid }))
    }

    async fn prune(
        &self,
        _: Request<v1::PruneContainersRequest>,
    ) -> Result<Response<v1::PruneContainersReply>, Status> {
        let deleted = self.0.prune().await?.into_iter().map(String::from).collect();
        Ok(Response::new(v1::PruneContainersReply { deleted }))
    }

    async fn kill(
        &self,
        request: Request<v1::KillContainerRequest>,
    ) -> Result<Response<v1::KillContainerReply>, Status> {
        let request = request.into_inner();
        self.0.kill(&request.container, &request.signal).await?;
        Ok(Response::new(v1::KillContainerReply {}))
    }

    async fn remove(
        &self,
        request: Request<v1::RemoveContainerRequest>,
    ) -> Result<Response<v1::RemoveContainerReply>, Status> {
        let request = request.into_inner();
        let id = self.0.remove(&request.container, request.force).await?;
        Ok(Response::new(v1::RemoveContainerReply { id: id.to_string() }))
    }

    async fn list(
        &self,
        request: Request<v1::ListContainersRequest>,
    ) -> Result<Response<Self::ListStream>, Status> {
        let request = request.into_inner();
        let filters = Filters::parse(&FILTER_KEYS, translate::filters(request.filters))?;
        let containers = self.0.list(request.all, &filters).into_iter().map(|view| translate::summary(&view));
        let replies = pieces::replies(containers, |containers| v1::ListContainersReply { containers });
        Ok(Response::new(Box::pin(replies)))
    }

    async fn inspect(
        &self,
        request: Request<v1::InspectContainerRequest>,
    ) -> Result<Response<v1::InspectContainerReply>, Status> {
        let view = self.0.inspect(&request.into_inner().container)?;
        Ok(Response::new(v1::InspectContainerReply { container: Some(translate::container(view)) }))
    }

    async fn wait(
        &self,
        request: Request<v1::WaitContainerRequest>,
    ) -> Result<Response<v1::WaitContainerReply>, Status> {
        let request = request.into_inner();
        let condition =
            match translate::known(request.condition, "condition", "not running, next exit and removed")? {
                v1::WaitCondition::NotRunning => WaitCondition::NotRunning,
                v1::WaitCondition::NextExit => WaitCondition::NextExit,
                v1::WaitCondition::Removed => WaitCondition::Removed,
            };
        let exit = self.0.wait(&request.container, condition).await?;
        Ok(Response::new(v1::WaitContainerReply { exit: Some(translate::exit(exit)) }))
    }

    async fn logs(
        &self,
        request: Request<v1::ContainerLogsRequest>,
    ) -> Result<Response<Self::LogsStream>, Status> {
        let request = request.into_inner();
        let options = LogOptions {
            follow: request.follow,
            stdout: request.stdout,
            stderr: request.stderr,
            since: request.since.map(translate::record_time),
            until: request.until.map(translate::record_time),
            tail: request.tail,
        };
        let reader = self.0.logs(&request.container, &options)?;
        Ok(Response::new(streams::logs(reader)))
    }

    async fn attach(
        &self,
        request: Request<Streaming<v1::AttachRequest>>,
    ) -> Result<Response<Self::AttachStream>, Status> {
        streams::attach(&self.0, request.into_inner()).await.map(Response::new)
    }

    async fn exec(
        &self,
        request: Request<Streaming<v1::ExecRequest>>,
    ) -> Result<Response<Self::ExecStream>, Status> {
        streams::exec(&self.0, request.into_inner()).await.map(Response::new)
    }
}
