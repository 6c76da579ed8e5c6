//! Images: what a reference names, kept as blobs and unpacked into snapshots. This module owns the images' tables; it
//! reads content and snapshots through their own doors, and publishes what happened. It knows no container: the caller of
//! a removal says what is in use. This page only lists the files; none of them imports it.

mod archive;
mod assemble;
mod build;
mod configuration;
mod document;
mod error;
mod handle;
mod health;
mod list;
mod names;
mod platform;
mod progress;
mod pull;
mod records;
mod reference;
mod registry;
mod removal;
mod verify;

pub(crate) use archive::{Export, Input, Loaded};
pub(crate) use build::{NewImage, NewLayer};
pub(crate) use configuration::chain_ids;
pub(crate) use error::ImageError;
pub(crate) use handle::{Image, ImageParts, Images, Options};
#[cfg(test)]
pub(crate) use health::ImageCheck;
pub(crate) use health::ImageHealth;
pub(crate) use list::{DamagedImage, FILTER_KEYS, Listed};
pub(crate) use names::parsed;
pub(crate) use platform::{InvalidPlatform, Platform};
pub(crate) use progress::{Phase, Progress};
pub(crate) use pull::{PullRequest, Pulled};
pub(crate) use records::{SCHEMA_1, SCHEMA_2, needed};
pub(crate) use registry::Credentials;
pub(crate) use removal::{Removed, Users};
