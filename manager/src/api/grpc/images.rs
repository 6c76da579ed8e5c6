//! The Images service: request → noun → reply.

use knarr_proto::v1;
use knarr_proto::v1::images_server::Images as Service;
use oci_spec::image::{Config, History};
use tonic::{Request, Response, Status, Streaming};

use super::containers::Replies;
use super::{transfers, translate};
use crate::containers::Containers;
use crate::content::Digest;
use crate::images::{Credentials, Filters, Image, ImageError, Images, Platform, PullRequest};

/// The service, on the noun; the containers say which images are in use.
pub(crate) struct ImagesService {
    pub(crate) images: Images,
    pub(crate) containers: Containers,
}

#[tonic::async_trait]
impl Service for ImagesService {
    type PullStream = Replies<v1::PullImageReply>;
    type ExportStream = Replies<v1::ExportImagesReply>;

    async fn pull(
        &self,
        request: Request<v1::PullImageRequest>,
    ) -> Result<Response<Self::PullStream>, Status> {
        let request = request.into_inner();
        let request = PullRequest {
            reference: crate::images::parsed(&request.reference)?,
            platform: platform(&request.platform)?,
            auth: request.auth.map(|auth| Credentials { username: auth.username, password: auth.password }),
        };
        Ok(Response::new(transfers::pull(self.images.clone(), request)))
    }

    async fn list(
        &self,
        request: Request<v1::ListImagesRequest>,
    ) -> Result<Response<v1::ListImagesReply>, Status> {
        let filters = Filters::parse(translate::filters(request.into_inner().filters))?;
        let images = self.images.list(&filters).await?.into_iter().map(message).collect();
        Ok(Response::new(v1::ListImagesReply { images }))
    }

    async fn inspect(
        &self,
        request: Request<v1::InspectImageRequest>,
    ) -> Result<Response<v1::InspectImageReply>, Status> {
        let image = self.images.resolve(&request.into_inner().image).await?;
        Ok(Response::new(v1::InspectImageReply { image: Some(message(image)) }))
    }

    async fn tag(
        &self,
        request: Request<v1::TagImageRequest>,
    ) -> Result<Response<v1::TagImageReply>, Status> {
        let request = request.into_inner();
        self.images.tag(&request.source, &request.target).await?;
        Ok(Response::new(v1::TagImageReply {}))
    }

    async fn remove(
        &self,
        request: Request<v1::RemoveImageRequest>,
    ) -> Result<Response<v1::RemoveImageReply>, Status> {
        let request = request.into_inner();
        let users = |id: &Digest| self.containers.users_of(id);
        let removed = self.images.remove(&request.image, request.force, users).await?;
        Ok(Response::new(v1::RemoveImageReply { untagged: removed.untagged, deleted: removed.deleted }))
    }

    async fn import(
        &self,
        request: Request<Streaming<v1::ImportImagesRequest>>,
    ) -> Result<Response<v1::ImportImagesReply>, Status> {
        let images = transfers::import(&self.images, request.into_inner()).await?;
        Ok(Response::new(v1::ImportImagesReply { images: images.into_iter().map(message).collect() }))
    }

    async fn export(
        &self,
        request: Request<v1::ExportImagesRequest>,
    ) -> Result<Response<Self::ExportStream>, Status> {
        let export = self.images.export(&request.into_inner().images).await?;
        Ok(Response::new(transfers::export(export)))
    }
}

/// An empty one is for the noun to choose.
pub(super) fn platform(text: &str) -> Result<Option<Platform>, ImageError> {
    if text.is_empty() { Ok(None) } else { Ok(Some(text.parse()?)) }
}

pub(super) fn message(image: Image) -> v1::Image {
    let config = &image.config;
    let history = config.history().iter().flatten().map(history).collect();
    v1::Image {
        id: image.id.to_string(),
        created_at: config.created().as_deref().and_then(|time| time.parse().ok()),
        size_bytes: image.size_bytes,
        compressed_bytes: image.compressed_bytes,
        config: Some(config.config().as_ref().map(runtime_half).unwrap_or_default()),
        diff_ids: image.diff_ids.iter().map(ToString::to_string).collect(),
        manifest_digest: image.manifest_digest.to_string(),
        author: config.author().clone().unwrap_or_default(),
        history,
        references: image.references,
        repo_digests: image.repo_digests,
        platform: Some(v1::Platform {
            os: image.platform.os,
            architecture: image.platform.architecture,
            variant: image.platform.variant,
        }),
        media_type: image.media_type,
    }
}

fn runtime_half(config: &Config) -> v1::ImageConfig {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let list = |values: &Option<Vec<String>>| values.clone().unwrap_or_default();
    v1::ImageConfig {
        user: text(config.user()),
        env: list(config.env()),
        entrypoint: list(config.entrypoint()),
        cmd: list(config.cmd()),
        working_dir: text(config.working_dir()),
        labels: config.labels().clone().unwrap_or_default(),
        stop_signal: text(config.stop_signal()),
        exposed_ports: list(config.exposed_ports()),
        volumes: list(config.volumes()),
    }
}

fn history(step: &History) -> v1::ImageHistory {
    v1::ImageHistory {
        created_at: step.created().as_deref().and_then(|time| time.parse().ok()),
        created_by: step.created_by().clone().unwrap_or_default(),
        comment: step.comment().clone().unwrap_or_default(),
        empty_layer: step.empty_layer().unwrap_or(false),
    }
}
