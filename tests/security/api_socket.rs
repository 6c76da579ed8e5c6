//! Who may connect to knarrd: whoever may is root.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Stdio;

use knarr_tests::{Daemon, Scratch, process, programs, require};

/// Owner, group and mode of the socket.
fn access(daemon: &Daemon<'_>) -> (u32, u32, u32) {
    let metadata = std::fs::metadata(daemon.socket()).expect("the socket");
    (metadata.uid(), metadata.gid(), metadata.permissions().mode() & 0o7777)
}

#[test]
fn the_socket_is_roots_alone_whoever_starts_knarrd_and_however() {
    require!(root, tool("setpriv"));
    let scratch = Scratch::new();
    for (prefix, umask) in [
        (&[][..], "022"),
        (&["setpriv", "--regid", "1234", "--clear-groups"][..], "022"),
        (&["setpriv", "--regid", "1234", "--groups", "4,24"][..], "000"),
        (&[][..], "000"),
        (&[][..], "777"),
    ] {
        let with_umask = ["sh", "-c", &format!("umask {umask}; exec \"$@\""), "sh"];
        let prefix: Vec<&str> = prefix.iter().chain(&with_umask).copied().collect();
        let mut daemon = Daemon::start_under(&scratch, &prefix);
        let (uid, _, mode) = access(&daemon);
        assert_eq!((uid, mode), (0, 0o600), "{prefix:?}");
        assert!(!can_connect(&scratch, &daemon, &["--reuid", "1234", "--regid", "1234", "--clear-groups"]));
        assert!(can_connect(&scratch, &daemon, &["--reuid", "0"]), "the control");
        daemon.stop();
    }
}

#[test]
fn a_group_may_connect_only_when_it_was_named() {
    require!(root, tool("setpriv"));
    let scratch = Scratch::new();
    let daemon = Daemon::start_with(&scratch, &["--group", "games"]);
    let group = std::fs::read_to_string("/etc/group").expect("groups");
    let line = group.lines().find(|line| line.starts_with("games:")).expect("Debian has it");
    let gid: u32 = line.split(':').nth(2).and_then(|gid| gid.parse().ok()).expect("a gid");
    assert_eq!(access(&daemon), (0, gid, 0o660));
    let gid = gid.to_string();
    let as_member = ["--reuid", "1234", "--regid", &gid, "--clear-groups"];
    assert!(can_connect(&scratch, &daemon, &as_member));
    assert!(!can_connect(&scratch, &daemon, &["--reuid", "1234", "--regid", "1234", "--clear-groups"]));
}

/// Whether a user can ask knarrd for its version.
fn can_connect(scratch: &Scratch, daemon: &Daemon<'_>, user: &[&str]) -> bool {
    let mut command = scratch.command(programs::tool("setpriv"));
    command.args(user).arg(programs::ours("knarr")).args(["ps", "-q"]).stdin(Stdio::null());
    command.env("KNARR_HOST", format!("unix://{}", daemon.socket().display()));
    process::run(&mut command).status.success()
}
