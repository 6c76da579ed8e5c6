//! `linux.uidMappings`, `linux.gidMappings` and what a user namespace changes elsewhere.

use std::fs;
use std::os::unix::fs::MetadataExt;

use knarr_tests::{Bundle, Runtime, Scratch, require};
use serde_json::{Value, json};

use crate::{differs, output, refusal};

/// Root and everybody are somebody else on the host.
pub(crate) fn isolate(config: &mut Value) {
    let mappings = json!([
        { "containerID": 0, "hostID": 100_000, "size": 1000 },
        { "containerID": 1000, "hostID": 200_000, "size": 64_536 },
    ]);
    config["linux"]["uidMappings"] = mappings.clone();
    config["linux"]["gidMappings"] = mappings;
    config["linux"]["namespaces"].as_array_mut().expect("a list").push(json!({ "type": "user" }));
}

fn bundle(scratch: &Scratch, name: &str) -> Bundle {
    let bundle = Bundle::busybox(scratch, name).edit(isolate);
    std::os::unix::fs::chown(bundle.rootfs(), Some(100_000), Some(100_000)).expect("an owner");
    for directory in ["tmp", "dev", "proc", "sys"] {
        std::os::unix::fs::chown(bundle.rootfs().join(directory), Some(100_000), Some(100_000))
            .expect("an owner");
    }
    bundle
}

#[test]
fn the_maps_are_as_given() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let bundle = bundle(&scratch, "one").script("cat /proc/self/uid_map /proc/self/gid_map; id -u; id -g");
    let seen = Runtime::new(&scratch).run(&bundle).success().stdout;
    let words: Vec<&str> = seen.split_whitespace().collect();
    let map = ["0", "100000", "1000", "1000", "200000", "64536"];
    assert_eq!(words, [&map[..], &map[..], &["0", "0"]].concat());
}

#[test]
fn files_belong_to_the_mapped_ids_on_the_host() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let bundle =
        bundle(&scratch, "one").script("touch /tmp/roots; touch /tmp/users; chown 1005:1006 /tmp/users");
    Runtime::new(&scratch).run(&bundle).success();
    let owner = |name: &str| {
        let made = fs::metadata(bundle.rootfs().join("tmp").join(name)).expect("the file");
        (made.uid(), made.gid())
    };
    assert_eq!(owner("roots"), (100_000, 100_000));
    assert_eq!(owner("users"), (200_005, 200_006));
}

#[test]
fn roots_rights_are_over_its_own_alone() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let bundle = bundle(&scratch, "one")
        .script("cat /secret || echo no; kill -0 1 && echo own; cat /proc/self/setgroups")
        .edit(|config| {
            config["process"]["capabilities"]["bounding"]
                .as_array_mut()
                .expect("a list")
                .push(json!("CAP_SYS_ADMIN"));
        });
    let secret = bundle.rootfs().join("secret");
    fs::write(&secret, "roots").expect("a file");
    fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("a mode");
    let seen = Runtime::new(&scratch).run(&bundle).success().stdout;
    assert_eq!(seen, "no\nown\nallow\n");
}

#[test]
fn the_devices_are_there_and_work() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let script =
        "echo x >/dev/null && head -c 2 /dev/zero | wc -c && head -c 3 /dev/urandom | wc -c; ls /dev";
    let bundle = bundle(&scratch, "one").script(script);
    let seen = Runtime::new(&scratch).run(&bundle).success().stdout;
    assert!(seen.starts_with("2\n3\n"), "{seen}");
    for name in ["fd", "full", "null", "ptmx", "pts", "random", "shm", "stdin", "tty", "urandom", "zero"] {
        assert!(seen.lines().any(|line| line == name), "no {name} in {seen}");
    }
}

#[test]
fn a_user_of_the_namespace_runs_and_exec_joins_it() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let bundle = bundle(&scratch, "one").args(["sleep", "60"]).edit(|config| {
        config["process"]["user"] = json!({ "uid": 1000, "gid": 1000, "additionalGids": [29] });
    });
    let container = runtime.run_detached(&bundle);
    let status = fs::metadata(format!("/proc/{}", container.pid())).expect("its process");
    assert_eq!(status.uid(), 200_000);
    if crate::is("crun") {
        // 1.8.1 has exec be root unless it is told otherwise.
        return;
    }
    let seen = container.exec(["sh", "-c", "id -u; id -G; cat /proc/self/uid_map | wc -l"]).success().stdout;
    assert_eq!(seen, "1000\n1000 29\n2\n");
    let root = runtime.call(["exec", "--user", "0:0", container.id(), "id", "-u"]).success().stdout;
    assert_eq!(root, "0\n");
}

#[test]
fn limits_hold_in_a_user_namespace() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let bundle = bundle(&scratch, "one").script("ulimit -n; ulimit -Hn").edit(|config| {
        config["process"]["rlimits"] = json!([{ "type": "RLIMIT_NOFILE", "soft": 333, "hard": 444 }]);
    });
    assert_eq!(Runtime::new(&scratch).run(&bundle).success().stdout, "333\n444\n");
}

#[test]
fn a_network_setting_can_be_changed_in_both_namespaces() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let bundle =
        bundle(&scratch, "one").script("cat /proc/sys/net/ipv4/ip_forward; hostname").edit(|config| {
            config["linux"]["sysctl"] = json!({ "net.ipv4.ip_forward": "1" });
        });
    assert_eq!(Runtime::new(&scratch).run(&bundle).success().stdout, "1\nknarr\n");
}

#[test]
fn maps_that_the_kernel_would_refuse_are_refused_by_name() {
    require!(root, tool("busybox"));
    differs!("runc-head" => "1.5 has words of its own", "crun" => "1.8.1 makes maps of its own where there are none", "runc" => "1.1.5 leaves them to the kernel");
    let with = |mappings: Value| {
        refusal(move |config| {
            isolate(config);
            config["linux"]["uidMappings"] = mappings;
        })
    };
    let range = |inside: u32, outside: u32, size: u32| json!({ "containerID": inside, "hostID": outside, "size": size });
    for wrong in [
        json!([]),
        json!([range(0, 1000, 0)]),
        json!([range(0, 1000, 10), range(5, 5000, 10)]),
        json!([range(0, 1000, 10), range(50, 1005, 10)]),
        json!([range(0, u32::MAX, 2)]),
    ] {
        let said = with(wrong.clone());
        assert!(said.contains("uidMappings"), "{wrong}: {said}");
    }
    let said = refusal(|config| {
        isolate(config);
        config["linux"]["namespaces"].as_array_mut().expect("a list").pop();
    });
    assert!(said.contains("uidMappings"), "{said}");
}

#[test]
fn a_user_that_is_not_mapped_is_refused() {
    require!(root, tool("busybox"));
    let said = refusal(|config| {
        isolate(config);
        config["process"]["user"] = json!({ "uid": 70_000, "gid": 0 });
    });
    assert!(!said.is_empty());
    output("true", |_| ());
}
