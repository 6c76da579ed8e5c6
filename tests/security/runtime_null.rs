//! The host's /dev/null, which containers are given as standard streams, as masks and, in user namespaces, as their own
//! /dev/null: whatever they do to it, the host's node keeps its owner, its mode and its times. Class R37. Tried on a
//! node of the test's own, which is the runtime's /dev/null.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::PathBuf;
use std::process::Command;

use knarr_tests::{Bundle, Runtime, Scratch, process, programs, require};
use serde_json::json;

/// Tries to change each; the streams work as those of any process.
const ATTACK: &str = "for node in /proc/self/fd/0 /proc/self/fd/1 /proc/self/fd/2 /proc/keys /dev/null; do \
                      chmod 600 $node; chown 7:7 $node; touch -d @0 $node; done; \
                      echo told && cat && echo and this >/proc/self/fd/2 && : >/tmp/done";

/// What the runtime takes for the host's /dev/null.
struct Null<'a> {
    scratch: &'a Scratch,
    path: PathBuf,
}

impl<'a> Null<'a> {
    fn new(scratch: &'a Scratch) -> Self {
        let path = scratch.join("null");
        let mut make = scratch.command(programs::tool("mknod"));
        process::run(make.args(["-m", "666"]).arg(&path).args(["c", "1", "3"])).success();
        Self { scratch, path }
    }

    fn facts(&self) -> (u32, u32, u32, i64) {
        let status = fs::metadata(&self.path).expect("the node");
        (status.uid(), status.gid(), status.mode(), status.mtime())
    }

    fn open(&self) -> File {
        File::options().read(true).write(true).open(&self.path).expect("the node opens")
    }

    /// The container of this command attacks, in vain.
    #[track_caller]
    fn withstands(&self, case: &str, command: &Command, bundle: &Bundle) {
        let before = self.facts();
        assert_eq!(self.under_attack(case, command, bundle), before, "{case}: {command:?}");
    }

    /// Runs the command where the node is /dev/null and all three streams are on it; what became of the node.
    #[track_caller]
    fn under_attack(&self, case: &str, command: &Command, bundle: &Bundle) -> (u32, u32, u32, i64) {
        let prepare = "mount --bind \"$0\" /dev/null";
        let mut inside = self.scratch.with_mounts(prepare, &self.path, command.get_program());
        inside.args(command.get_args()).stdin(self.open()).stdout(self.open()).stderr(self.open());
        let status = process::run_as_it_is(&mut inside);
        let done = fs::remove_file(bundle.rootfs().join("tmp/done"));
        assert!(status.success() && done.is_ok(), "{case}: {command:?} did not attack: {status}");
        self.facts()
    }
}

fn bundle(scratch: &Scratch, name: &str) -> Bundle {
    let bundle = Bundle::busybox(scratch, name).script(ATTACK);
    fs::set_permissions(bundle.rootfs().join("tmp"), PermissionsExt::from_mode(0o777)).expect("a mode");
    bundle
}

#[test]
fn the_hosts_null_stays_as_it_is() {
    require!(root, tool("busybox"), tool("mknod"));
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let null = Null::new(&scratch);
    for (name, uid) in [("root", 0), ("user", 1000)] {
        let attacker = bundle(&scratch, name).edit(|config| config["process"]["user"]["uid"] = json!(uid));
        null.withstands(name, &runtime.verb("run", &attacker), &attacker);
        let waiting = attacker.another(&scratch, &format!("{name}-waits")).args(["sleep", "600"]);
        let container = runtime.run_detached(&waiting);
        null.withstands(name, &runtime.command(["exec", container.id(), "sh", "-c", ATTACK]), &attacker);
    }
}

/// The control: crun 1.8 hands its own streams to who enters a container.
#[test]
fn the_attack_works_on_crun() {
    require!(root, tool("busybox"), tool("mknod"), tool("crun"));
    let scratch = Scratch::new();
    let runtime = Runtime::other(&scratch, "crun");
    let null = Null::new(&scratch);
    let waiting = bundle(&scratch, "waits").args(["sleep", "600"]);
    let container = runtime.run_detached(&waiting);
    let enter = runtime.command(["exec", container.id(), "sh", "-c", ATTACK]);
    assert_eq!(null.under_attack("crun", &enter, &waiting), (7, 7, 0o20600, 0));
}

#[test]
fn what_a_container_has_at_its_own_null_decides_nothing() {
    require!(root, tool("busybox"), tool("mknod"));
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let null = Null::new(&scratch);
    let attacker = bundle(&scratch, "own").args(["sleep", "600"]);
    let container = runtime.run_detached(&attacker);
    for instead in [":", ": >/dev/null", "mkfifo /dev/null", "ln -s zero /dev/null", "mkdir /dev/null"] {
        container.exec(["sh", "-c", &format!("rm -rf /dev/null; {instead}")]).success();
        null.withstands(instead, &runtime.command(["exec", container.id(), "sh", "-c", ATTACK]), &attacker);
    }
    // A /dev that the configuration brings along is not filled, and need have no null.
    let empty = scratch.directory("dev");
    let given = attacker.another(&scratch, "given").script(ATTACK).edit(|config| {
        let mounts = config["mounts"].as_array_mut().expect("a list");
        mounts.retain(|mount| !mount["destination"].as_str().unwrap_or_default().starts_with("/dev"));
        mounts.push(
            json!({ "destination": "/dev", "type": "bind", "source": empty, "options": ["bind", "rw"] }),
        );
    });
    null.withstands("a given /dev", &runtime.verb("run", &given), &given);
}

/// The node is that of the user who is root in there.
#[test]
fn a_user_namespaces_root_changes_no_null_of_the_host() {
    require!(root, tool("busybox"), tool("mknod"));
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let null = Null::new(&scratch);
    chown(&null.path, Some(100_000), Some(100_000)).expect("an owner");
    let attacker = bundle(&scratch, "mapped").edit(|config| {
        let mappings = json!([{ "containerID": 0, "hostID": 100_000, "size": 65_536 }]);
        config["linux"]["uidMappings"] = mappings.clone();
        config["linux"]["gidMappings"] = mappings;
        config["linux"]["namespaces"].as_array_mut().expect("a list").push(json!({ "type": "user" }));
        let bounding = &mut config["process"]["capabilities"];
        for set in ["bounding", "effective", "permitted"] {
            bounding[set].as_array_mut().expect("a list").push(json!("CAP_SYS_ADMIN"));
        }
    });
    for directory in ["", "dev", "proc", "sys", "tmp"] {
        chown(attacker.rootfs().join(directory), Some(100_000), Some(100_000)).expect("an owner");
    }
    null.withstands("run", &runtime.verb("run", &attacker), &attacker);
    let waiting = attacker.another(&scratch, "waits").args(["sleep", "600"]);
    let container = runtime.run_detached(&waiting);
    for instead in [":", "umount /dev/null", "umount /dev/null; rm /dev/null"] {
        container.exec(["sh", "-c", instead]);
        null.withstands(instead, &runtime.command(["exec", container.id(), "sh", "-c", ATTACK]), &attacker);
    }
}
