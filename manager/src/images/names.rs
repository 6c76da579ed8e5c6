//! References as callers write them, and how many an image may have.

use super::error::ImageError;
use super::reference::{ImageName, InvalidReference, Reference};

/// Enough of a wrong reference to recognise it in a message.
const MAX_QUOTED_CHARS: usize = 80;

/// References of one image: they are all sent with every list.
pub(super) const MAX_NAMES: usize = 256;

/// Refuses an image that would have `count` references.
pub(super) fn check_count(image: &str, count: usize) -> Result<(), ImageError> {
    match count > MAX_NAMES {
        true => Err(ImageError::TooManyNames { image: image.to_owned(), limit: MAX_NAMES }),
        false => Ok(()),
    }
}

/// Reads a reference.
///
/// # Errors
/// [`ImageError::Reference`].
pub(crate) fn parsed(text: &str) -> Result<Reference, ImageError> {
    text.parse().map_err(|source| wrong(text, source))
}

/// Reads a reference that an image is to get.
///
/// # Errors
/// [`ImageError::Reference`], also for one that would be taken for an id.
pub(super) fn new_name(text: &str) -> Result<Reference, ImageError> {
    let reference = parsed(text)?;
    reference.check_is_no_id().map_err(|source| wrong(text, source))?;
    Ok(reference)
}

pub(super) fn image_name(text: &str) -> Result<ImageName, ImageError> {
    text.parse().map_err(|source| wrong(text, source))
}

pub(super) fn wrong(text: &str, source: InvalidReference) -> ImageError {
    ImageError::Reference { text: text.chars().take(MAX_QUOTED_CHARS).collect(), source }
}
