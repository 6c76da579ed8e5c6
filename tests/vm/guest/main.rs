//! Runs inside the virtual machine, as root under systemd: one line for each check, `ok name` or `FAILED name`, and an
//! exit status. The checks use the harness like every other test.
#![forbid(unsafe_code)]

mod cgroupfs;
mod installed;
mod moved;
mod null;
mod suites;
mod systemd;
mod user;

use std::panic::catch_unwind;
use std::process::ExitCode;

/// A check and its name.
type Check = (&'static str, fn());

fn main() -> ExitCode {
    let parameters = std::fs::read_to_string("/proc/cmdline").unwrap_or_default();
    let parameter = |name: &str| parameters.split_whitespace().find_map(|word| word.strip_prefix(name));
    // For whoever works on one of them.
    let only = parameter("knarr.only=");
    let failed = match parameter("knarr.layout=") {
        Some("v1") => run(systemd::V1, only),
        Some("v2-without-systemd") => run(&[cgroupfs::V2, moved::V2, null::V2].concat(), only),
        Some("engine") => run(installed::FIRST, only) + suites::run(parameters.contains("knarr.whole"), only),
        Some("engine-again") => run(installed::AFTER_POWER_FAILED, only),
        _ => run(&[cgroupfs::V2, moved::V2, null::V2, systemd::V2, user::V2].concat(), only),
    };
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Returns how many failed.
fn run(checks: &[Check], only: Option<&str>) -> usize {
    let mut failed = 0;
    for (name, check) in checks.iter().filter(|(name, _)| only.is_none_or(|only| name.contains(only))) {
        let begun = std::time::Instant::now();
        match catch_unwind(check) {
            Ok(()) => println!("ok {name} {:?}", begun.elapsed()),
            Err(_) => {
                println!("FAILED {name}");
                failed += 1;
            }
        }
    }
    failed
}
