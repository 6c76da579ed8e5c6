//! Programs killed at bad moments: nothing is lost, nothing stays behind.
#![forbid(unsafe_code)]

mod hung_mounts;
mod manager_bed;
mod manager_faults;
mod damaged_state;
mod inherited;
mod manager_killed;
mod manager_verbs;
mod runtime_bed;
mod runtime_faults;
mod runtime_kernels;
mod runtime_killed;
mod shim_bed;
mod shim_faults;
mod shim_killed;
mod shim_lost;
mod sweep;
