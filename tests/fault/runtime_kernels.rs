//! Kernels that lack a system call, and filters around us that forbid one: knarr-runtime makes the same container
//! without it, or refuses by its name. Nothing is left either way.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use knarr_tests::process::{self, Outcome};
use knarr_tests::strace::{Fault, Point, Watch};
use knarr_tests::{Bundle, Runtime, Scratch, programs, require};
use serde_json::{Value, json};

use crate::runtime_bed::{delete, rich};

/// What came to Linux late or is filtered away by sandboxes, and the errors that the same container is made in spite
/// of. Linux 5.10 has no mount_setattr and none of the flag of close_range that is wanted; 5.12 does not know all
/// attributes.
const CALLS: [(&str, &[&str]); 20] = [
    ("openat2", &[]),
    ("clone3", &[]),
    ("move_mount", &[]),
    ("mount_setattr", &["ENOSYS", "EINVAL"]),
    ("open_tree", &[]),
    ("fsopen", &[]),
    ("fsconfig", &[]),
    ("fsmount", &[]),
    ("pidfd_open", &[]),
    ("pidfd_send_signal", &["ENOSYS", "EPERM"]),
    ("pidfd_getfd", &["ENOSYS", "EPERM"]),
    ("close_range", &["ENOSYS", "EPERM", "EINVAL"]),
    ("statx", &["ENOSYS", "EPERM"]),
    ("seccomp", &[]),
    ("keyctl", &["ENOSYS"]),
    ("memfd_create", &[]),
    ("execveat", &[]),
    ("getrandom", &["ENOSYS", "EPERM"]),
    ("faccessat2", &["ENOSYS", "EPERM"]),
    ("personality", &["ENOSYS"]),
];

/// What a container sees of its mounts but for their numbers, its rights and its descriptors.
const VIEW: &str = "cut -d' ' -f4- /proc/self/mountinfo | sed 's/shared:[0-9]*/shared/'; grep -E '^(Uid|Gid|Groups|Cap|NoNewPrivs|Seccomp)' /proc/self/status; \
                    cd /proc/self/fd && echo *; exit 0";

/// Mounts of directories and files with attributes, propagation and later changes of both, over a read-only root.
fn mounted(scratch: &Scratch, bundle: Bundle) -> Bundle {
    let directory = scratch.directory("source");
    std::fs::write(directory.join("file"), "").expect("ours");
    // Who is root of a user namespace could not make them.
    for destination in ["attributes", "shared", "small"] {
        std::fs::create_dir(bundle.rootfs().join(destination)).expect("a mount point");
    }
    std::fs::write(bundle.rootfs().join("etc/file"), "").expect("a mount point");
    let bind = |destination: &str, source: &str, options: &[&str]| json!({ "destination": destination, "type": "bind", "source": directory.join(source), "options": options });
    let mounts = [
        bind("/attributes", "", &["rbind", "ro", "nosuid", "nodev", "noexec"]),
        bind("/etc/file", "file", &["bind", "ro", "nosymfollow"]),
        bind("/shared", "", &["bind", "rshared"]),
        json!({ "destination": "/small", "type": "tmpfs", "source": "tmpfs", "options": ["ro", "nodiratime", "size=64k"] }),
        json!({ "destination": "/dev/shm", "type": "tmpfs", "options": ["remount", "ro", "nosuid"] }),
    ];
    bundle.script(VIEW).edit(|config| {
        config["root"]["readonly"] = json!(true);
        config["mounts"].as_array_mut().expect("a list").extend(mounts);
    })
}

fn without_user_namespace(bundle: Bundle) -> Bundle {
    bundle.edit(|config| {
        // A user namespace's mounts keep the mode of access time that their source has.
        let first = config["mounts"].as_array_mut().expect("a list").iter_mut().find(|m| m["type"] == "bind");
        first.expect("one of ours")["options"].as_array_mut().expect("a list").push(json!("noatime"));
        let namespaces: &mut Vec<Value> = config["linux"]["namespaces"].as_array_mut().expect("a list");
        namespaces.retain(|namespace| namespace["type"] != "user");
        for mappings in ["uidMappings", "gidMappings"] {
            config["linux"].as_object_mut().expect("an object").remove(mappings);
        }
    })
}

/// The same command, whose caller leaves descriptors open.
fn careless(scratch: &Scratch, command: &Command) -> Command {
    let mut careless = scratch.command(programs::tool("sh"));
    careless.args(["-c", "exec 6</etc 9</etc/shadow; exec \"$@\"", "sh"]);
    careless.arg(command.get_program()).args(command.get_args());
    careless
}

/// Without a call: the container that there is with it, or a refusal that names it.
fn judge(call: &str, must_run: bool, outcome: &Outcome, whole: &str) -> Result<(), String> {
    if outcome.status.success() {
        let same = outcome.stdout == whole;
        return if same { Ok(()) } else { Err(format!("another container: {outcome}\nnot\n{whole}")) };
    }
    if must_run {
        return Err(format!("not done without: {outcome}"));
    }
    let names = outcome.stderr.contains(&format!("; this needs {call} (Linux "));
    if names && outcome.code() == 1 { Ok(()) } else { Err(format!("refused without its name: {outcome}")) }
}

fn each_call_is_missing(bundle: impl FnOnce(Bundle) -> Bundle) {
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let bundle = bundle(mounted(&scratch, rich(Bundle::busybox(&scratch, "older"))));
    let command = careless(&scratch, &runtime.verb("run", &bundle));
    let whole = process::run(&mut careless(&scratch, &runtime.verb("run", &bundle))).success().stdout;
    assert!(whole.contains(" /etc/file ro,relatime,nosymfollow"), "{whole}");
    let mut wrong = Vec::new();
    for (call, ran_without) in CALLS {
        for error in ["ENOSYS", "EPERM", "EINVAL"] {
            let must_run = ran_without.contains(&error);
            if error == "EINVAL" && !must_run {
                // No kernel and no filter says that of the others.
                continue;
            }
            let fault = Point::new(call, 1).inject_from(Fault::Error(error), Watch::Family, &command);
            let outcome = process::run(&mut { fault });
            eprintln!("{call} {error}: exit {} {}", outcome.code(), outcome.stderr.trim_end());
            if let Err(what) = judge(call, must_run, &outcome, &whole) {
                wrong.push(format!("{error} of {call}: {what}"));
            }
            // Without the call there may be no way to take back either; with it there is again.
            if let Err(stuck) = delete(&scratch, &runtime, bundle.id()) {
                wrong.push(format!("{error} of {call}: {stuck}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_call_that_is_missing_is_done_without_or_named() {
    require!(root, tool("busybox"), tool("strace"));
    each_call_is_missing(without_user_namespace);
}

#[test]
fn a_call_that_is_missing_in_a_user_namespace_is_done_without_or_named() {
    require!(root, tool("busybox"), tool("strace"));
    each_call_is_missing(|bundle| bundle);
}

#[test]
fn what_only_mount_setattr_can_is_refused_by_its_name() {
    require!(root, tool("busybox"), tool("strace"));
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let bundle = mounted(&scratch, Bundle::busybox(&scratch, "recursive"));
    let bundle = bundle.edit(|config| {
        let first = config["mounts"].as_array_mut().expect("a list").iter_mut().find(|m| m["type"] == "bind");
        first.expect("one of ours")["options"] = json!(["rbind", "rro"]);
    });
    let command = runtime.verb("run", &bundle);
    process::run(&mut runtime.verb("run", &bundle)).success();
    let fault = Point::new("mount_setattr", 1).inject_from(Fault::Error("ENOSYS"), Watch::Family, &command);
    let outcome = process::run(&mut { fault });
    assert!(outcome.stderr.contains("; this needs mount_setattr (Linux 5.12)"), "{outcome}");
}

/// Class R37, with a node of the test's own that is the runtime's /dev/null.
#[test]
fn without_mount_setattr_the_hosts_null_is_out_of_reach() {
    require!(root, tool("busybox"), tool("strace"), tool("mknod"));
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let null = scratch.join("null");
    process::run(
        scratch.command(programs::tool("mknod")).args(["-m", "666"]).arg(&null).args(["c", "1", "3"]),
    )
    .success();
    let bundle = Bundle::busybox(&scratch, "entered").args(["sleep", "600"]);
    let container = runtime.run_detached(&bundle);
    container.exec(["rm", "/dev/null"]).success();
    let attack = "chmod 600 /proc/self/fd/0; chmod 600 /proc/self/fd/2; : >/tmp/attacked";
    let attack = runtime.command(["exec", container.id(), "sh", "-c", attack]);
    let command = Point::new("mount_setattr", 1).inject_from(Fault::Error("ENOSYS"), Watch::Family, &attack);
    let prepare = "mount --bind \"$0\" /dev/null && exec </dev/null >/dev/null 2>/dev/null";
    let mut inside = scratch.with_mounts(prepare, &null, command.get_program());
    process::run(inside.args(command.get_args())).success();
    let mode = std::fs::metadata(&null).expect("the node").permissions().mode() & 0o777;
    assert_eq!(mode, 0o666, "{mode:o}");
    assert!(bundle.rootfs().join("tmp/attacked").exists(), "nobody attacked");
}
