//! Whole directory trees: listed, copied, counted and removed. Everything goes by descriptors and follows no symbolic
//! link; errors are the kernel's own, and the caller says what it was doing. Nothing here knows images or snapshots.
#![allow(clippy::disallowed_methods, reason = "its functions are called on blocking threads")]

mod compare;
mod copy;
mod remove;
mod usage;
mod walk;

pub(crate) use compare::{Change, ChangeKind, Form, compare};
pub(crate) use copy::{
    data as copy_data, directory_itself, metadata as copy_metadata, tree as copy_tree,
    tree_from as copy_tree_from,
};
pub(crate) use remove::{remove, remove_below};
pub(crate) use usage::{Usage, file_bytes, usage};
pub(crate) use walk::{OPEN_DIRECTORY, list, open_below};
