//! Volumes: directories that outlive the containers they are mounted into, named or anonymous. A volume is a row and
//! `volumes/NAME/_data` below the root; which containers use it are rows, too, so that "is it in use?" is one query. What a
//! volume's options ask to be mounted is mounted by the runtime, in the container alone: nothing stays mounted on the host.

mod disk;
mod error;
mod handle;
mod held;
mod local;
mod model;
mod prune;
mod records;
mod seed;

pub(crate) use error::VolumeError;
pub(crate) use handle::{Volumes, path_beside};
pub(crate) use local::VolumeSource;
pub(crate) use model::{FILTER_KEYS, NewVolume, View, VolumeUse};
pub(crate) use prune::PRUNE_KEYS;
pub(crate) use records::SCHEMA_1;
