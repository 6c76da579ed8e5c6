//! Runs inside the virtual machine, as root under systemd: one line for each check, `ok name` or `FAILED name`, and an
//! exit status. The checks use the harness like every other test.
#![forbid(unsafe_code)]

mod cgroupfs;
mod moved;
mod null;
mod systemd;
mod user;

use std::panic::catch_unwind;
use std::process::ExitCode;

/// A check and its name.
type Check = (&'static str, fn());

fn main() -> ExitCode {
    let parameters = std::fs::read_to_string("/proc/cmdline").unwrap_or_default();
    let layout = parameters.split_whitespace().find_map(|word| word.strip_prefix("knarr.layout="));
    let checks: Vec<Check> = match layout {
        Some("v1") => systemd::V1.to_vec(),
        Some("v2-without-systemd") => [cgroupfs::V2, moved::V2, null::V2].concat(),
        _ => [cgroupfs::V2, moved::V2, null::V2, systemd::V2, user::V2].concat(),
    };
    // For whoever works on one of them.
    let only = parameters.split_whitespace().find_map(|word| word.strip_prefix("knarr.only="));
    let mut failed = 0;
    for (name, check) in checks.into_iter().filter(|(name, _)| only.is_none_or(|only| name.contains(only))) {
        let begun = std::time::Instant::now();
        match catch_unwind(check) {
            Ok(()) => println!("ok {name} {:?}", begun.elapsed()),
            Err(_) => {
                println!("FAILED {name}");
                failed += 1;
            }
        }
    }
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
