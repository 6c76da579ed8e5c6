//! `mounts`: types, sources, options, order, recursive attributes, tmpcopyup.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use knarr_tests::{Bundle, Runtime, Scratch, require};
use serde_json::{Value, json};

use crate::mountinfo::{Entry, parse};
use crate::{differs, output, refusal};

pub(crate) fn add(config: &mut Value, destination: &str, kind: &str, source: &str, options: &[&str]) {
    let mount = json!({ "destination": destination, "type": kind, "source": source, "options": options });
    config["mounts"].as_array_mut().expect("a list").push(mount);
}

/// Mounts each case at a place of its own in one container, and returns what became of each.
#[track_caller]
fn mounted(cases: &[(&str, &str, &[&str])]) -> Vec<Entry> {
    let text = output("cat /proc/self/mountinfo", |config| {
        for (number, (kind, source, options)) in cases.iter().enumerate() {
            add(config, &format!("/m/{number}"), kind, source, options);
        }
    });
    let mut found = parse(&text);
    let mut take =
        |number| found.remove(&format!("/m/{number}")).unwrap_or_else(|| panic!("no /m/{number}: {text}"));
    (0..cases.len()).map(&mut take).collect()
}

/// Cases that this runtime knows: runc 1.1.5 gives "defaults" to the filesystem, crun 1.8.1 "loud" and the like, and of
/// two words that contradict each other the first wins.
fn known((options, _): &&Shown) -> bool {
    match options {
        ["defaults"] => !crate::is("runc"),
        ["loud", ..] | [_, _] => !crate::is("crun"),
        _ => true,
    }
}

/// Cases of options with what /proc shows for them; a `!` in front means that it must not.
type Shown = (&'static [&'static str], &'static str);

const ATTRIBUTES: [Shown; 22] = [
    (&[], "rw,relatime,!nosuid,!nodev,!noexec"),
    (&["defaults"], "rw,relatime"),
    (&["ro"], "ro"),
    (&["rw"], "rw"),
    (&["ro", "rw"], "rw"),
    (&["rw", "ro"], "ro"),
    (&["nosuid"], "nosuid,rw"),
    (&["nosuid", "suid"], "!nosuid"),
    (&["nodev"], "nodev"),
    (&["nodev", "dev"], "!nodev"),
    (&["noexec"], "noexec"),
    (&["noexec", "exec"], "!noexec"),
    (&["noatime"], "noatime,!relatime"),
    (&["noatime", "atime"], "!noatime"),
    (&["strictatime"], "!noatime,!relatime"),
    (&["noatime", "strictatime"], "!noatime"),
    (&["relatime"], "relatime"),
    (&["nodiratime"], "nodiratime"),
    (&["nodiratime", "diratime"], "!nodiratime"),
    (&["nosuid", "nodev", "noexec", "ro", "noatime"], "nosuid,nodev,noexec,ro,noatime"),
    (&["async"], "rw"),
    (&["loud", "nomand", "noiversion"], "rw"),
];

#[test]
fn attributes_of_a_filesystem_are_as_given_and_the_last_word_holds() {
    require!(root, tool("busybox"));
    differs!("runc-head" => "1.5 takes `defaults` for data (config.md, Linux mount options: a MUST)");
    let shown: Vec<&Shown> = ATTRIBUTES.iter().filter(known).collect();
    let cases: Vec<(&str, &str, &[&str])> =
        shown.iter().map(|(options, _)| ("tmpfs", "tmpfs", *options)).collect();
    for ((options, wanted), entry) in shown.iter().zip(mounted(&cases)) {
        assert!(entry.has(wanted), "{options:?}: {entry:?}, not {wanted}");
    }
}

#[test]
fn attributes_of_a_bind_mount_are_as_given() {
    require!(root, tool("busybox"));
    differs!("runc-head" => "1.5 takes `defaults` for data (config.md, Linux mount options: a MUST)");
    let of_binds: Vec<(Vec<&str>, &str)> = ATTRIBUTES
        .iter()
        .filter(known)
        .map(|(options, wanted)| ([&["bind"], *options].concat(), *wanted))
        .collect();
    let cases: Vec<(&str, &str, &[&str])> =
        of_binds.iter().map(|(options, _)| ("none", "/usr", options.as_slice())).collect();
    for ((options, wanted), entry) in of_binds.iter().zip(mounted(&cases)) {
        // The source's own access time mode is kept where nothing is said of it.
        let wanted = wanted.replace("rw,relatime", "rw");
        assert!(entry.has(&wanted), "{options:?}: {entry:?}, not {wanted}");
    }
}

#[test]
fn symbolic_links_can_be_switched_off() {
    require!(root, tool("busybox"));
    differs!("runc" => "1.1.5 has no nosymfollow", "crun" => "1.8.1 has no nosymfollow");
    let script =
        "cat /m/link/file 2>/dev/null && echo followed; cat /n/link/file >/dev/null && echo followed";
    let seen = output(script, |config| {
        for (destination, option) in [("/m", "nosymfollow"), ("/n", "symfollow")] {
            add(config, destination, "tmpfs", "tmpfs", &[option]);
        }
        config["process"]["args"] = json!([
            "sh",
            "-c",
            "for d in /m /n; do mkdir $d/dir; echo $d >$d/dir/file; ln -s dir $d/link; cat $d/link/file 2>/dev/null; done; true"
        ]);
    });
    assert_eq!(seen, "/n\n");
}

#[test]
fn flags_and_data_of_the_filesystem_reach_it() {
    require!(root, tool("busybox"));
    differs!("crun" => "1.8.1 mounts proc at /proc alone");
    let cases: [(&str, &str, &[&str]); 5] = [
        ("tmpfs", "named", &["size=1m", "mode=700", "nr_inodes=77"]),
        ("tmpfs", "tmpfs", &["sync"]),
        ("tmpfs", "tmpfs", &["dirsync"]),
        ("ramfs", "ram", &["mode=711"]),
        ("proc", "proc", &["hidepid=2", "nosuid"]),
    ];
    let seen = mounted(&cases);
    let data = |number: usize| seen[number].data.join(",");
    assert_eq!(seen[0].source, "named");
    assert!(
        data(0).contains("size=1024k") && data(0).contains("mode=700") && data(0).contains("nr_inodes=77")
    );
    assert!(data(1).contains("sync"), "{}", data(1));
    assert!(data(2).contains("dirsync"), "{}", data(2));
    assert_eq!((seen[3].kind.as_str(), seen[4].kind.as_str()), ("ramfs", "proc"));
    assert!(data(4).contains("hidepid="), "{}", data(4));
}

#[test]
fn a_bind_shows_one_mount_and_an_rbind_the_tree() {
    require!(root, tool("busybox"));
    let seen = output("cat /proc/self/mountinfo", |config| {
        add(config, "/one", "none", "/dev", &["bind"]);
        add(config, "/tree", "none", "/dev", &["rbind"]);
        add(config, "/typed", "bind", "/dev", &["rbind"]);
    });
    let found = parse(&seen);
    assert!(found.contains_key("/one") && !found.contains_key("/one/pts"), "{seen}");
    assert!(found.contains_key("/tree/pts") && found.contains_key("/typed/pts"), "{seen}");
    assert_eq!(found["/tree"].propagation, "", "a bind does not take the host's propagation along");
}

#[test]
fn an_r_in_front_of_an_attribute_makes_it_hold_for_the_tree() {
    require!(root, tool("busybox"));
    differs!("crun" => "1.8.1 knows them, but not in the same places");
    let words = [
        "rro",
        "rnosuid",
        "rnodev",
        "rnoexec",
        "rnoatime",
        "rstrictatime",
        "rnodiratime",
        "ro",
        "nodiratime",
    ];
    let seen = output("cat /proc/self/mountinfo", |config| {
        for word in words {
            add(config, &format!("/m/{word}"), "none", "/dev", &["rbind", word]);
        }
    });
    let found = parse(&seen);
    for word in words {
        let (top, below) = (&found[&format!("/m/{word}")], &found[&format!("/m/{word}/shm")]);
        let (plain, is_recursive) = match word {
            "ro" | "nodiratime" => (word, false),
            "rstrictatime" => ("!relatime,!noatime", true),
            _ => (&word[1..], true),
        };
        assert!(top.has(plain), "{word}: {top:?}");
        assert_eq!(below.has(plain), is_recursive, "{word}: {below:?}");
    }
}

#[test]
fn recursive_attributes_are_taken_back_recursively() {
    require!(root, tool("busybox"));
    differs!(
        "runc" => "1.1.5 lets what was set win over what was cleared later",
        "crun" => "1.8.1 knows them, but not in the same places",
    );
    let pairs = [
        ("rro", "rrw"),
        ("rnosuid", "rsuid"),
        ("rnodev", "rdev"),
        ("rnoexec", "rexec"),
        ("rnodiratime", "rdiratime"),
    ];
    let seen = output("cat /proc/self/mountinfo", |config| {
        for (set, cleared) in pairs {
            add(config, &format!("/m/{cleared}"), "none", "/dev", &["rbind", set, cleared]);
        }
    });
    let found = parse(&seen);
    for (set, cleared) in pairs {
        let below = &found[&format!("/m/{cleared}/shm")];
        assert!(below.has(&format!("!{}", &set[1..])), "{cleared}: {below:?}");
    }
}

#[test]
fn propagation_of_each_mount_is_as_given() {
    require!(root, tool("busybox"));
    differs!("crun" => "1.8.1 leaves a new filesystem private");
    let words = ["private", "rprivate", "slave", "rslave", "shared", "rshared", "unbindable", "runbindable"];
    let cases: Vec<[&str; 1]> = words.iter().map(|word| [*word]).collect();
    let cases: Vec<(&str, &str, &[&str])> =
        cases.iter().map(|words| ("tmpfs", "tmpfs", words.as_slice())).collect();
    for (word, entry) in words.iter().zip(mounted(&cases)) {
        let wanted = match word.trim_start_matches('r') {
            "shared" => "shared:",
            "unbindable" => "unbindable",
            // A mount that is new has no master: a slave of nobody is private.
            _ => "",
        };
        let right = if wanted.is_empty() {
            entry.propagation.is_empty()
        } else {
            entry.propagation.starts_with(wanted)
        };
        assert!(right, "{word}: {entry:?}");
    }
}

#[test]
fn sources_are_relative_to_the_bundle_and_may_be_files() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let bundle = Bundle::busybox(&scratch, "one").script("cat /data/file /made/by/us; echo new >/data/out");
    fs::create_dir(bundle.path().join("data")).expect("a directory");
    fs::write(bundle.path().join("data/file"), "from the bundle\n").expect("a file");
    let file = bundle.path().join("data/file").display().to_string();
    let bundle = bundle.edit(|config| {
        add(config, "/data", "bind", "data", &["bind"]);
        add(config, "/made/by/us", "none", &file, &["bind", "ro"]);
    });
    let seen = Runtime::new(&scratch).run(&bundle).success().stdout;
    assert_eq!(seen, "from the bundle\nfrom the bundle\n");
    assert_eq!(fs::read_to_string(bundle.path().join("data/out")).expect("written through"), "new\n");
}

#[test]
fn mounts_are_made_in_the_order_of_the_list() {
    require!(root, tool("busybox"));
    let seen = output("cat /proc/self/mountinfo; ls /m", |config| {
        add(config, "/m", "tmpfs", "first", &[]);
        add(config, "/m/in", "tmpfs", "second", &[]);
        add(config, "/n/in", "tmpfs", "hidden", &[]);
        add(config, "/n", "tmpfs", "over", &[]);
    });
    let mounts: String =
        seen.lines().filter(|line| line.contains(" - ")).map(|line| format!("{line}\n")).collect();
    let found = parse(&mounts);
    assert_eq!((found["/m"].source.as_str(), found["/m/in"].source.as_str()), ("first", "second"));
    assert_eq!(found["/n"].source, "over");
    assert!(seen.ends_with("in\n"), "{seen}");
}

#[test]
fn a_relative_destination_is_below_the_root() {
    require!(root, tool("busybox"));
    // runtime-spec, "Mounts", destination: "For Linux: … a relative path … interpreted as relative to "/"".
    let seen = output("cat /proc/self/mountinfo", |config| add(config, "rel/ative", "tmpfs", "here", &[]));
    assert_eq!(parse(&seen)["/rel/ative"].source, "here");
}

#[test]
fn overlay_and_other_kinds_can_be_mounted() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let bundle = Bundle::busybox(&scratch, "one").script("cat /o/file; echo up >/o/file; cat /o/file");
    let [lower, upper, work] =
        ["lower", "upper", "work"].map(|name| scratch.directory(name).display().to_string());
    fs::write(format!("{lower}/file"), "low\n").expect("a file");
    let data = [format!("lowerdir={lower}"), format!("upperdir={upper}"), format!("workdir={work}")];
    let bundle =
        bundle.edit(|config| add(config, "/o", "overlay", "overlay", &data.each_ref().map(String::as_str)));
    assert_eq!(Runtime::new(&scratch).run(&bundle).success().stdout, "low\nup\n");
    assert_eq!(fs::read_to_string(format!("{upper}/file")).expect("in the upper directory"), "up\n");
    assert_eq!(fs::read_to_string(format!("{lower}/file")).expect("in the lower directory"), "low\n");
}

#[test]
fn tmpcopyup_begins_with_what_it_hides() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let script = "cat /etc/deep/er/file; stat -c '%u:%g %a %F' /etc/deep /etc/deep/er/file /etc/link; readlink /etc/link; rm -r /etc/deep; grep -c ' /etc rw' /proc/self/mountinfo";
    let bundle = Bundle::busybox(&scratch, "one").script(script).edit(|config| {
        add(config, "/etc", "tmpfs", "tmpfs", &["rw", "tmpcopyup"]);
    });
    let deep = bundle.rootfs().join("etc/deep/er");
    fs::create_dir_all(&deep).expect("a directory");
    fs::write(deep.join("file"), "copied\n").expect("a file");
    std::os::unix::fs::symlink("deep/er", bundle.rootfs().join("etc/link")).expect("a link");
    std::os::unix::fs::chown(deep.join("file"), Some(7), Some(8)).expect("an owner");
    fs::set_permissions(deep.join("file"), fs::Permissions::from_mode(0o4751)).expect("a mode");
    let seen = Runtime::new(&scratch).run(&bundle).success().stdout;
    let wanted = "copied\n0:0 755 directory\n7:8 4751 regular file\n0:0 777 symbolic link\ndeep/er\n1\n";
    assert_eq!(seen, wanted);
    assert!(deep.join("file").exists(), "the original is untouched");
}

#[test]
fn tmpcopyup_leaves_the_mode_that_was_asked_for() {
    require!(root, tool("busybox"));
    differs!("runc" => "1.1.5 prefers the mode of the directory that is there");
    let seen = output("stat -c %a /etc /new", |config| {
        add(config, "/etc", "tmpfs", "tmpfs", &["tmpcopyup", "mode=1770"]);
        add(config, "/new", "tmpfs", "tmpfs", &["tmpcopyup", "mode=1777"]);
    });
    assert_eq!(seen, "1770\n1777\n");
}

#[test]
fn what_cannot_be_mounted_is_refused_by_name() {
    require!(root, tool("busybox"));
    let cases: [(&str, &str, &str, &[&str], &str); 5] = [
        ("/m", "warpfs", "none", &[], "/m"),
        ("/m", "bind", "/nowhere/at/all", &["bind"], "/nowhere/at/all"),
        ("/m", "tmpfs", "tmpfs", &["size=many"], "/m"),
        ("/m", "tmpfs", "tmpfs", &["warp=9"], "/m"),
        ("/bin/busybox/m", "tmpfs", "tmpfs", &[], "/bin/busybox/m"),
    ];
    for (destination, kind, source, options, named) in cases {
        let said = refusal(|config| add(config, destination, kind, source, options));
        // crun 1.8.1 names the source or the kind alone.
        assert!(crate::is("crun") || said.contains(named), "{destination} {kind}: {said}");
    }
}

#[test]
fn nothing_is_mounted_into_proc() {
    require!(root, tool("busybox"));
    differs!(
        "runc" => "1.1.5 looks at bind mounts alone; later ones refuse all (CVE-2025-52881)",
        "crun" => "1.8.1 lets mounts inside /proc be",
    );
    let said = refusal(|config| add(config, "/proc/sys", "tmpfs", "tmpfs", &[]));
    assert!(said.contains("/proc"), "{said}");
    refusal(|config| add(config, "/proc", "tmpfs", "tmpfs", &[]));
}

#[test]
fn the_usual_filesystems_have_their_options() {
    require!(root, tool("busybox"));
    let script = "cat /proc/self/mountinfo; stat -c '%n %a %g' /dev/shm /dev/pts/ptmx >&2";
    let outcome = crate::run(script, |_| ()).success();
    let found = parse(&outcome.stdout);
    for (point, kind, wanted) in [
        ("/proc", "proc", "rw"),
        ("/dev", "tmpfs", "nosuid,!noexec"),
        ("/dev/pts", "devpts", "nosuid,noexec"),
        ("/dev/shm", "tmpfs", "nosuid,nodev,noexec"),
        ("/dev/mqueue", "mqueue", "nosuid,nodev,noexec"),
        ("/sys", "sysfs", "ro,nosuid,nodev,noexec"),
    ] {
        assert_eq!(found[point].kind, kind, "{point}");
        assert!(found[point].has(wanted), "{point}: {:?}", found[point]);
    }
    assert!(found["/dev/pts"].data.contains(&"ptmxmode=666".to_owned()));
    assert!(outcome.stderr.contains("/dev/shm 1777"), "{outcome}");
    assert_eq!(found["/"].root.rsplit('/').next(), Some("rootfs"));
}
