//! The Volumes service: request → noun → reply.

use knarr_proto::v1;
use knarr_proto::v1::volumes_server::Volumes as Service;
use tonic::{Request, Response, Status};

use super::replies::Replies;
use super::{pieces, translate};
use crate::filters::Filters;
use crate::volumes::{FILTER_KEYS, NewVolume, PRUNE_KEYS, Volumes};

/// The service, on the noun.
pub(crate) struct VolumesService(pub(crate) Volumes);

#[tonic::async_trait]
impl Service for VolumesService {
    type ListStream = Replies<v1::ListVolumesReply>;

    async fn create(
        &self,
        request: Request<v1::CreateVolumeRequest>,
    ) -> Result<Response<v1::CreateVolumeReply>, Status> {
        let request = request.into_inner();
        let new = NewVolume::asked(
            request.name,
            request.driver,
            request.options.into_iter().collect(),
            request.labels.into_iter().collect(),
        );
        let volume = Some(translate::volume(self.0.create(new).await?));
        Ok(Response::new(v1::CreateVolumeReply { volume }))
    }

    async fn list(
        &self,
        request: Request<v1::ListVolumesRequest>,
    ) -> Result<Response<Self::ListStream>, Status> {
        let filters = Filters::parse(&FILTER_KEYS, translate::filters(request.into_inner().filters))?;
        let volumes = self.0.list(filters).await?.into_iter().map(translate::volume);
        let replies = pieces::replies(volumes, |volumes| v1::ListVolumesReply { volumes });
        Ok(Response::new(Box::pin(replies)))
    }

    async fn inspect(
        &self,
        request: Request<v1::InspectVolumeRequest>,
    ) -> Result<Response<v1::InspectVolumeReply>, Status> {
        let volume = Some(translate::volume(self.0.inspect(&request.into_inner().name).await?));
        Ok(Response::new(v1::InspectVolumeReply { volume }))
    }

    async fn remove(
        &self,
        request: Request<v1::RemoveVolumeRequest>,
    ) -> Result<Response<v1::RemoveVolumeReply>, Status> {
        let request = request.into_inner();
        self.0.remove(&request.name, request.force).await?;
        Ok(Response::new(v1::RemoveVolumeReply {}))
    }

    async fn prune(
        &self,
        request: Request<v1::PruneVolumesRequest>,
    ) -> Result<Response<v1::PruneVolumesReply>, Status> {
        let request = request.into_inner();
        let all = request.all.then(|| ("all".to_owned(), "true".to_owned()));
        let pairs = translate::filters(request.filters).chain(all);
        let pruned = self.0.prune(Filters::parse(&PRUNE_KEYS, pairs)?).await?;
        Ok(Response::new(v1::PruneVolumesReply { deleted: pruned.names, freed_bytes: pruned.freed_bytes }))
    }
}
