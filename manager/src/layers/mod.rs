//! Layers: a tar becomes the files of a snapshot, and the files of a snapshot become a tar; a snapshot is
//! edited. Each is the work of a helper, a process of knarrd's own program that is shut in before it looks at what an image or a container has made.

mod confine;
pub(crate) mod edit;
mod errno;
pub(crate) mod pack;
pub(crate) mod unpack;
