//! The Containers service: request → noun → reply.

use knarr_proto::v1;
use knarr_proto::v1::containers_server::Containers as Service;
use tokio_stream::StreamExt;
use tonic::{Request, Response, Status, Streaming};

use super::replies::Replies;
use super::{keep, logs, pieces, resources, sessions, stats, translate};
use crate::containers::{
    self, ContainerError, Containers, FILTER_KEYS, LogOptions, PRUNE_KEYS, Removal, View, WaitCondition, exec,
};
use crate::filters::Filters;
use crate::networks::Networks;

/// The service, on the noun.
pub(crate) struct ContainersService {
    pub(crate) containers: Containers,
    pub(crate) networks: Networks,
}

#[tonic::async_trait]
impl Service for ContainersService {
    type ListStream = Replies<v1::ListContainersReply>;
    type DiffStream = Replies<v1::DiffContainerReply>;
    type LogsStream = Replies<v1::ContainerLogsReply>;
    type StatsStream = Replies<v1::ContainerStatsReply>;
    type WaitStream = Replies<v1::WaitContainerReply>;
    type AttachStream = Replies<v1::SessionReply>;
    type ExecStartStream = Replies<v1::SessionReply>;

    async fn create(
        &self,
        request: Request<v1::CreateContainerRequest>,
    ) -> Result<Response<v1::CreateContainerReply>, Status> {
        let created =
            containers::create(&self.containers, translate::create_request(request.into_inner())?).await?;
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
        let started = containers::start(&self.containers, &request.into_inner().container).await?;
        let already = started.is_already();
        Ok(Response::new(v1::StartContainerReply { pid: started.into_inner(), already }))
    }

    async fn stop(
        &self,
        request: Request<v1::StopContainerRequest>,
    ) -> Result<Response<v1::StopContainerReply>, Status> {
        let request = request.into_inner();
        let stopped =
            containers::stop(&self.containers, &request.container, request.timeout_seconds, &request.signal)
                .await?;
        Ok(Response::new(v1::StopContainerReply { already: stopped.is_already() }))
    }

    async fn restart(
        &self,
        request: Request<v1::RestartContainerRequest>,
    ) -> Result<Response<v1::RestartContainerReply>, Status> {
        let request = request.into_inner();
        let pid = containers::restart(
            &self.containers,
            &request.container,
            request.timeout_seconds,
            &request.signal,
        )
        .await?;
        Ok(Response::new(v1::RestartContainerReply { pid }))
    }

    async fn prune(
        &self,
        request: Request<v1::PruneContainersRequest>,
    ) -> Result<Response<v1::PruneContainersReply>, Status> {
        let filters = translate::filters(request.into_inner().filters);
        let pruned = containers::prune(&self.containers, &Filters::parse(&PRUNE_KEYS, filters)?).await?;
        let deleted = pruned.ids.into_iter().map(String::from).collect();
        Ok(Response::new(v1::PruneContainersReply { deleted, freed_bytes: pruned.freed_bytes }))
    }

    async fn kill(
        &self,
        request: Request<v1::KillContainerRequest>,
    ) -> Result<Response<v1::KillContainerReply>, Status> {
        let request = request.into_inner();
        containers::kill(&self.containers, &request.container, &request.signal).await?;
        Ok(Response::new(v1::KillContainerReply {}))
    }

    async fn pause(
        &self,
        request: Request<v1::PauseContainerRequest>,
    ) -> Result<Response<v1::PauseContainerReply>, Status> {
        containers::pause(&self.containers, &request.into_inner().container).await?;
        Ok(Response::new(v1::PauseContainerReply {}))
    }

    async fn unpause(
        &self,
        request: Request<v1::UnpauseContainerRequest>,
    ) -> Result<Response<v1::UnpauseContainerReply>, Status> {
        containers::unpause(&self.containers, &request.into_inner().container).await?;
        Ok(Response::new(v1::UnpauseContainerReply {}))
    }

    async fn rename(
        &self,
        request: Request<v1::RenameContainerRequest>,
    ) -> Result<Response<v1::RenameContainerReply>, Status> {
        let request = request.into_inner();
        containers::rename(&self.containers, &request.container, &request.new_name).await?;
        Ok(Response::new(v1::RenameContainerReply {}))
    }

    async fn update(
        &self,
        request: Request<v1::UpdateContainerRequest>,
    ) -> Result<Response<v1::UpdateContainerReply>, Status> {
        let request = request.into_inner();
        let change = resources::resources(request.resources.unwrap_or_default())?;
        let restart = request.restart.as_ref().map(keep::policy).transpose();
        let restart = restart.map_err(translate::InvalidRequest::from)?;
        containers::update(&self.containers, &request.container, change, restart).await?;
        Ok(Response::new(v1::UpdateContainerReply {}))
    }

    async fn top(
        &self,
        request: Request<v1::TopContainerRequest>,
    ) -> Result<Response<v1::TopContainerReply>, Status> {
        let request = request.into_inner();
        let found = containers::top(&self.containers, &request.container, &request.ps_args).await?;
        let processes = found.rows.into_iter().map(|cells| v1::Process { cells }).collect();
        Ok(Response::new(v1::TopContainerReply { titles: found.titles, processes }))
    }

    async fn stats(
        &self,
        request: Request<v1::ContainerStatsRequest>,
    ) -> Result<Response<Self::StatsStream>, Status> {
        stats::stats(&self.containers, request.into_inner()).await.map(Response::new)
    }

    async fn remove(
        &self,
        request: Request<v1::RemoveContainerRequest>,
    ) -> Result<Response<v1::RemoveContainerReply>, Status> {
        let request = request.into_inner();
        let removal = Removal { force: request.force, volumes: request.volumes };
        let id = containers::remove(&self.containers, &request.container, removal).await?;
        Ok(Response::new(v1::RemoveContainerReply { id: id.to_string() }))
    }

    async fn list(
        &self,
        request: Request<v1::ListContainersRequest>,
    ) -> Result<Response<Self::ListStream>, Status> {
        let request = request.into_inner();
        let filters = Filters::parse(&FILTER_KEYS, translate::filters(request.filters))?;
        let presences = self.networks.presences().await?;
        let mut summaries = Vec::new();
        for view in containers::list(&self.containers, request.all, &filters) {
            let size = size(&self.containers, &view, request.sizes).await?;
            summaries.push(v1::ContainerSummary {
                size,
                ..translate::summary(&view, presences.get(&view.spec.id))
            });
        }
        let summaries = summaries.into_iter();
        let replies = pieces::replies(summaries, |containers| v1::ListContainersReply { containers });
        Ok(Response::new(Box::pin(replies)))
    }

    async fn inspect(
        &self,
        request: Request<v1::InspectContainerRequest>,
    ) -> Result<Response<v1::InspectContainerReply>, Status> {
        let request = request.into_inner();
        let view = containers::inspect(&self.containers, &request.container)?;
        let size = size(&self.containers, &view, request.size).await?;
        let exec_ids = exec::ids(&self.containers, &view.spec.id);
        let presence = self.networks.presence(&view.spec.id).await?;
        let container = v1::Container { size, ..translate::container(view, exec_ids, &presence) };
        Ok(Response::new(v1::InspectContainerReply { container: Some(container) }))
    }

    async fn diff(
        &self,
        request: Request<v1::DiffContainerRequest>,
    ) -> Result<Response<Self::DiffStream>, Status> {
        let changes = containers::diff(&self.containers, &request.into_inner().container).await?;
        let changes = changes.into_iter().map(translate::change);
        let replies = pieces::replies(changes, |changes| v1::DiffContainerReply { changes });
        Ok(Response::new(Box::pin(replies)))
    }

    async fn wait(
        &self,
        request: Request<v1::WaitContainerRequest>,
    ) -> Result<Response<Self::WaitStream>, Status> {
        let request = request.into_inner();
        let condition =
            match translate::known(request.condition, "condition", "not running, next exit and removed")? {
                v1::WaitCondition::NotRunning => WaitCondition::NotRunning,
                v1::WaitCondition::NextExit => WaitCondition::NextExit,
                v1::WaitCondition::Removed => WaitCondition::Removed,
            };
        let waiter = containers::wait(&self.containers, &request.container, condition)?;
        let replies = tokio_stream::once(waiter).then(async |waiter| {
            let exit = waiter.exit().await?;
            Ok(v1::WaitContainerReply { exit: Some(translate::exit(exit)) })
        });
        Ok(Response::new(Box::pin(replies)))
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
        let reader = containers::logs(&self.containers, &request.container, &options)?;
        Ok(Response::new(logs::logs(reader)))
    }

    async fn attach(
        &self,
        request: Request<Streaming<v1::SessionRequest>>,
    ) -> Result<Response<Self::AttachStream>, Status> {
        sessions::attach(&self.containers, request.into_inner()).await.map(Response::new)
    }

    async fn resize(
        &self,
        request: Request<v1::ResizeContainerRequest>,
    ) -> Result<Response<v1::ResizeContainerReply>, Status> {
        let request = request.into_inner();
        containers::resize(
            &self.containers,
            &request.container,
            translate::size(request.size.unwrap_or_default()),
        )
        .await?;
        Ok(Response::new(v1::ResizeContainerReply {}))
    }

    async fn exec_create(
        &self,
        request: Request<v1::ExecCreateRequest>,
    ) -> Result<Response<v1::ExecCreateReply>, Status> {
        let request = request.into_inner();
        let options = translate::exec_options(request.config.unwrap_or_default());
        let exec_id = exec::create(&self.containers, &request.container, options)?;
        Ok(Response::new(v1::ExecCreateReply { exec_id }))
    }

    async fn exec_start(
        &self,
        request: Request<Streaming<v1::SessionRequest>>,
    ) -> Result<Response<Self::ExecStartStream>, Status> {
        sessions::exec(&self.containers, request.into_inner()).await.map(Response::new)
    }

    async fn exec_inspect(
        &self,
        request: Request<v1::ExecInspectRequest>,
    ) -> Result<Response<v1::ExecInspectReply>, Status> {
        let view = exec::inspect(&self.containers, &request.into_inner().exec_id)?;
        Ok(Response::new(translate::exec(view)))
    }

    async fn exec_resize(
        &self,
        request: Request<v1::ExecResizeRequest>,
    ) -> Result<Response<v1::ExecResizeReply>, Status> {
        let request = request.into_inner();
        let size = translate::size(request.size.unwrap_or_default());
        exec::resize(&self.containers, &request.exec_id, size).await?;
        Ok(Response::new(v1::ExecResizeReply {}))
    }
}

/// How large a container is, when that is asked for.
async fn size(
    containers: &Containers,
    view: &View,
    is_asked: bool,
) -> Result<Option<v1::ContainerSize>, ContainerError> {
    match is_asked {
        true => containers::size(containers, view).await.map(translate::container_size).map(Some),
        false => Ok(None),
    }
}
