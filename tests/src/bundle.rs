//! OCI bundles: a directory with a busybox root filesystem and a config.json that a test changes as it likes.
//! The configuration is that of `runc spec` without a terminal, with a cgroup of the test's own.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::rootfs;
use crate::scratch::Scratch;

/// The default capabilities of Docker and `ctr`.
const CAPABILITIES: [&str; 14] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_MKNOD",
    "CAP_NET_RAW",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETFCAP",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_KILL",
    "CAP_AUDIT_WRITE",
];

/// A bundle on disk, and the id of the container to make from it.
#[derive(Debug)]
pub struct Bundle {
    path: PathBuf,
    id: String,
    config: Value,
}

impl Bundle {
    /// A bundle whose container runs `true`; its id is `name`, which must be the scratch directory's only one.
    #[must_use]
    pub fn busybox(scratch: &Scratch, name: &str) -> Self {
        let path = scratch.directory(format!("bundle-{name}"));
        rootfs::make(&path.join("rootfs"));
        let bundle = Self { path, id: name.to_owned(), config: config(&scratch.cgroup(name)) };
        bundle.write();
        bundle
    }

    /// Another bundle over the same root filesystem and configuration, with its own id and cgroup.
    #[must_use]
    pub fn another(&self, scratch: &Scratch, name: &str) -> Self {
        let path = scratch.directory(format!("bundle-{name}"));
        let rootfs = self.rootfs();
        let cgroup = scratch.cgroup(name);
        let other = Self { path, id: name.to_owned(), config: self.config.clone() };
        other.edit(|config| {
            config["root"]["path"] = json!(rootfs);
            config["linux"]["cgroupsPath"] = json!(cgroup);
        })
    }

    /// The arguments of the container's process.
    #[must_use]
    pub fn args<I: IntoIterator<Item = S>, S: Into<String>>(self, args: I) -> Self {
        let args: Vec<String> = args.into_iter().map(Into::into).collect();
        self.edit(|config| config["process"]["args"] = json!(args))
    }

    /// The container's process is this shell script.
    #[must_use]
    pub fn script(self, script: &str) -> Self {
        self.args(["sh", "-c", script])
    }

    /// Changes config.json, and writes it.
    #[must_use]
    pub fn edit(mut self, change: impl FnOnce(&mut Value)) -> Self {
        change(&mut self.config);
        self.write();
        self
    }

    /// The configuration as written.
    #[must_use]
    pub fn config(&self) -> &Value {
        &self.config
    }

    /// The bundle's directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The root filesystem's directory.
    #[must_use]
    pub fn rootfs(&self) -> PathBuf {
        // Joining an absolute path gives that path.
        self.path.join(self.config["root"]["path"].as_str().expect("root.path is a text"))
    }

    /// The container's id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    fn write(&self) {
        let text = serde_json::to_vec_pretty(&self.config).expect("a JSON value has a text");
        std::fs::write(self.path.join("config.json"), text).expect("config.json can be written");
    }
}

/// `runc spec`'s configuration, in a cgroup of its own. Version 1.0.2: crun 1.8.1 takes none newer.
fn config(cgroup: &str) -> Value {
    json!({
        "ociVersion": "1.0.2",
        "process": {
            "terminal": false,
            "user": { "uid": 0, "gid": 0 },
            "args": ["true"],
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
            "cwd": "/",
            "capabilities": { "bounding": CAPABILITIES, "effective": CAPABILITIES, "permitted": CAPABILITIES },
            "rlimits": [{ "type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024 }],
            "noNewPrivileges": true
        },
        "root": { "path": "rootfs", "readonly": false },
        "hostname": "knarr",
        "mounts": mounts(),
        "linux": {
            "cgroupsPath": cgroup,
            "resources": { "devices": [{ "allow": false, "access": "rwm" }] },
            "namespaces": [
                { "type": "pid" }, { "type": "network" }, { "type": "ipc" }, { "type": "uts" }, { "type": "mount" }
            ],
            "maskedPaths": [
                "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
                "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware", "/proc/scsi"
            ],
            "readonlyPaths":
                ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
        }
    })
}

fn mounts() -> Value {
    let mount = |target: &str, kind: &str, options: &[&str]| json!({ "destination": target, "type": kind, "source": kind, "options": options });
    json!([
        mount("/proc", "proc", &[]),
        mount("/dev", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        mount(
            "/dev/pts",
            "devpts",
            &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]
        ),
        mount("/dev/shm", "tmpfs", &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
        mount("/dev/mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
        mount("/sys", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
        mount("/sys/fs/cgroup", "cgroup", &["nosuid", "noexec", "nodev", "relatime", "ro"]),
    ])
}
