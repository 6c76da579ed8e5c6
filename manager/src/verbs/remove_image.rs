//! Removing an image that containers may have been made from.

use crate::containers::{self, Containers};
use crate::content::Digest;
use crate::images::{ImageError, Images, Removed};

/// Removes a reference or an image, unless a container needs it.
///
/// # Errors
/// As [`Images::remove`].
pub(crate) async fn remove_image(
    images: &Images,
    containers: &Containers,
    name: &str,
    force: bool,
) -> Result<Removed, ImageError> {
    images.remove(name, force, |id: &Digest| containers::users_of(containers, id)).await
}
