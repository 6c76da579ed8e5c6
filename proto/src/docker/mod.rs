//! Docker's JSON, from the API's messages: what `docker inspect` prints and its REST API answers. Pure; the one place that
//! knows docker's keys and words.

mod container;
mod create;
mod event;
mod exec;
mod fields;
mod host;
mod image;
mod keep;
mod lived;
mod mounts;
mod network;
mod networking;
pub mod reference;
mod stats;
mod summary;
mod system;
mod time;
mod volume;
mod words;

pub use container::container;
pub use create::{CreateBody, console_size, create, update};
pub use event::event;
pub use exec::{exec, exec_config};
pub use fields::{Fields, InvalidBody};
pub use image::{image, image_summary};
pub use lived::{Lived, command_line, human_duration};
pub use network::{create_network, network};
pub use networking::{endpoint, ports_text};
pub use stats::stats;
pub use summary::container_summary;
pub use system::{ApiVersions, info, version};
pub use time::rfc3339;
pub use volume::{create_volume, volume, volume_usage};
pub use words::{network_name, state_name};

#[cfg(test)]
mod tests {
    use prost_types::Timestamp;

    use super::*;

    #[test]
    fn times_are_gos() {
        for (seconds, nanos, text) in [
            (1_795_478_346, 120_000_000, "2026-11-23T23:59:06.12Z"),
            (1_795_478_346, 1, "2026-11-23T23:59:06.000000001Z"),
            (1_795_478_346, 0, "2026-11-23T23:59:06Z"),
            (1_795_478_340, 0, "2026-11-23T23:59:00Z"),
            (0, 0, "1970-01-01T00:00:00Z"),
            (i64::MAX, 0, "0001-01-01T00:00:00Z"),
        ] {
            assert_eq!(rfc3339(Some(&Timestamp { seconds, nanos })), text);
        }
        assert_eq!(rfc3339(None), "0001-01-01T00:00:00Z");
    }
}
