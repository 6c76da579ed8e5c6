//! One test or more for each property of config.json (runtime-spec 1.3), seen from inside and outside of real
//! containers. The whole folder runs on runc and crun as well with `RUNTIME=runc` or `RUNTIME=crun`, and on a runc 1.5
//! whose file is named `runc-head`; where those do otherwise, `differs!` says how, and what the specification has on
//! it.
#![forbid(unsafe_code)]

mod bind_flags;
mod capabilities;
mod console;
mod corpus;
mod devices;
mod hooks;
mod idmap;
mod mount_words;
mod mountinfo;
mod mounts;
mod namespaces;
mod netdev;
mod paths;
mod process;
mod propagation;
mod resctrl;
mod rlimits;
mod root;
mod scheduling;
mod seccomp;
mod settings;
mod user_namespace;

use knarr_tests::{Bundle, Outcome, Runtime, Scratch};
use serde_json::Value;

/// Skips the test on a runtime that is known to do otherwise: `differs!("runc" => "why", "crun" => "why");`
macro_rules! differs {
    ($($name:literal => $why:expr),+ $(,)?) => {
        $(
            if crate::is($name) {
                let here = || ();
                knarr_tests::require::skip(std::any::type_name_of_val(&here), concat!($name, ": ", $why));
                return;
            }
        )+
    };
}
pub(crate) use differs;

/// The capability to raise limits and to lower the OOM score adjustment.
const CAP_SYS_RESOURCE: u32 = 24;

/// Whether the folder is run on this runtime instead of ours.
fn is(name: &str) -> bool {
    std::env::var("RUNTIME").is_ok_and(|runtime| runtime.rsplit('/').next() == Some(name))
}

/// Runs a shell script in a busybox container whose configuration was changed.
#[track_caller]
fn run(script: &str, change: impl FnOnce(&mut Value)) -> Outcome {
    let scratch = Scratch::new();
    let bundle = Bundle::busybox(&scratch, "one").script(script).edit(change);
    Runtime::new(&scratch).run(&bundle)
}

/// What the script of such a container wrote; it must succeed.
#[track_caller]
fn output(script: &str, change: impl FnOnce(&mut Value)) -> String {
    run(script, change).success().stdout
}

/// What the runtime says when it refuses such a configuration; nothing of the container may have run or be left.
#[track_caller]
fn refusal(change: impl FnOnce(&mut Value)) -> String {
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let bundle = Bundle::busybox(&scratch, "one").script("echo it ran").edit(change);
    let outcome = runtime.run(&bundle);
    assert!(!outcome.status.success() && !outcome.stdout.contains("it ran"), "it was not refused: {outcome}");
    assert!(runtime.state("one").is_none(), "its state is left: {outcome}");
    scratch.assert_nothing_left();
    outcome.stderr
}
