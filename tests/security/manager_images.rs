//! What an image says of itself decides nothing on the host, and nothing over the mounts that knarr makes.

use knarr_tests::{Daemon, Image, Knarr, Layer, Scratch, require};
use serde_json::json;

const NAME: &str = "test/odd:1";

fn run(knarr: &Knarr<'_>, flags: &[&str], script: &str) -> String {
    knarr.say([&["run", "--rm"], flags, &[NAME, "sh", "-c", script]].concat())
}

/// The mounts of a container that can be written to, by their places.
fn writable_mounts(knarr: &Knarr<'_>, flags: &[&str]) -> Vec<String> {
    let table = run(knarr, flags, "cat /proc/self/mountinfo");
    let fields = table.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let writable = fields.filter(|fields| fields[5].split(',').any(|option| option == "rw"));
    writable.map(|fields| fields[4].to_owned()).collect()
}

#[test]
fn a_read_only_container_writes_to_nothing_but_memory() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let knarr = daemon.knarr();
    knarr.load(&Image::busybox(), NAME);
    let allowed = ["/proc", "/dev", "/dev/pts", "/dev/mqueue", "/dev/shm"];
    let left: Vec<String> = writable_mounts(&knarr, &["--read-only"])
        .into_iter()
        .filter(|place| !allowed.contains(&place.as_str()))
        .collect();
    assert_eq!(left, [""; 0], "writable besides memory");
    let files = ["/etc/hosts", "/etc/hostname", "/etc/resolv.conf"];
    for file in files {
        let try_writing = format!("(echo x >> {file}) 2>/dev/null && echo written || echo refused");
        assert_eq!(run(&knarr, &["--read-only"], &try_writing), "refused", "{file}");
        // The control: without the flag they are the container's to change.
        assert_eq!(run(&knarr, &[], &try_writing), "written", "{file}");
    }
}

#[test]
fn volumes_of_an_image_hide_nothing_and_cover_nothing_of_the_kernel() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let knarr = daemon.knarr();
    let volumes = json!({
        "/sys": {}, "/proc": {}, "/proc/sys": {}, "/dev": {}, "/dev/shm": {}, "/": {}, "relative": {}, "/a/../etc": {},
        "/etc": {}, "/etc/hosts": {}, "/bin/": {}, "//data": {}, "/new": {},
    });
    let layer = Layer::new().owned_by(7, 8).directory("data", 0o700).file("data/kept", 0o600, b"kept");
    let image = Image::busybox().layer(layer).config("Volumes", volumes);
    knarr.load(&image, NAME);
    for flags in [&["--read-only"][..], &[]] {
        let shown = run(
            &knarr,
            flags,
            "cat /data/kept /etc/passwd; ls -d /sys/kernel /proc/1 /dev/null; stat -c '%u %g %a' /data",
        );
        for word in ["kept", "root:x:0:0", "/sys/kernel", "/proc/1", "/dev/null", "7 8 700"] {
            assert!(shown.contains(word), "{flags:?}: {word} is missing:\n{shown}");
        }
        assert_eq!(
            run(&knarr, flags, "(echo 1 > /sys/kernel/profiling) 2>/dev/null || echo refused"),
            "refused"
        );
        // What the image declares may be written to, as with docker's anonymous volumes.
        assert_eq!(
            run(&knarr, flags, "echo x > /data/y && mkdir -p /new && echo x > /new/y && cat /new/y"),
            "x",
            "{flags:?}"
        );
    }
    let outcome = knarr.call(["create", NAME]).success();
    for left_out in ["\"/sys\"", "\"/a/../etc\"", "\"/etc/hosts\"", "more volumes"] {
        let warned = outcome.stderr.lines().any(|line| line.contains(left_out) && line.contains("left out"));
        assert!(warned, "{left_out}: {outcome}");
    }
}

#[test]
fn odd_fields_of_an_image_are_told() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let knarr = daemon.knarr();
    knarr.load(&Image::busybox().config("StopSignal", json!("SIGNOPE")), NAME);
    let outcome = knarr.call(["run", "--rm", NAME, "echo", "runs"]).success();
    assert_eq!(outcome.stdout, "runs\n", "as with docker, which then stops it by SIGTERM");
    assert!(outcome.stderr.contains("SIGNOPE"), "{outcome}");
    // What was asked for is another matter.
    let outcome = knarr.call(["run", "--rm", "--stop-signal", "SIGNOPE", NAME, "true"]).exits_with(125);
    assert!(outcome.stderr.contains("SIGNOPE"), "{outcome}");
    for (field, value, word) in [
        ("WorkingDir", json!("relative"), "relative"),
        ("User", json!("nobody-there"), "nobody-there"),
        ("User", json!("4294967296"), "4294967296"),
        ("Env", json!(["A=\u{0}"]), "NUL"),
        ("Cmd", json!(["a\u{0}b"]), "NUL"),
        ("Cmd", json!(vec!["x".repeat(1000); 1500]), "1048576"),
    ] {
        knarr.load(&Image::busybox().config(field, value), NAME);
        let outcome = knarr.call(["run", "--rm", NAME]).exits_with(125);
        assert!(outcome.stderr.contains(word), "{field}: {outcome}");
        assert_eq!(outcome.stderr.lines().count(), 1, "{field}: {outcome}");
        assert_eq!(knarr.say(["ps", "-aq"]), "", "{field}: nothing is left");
    }
}

#[test]
fn an_image_of_another_platform_is_never_run_silently() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let knarr = daemon.knarr();
    knarr.load(&Image::busybox(), NAME);
    let other = if cfg!(target_arch = "x86_64") { "linux/arm64" } else { "linux/amd64" };
    let args = ["run", "--rm", "--pull", "never", "--platform", other, NAME, "true"];
    let outcome = knarr.call(args).exits_with(125);
    assert!(outcome.stderr.contains(&format!("not for {other}")), "{outcome}");
    let args = ["run", "--rm", "--platform", "linux/../x", NAME, "true"];
    knarr.call(args).exits_with(125);
    let own = if cfg!(target_arch = "x86_64") { "linux/amd64" } else { "linux/arm64" };
    let outcome =
        knarr.call(["run", "--rm", "--pull", "never", "--platform", own, NAME, "echo", "x"]).success();
    assert_eq!((outcome.stdout.as_str(), outcome.stderr.as_str()), ("x\n", ""));
}
