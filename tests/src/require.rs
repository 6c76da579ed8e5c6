//! What a test needs of the machine. What is missing skips the test loudly: a `SKIP name: why` line on stderr, and the
//! same line in the file that `KNARR_SKIP_LOG` names, from which `make test` counts. A skip is never silent.

use std::fs::OpenOptions;
use std::io::Write;

use crate::programs;

/// Skips the calling test unless the machine has all that is named:
/// `require!(root, tool("crun"), cgroup("memory"));` Each name is a function of [`crate::require`].
#[macro_export]
macro_rules! require {
    ($($need:ident $(($argument:expr))?),+ $(,)?) => {
        $(
            if let Err(why) = $crate::require::$need($($argument)?) {
                let here = || ();
                $crate::require::skip(std::any::type_name_of_val(&here), &why);
                return;
            }
        )+
    };
}

/// Says that the test around `place` is skipped, and why.
pub fn skip(place: &str, why: &str) {
    let name = place.trim_end_matches("::{{closure}}");
    let line = format!("SKIP {name}: {why}\n");
    eprint!("{line}");
    let Some(path) = std::env::var_os("KNARR_SKIP_LOG") else { return };
    // One short write in append mode: lines of tests that run at the same time do not mix.
    let log = OpenOptions::new().append(true).create(true).open(&path);
    log.and_then(|mut log| log.write_all(line.as_bytes())).expect("KNARR_SKIP_LOG can be written");
}

/// The test runs as root.
///
/// # Errors
/// Why not.
pub fn root() -> Result<(), String> {
    if rustix::process::geteuid().is_root() { Ok(()) } else { Err("not root".to_owned()) }
}

/// A program is on `PATH`.
///
/// # Errors
/// Which is not.
pub fn tool(name: &str) -> Result<(), String> {
    programs::find(name).map(drop).ok_or_else(|| format!("{name} is not installed"))
}

/// apt's package lists are there, so that packages can be fetched.
///
/// # Errors
/// When they are not.
pub fn network() -> Result<(), String> {
    let shown = std::process::Command::new("apt-cache").args(["show", "linux-image-cloud-amd64"]).output();
    match shown {
        Ok(output) if output.status.success() && !output.stdout.is_empty() => Ok(()),
        _ => Err("apt knows no linux-image-cloud-amd64 (apt-get update)".to_owned()),
    }
}

/// The machine has cgroup v1 hierarchies.
///
/// # Errors
/// When it has none.
pub fn cgroup1() -> Result<(), String> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    if mounts.contains(" - cgroup ") { Ok(()) } else { Err("no cgroup v1 here".to_owned()) }
}

/// A cgroup controller can be used here, on v1 or v2.
///
/// # Errors
/// Which can't.
pub fn cgroup(controller: &str) -> Result<(), String> {
    let v1 = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default().lines().any(|line| {
        line.split(" - cgroup ")
            .nth(1)
            .is_some_and(|tail| tail.split([',', ' ']).any(|word| word == controller))
    });
    let v2 = std::fs::read_to_string("/sys/fs/cgroup/cgroup.controllers").unwrap_or_default();
    if v1 || v2.split_whitespace().any(|word| word == controller) {
        return Ok(());
    }
    Err(format!("no {controller} cgroup controller"))
}

/// A capability, by its number in capabilities(7), is in our bounding set: root in a container may lack some.
///
/// # Errors
/// Which is not.
pub fn capability(number: u32) -> Result<(), String> {
    let status = std::fs::read_to_string("/proc/self/status").expect("our own status");
    let set = status.lines().find_map(|line| line.strip_prefix("CapBnd:")).expect("a bounding set");
    let set = u64::from_str_radix(set.trim(), 16).expect("a set is a hexadecimal number");
    if set & (1 << number) == 0 { Err(format!("root lacks capability {number} here")) } else { Ok(()) }
}

/// `KNARR_FULL=1` asked for what takes minutes: every point of a sweep, every start of a race and their slow controls, and
/// the oldest kernel.
///
/// # Errors
/// Unless it was asked for.
pub fn full_sweeps() -> Result<(), String> {
    std::env::var_os("KNARR_FULL")
        .map(drop)
        .ok_or_else(|| "takes minutes (KNARR_FULL=1 runs this)".to_owned())
}
