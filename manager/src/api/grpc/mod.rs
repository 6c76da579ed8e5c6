//! The gRPC API knarr.v1: one file a service, and `status` as the only way from an error to a code.

mod builds;
mod calls;
mod containers;
mod events;
pub(in crate::api) mod images;
mod isolation;
pub(in crate::api) mod keep;
mod logs;
pub(in crate::api) mod networking;
pub(in crate::api) mod networks;
mod pieces;
mod replies;
pub(in crate::api) mod resources;
mod sessions;
mod snapshots;
pub(in crate::api) mod stats;
mod status;
mod system;
mod transfers;
pub(in crate::api) mod translate;
mod volumes;

pub(crate) use builds::BuildsService;
pub(crate) use calls::Calls;
pub(crate) use containers::ContainersService;
pub(crate) use events::EventsService;
pub(crate) use images::ImagesService;
pub(crate) use networks::NetworksService;
pub(crate) use snapshots::SnapshotsService;
pub(crate) use system::SystemService;
pub(crate) use volumes::VolumesService;
