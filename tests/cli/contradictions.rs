//! Requests that contradict themselves: one place given out twice, platforms and networks that are not there. Each is
//! refused in one sentence before anything is made.

use knarr_tests::{Daemon, Scratch, require};

use crate::busybox::{self, NAME};

#[test]
fn one_place_is_given_out_once() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let knarr = daemon.knarr();
    busybox::load(&scratch, &knarr);
    let new = scratch.join("not-yet");
    let new = new.to_str().expect("our own path");
    let (v, v_slash, v_odd) = (format!("{new}:/a"), format!("{new}:/a/"), format!("{new}://a/./"));
    let (mount, mount_odd) =
        ("type=bind,source=/usr,target=/a", "type=bind,source=/usr,destination=/./a//,readonly");
    let tmpfs_mount = "type=tmpfs,target=//a";
    for flags in [
        ["-v", &v, "-v", &v],
        ["-v", &v, "-v", &v_slash],
        ["-v", &v, "-v", &v_odd],
        ["-v", &v, "-v", "/usr:/a:ro"],
        ["-v", &v_slash, "--tmpfs", "/a"],
        ["--tmpfs", "/a/", "-v", &v],
        ["-v", &v, "--mount", mount],
        ["--mount", mount, "--mount", mount_odd],
        ["--mount", tmpfs_mount, "--tmpfs", "/a:size=1m"],
        ["--mount", mount_odd, "--tmpfs", "/a/."],
    ] {
        for verb in ["run", "create"] {
            let outcome = knarr.call([&[verb], &flags[..], &[NAME, "true"]].concat());
            let outcome = outcome.exits_with(if verb == "run" { 125 } else { 1 });
            assert!(outcome.stderr.contains("Duplicate mount point: /a"), "{flags:?}: {outcome}");
            assert_eq!(outcome.stderr.lines().count(), 1, "{flags:?}: {outcome}");
        }
    }
    assert_eq!(knarr.say(["ps", "-aq"]), "", "nothing was made");
    assert!(!scratch.join("not-yet").exists(), "no source was made");
    // Beside one another is no contradiction, nor is a mount in a mount or another source again.
    let (inner, other_case) = (format!("{new}:/a/b"), format!("{new}:/A"));
    knarr.say(["run", "--rm", "-v", &v, "-v", &inner, "-v", &other_case, "--tmpfs", "/b", NAME, "true"]);
}

#[test]
fn a_deleted_bundle_is_told_as_that() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let knarr = daemon.knarr();
    busybox::load(&scratch, &knarr);
    let id = knarr.say(["create", "--name", "hollow", NAME, "true"]);
    std::fs::remove_dir_all(daemon.root().join("containers").join(&id)).expect("its bundle");
    let outcome = knarr.call(["start", "hollow"]).exits_with(1);
    assert!(outcome.stderr.contains(&id) && outcome.stderr.contains("is gone"), "{outcome}");
    assert!(!outcome.stderr.contains("installed"), "{outcome}");
    knarr.say(["rm", "hollow"]);
}

#[test]
fn a_user_s_empty_half_is_as_if_it_were_not_there() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let knarr = daemon.knarr();
    busybox::load(&scratch, &knarr);
    for (user, expected) in [("1001:", "1001 0"), (":5", "0 5"), (":", "0 0"), ("1001:7", "1001 7")] {
        let said = knarr.say(["run", "--rm", "-u", user, NAME, "sh", "-c", "echo $(id -u) $(id -g)"]);
        assert_eq!(said, expected, "{user}");
    }
    for user in ["1001:nobody-there", "-1:", "nobody-there:", "4294967295"] {
        knarr.call(["run", "--rm", "-u", user, NAME, "true"]).exits_with(125);
    }
}
