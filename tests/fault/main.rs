//! Programs killed at bad moments: nothing is lost, nothing stays behind.
#![forbid(unsafe_code)]

mod damage;
mod damaged_state;
mod deleted;
mod full_disk;
mod hung_mounts;
mod images_damaged;
mod inherited;
mod manager_bed;
mod manager_faults;
mod manager_killed;
mod manager_start;
mod manager_verbs;
mod records;
mod returns;
mod runtime_bed;
mod runtime_faults;
mod runtime_kernels;
mod runtime_killed;
mod shim_bed;
mod shim_faults;
mod shim_killed;
mod shim_lost;
mod sweep;
mod unreachable;
