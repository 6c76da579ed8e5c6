//! Cgroup v2 alone, systemd and systemd's v1 layout, which the machine that runs the tests may not have: a virtual machine
//! has them. Boots it twice and has `vm-guest` check the runtime inside. Emulated, so that it needs no /dev/kvm.
#![forbid(unsafe_code)]

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use knarr_tests::{Scratch, process, programs, require};

/// The image takes half a minute, and a boot with all its checks half a minute of a whole core; both more where others
/// use the machine.
const LONGEST: Duration = Duration::from_secs(900);

/// What image.sh says then.
const NO_SUCH_RELEASE: i32 = 77;

/// Speed over fidelity, for an emulated processor.
const KERNEL: &str = "console=ttyS0 quiet panic=-1 systemd.unit=test.target systemd.show_status=0 \
    systemd.mask=systemd-udevd.service systemd.mask=systemd-journald.service systemd.log_target=kmsg tsc=reliable \
    no_timer_check nokaslr mitigations=off nopti cryptomgr.notests rcupdate.rcu_expedited=1 random.trust_cpu=on";

#[test]
fn the_runtime_works_on_cgroup_v2_under_systemd() {
    check("v2", "systemd.unified_cgroup_hierarchy=1", Kernel::OfTheHostsRelease);
}

#[test]
fn the_runtime_works_on_cgroup_v1_under_systemd() {
    let parameters = "systemd.unified_cgroup_hierarchy=0 SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1";
    check("v1", parameters, Kernel::OfTheHostsRelease);
}

/// The oldest that the runtime is for: no mount_setattr, no cgroup.kill.
#[test]
fn the_runtime_works_on_linux_5_10() {
    require!(full_sweeps);
    check("v2-without-systemd", "systemd.unified_cgroup_hierarchy=1", Kernel::OfBullseye);
}

/// Whose Linux is booted.
#[derive(Clone, Copy)]
enum Kernel {
    OfTheHostsRelease,
    /// Debian 11's, 5.10.
    OfBullseye,
}

impl Kernel {
    /// The name of its cache, and image.sh's word for it.
    fn names(self) -> (&'static str, Option<&'static str>) {
        match self {
            Self::OfTheHostsRelease => ("vm", None),
            Self::OfBullseye => ("vm-bullseye", Some("bullseye")),
        }
    }
}

fn check(layout: &str, parameters: &str, kernel: Kernel) {
    require!(root, tool("qemu-system-x86_64"), tool("mmdebstrap"), tool("cpio"), tool("busybox"), network);
    let scratch = Scratch::new();
    let Some(image) = image(&scratch, kernel) else {
        return require::skip(layout, "the mirror has no such release any more");
    };
    let initrd = initrd(&scratch, &image);
    // Emulation crashes now and then before the first program; what the guest has said once counts.
    let status = boot(&scratch, &image, &initrd, &format!("{KERNEL} {parameters} knarr.layout={layout}"))
        .or_else(|| boot(&scratch, &image, &initrd, &format!("{KERNEL} {parameters} knarr.layout={layout}")));
    let read = |name: &str| fs::read_to_string(scratch.join(name)).unwrap_or_default();
    let (said, console) = (read("out"), read("console"));
    println!("{said}");
    assert!(status.is_some(), "the virtual machine did not get to its end\n{said}\n{console}");
    let failed: Vec<&str> = said.lines().filter(|line| line.starts_with("FAILED")).collect();
    assert!(failed.is_empty(), "{failed:?}\n{said}");
    assert_eq!(status.as_deref(), Some("status 0"), "{said}");
    assert!(said.lines().filter(|line| line.starts_with("ok ")).count() >= 5, "{said}");
}

/// The kernel and the base of the initial ramdisk, made once and kept in target/ for as long as its recipe is the same.
fn image(scratch: &Scratch, kernel: Kernel) -> Option<PathBuf> {
    let recipe = programs::workspace().join("tests/vm");
    let (name, release) = kernel.names();
    let cache = programs::workspace().join("target/test-cache").join(name);
    fs::create_dir_all(&cache).expect("target/ can be written");
    // The two tests may be processes of their own: the second waits for the first.
    let lock = File::create(cache.join("lock")).expect("target/ can be written");
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).expect("a lock");
    let files = ["image.sh", "init", "test.service", "test.target", "dbus.service", "dbus.socket"];
    let text: String = files.map(|file| fs::read_to_string(recipe.join(file)).expect("a recipe")).concat();
    let made_from = cache.join("made-from");
    if fs::read_to_string(&made_from).unwrap_or_default() != text {
        let mut command = scratch.command(recipe.join("image.sh"));
        let made = process::run_within(LONGEST, command.arg(&cache).args(release).stdin(Stdio::null()));
        if made.code() == NO_SUCH_RELEASE {
            return None;
        }
        made.success();
        fs::write(&made_from, text).expect("target/ can be written");
    }
    Some(cache)
}

/// The base and, as a second archive, the programs of this build.
fn initrd(scratch: &Scratch, image: &Path) -> PathBuf {
    let test = scratch.directory("overlay/test");
    let copies = [
        (programs::ours("knarr-runtime"), "knarr-runtime"),
        (PathBuf::from(env!("CARGO_BIN_EXE_vm-guest")), "vm-guest"),
        (programs::workspace().join("tests/vm/run.sh"), "run.sh"),
    ];
    for (from, name) in copies {
        fs::copy(&from, test.join(name)).expect("a program to copy");
    }
    let path = scratch.join("initrd");
    let pack = "cd \"$1\" && find . | cpio --quiet -o -H newc | cat \"$2\" - >\"$3\"";
    let mut command = Command::new("sh");
    command.args(["-c", pack, "sh"]).arg(scratch.join("overlay")).arg(image.join("base.cpio")).arg(&path);
    process::run(&mut command).success();
    path
}

/// Boots, and returns the guest's exit status; `None` when it did not come to that.
fn boot(scratch: &Scratch, image: &Path, initrd: &Path, parameters: &str) -> Option<String> {
    let at = |name: &str| scratch.join(name).display().to_string();
    for name in ["out", "status", "console"] {
        // From the boot before.
        fs::remove_file(scratch.join(name)).ok();
    }
    let mut qemu = scratch.command(programs::tool("qemu-system-x86_64"));
    qemu.args(["-accel", "tcg,thread=multi,tb-size=512", "-machine", "q35", "-cpu", "qemu64,-cx16"]);
    qemu.args([
        "-smp",
        "1",
        "-m",
        "1536",
        "-display",
        "none",
        "-nodefaults",
        "-no-user-config",
        "-no-reboot",
    ]);
    qemu.args(["-device", "virtio-serial-pci", "-serial", &format!("file:{}", at("console"))]);
    for name in ["out", "status"] {
        qemu.args(["-chardev", &format!("file,id={name},path={}", at(name))]);
        qemu.args(["-device", &format!("virtserialport,chardev={name},name={name}")]);
    }
    qemu.arg("-kernel").arg(image.join("vmlinuz")).arg("-initrd").arg(initrd).args(["-append", parameters]);
    process::run_within(LONGEST, qemu.stdin(Stdio::null())).success();
    let status = fs::read_to_string(scratch.join("status")).unwrap_or_default();
    status.lines().find(|line| line.starts_with("status ")).map(str::to_owned)
}
