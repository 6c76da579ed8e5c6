//! Archives: images as one tar, in and out. `docker save`'s form (manifest.json) and the OCI image layout (index.json)
//! are read, plain or compressed, from a stream that is never held; what is written is both at once.
//!
//! ```text
//! import:  input (bytes → tar) → members (tar → named data) → intake (data → blobs) → archived (blobs → images) → assembled
//! export:  images → index.json + manifest.json + blobs, in one order
//! ```
//! A member's name is a key of a map. It never becomes a path on disk.

mod archived;
pub(super) mod error;
mod export;
mod import;
pub(super) mod input;
mod intake;
mod layout;
mod members;
#[cfg(test)]
mod tests;

pub(crate) use export::Export;
pub(crate) use import::Loaded;
pub(crate) use input::Input;
