//! What a bind mount keeps of its source's flags, and what a user namespace makes it keep: runc's rules, which are
//! those of mount(2)'s remount. runtime-spec names the options, and leaves this open.

use knarr_tests::{Bundle, Runtime, Scratch, require};
use serde_json::json;

use crate::differs;
use crate::mountinfo::parse;

/// The source's flags, the mount's options, what /proc then shows; nothing when it is refused.
type Case = (&'static str, &'static [&'static str], Option<&'static str>);

const PLAIN: &[Case] = &[
    ("ro,noexec,nodiratime", &[], Some("ro,noexec,nodiratime")),
    ("ro,noexec,nodiratime", &["rprivate"], Some("ro,noexec,nodiratime")),
    ("ro,noexec,nodiratime", &["dev"], Some("rw,!noexec,nodiratime")),
    ("ro", &["nosuid", "nodev"], Some("rw,nosuid,nodev")),
    ("ro", &["rw", "nosuid"], Some("rw,nosuid")),
    ("nosuid,nodev,noexec,noatime", &["ro"], Some("ro,!nosuid,!nodev,!noexec,noatime")),
    ("nosuid,nodev,noexec,noatime", &["atime"], Some("!nosuid,!nodev,noatime")),
    ("noatime", &["norelatime"], Some("noatime")),
    ("noatime", &["relatime"], Some("relatime,!noatime")),
    ("noatime", &["nodiratime"], Some("nodiratime,relatime,!noatime")),
    ("nodiratime", &["strictatime"], Some("!nodiratime,!relatime,!noatime")),
];

const IN_USER_NAMESPACE: &[Case] = &[
    ("ro,noexec,nodiratime", &[], Some("ro,noexec,nodiratime")),
    ("ro,noexec,nodiratime", &["dev"], Some("ro,noexec,nodiratime")),
    ("nodev,nosuid,noatime", &["ro", "exec"], Some("ro,nodev,nosuid,noatime,!noexec")),
    ("noatime,nodiratime", &["norelatime"], Some("noatime,nodiratime")),
    ("ro", &["rw", "nosuid"], None),
    ("nosuid,nodev", &["suid"], None),
    ("relatime", &["noatime"], None),
    ("relatime", &["nodiratime"], None),
    ("noatime", &["relatime"], None),
    ("nosuid,noatime", &["rro"], Some("ro,nosuid,noatime")),
    ("nosuid,noatime", &["rrw", "rdev"], Some("rw,nosuid,noatime")),
    ("ro", &["rrw"], None),
    ("nosuid", &["rsuid"], None),
    ("nodev", &["rdev"], None),
    ("noexec", &["rexec"], None),
    ("noatime", &["ratime"], None),
    ("relatime", &["rnoatime"], None),
];

fn check(cases: &[Case], change: impl Fn(Bundle) -> Bundle) {
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let source = scratch.directory("source");
    let first = change(Bundle::busybox(&scratch, "first").args(["cat", "/proc/self/mountinfo"]));
    for (number, (flags, options, wanted)) in cases.iter().enumerate() {
        let options = [&["bind"], *options].concat();
        let bundle = first.another(&scratch, &format!("case-{number}")).edit(|config| {
            let mount =
                json!({ "destination": "/tmp", "type": "bind", "source": source, "options": options });
            config["mounts"].as_array_mut().expect("a list").push(mount);
        });
        // A mount whose flags are its own, in a mount namespace of the caller's.
        let run = runtime.verb("run", &bundle);
        let prepare = format!(
            "mount -t tmpfs -o strictatime source \"$0\" && mount -o \"remount,bind,{flags}\" \"$0\""
        );
        let mut caller = scratch.with_mounts(&prepare, &source, run.get_program());
        let outcome = runtime.finish(caller.args(run.get_args()));
        let case = format!("{flags} {options:?}: {outcome}");
        let Some(wanted) = wanted else {
            assert!(outcome.code() == 1 && outcome.stderr.contains("operation not permitted"), "{case}");
            continue;
        };
        let mut found = parse(&outcome.success().stdout);
        let entry = found.remove("/tmp").unwrap_or_else(|| panic!("nothing at /tmp: {case}"));
        assert!(entry.has(wanted), "{case}: {entry:?}, not {wanted}");
    }
}

#[test]
fn whoever_names_a_flag_of_a_bind_mount_names_them_all() {
    require!(root, tool("busybox"), tool("unshare"));
    differs!("runc" => "1.1.5 has older rules", "crun" => "1.8.1 adds to the source's flags");
    check(PLAIN, |bundle| bundle);
}

#[test]
fn in_a_user_namespace_the_flags_of_the_source_are_kept() {
    require!(root, tool("busybox"), tool("unshare"));
    differs!("runc" => "1.1.5 has older rules", "crun" => "1.8.1 adds to the source's flags");
    check(IN_USER_NAMESPACE, |bundle| bundle.edit(crate::user_namespace::isolate));
}

#[test]
fn in_a_user_namespace_the_flags_of_mounts_below_are_kept() {
    require!(root, tool("busybox"), tool("unshare"));
    differs!("runc" => "1.1.5 has older rules", "crun" => "1.8.1 adds to the source's flags");
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let (source, _) = (scratch.directory("source"), scratch.directory("source/inner"));
    let first = Bundle::busybox(&scratch, "first")
        .args(["cat", "/proc/self/mountinfo"])
        .edit(crate::user_namespace::isolate);
    let prepare = "mount -t tmpfs -o ro,nosuid inner \"$0/inner\"";
    for (word, wanted) in [("rnodev", Some("ro,nosuid,nodev")), ("rrw", None), ("rsuid", None)] {
        let bundle = first.another(&scratch, word).edit(|config| {
            let mount = json!({ "destination": "/tmp", "type": "bind", "source": source, "options": ["rbind", word] });
            config["mounts"].as_array_mut().expect("a list").push(mount);
        });
        let run = runtime.verb("run", &bundle);
        let mut caller = scratch.with_mounts(prepare, &source, run.get_program());
        let outcome = runtime.finish(caller.args(run.get_args()));
        match wanted {
            None => assert!(
                outcome.code() == 1 && outcome.stderr.contains("operation not permitted"),
                "{word}: {outcome}"
            ),
            Some(wanted) => {
                let mut found = parse(&outcome.success().stdout);
                let inner = found.remove("/tmp/inner").expect("the mount below");
                assert!(inner.has(wanted), "{word}: {inner:?}, not {wanted}");
            }
        }
    }
}
