//! knarr-runtime's command line: verbs, flags, texts and exit codes as runc has them.
#![forbid(unsafe_code)]

mod cgroup_devices;
mod cgroup_limits;
mod cgroup_update;
mod cgroup_usage;
mod checkpoint;
mod command_line;
mod rootless;
