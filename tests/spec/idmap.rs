//! Id-mapped mounts: `mounts[].uidMappings` and `gidMappings`, and the words `idmap` and `ridmap`.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};

use knarr_tests::{Bundle, Outcome, Runtime, Scratch, require};
use serde_json::{Value, json};

use crate::user_namespace::isolate;
use crate::{differs, refusal};

macro_rules! require_id_maps {
    () => {
        require!(root, tool("busybox"));
        differs!("runc" => "1.1.5 maps ids with a user namespace alone", "crun" => "1.8.1 has a syntax of its own");
    };
}

/// How ids are shown that are not mapped.
const NOBODY: u32 = 65_534;

/// A directory to mount with a file `root` of root's and one `user` of 100:211; below `inner`, where a mount of the
/// like is made by [`with_inner_mount`], there are the same.
fn source(scratch: &Scratch) -> PathBuf {
    let (outer, _) = (scratch.directory("source"), scratch.directory("source/inner"));
    for directory in [&outer, &scratch.directory("inner")] {
        fs::write(directory.join("root"), "").expect("a file");
        fs::write(directory.join("user"), "").expect("a file");
        chown(directory.join("user"), Some(100), Some(211)).expect("an owner");
    }
    outer
}

fn range(inside: u32, outside: u32, size: u32) -> Value {
    json!({ "containerID": inside, "hostID": outside, "size": size })
}

/// A bind mount of the source at /mapped.
fn mount(source: &Path, options: &[&str], users: &Value, groups: &Value) -> Value {
    let mut mount = json!({ "destination": "/mapped", "type": "bind", "source": source, "options": options });
    for (field, mappings) in [("uidMappings", users), ("gidMappings", groups)] {
        if !mappings.is_null() {
            mount[field] = mappings.clone();
        }
    }
    mount
}

fn with(bundle: Bundle, mount: Value) -> Bundle {
    bundle.edit(|config| config["mounts"].as_array_mut().expect("a list").push(mount))
}

/// The root filesystem is that of the user namespace's root.
fn isolated(bundle: Bundle) -> Bundle {
    for directory in ["", "tmp", "dev", "proc", "sys"] {
        chown(bundle.rootfs().join(directory), Some(100_000), Some(100_000)).expect("an owner");
    }
    bundle.edit(isolate)
}

/// Runs it where another directory is mounted in the source.
fn with_inner_mount(scratch: &Scratch, runtime: &Runtime<'_>, bundle: &Bundle) -> Outcome {
    let run = runtime.verb("run", bundle);
    let prepare = format!("mount --bind {} \"$0\"", scratch.join("inner").display());
    let mut caller = scratch.with_mounts(&prepare, &scratch.join("source/inner"), run.get_program());
    runtime.finish(caller.args(run.get_args()))
}

const OWNERS: &str = "stat -c %u:%g /mapped/root /mapped/user";

#[test]
fn a_mount_shows_ids_by_its_own_map() {
    require_id_maps!();
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let source = source(&scratch);
    let plain = Bundle::busybox(&scratch, "plain").script(OWNERS);
    let mapped = isolated(Bundle::busybox(&scratch, "mapped").script(OWNERS));
    let whole = json!([range(0, 100_000, 65_536)]);
    let users = json!([range(0, 100_007, 1), range(100, 100_020, 5)]);
    let groups = json!([range(0, 100_009, 1), range(200, 100_100, 50)]);
    let only_root = json!([range(0, 100_000, 1)]);
    let none = Value::Null;
    let cases = [
        (&plain, &whole, &whole, &["bind"][..], [(100_000, 100_000), (100_100, 100_211)]),
        (&plain, &users, &groups, &["bind", "idmap"], [(100_007, 100_009), (100_020, 100_111)]),
        (&plain, &only_root, &only_root, &["bind"], [(100_000, 100_000), (NOBODY, NOBODY)]),
        (&mapped, &whole, &whole, &["bind"], [(0, 0), (100, 211)]),
        (&mapped, &users, &groups, &["bind", "ridmap"], [(7, 9), (20, 111)]),
        // Without a map of its own it has the container's.
        (&mapped, &none, &none, &["bind", "idmap"], [(0, 0), (100, 211)]),
        (&mapped, &none, &none, &["rbind", "ridmap"], [(0, 0), (100, 211)]),
        (&mapped, &none, &none, &["bind"], [(NOBODY, NOBODY), (NOBODY, NOBODY)]),
    ];
    for (number, (bundle, users, groups, options, wanted)) in cases.into_iter().enumerate() {
        let mount = mount(&source, options, users, groups);
        let bundle = with(bundle.another(&scratch, &format!("case-{number}")), mount.clone());
        let seen = runtime.run(&bundle).success().stdout;
        let wanted = wanted.map(|(user, group)| format!("{user}:{group}\n")).concat();
        assert_eq!(seen, wanted, "{mount}");
    }
}

#[test]
fn the_map_of_a_user_namespace_that_is_joined_is_the_containers() {
    require_id_maps!();
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let source = source(&scratch);
    let pod = isolated(Bundle::busybox(&scratch, "pod").args(["sleep", "60"]));
    let container = runtime.run_detached(&pod);
    let path = format!("/proc/{}/ns/user", container.pid());
    let guest = with(
        pod.another(&scratch, "guest").script(OWNERS),
        mount(&source, &["bind", "idmap"], &Value::Null, &Value::Null),
    )
    .edit(|config| {
        let namespaces = config["linux"]["namespaces"].as_array_mut().expect("a list");
        namespaces.retain(|namespace| namespace["type"] != "user");
        namespaces.push(json!({ "type": "user", "path": path }));
        let linux = config["linux"].as_object_mut().expect("an object");
        linux.retain(|field, _| field != "uidMappings" && field != "gidMappings");
    });
    assert_eq!(runtime.run(&guest).success().stdout, "0:0\n100:211\n");
}

/// `ridmap` reaches the mounts below; `idmap`, and mappings alone, do not.
#[test]
fn mounts_below_are_mapped_where_that_is_asked_for() {
    require_id_maps!();
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let source = source(&scratch);
    let script = "stat -c %u:%g /mapped/user /mapped/inner/user";
    let plain = Bundle::busybox(&scratch, "plain").script(script);
    let mapped = isolated(Bundle::busybox(&scratch, "mapped").script(script));
    let map = json!([range(0, 100_000, 65_536)]);
    for (bundle, options, wanted) in [
        (&plain, &["rbind"][..], "100100:100211\n100:211\n"),
        (&plain, &["rbind", "idmap"], "100100:100211\n100:211\n"),
        (&plain, &["rbind", "ridmap"], "100100:100211\n100100:100211\n"),
        (&mapped, &["rbind", "idmap"], "100:211\n65534:65534\n"),
        (&mapped, &["rbind", "ridmap"], "100:211\n100:211\n"),
    ] {
        let name = format!("{}-{}", bundle.id(), options.join("-"));
        let bundle = with(bundle.another(&scratch, &name), mount(&source, options, &map, &map));
        let seen = with_inner_mount(&scratch, &runtime, &bundle).success().stdout;
        assert_eq!(seen, wanted, "{name}");
    }
}

#[test]
fn what_is_written_belongs_to_the_id_before_the_map() {
    require_id_maps!();
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let source = source(&scratch);
    let map = json!([range(0, 100_000, 65_536)]);
    let bundle = isolated(Bundle::busybox(&scratch, "mapped"))
        .script("touch /mapped/new /mapped/given && chown 5:6 /mapped/given && stat -c %u:%g /mapped/new");
    let bundle = with(bundle, mount(&source, &["bind"], &map, &map));
    assert_eq!(runtime.run(&bundle).success().stdout, "0:0\n");
    let owner = |name: &str| {
        let made = fs::metadata(source.join(name)).expect("the file");
        (made.uid(), made.gid())
    };
    assert_eq!((owner("new"), owner("given")), ((0, 0), (5, 6)));
    // Who has no id in the map owns nothing there, and makes nothing.
    let bundle = Bundle::busybox(&scratch, "plain").script("touch /mapped/newer");
    let bundle = with(bundle, mount(&source, &["bind"], &map, &map));
    assert!(!runtime.run(&bundle).status.success() && !source.join("newer").exists());
}

#[test]
fn a_mapped_mount_has_its_attributes_too() {
    require_id_maps!();
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let source = source(&scratch);
    let map = json!([range(0, 100_000, 65_536)]);
    let script = "stat -c %u /mapped/root; touch /mapped/new; grep ' /mapped ' /proc/self/mountinfo";
    let bundle = isolated(Bundle::busybox(&scratch, "one")).script(script);
    let bundle = with(bundle, mount(&source, &["bind", "ro", "nosuid", "noexec"], &map, &map));
    let seen = runtime.run(&bundle).success();
    assert!(seen.stdout.starts_with("0\n") && seen.stdout.contains("ro,nosuid,noexec"), "{seen}");
    assert!(!source.join("new").exists());
}

#[test]
fn a_source_that_another_mount_makes_is_mapped() {
    require_id_maps!();
    let scratch = Scratch::new();
    let bundle = Bundle::busybox(&scratch, "one").script("stat -c %u:%g /mapped");
    let made =
        json!({ "destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["uid=3", "gid=3"] });
    let map = json!([range(3, 7, 1)]);
    let mapped = mount(&bundle.rootfs().join("tmp"), &["bind"], &map, &map);
    let bundle = with(with(bundle, made), mapped);
    assert_eq!(Runtime::new(&scratch).run(&bundle).success().stdout, "7:7\n");
}

#[test]
fn maps_that_cannot_be_are_refused_by_the_mounts_name() {
    require_id_maps!();
    let scratch = Scratch::new();
    let source = source(&scratch);
    let map = json!([range(0, 100_000, 65_536)]);
    let overlapping = json!([range(0, 1000, 10), range(5, 5000, 10)]);
    let none = Value::Null;
    let mut filesystem = mount(&source, &[], &map, &map);
    filesystem["type"] = json!("tmpfs");
    for (wrong, named) in [
        (mount(&source, &["bind"], &map, &none), "mapped"),
        (mount(&source, &["bind", "idmap"], &none, &map), "mapped"),
        // There is no user namespace whose map it could be.
        (mount(&source, &["bind", "idmap"], &none, &none), "mapped"),
        (mount(&source, &["bind"], &overlapping, &map), "uidMappings"),
        (mount(&source, &["bind"], &map, &json!([range(0, 1000, 0)])), "gidMappings"),
        (filesystem, "mapped"),
        // The kernel maps no ids of procfs.
        (mount(Path::new("/proc/sys"), &["bind"], &map, &map), "mapped"),
    ] {
        let said = refusal(|config| config["mounts"].as_array_mut().expect("a list").push(wrong.clone()));
        assert!(said.contains(named) || crate::is("runc-head"), "{wrong}: {said}");
    }
}
