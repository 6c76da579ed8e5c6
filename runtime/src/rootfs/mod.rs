//! The container's root, from the child's side: a tree of mounts that is built below one descriptor, filled, and then
//! entered. No path is ever joined to the root's; mounts are made detached and attached by descriptor.
//!
//! - [`tree`]: what is below the root, resolved inside it
//! - [`mounts`]: `mounts[]`;  `bind_attributes`: what a bind mount keeps of its source;  `cgroups`: the cgroup mount
//! - `devices`: /dev;  `masks`: masked and read-only paths
//! - [`procfs`]: our own view of the kernel
//! - `enter`: pivot_root
//!
//! The root is a copy of the root filesystem's mount tree, attached over its own directory; the creator looks it up,
//! once.
#![forbid(unsafe_code)]

pub(crate) mod bind_attributes;
pub(crate) mod built;
pub(crate) mod cgroups;
pub(crate) mod copy_up;
pub(crate) mod devices;
pub(crate) mod enter;
pub(crate) mod error;
pub(crate) mod masks;
pub(crate) mod mounts;
pub(crate) mod procfs;
pub(crate) mod surroundings;
pub(crate) mod tree;

use std::os::fd::AsFd;

use crate::{null, plan};
use built::Built;
use error::RootError;
use surroundings::Surroundings;

/// Builds the root. The working directory must be the root filesystem, in the container's mount namespace.
///
/// # Errors
/// [`RootError`].
pub(crate) fn build(root: &plan::Root, around: &Surroundings<'_>) -> Result<Built, RootError> {
    let tree = enter::bind_root(root.propagation)?;
    let mut built = Built { tree, procfs: None, devpts: None, readonly_later: Vec::new() };
    for (index, mount) in root.mounts.iter().enumerate() {
        mounts::make(&mut built, index, mount, around).map_err(|source| RootError::Mount {
            kind: mounts::name(&mount.kind),
            destination: format!("/{}", mount.destination),
            source,
        })?;
    }
    let has_own_null = match &root.devices {
        Some(devices) => devices::fill(&built.tree, devices, around.in_user_namespace)?,
        None => false,
    };
    // In a user namespace the creator did it.
    if !has_own_null && !around.in_user_namespace {
        null::protect_streams()?;
    }
    let cwd = plan::mounts::below_root(around.cwd);
    built
        .tree
        .make_directory(&cwd, tree::Links::Follow)
        .map_err(|source| RootError::Cwd { path: around.cwd.to_owned(), source })?;
    Ok(built)
}

/// Masks and read-only paths: last, since from then on the container's own settings cannot be written.
///
/// # Errors
/// [`RootError`].
pub(crate) fn cover(built: &Built, root: &plan::Root, mount_label: &str) -> Result<(), RootError> {
    let tree = &built.tree;
    for mount in &built.readonly_later {
        mounts::set_readonly(mount.as_fd())
            .map_err(|source| RootError::Readonly { path: "a tmpfs".to_owned(), source })?;
    }
    for path in &root.readonly {
        masks::make_readonly(tree, path)
            .map_err(|source| RootError::Readonly { path: format!("/{path}"), source })?;
    }
    masks::mask(tree, &root.masked, mount_label)
}
