//! The runtimes that are compared, and the bundles that they all run.

use std::path::Path;
use std::time::Duration;

use knarr_tests::{Bundle, Daemon, Image, Knarr, Runtime, Scratch, eventually, programs};
use serde_json::{Value, json};

/// Where the runtimes keep their state: a tmpfs, as on every machine that systemd has booted.
pub(crate) const STATE: &str = "/run";

/// The image that the engines run.
pub(crate) const IMAGE: &str = "docker.io/bench/busybox:latest";

/// Ours first, then Debian's, and youki where somebody has installed it, of those that can run the bundle here (crates.io's
/// youki knows no cgroup v1 unless it is built with that feature).
#[derive(Debug)]
pub(crate) struct Peers<'a> {
    pub(crate) runtimes: Vec<Runtime<'a>>,
}

impl<'a> Peers<'a> {
    pub(crate) fn find(scratch: &'a Scratch, bundle: &Bundle) -> Self {
        let mut runtimes = vec![Runtime::at(scratch, programs::ours("knarr-runtime")).below(STATE.as_ref())];
        for name in ["crun", "runc", "youki"].into_iter().filter(|name| programs::find(name).is_some()) {
            let runtime = Runtime::other(scratch, name).as_is().below(STATE.as_ref());
            let outcome = runtime.run(bundle);
            if outcome.code() == 0 {
                runtimes.push(runtime);
            } else {
                eprintln!("{name} is left out, it cannot run the bundle here: {}", outcome.stderr.trim());
            }
        }
        Self { runtimes }
    }

    /// Ours, whom the others are measured against.
    pub(crate) fn ours(&self) -> &Runtime<'a> {
        &self.runtimes[0]
    }

    /// Their names: a table's columns.
    pub(crate) fn names(&self) -> Vec<String> {
        let name = |runtime: &Runtime<'_>| {
            runtime.program().file_name().map(|name| name.to_string_lossy().into_owned())
        };
        self.runtimes.iter().filter_map(name).collect()
    }

    /// With each one's column.
    pub(crate) fn each(&self) -> impl Iterator<Item = (usize, &Runtime<'a>)> {
        self.runtimes.iter().enumerate()
    }
}

/// What an engine asks for: limits, and Docker's default seccomp profile. Over the minimal bundle's root filesystem.
pub(crate) fn full(scratch: &Scratch, minimal: &Bundle) -> Bundle {
    let profile = dockers_profile(scratch);
    minimal.another(scratch, "full").edit(|config| {
        let resources = &mut config["linux"]["resources"];
        resources["memory"] = json!({ "limit": 64 << 20 });
        resources["cpu"] = json!({ "shares": 512, "quota": 50_000, "period": 100_000 });
        resources["pids"] = json!({ "limit": 40 });
        config["linux"]["seccomp"] = profile;
    })
}

/// As it stands in the config.json of a container that knarrd has started.
fn dockers_profile(scratch: &Scratch) -> Value {
    let daemon = Daemon::start(scratch);
    let knarr = daemon.knarr();
    load(scratch, &knarr);
    let id = knarr.say(["run", "-d", IMAGE, "sleep", "600"]);
    let path = daemon.root().join("containers").join(&id).join("config.json");
    let config = std::fs::read(path).expect("a container that runs has a bundle");
    let mut config: Value = serde_json::from_slice(&config).expect("config.json is JSON");
    knarr.call(["rm", "-f", &id]).success();
    config["linux"]["seccomp"].take()
}

/// Brings [`IMAGE`] into a knarrd.
pub(crate) fn load(scratch: &Scratch, knarr: &Knarr<'_>) {
    let archive = scratch.join("busybox.tar");
    Image::busybox().write_docker_archive(&archive, &[IMAGE]);
    knarr.call([Path::new("load"), Path::new("-i"), &archive]).success();
}

/// Waits until the container has stopped.
pub(crate) fn await_end(runtime: &Runtime<'_>, id: &str) {
    eventually(Duration::from_secs(10), || {
        let state = runtime.state(id)?;
        (state["status"] == "stopped").then_some(())
    });
}
