//! A user with a systemd of its own, who comes from a login: that login's cgroup is root's, and the user may move nobody
//! from it into the cgroups of the user's systemd.

use std::fs;
use std::os::unix::fs::chown;
use std::path::Path;
use std::process::Command;

use knarr_tests::process::{self, Outcome};
use knarr_tests::{Bundle, Scratch};
use serde_json::json;

use crate::Check;
use crate::cgroupfs::rootless;

pub(crate) const V2: &[Check] =
    &[("a_user_runs_containers_from_a_login", a_user_runs_containers_from_a_login)];

/// What logind and PAM, which are not here, would have started.
const MANAGER: &str = "[Service]
Type=notify
User=1000
Slice=user-1000.slice
Delegate=pids memory
Environment=XDG_RUNTIME_DIR=/run/user/1000
ExecStart=/lib/systemd/systemd --user
[Unit]
DefaultDependencies=no
";

const LOGIN: [&str; 7] = [
    "--scope",
    "--quiet",
    "--slice=user-1000.slice",
    "--uid=1000",
    "--gid=1000",
    "--setenv=XDG_RUNTIME_DIR=/run/user/1000",
    "/test/knarr-runtime",
];

fn systemctl(args: &[&str]) {
    process::run(Command::new("systemctl").args(args)).success();
}

fn own(path: &Path) {
    chown(path, Some(1000), Some(1000)).expect("chown");
}

fn a_user_runs_containers_from_a_login() {
    let scratch = Scratch::new();
    fs::create_dir_all("/run/user/1000").expect("a directory");
    own(Path::new("/run/user/1000"));
    fs::write("/run/systemd/system/user@1000.service", MANAGER).expect("a unit");
    systemctl(&["daemon-reload"]);
    systemctl(&["start", "user@1000.service"]);

    let bundle = Bundle::busybox(&scratch, "mine").args(["sleep", "600"]).edit(|config| {
        rootless(config);
        config["linux"]["cgroupsPath"] = json!("");
        config["linux"]["resources"] = json!({ "pids": { "limit": 12 } });
    });
    fs::create_dir_all(bundle.rootfs().join("sys/fs/cgroup")).expect("a mount point");
    let root = scratch.directory("user-root");
    [scratch.path(), bundle.path(), &root].into_iter().for_each(own);
    let call = |args: &[&str]| -> Outcome {
        let mut command = scratch.command("/usr/bin/systemd-run");
        command.args(LOGIN).arg("--root").arg(&root).arg("--systemd-cgroup").args(args);
        process::run(&mut command).success()
    };
    call(&["run", "--detach", "--bundle", &bundle.path().display().to_string(), "mine"]);
    let at =
        "/sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service/user.slice/knarr-mine.scope/pids.max";
    assert_eq!(fs::read_to_string(at).expect("a limit"), "12\n");
    assert_eq!(call(&["exec", "mine", "cat", "/proc/1/cgroup", "/proc/self/cgroup"]).stdout, "0::/\n0::/\n");
    call(&["delete", "--force", "mine"]);
    systemctl(&["stop", "user@1000.service"]);
}
