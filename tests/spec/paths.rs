//! `linux.maskedPaths` and `linux.readonlyPaths`.

use std::fs;

use knarr_tests::{Bundle, Runtime, Scratch, require};
use serde_json::json;

use crate::{differs, output, refusal};

#[test]
fn a_masked_file_is_empty_and_a_masked_directory_too() {
    require!(root, tool("busybox"));
    let script = "cat /etc/passwd | wc -c; stat -c '%F %t,%T' /etc/passwd; ls -A /usr | wc -l; touch /usr/x 2>/dev/null || echo closed; ls -A /link | wc -l";
    let scratch = Scratch::new();
    let bundle = Bundle::busybox(&scratch, "one").script(script).edit(|config| {
        config["linux"]["maskedPaths"] =
            json!(["/etc/passwd", "/usr", "/link", "/nowhere", "/etc/group/under"]);
    });
    fs::create_dir(bundle.rootfs().join("usr/share")).expect("a directory");
    fs::create_dir_all(bundle.rootfs().join("behind/file")).expect("a directory");
    std::os::unix::fs::symlink("behind", bundle.rootfs().join("link")).expect("a link");
    let runtime = Runtime::new(&scratch);
    if ["runc", "runc-head", "crun"].iter().any(|name| crate::is(name)) {
        // What is below a file is no reason to stop; they take it for an error.
        let bundle = bundle.edit(|config| {
            config["linux"]["maskedPaths"] = json!(["/etc/passwd", "/usr", "/link", "/nowhere"]);
        });
        let seen = runtime.run(&bundle).success().stdout;
        assert!(seen.starts_with("0\ncharacter special file 1,3\n0\nclosed\n"), "{seen}");
        return;
    }
    assert_eq!(runtime.run(&bundle).success().stdout, "0\ncharacter special file 1,3\n0\nclosed\n0\n");
    assert!(bundle.rootfs().join("behind/file").exists(), "the host's view is untouched");
}

#[test]
fn a_readonly_path_takes_no_writes_and_the_rest_does() {
    require!(root, tool("busybox"));
    let script = "echo x >>/etc/passwd || echo closed; touch /usr/file || echo closed; touch /etc/other && echo open; cat /etc/passwd | head -1";
    let seen = output(script, |config| {
        config["linux"]["readonlyPaths"] = json!(["/etc/passwd", "/usr", "/nowhere"]);
    });
    assert_eq!(seen, "closed\nclosed\nopen\nroot:x:0:0:root:/root:/bin/sh\n");
}

#[test]
fn the_kernels_files_are_masked_and_closed() {
    require!(root, tool("busybox"));
    let script = "cat /proc/kcore | wc -c; cat /proc/timer_list 2>/dev/null | wc -c; ls -A /sys/firmware | wc -l; echo 1 >/proc/sys/kernel/panic || echo closed; echo h >/proc/sysrq-trigger || echo closed";
    assert_eq!(output(script, |_| ()), "0\n0\n0\nclosed\nclosed\n");
}

#[test]
fn a_readonly_path_keeps_the_options_of_its_mount() {
    require!(root, tool("busybox"));
    differs!("crun" => "1.8.1 loses them");
    let seen = output("cat /proc/self/mountinfo", |config| {
        crate::mounts::add(config, "/m", "tmpfs", "tmpfs", &["nosuid", "nodev", "noexec"]);
        config["linux"]["readonlyPaths"] = json!(["/m", "/proc/sys"]);
    });
    let found = crate::mountinfo::parse(&seen);
    assert!(found["/m"].has("ro,nosuid,nodev,noexec"), "{:?}", found["/m"]);
    assert!(found["/proc/sys"].has("ro"), "{:?}", found["/proc/sys"]);
}

#[test]
fn what_is_mounted_below_a_readonly_path_stays_as_it_is() {
    require!(root, tool("busybox"));
    let seen = output("touch /m/file || echo closed; touch /m/below/file && ls /m/below", |config| {
        crate::mounts::add(config, "/m", "tmpfs", "tmpfs", &[]);
        crate::mounts::add(config, "/m/below", "tmpfs", "tmpfs", &[]);
        config["linux"]["readonlyPaths"] = json!(["/m"]);
    });
    assert_eq!(seen, "closed\nfile\n");
}

#[test]
fn relative_paths_are_refused() {
    require!(root, tool("busybox"));
    // runtime-spec, "Masked Paths", "Readonly Paths": "The values MUST be absolute paths in the container namespace."
    differs!("runc-head" => "1.5 takes them", "runc" => "1.1.5 takes them", "crun" => "1.8.1 takes them");
    for field in ["maskedPaths", "readonlyPaths"] {
        let said = refusal(|config| config["linux"][field] = json!(["/etc", "etc/passwd"]));
        assert!(said.contains(field) && said.contains("etc/passwd"), "{said}");
    }
}

/// A mount over the root is left behind when the root is entered: what was asked for is had otherwise, or refused.
#[test]
fn a_readonly_path_that_is_the_root_makes_the_root_readonly() {
    require!(root, tool("busybox"));
    differs!("crun" => "1.8.1 leaves it writable without a word");
    for path in ["/", "/.", "//", "/usr/..", "/link", "/link/link/", "/chain"] {
        let scratch = Scratch::new();
        let script = "touch /x /usr/x 2>/dev/null || echo closed; touch /dev/shm/x && echo open; cat /link/etc/passwd | head -1";
        let bundle = Bundle::busybox(&scratch, "one").script(script).edit(|config| {
            config["linux"]["readonlyPaths"] = json!([path]);
        });
        std::os::unix::fs::symlink("/", bundle.rootfs().join("link")).expect("a link");
        std::os::unix::fs::symlink("usr/../link", bundle.rootfs().join("chain")).expect("a link");
        let seen = Runtime::new(&scratch).run(&bundle).success();
        assert_eq!(seen.stdout, "closed\nopen\nroot:x:0:0:root:/root:/bin/sh\n", "{path}: {seen}");
    }
}

#[test]
fn a_masked_path_that_is_the_root_is_refused() {
    require!(root, tool("busybox"));
    differs!("runc" => "1.1.5 masks nothing without a word", "crun" => "1.8.1 neither");
    for path in ["/", "/./", "/usr/..", "/proc/../"] {
        let said = refusal(|config| config["linux"]["maskedPaths"] = json!(["/proc/keys", path]));
        assert!(said.contains("can't mask path") && said.contains("the root itself"), "{path}: {said}");
    }
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let bundle =
        Bundle::busybox(&scratch, "one").edit(|config| config["linux"]["maskedPaths"] = json!(["/link"]));
    std::os::unix::fs::symlink("..", bundle.rootfs().join("link")).expect("a link");
    let outcome = runtime.run(&bundle);
    assert!(!outcome.status.success() && outcome.stderr.contains("the root itself"), "{outcome}");
}

/// A mount that would be over the root is left behind just so.
#[test]
fn a_mount_point_that_is_the_root_is_refused() {
    require!(root, tool("busybox"));
    differs!("crun" => "1.8.1 mounts and leaves it behind");
    for (kind, options) in
        [("tmpfs", &["ro"][..]), ("bind", &["bind", "ro"]), ("cgroup", &[]), ("devpts", &[])]
    {
        for destination in ["/link", "/link/link", "/chain", "/usr/back"] {
            let scratch = Scratch::new();
            let source = scratch.directory("source").display().to_string();
            let bundle = Bundle::busybox(&scratch, "one").edit(|config| {
                crate::mounts::add(config, destination, kind, &source, options);
            });
            fs::create_dir_all(bundle.rootfs().join("usr")).expect("a directory");
            for (name, target) in [("link", "/"), ("chain", "usr/../link"), ("usr/back", "..")] {
                std::os::unix::fs::symlink(target, bundle.rootfs().join(name)).expect("a link");
            }
            let outcome = Runtime::new(&scratch).run(&bundle);
            assert!(!outcome.status.success(), "{kind} {destination}: {outcome}");
            assert!(
                crate::is("runc") || outcome.stderr.contains("the root itself"),
                "{kind} {destination}: {outcome}"
            );
        }
    }
}

/// The directory of the root shown elsewhere is no root, though it is the same directory.
#[test]
fn the_root_shown_elsewhere_is_a_path_like_others() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let bundle = Bundle::busybox(&scratch, "one")
        .script("touch /again/x || echo closed; touch /x && echo open; ls /hidden");
    let rootfs = bundle.rootfs();
    let bundle = bundle.edit(|config| {
        for place in ["/again", "/hidden"] {
            crate::mounts::add(config, place, "none", &rootfs.display().to_string(), &["bind"]);
        }
        config["linux"]["readonlyPaths"] = json!(["/again"]);
        config["linux"]["maskedPaths"] = json!(["/hidden"]);
    });
    assert_eq!(Runtime::new(&scratch).run(&bundle).success().stdout, "closed\nopen\n");
}
