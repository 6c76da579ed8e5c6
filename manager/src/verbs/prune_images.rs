//! Removing all images that no container needs.

use knarr_proto::kind::Kind;

use super::remove_image;
use crate::containers::{self, Containers};
use crate::failure::Failure as _;
use crate::filters::Filters;
use crate::images::{ImageError, Images, Removed};

/// Removes images that no container was made from: those without a reference, or with `all` any. What a pull or an
/// import that failed or was killed has left goes by it, too.
///
/// # Errors
/// [`ImageError`], when all that could be removed is; an image that has found a user meanwhile is no error.
pub(crate) async fn prune_images(
    images: &Images,
    containers: &Containers,
    all: bool,
) -> Result<Removed, ImageError> {
    let filters = if all { Filters::default() } else { Filters::only("dangling", "true") };
    let (mut removed, mut failed) = (Removed::default(), None);
    for image in images.list(&filters).await? {
        let users = containers::users_of(containers, image.id());
        if !users.running.is_empty() || !users.stopped.is_empty() {
            continue;
        }
        let id = [image.id().to_string()];
        let names = if image.references().is_empty() { &id[..] } else { image.references() };
        for name in names {
            match remove_image(images, containers, name, false).await {
                Ok(gone) => {
                    removed.untagged.extend(gone.untagged);
                    removed.deleted.extend(gone.deleted);
                }
                Err(error) if matches!(error.kind(), Kind::NotFound | Kind::FailedPrecondition) => {}
                Err(error) => failed = Some(error),
            }
        }
    }
    match images.collect().await {
        Ok(gone) => removed.deleted.extend(gone),
        Err(error) => failed = failed.or(Some(error)),
    }
    failed.map_or(Ok(removed), Err)
}
