//! A virtual machine: booted, left alone until it switches itself off, and asked what it said.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use knarr_tests::{Scratch, process, programs};

/// An image takes a minute, and a boot with its checks a minute or, for the engine, some of a whole core; more where others
/// use the machine.
pub(crate) const LONGEST: Duration = Duration::from_secs(1500);
/// A boot under `KNARR_FULL=vm`, with every test that the guest has the tools for.
const LONGEST_WHOLE: Duration = Duration::from_secs(3 * 3600);

/// Speed over fidelity, for an emulated processor.
const PARAMETERS: &str = "console=ttyS0 quiet panic=-1 systemd.unit=test.target systemd.show_status=0 \
    systemd.mask=systemd-udevd.service systemd.log_target=kmsg tsc=reliable no_timer_check nokaslr mitigations=off \
    nopti cryptomgr.notests rcupdate.rcu_expedited=1 random.trust_cpu=on";

/// What is booted.
pub(crate) struct Machine<'a> {
    pub(crate) scratch: &'a Scratch,
    pub(crate) kernel: PathBuf,
    pub(crate) initrd: PathBuf,
    /// /dev/vda, /dev/vdb …; what the guest writes to them stays.
    pub(crate) disks: Vec<PathBuf>,
    /// Of the kernel's command line, besides those of every machine.
    pub(crate) parameters: String,
}

/// What the guest said.
pub(crate) struct Told {
    pub(crate) said: String,
    console: String,
    /// `status N`; `None` when it did not come to that.
    status: Option<String>,
}

impl Told {
    /// Whether the guest's checks ran to their end.
    pub(crate) fn is_whole(&self) -> bool {
        self.status.is_some()
    }

    /// Fails unless all checks passed, and at least so many did.
    #[track_caller]
    pub(crate) fn assert_passed(&self, at_least: usize) {
        let Self { said, console, status } = self;
        println!("{said}");
        assert!(status.is_some(), "the virtual machine did not get to its end\n{said}\n{console}");
        let failed: Vec<&str> = said.lines().filter(|line| line.starts_with("FAILED")).collect();
        assert!(failed.is_empty(), "{failed:?}\n{said}");
        assert_eq!(status.as_deref(), Some("status 0"), "{said}");
        let passed = said.lines().filter(|line| line.starts_with("ok ")).count();
        assert!(passed >= at_least, "{passed} checks passed, but there are {at_least} at least\n{said}");
    }
}

impl Machine<'_> {
    /// Boots it and waits until it switches itself off.
    pub(crate) fn boot(&self) -> Told {
        let at = |name: &str| self.scratch.join(name).display().to_string();
        for name in ["out", "status", "console"] {
            // From the boot before.
            fs::remove_file(self.scratch.join(name)).ok();
        }
        let mut qemu = self.scratch.command(programs::tool("qemu-system-x86_64"));
        qemu.args(["-accel", "tcg,thread=multi,tb-size=512", "-machine", "q35", "-cpu", "qemu64,-cx16"]);
        qemu.args(["-smp", "1", "-m", "1536", "-display", "none"]);
        qemu.args(["-nodefaults", "-no-user-config", "-no-reboot"]);
        qemu.args(["-device", "virtio-serial-pci", "-serial", &format!("file:{}", at("console"))]);
        for name in ["out", "status"] {
            qemu.args(["-chardev", &format!("file,id={name},path={}", at(name))]);
            qemu.args(["-device", &format!("virtserialport,chardev={name},name={name}")]);
        }
        for (number, disk) in self.disks.iter().enumerate() {
            let drive = format!("if=none,id=disk{number},format=raw,cache=unsafe,file={}", disk.display());
            qemu.args(["-drive", &drive, "-device", &format!("virtio-blk-pci,drive=disk{number}")]);
        }
        qemu.arg("-kernel").arg(&self.kernel).arg("-initrd").arg(&self.initrd);
        qemu.args(["-append", &format!("{PARAMETERS} {}", self.parameters)]);
        let longest = if is_whole() { LONGEST_WHOLE } else { LONGEST };
        process::run_within(longest, qemu.stdin(Stdio::null())).success();
        let read = |name: &str| fs::read_to_string(self.scratch.join(name)).unwrap_or_default();
        let status = read("status").lines().find(|line| line.starts_with("status ")).map(str::to_owned);
        Told { said: read("out"), console: read("console"), status }
    }
}

/// Whether every test of the engine is to run in its machine: hours, which nextest does not give.
pub(crate) fn is_whole() -> bool {
    std::env::var("KNARR_FULL").is_ok_and(|word| word == "vm")
}

/// Puts the programs of this build, and what else the guest starts with, into a directory.
pub(crate) fn copy_programs(to: &Path, names: &[&str]) {
    let ours = names.iter().map(|name| (programs::ours(name), *name));
    let guest = (PathBuf::from(env!("CARGO_BIN_EXE_vm-guest")), "vm-guest");
    let script = (programs::workspace().join("tests/vm/run.sh"), "run.sh");
    for (from, name) in ours.chain([guest, script]) {
        fs::copy(&from, to.join(name)).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
    }
}
