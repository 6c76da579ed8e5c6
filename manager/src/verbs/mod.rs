//! Verbs over two nouns or more. They hold nothing: each is given the nouns that it needs.

mod prune_images;
mod remove_image;
mod system_info;

pub(crate) use prune_images::prune_images;
pub(crate) use remove_image::remove_image;
pub(crate) use system_info::{Component, component, system_info};
