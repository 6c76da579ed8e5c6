//! The engine's own tests, each in a process of its own as on every other machine: a good part of them, or with `knarr.whole`
//! all that the guest has the tools for.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use knarr_tests::process;

/// How long one test may take. What takes milliseconds elsewhere takes a second on an emulated processor.
const LONGEST: Duration = Duration::from_secs(600);

/// Test programs, and the beginnings of the names of those of their tests that are always run: some of each kind, as many as
/// an emulated processor gets through in a minute or two.
const CHOSEN: [(&str, &[&str]); 4] = [
    ("cli", &["lifecycle::a_container_goes", "run::limits_are", "exec::exec_runs_beside"]),
    ("manager", &["grpc_snapshots::", "grpc_system::"]),
    ("shim", &["contract::a_container_goes", "ends::a_container_killed_for_want", "terminal::an_exec_on"]),
    ("fault", &["manager_killed::a_foreground", "unreachable::a_container_whose_shim"]),
];

/// Tests that this machine cannot run, by the beginnings of their names, and why.
const LEFT_OUT: [(&str, &str); 6] = [
    ("fault::runtime_faults", SWEEPS),
    ("fault::runtime_killed", SWEEPS),
    ("fault::shim_faults", SWEEPS),
    ("fault::shim_killed", SWEEPS),
    ("fault::manager_faults", SWEEPS),
    ("fault::manager_start", SWEEPS),
];
const SWEEPS: &str = "sweeps over hundreds of system calls by strace take hours on an emulated processor";

/// Runs them one after the other; returns how many failed.
pub(crate) fn run(is_whole: bool, only: Option<&str>) -> usize {
    let mut failed = 0;
    for (program, chosen) in CHOSEN {
        let path = Path::new("/test").join(program);
        let listed = process::run(Command::new(&path).args(["--list", "--format", "terse"])).success();
        let names = listed.stdout.lines().filter_map(|line| line.strip_suffix(": test"));
        for name in names {
            let full_name = format!("{program}::{name}");
            let is_chosen = is_whole || chosen.iter().any(|beginning| name.starts_with(beginning));
            let is_left_out = LEFT_OUT.iter().any(|(beginning, _)| full_name.starts_with(beginning));
            if is_chosen && !is_left_out && only.is_none_or(|only| full_name.contains(only)) {
                failed += usize::from(!passes(&path, name, &full_name));
            }
        }
    }
    failed
}

fn passes(program: &Path, name: &str, full_name: &str) -> bool {
    let skips = Path::new("/run/skips");
    fs::write(skips, "").expect("/run can be written");
    let mut command = Command::new(program);
    command.args(["--exact", name, "--test-threads=1"]).env("KNARR_SKIP_LOG", skips);
    let begun = Instant::now();
    let outcome = process::run_within(LONGEST, command.stdin(std::process::Stdio::null()));
    let skipped = fs::read_to_string(skips).unwrap_or_default();
    match (outcome.status.success(), skipped.lines().next()) {
        (true, None) => println!("ok {full_name} {:?}", begun.elapsed()),
        (true, Some(why)) => println!("skipped {full_name}: {why}"),
        (false, _) => println!("FAILED {full_name}\n{outcome}"),
    }
    outcome.status.success()
}
