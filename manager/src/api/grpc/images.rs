//! The Images service: request → noun → reply.

use knarr_proto::v1;
use knarr_proto::v1::images_server::Images as Service;
use oci_spec::image::{Config, History};
use tonic::{Request, Response, Status, Streaming};

use super::replies::Replies;
use super::{pieces, transfers, translate};
use crate::containers::Containers;
use crate::filters::Filters;
use crate::images::{
    Credentials, DamagedImage, FILTER_KEYS, Image, ImageError, Images, Listed, Platform, PullRequest,
};
use crate::verbs;

/// The service, on the noun; the containers say which images are in use.
pub(crate) struct ImagesService {
    pub(crate) images: Images,
    pub(crate) containers: Containers,
}

#[tonic::async_trait]
impl Service for ImagesService {
    type PullStream = Replies<v1::PullImageReply>;
    type ListStream = Replies<v1::ListImagesReply>;
    type ImportStream = Replies<v1::ImportImagesReply>;
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
    ) -> Result<Response<Self::ListStream>, Status> {
        let filters = Filters::parse(&FILTER_KEYS, translate::filters(request.into_inner().filters))?;
        let images = self.images.list(&filters).await?;
        let summaries = images.into_iter().flat_map(|image| match image {
            Listed::Whole(image) => summaries(&image),
            Listed::Damaged(image) => damaged(&image),
        });
        let replies = pieces::replies(summaries, |images| v1::ListImagesReply { images });
        Ok(Response::new(Box::pin(replies)))
    }

    async fn inspect(
        &self,
        request: Request<v1::InspectImageRequest>,
    ) -> Result<Response<v1::InspectImageReply>, Status> {
        let request = request.into_inner();
        let image = self.images.resolve_for(&request.image, platform(&request.platform)?.as_ref()).await?;
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
        let removed =
            verbs::remove_image(&self.images, &self.containers, &request.image, request.force).await?;
        Ok(Response::new(v1::RemoveImageReply { untagged: removed.untagged, deleted: removed.deleted }))
    }

    async fn prune(
        &self,
        request: Request<v1::PruneImagesRequest>,
    ) -> Result<Response<v1::PruneImagesReply>, Status> {
        let all = request.into_inner().all;
        let removed = verbs::prune_images(&self.images, &self.containers, all).await?;
        Ok(Response::new(v1::PruneImagesReply { untagged: removed.untagged, deleted: removed.deleted }))
    }

    async fn import(
        &self,
        request: Request<Streaming<v1::ImportImagesRequest>>,
    ) -> Result<Response<Self::ImportStream>, Status> {
        let loaded = transfers::import(&self.images, request.into_inner()).await?;
        let loaded = loaded.into_iter().flat_map(|loaded| transfers::loaded(&loaded));
        let replies = pieces::replies(loaded, |images| v1::ImportImagesReply { images });
        Ok(Response::new(Box::pin(replies)))
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
pub(in crate::api) fn platform(text: &str) -> Result<Option<Platform>, ImageError> {
    if text.is_empty() { Ok(None) } else { Ok(Some(text.parse()?)) }
}

/// An image for a list: bounded, however large it is; once for each of its references' pieces.
fn summaries(image: &Image) -> Vec<v1::ImageSummary> {
    let config = &image.config;
    let labels = config.config().as_ref().and_then(|config| config.labels().as_ref());
    let summary = |references: &[String]| v1::ImageSummary {
        id: image.id.to_string(),
        references: references.to_vec(),
        repo_digests: image.repo_digests.iter().take(pieces::MAX_REFERENCES).cloned().collect(),
        created_at: created_at(image),
        size_bytes: image.size_bytes,
        compressed_bytes: image.compressed_bytes,
        platform: Some(platform_message(image)),
        labels: labels.map(pieces::labels).unwrap_or_default(),
        damage: String::new(),
    };
    each_references(&image.references, summary)
}

/// The same of an image that cannot be read.
fn damaged(image: &DamagedImage) -> Vec<v1::ImageSummary> {
    let summary = |references: &[String]| v1::ImageSummary {
        id: image.id.to_string(),
        references: references.to_vec(),
        repo_digests: image.repo_digests.iter().take(pieces::MAX_REFERENCES).cloned().collect(),
        size_bytes: image.size_bytes,
        compressed_bytes: image.compressed_bytes,
        damage: pieces::text(&image.reason),
        ..v1::ImageSummary::default()
    };
    each_references(&image.references, summary)
}

/// One summary for each piece of the references.
fn each_references(
    references: &[String],
    summary: impl Fn(&[String]) -> v1::ImageSummary,
) -> Vec<v1::ImageSummary> {
    match references {
        [] => vec![summary(&[])],
        references => references.chunks(pieces::MAX_REFERENCES).map(summary).collect(),
    }
}

fn created_at(image: &Image) -> Option<prost_types::Timestamp> {
    image.config.created().as_deref().and_then(|time| time.parse().ok())
}

fn platform_message(image: &Image) -> v1::Platform {
    let platform = &image.platform;
    v1::Platform {
        os: pieces::text(&platform.os),
        architecture: pieces::text(&platform.architecture),
        variant: pieces::text(&platform.variant),
    }
}

pub(in crate::api) fn message(image: Image) -> v1::Image {
    let config = &image.config;
    let history = config.history().iter().flatten().map(history).collect();
    v1::Image {
        id: image.id.to_string(),
        created_at: created_at(&image),
        platform: Some(platform_message(&image)),
        size_bytes: image.size_bytes,
        compressed_bytes: image.compressed_bytes,
        config: Some(config.config().as_ref().map(runtime_half).unwrap_or_default()),
        diff_ids: image.diff_ids.iter().map(ToString::to_string).collect(),
        manifest_digest: image.manifest_digest.to_string(),
        author: config.author().clone().unwrap_or_default(),
        history,
        references: image.references,
        repo_digests: image.repo_digests,
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
