//! `checkpoint` and `restore`: a container goes on where it was, as the container that it was; what fails leaves a
//! running container running and no trace of one that was to be. Runs where criu does.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use knarr_tests::process::{self, Outcome};
use knarr_tests::runtime::Container;
use knarr_tests::{Bundle, Runtime, Scratch, cgroup, eventually, programs, require};
use serde_json::json;

const SECONDS: Duration = Duration::from_secs(20);

/// Counts in the file `count`, for ever. There is always a number in it, also while a checkpoint holds the container.
const COUNTER: &str =
    "i=0; while :; do i=$((i+1)); echo $i >/tmp/next; mv /tmp/next /tmp/count; sleep 0.05; done";

/// criu is there and says that it works on this kernel (Debian 12's 3.17 does not on Linux 6.18).
fn criu_works() -> Result<(), String> {
    let path = programs::find("criu").ok_or("criu is not installed")?;
    let checked = process::run(Command::new(path).arg("check"));
    if checked.status.success() { Ok(()) } else { Err(format!("criu check: {}", checked.stderr.trim())) }
}

macro_rules! require_criu {
    () => {
        require!(root, tool("busybox"));
        if let Err(why) = criu_works() {
            let here = || ();
            return knarr_tests::require::skip(std::any::type_name_of_val(&here), &why);
        }
    };
}

struct Counting<'a> {
    runtime: &'a Runtime<'a>,
    bundle: Bundle,
    images: PathBuf,
}

impl<'a> Counting<'a> {
    fn new(scratch: &'a Scratch, runtime: &'a Runtime<'a>) -> Self {
        let bundle = Bundle::busybox(scratch, "one").script(COUNTER);
        Self { runtime, bundle, images: scratch.join("images") }
    }

    fn count(&self) -> Option<u64> {
        fs::read_to_string(self.bundle.rootfs().join("tmp/count")).ok()?.trim().parse().ok()
    }

    fn wait_beyond(&self, count: u64) {
        eventually(SECONDS, || self.count().filter(|seen| *seen > count));
    }

    /// `run --detach` with its streams on /dev/null: criu saves no file that is outside the container.
    fn run(&self) -> Container<'a> {
        self.run_with(Stdio::null())
    }

    fn run_with(&self, stdin: Stdio) -> Container<'a> {
        let container = self.runtime.guard(&self.bundle);
        let mut command = self.runtime.command(["run", "--detach", "--bundle"]);
        command.arg(self.bundle.path()).arg(self.bundle.id());
        command.stdin(stdin).stdout(Stdio::null()).stderr(Stdio::null());
        assert!(process::run_as_it_is(&mut command).success(), "run");
        self.wait_beyond(2);
        container
    }

    fn checkpoint(&self, flags: &[&str], images: &Path) -> Outcome {
        let mut command = self.runtime.command(["checkpoint", "--image-path"]);
        process::run(command.arg(images).args(flags).arg(self.bundle.id()))
    }

    /// `restore FLAGS` of the container from the images, not run yet.
    fn restore(&self, flags: &[&str]) -> Command {
        let mut command = self.runtime.command(["restore", "--image-path"]);
        command.arg(&self.images).arg("--bundle").arg(self.bundle.path()).args(flags).arg(self.bundle.id());
        command
    }
}

/// The exit code of a command whose streams are /dev/null.
fn on_null(command: &mut Command) -> Option<i32> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    process::run_as_it_is(command).code()
}

#[test]
fn a_restored_container_goes_on_where_it_was() {
    require_criu!();
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let counting = Counting::new(&scratch, &runtime);
    let container = counting.run();
    for round in 0..2 {
        counting.checkpoint(&[], &counting.images).success();
        assert_eq!(container.status(), "gone");
        assert!(scratch.pids("one").is_empty());
        let saved = counting.count().expect("it counted");

        let pid_file = scratch.join(format!("pid-{round}"));
        let mut command = counting.restore(&["--detach", "--pid-file", &pid_file.display().to_string()]);
        assert_eq!(on_null(&mut command), Some(0));
        assert_eq!(container.status(), "running");
        assert_eq!(fs::read_to_string(&pid_file).expect("a pid file"), container.pid().to_string());
        assert!(scratch.pids("one").contains(&container.pid().to_string()));
        counting.wait_beyond(saved);
        assert!(counting.count().expect("it counts") < saved + 1000, "it began anew");
        assert_eq!(container.exec(["cat", "/proc/1/comm"]).success().stdout, "sh\n");
    }
    container.kill("KILL").success();
    eventually(SECONDS, || (container.status() == "stopped").then_some(()));
    container.delete().success();
    scratch.assert_nothing_left();
}

#[test]
fn a_container_in_a_user_namespace_goes_on_where_it_was() {
    require_criu!();
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let mut counting = Counting::new(&scratch, &runtime);
    let mapping = json!([{ "containerID": 0, "hostID": 100_000, "size": 65_536 }]);
    counting.bundle = counting.bundle.edit(|config| {
        config["linux"]["namespaces"].as_array_mut().expect("a list").push(json!({ "type": "user" }));
        config["linux"]["uidMappings"] = mapping.clone();
        config["linux"]["gidMappings"] = mapping;
    });
    chown(counting.bundle.rootfs().join("tmp"), Some(100_000), Some(100_000)).expect("its /tmp is its own");
    // criu opens some of them as the container's root, and the directory that `checkpoint` makes is the host's root's alone.
    fs::create_dir(&counting.images).expect("a directory that others can look into");
    let container = counting.run();
    counting.checkpoint(&[], &counting.images).success();
    let saved = counting.count().expect("it counted");
    assert_eq!(on_null(&mut counting.restore(&["--detach"])), Some(0));
    counting.wait_beyond(saved);
    assert_eq!(
        container.exec(["cat", "/proc/1/uid_map"]).success().stdout.split_whitespace().nth(1),
        Some("100000")
    );
}

/// The pages go over the network, and the rest into files here.
#[test]
fn a_page_server_gets_the_memory() {
    require_criu!();
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let counting = Counting::new(&scratch, &runtime);
    let _container = counting.run();
    let pages = scratch.directory("pages");
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
    // It goes on by itself when it listens, until it has everything.
    let mut server = scratch.command(programs::tool("criu"));
    server.args(["page-server", "--daemon", "--address", "127.0.0.1", "--port", &free.port().to_string()]);
    process::run(server.arg("--images-dir").arg(&pages)).success();
    counting.checkpoint(&["--page-server", &free.to_string()], &counting.images).success();
    let saved = counting.count().expect("it counted");
    assert!(!counting.images.join("pages-1.img").exists(), "the pages are here as well");
    for entry in fs::read_dir(&pages).expect("the server's files").flatten() {
        fs::rename(entry.path(), counting.images.join(entry.file_name()))
            .expect("the files are brought together");
    }
    assert_eq!(on_null(&mut counting.restore(&["--detach"])), Some(0));
    counting.wait_beyond(saved);
}

/// The cgroups and their limits are ours to bring back, whatever criu does about its own idea of them.
#[test]
fn limits_are_there_again_in_every_cgroups_mode() {
    require_criu!();
    require!(cgroup("pids"));
    for mode in ["ignore", "soft", "full"] {
        let scratch = Scratch::new();
        let runtime = Runtime::new(&scratch);
        let mut counting = Counting::new(&scratch, &runtime);
        counting.bundle =
            counting.bundle.edit(|config| config["linux"]["resources"]["pids"] = json!({ "limit": 77 }));
        let _container = counting.run();
        counting.checkpoint(&["--manage-cgroups-mode", mode], &counting.images).success();
        assert_eq!(
            on_null(&mut counting.restore(&["--detach", "--manage-cgroups-mode", mode])),
            Some(0),
            "{mode}"
        );
        let settings = cgroup::settings(&scratch.cgroup("one"));
        let limit =
            settings.iter().find(|(file, _)| file.ends_with("/pids.max")).map(|(_, text)| text.trim());
        assert_eq!(limit, Some("77"), "{mode}");
        assert!(!scratch.pids("one").is_empty(), "{mode}");
    }
}

#[test]
fn a_container_that_is_to_go_on_goes_on() {
    require_criu!();
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let counting = Counting::new(&scratch, &runtime);
    let container = counting.run();
    let pid = container.pid();
    counting.checkpoint(&["--leave-running"], &counting.images).success();
    assert_eq!((container.status().as_str(), container.pid()), ("running", pid));
    counting.wait_beyond(counting.count().expect("it counts"));
    assert!(counting.images.join("inventory.img").exists());
}

#[test]
fn a_foreground_restore_ends_as_the_process_does() {
    require_criu!();
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let mut counting = Counting::new(&scratch, &runtime);
    counting.bundle = counting
        .bundle
        .script("i=0; while [ ! -e /tmp/end ]; do i=$((i+1)); echo $i >/tmp/count; sleep 0.05; done; exit 7");
    let container = counting.run();
    counting.checkpoint(&[], &counting.images).success();
    fs::write(counting.bundle.rootfs().join("tmp/end"), "").expect("a file");
    assert_eq!(on_null(&mut counting.restore(&[])), Some(7));
    assert_eq!(container.status(), "gone");
}

#[test]
fn a_failed_restore_leaves_nothing_and_names_the_log() {
    require_criu!();
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let counting = Counting::new(&scratch, &runtime);
    let container = counting.run();
    counting.checkpoint(&[], &counting.images).success();
    fs::remove_file(counting.images.join("pstree.img")).expect("it was there");
    let refused = process::run(&mut counting.restore(&["--detach"])).exits_with(1);
    let log = counting.images.join("restore.log");
    assert!(refused.stderr.contains(&log.display().to_string()), "{refused}");
    assert_eq!(container.status(), "gone");
    scratch.assert_nothing_left();
}

/// Where a pipe was, a restored process gets the stream that `restore` has: the host's /dev/null is none that it could change.
#[test]
fn a_restored_process_changes_no_null_of_the_host() {
    require_criu!();
    require!(tool("mknod"));
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let mut counting = Counting::new(&scratch, &runtime);
    counting.bundle =
        counting.bundle.script(&COUNTER.replace("; sleep", "; chmod 600 /proc/self/fd/0; sleep"));
    let (reader, _writer) = std::io::pipe().expect("a pipe");
    let container = counting.run_with(reader.into());
    counting.checkpoint(&[], &counting.images).success();
    let node = scratch.join("null");
    let mut make = scratch.command(programs::tool("mknod"));
    process::run(make.args(["-m", "666"]).arg(&node).args(["c", "1", "3"])).success();
    let stdin = fs::File::open(&node).expect("the node opens");
    let saved = counting.count().expect("it counted");
    let mut restore = counting.restore(&["--detach"]);
    restore.stdin(stdin).stdout(Stdio::null()).stderr(Stdio::null());
    assert!(process::run_as_it_is(&mut restore).success());
    counting.wait_beyond(saved + 1);
    let of_process = fs::metadata(format!("/proc/{}/fd/0", container.pid())).expect("its stdin");
    let of_host = fs::metadata(&node).expect("the node");
    assert_eq!((of_process.rdev(), of_host.mode() & 0o777), (of_host.rdev(), 0o666));
}

/// criu saves no socket whose other end is outside the container, unless it is asked to.
#[test]
fn a_failed_checkpoint_leaves_the_container_running() {
    require_criu!();
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let counting = Counting::new(&scratch, &runtime);
    let (_outside, inside) = UnixStream::pair().expect("sockets");
    let container = counting.run_with(Stdio::from(std::os::fd::OwnedFd::from(inside)));
    let refused = counting.checkpoint(&[], &counting.images).exits_with(1);
    let log = counting.images.join("dump.log");
    assert!(refused.stderr.contains(&log.display().to_string()), "{refused}");
    assert!(refused.stderr.contains("unix"), "{refused}");
    assert_eq!(container.status(), "running");
    counting.wait_beyond(counting.count().expect("it counts"));
}

#[test]
fn bad_requests_are_refused_before_anything_is_done() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let bundle = Bundle::busybox(&scratch, "one").args(["sleep", "60"]);
    let container = runtime.create(&bundle);
    let refused = runtime.call(["checkpoint", container.id()]).exits_with(1);
    assert!(refused.stderr.contains("Container cannot be checkpointed in created state"), "{refused}");
    container.start().success();
    for (flags, words) in [
        (["--parent-path", "/absolute"], "--parent-path must be relative"),
        (["--parent-path", "no-such"], "invalid --parent-path"),
        (["--page-server", "nowhere"], "Use --page-server ADDRESS:PORT"),
        (["--manage-cgroups-mode", "odd"], "invalid manage-cgroups-mode value"),
        (["--empty-ns", "user"], "is not supported"),
    ] {
        let args = ["checkpoint", "--image-path", "/nonexistent/images"].into_iter().chain(flags);
        let refused = runtime.call(args.chain([container.id()])).exits_with(1);
        assert!(refused.stderr.contains(words), "{refused}");
        assert_eq!(container.status(), "running");
    }
    let mut without = runtime.command(["checkpoint", "--image-path"]);
    let refused =
        process::run(without.arg(scratch.join("images")).arg(container.id()).env("PATH", "/nowhere"));
    assert!(refused.stderr.contains("criu is not in PATH"), "{refused}");
    assert_eq!(container.status(), "running");
}
