//! Programs killed at bad moments: nothing is lost, nothing stays behind.
#![forbid(unsafe_code)]

mod hung_mounts;
mod manager_killed;
mod runtime_bed;
mod runtime_faults;
mod runtime_kernels;
mod runtime_killed;
mod sweep;
