//! AppArmor: whether this machine confines programs by it, and the profile that containers run under unless they are
//! privileged. The profile allows what docker's default profile allows, so that what runs there runs here: everything
//! that the container's namespaces, capabilities and filter allow, but mounts, and writes to what the kernel shows in
//! /proc and /sys of the whole machine.
#![allow(
    clippy::disallowed_methods,
    reason = "its functions that look at files are called on blocking threads"
)]

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::sync::Mutex;

/// The profile's name, as `aa-status` shows it.
pub(crate) const PROFILE: &str = "knarr-default";

/// Where the kernel lists loaded profiles. Readable where securityfs is mounted.
const LOADED: &str = "/sys/kernel/security/apparmor/profiles";
/// The program that compiles profiles and hands them to the kernel, where the distributions have it.
const PARSERS: [&str; 4] = [
    "/usr/sbin/apparmor_parser",
    "/sbin/apparmor_parser",
    "/usr/bin/apparmor_parser",
    "/usr/local/sbin/apparmor_parser",
];
/// Compiling takes a tenth of a second; this is for machines that have much else to do.
const LOAD_LIMIT: Duration = Duration::from_secs(60);
/// A kernel with very many profiles lists some hundred KB.
const MAX_LABEL_BYTES: usize = 256;

/// What is denied although files may be written: what the kernel shows of the whole machine. A container's own processes,
/// its shared memory settings and its cgroups stay writable, where its mounts let it.
const DENIED: &str = "
  # Of /proc, the directories of processes and /proc/sys have rules of their own or none.
  deny /proc/* w,
  deny /proc/[^1-9s]*/** w,
  deny /proc/s[^ey]*/** w,
  deny /proc/sy[^s]*/** w,
  deny /proc/sys?*/** w,
  deny /proc/sysrq-trigger rwklx,
  deny /proc/kcore rwklx,
  # Of /proc/sys, only kernel/shm* is left.
  deny /proc/sys/[^k]** w,
  deny /proc/sys/k[^e]** w,
  deny /proc/sys/kernel/[^s]** w,
  deny /proc/sys/kernel/s[^h]** w,
  deny /proc/sys/kernel/sh[^m]** w,
  # Of /sys, only fs/cgroup is left.
  deny /sys/[^f]** wklx,
  deny /sys/f[^s]** wklx,
  deny /sys/fs/[^c]** wklx,
  deny /sys/fs/c[^g]** wklx,
  deny /sys/fs/cg[^r]** wklx,
  deny /sys/firmware/** rwklx,
  deny /sys/devices/virtual/powercap/** rwklx,
  deny /sys/kernel/security/** rwklx,
  deny mount,
";

/// Whether containers are confined by AppArmor here; clones share it.
#[derive(Clone, Debug)]
pub(crate) enum AppArmor {
    /// The kernel has none, or it is off.
    Off,
    /// It is on, and the profile cannot be loaded: containers run without one, as under docker. The reason.
    Unusable(&'static str),
    /// Containers run under [`PROFILE`].
    On(Arc<Loader>),
}

/// Loads the profile, one load at a time.
#[derive(Debug)]
pub(crate) struct Loader {
    parser: PathBuf,
    turn: Mutex<()>,
}

/// The profile is not in the kernel.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AppArmorError {
    /// Its program cannot be run.
    #[error("cannot load the AppArmor profile {PROFILE} by {}", parser.display())]
    Run { parser: PathBuf, source: io::Error },
    /// It takes too long.
    #[error("cannot load the AppArmor profile {PROFILE}: {} has taken longer than {limit:?}", parser.display())]
    TimedOut { parser: PathBuf, limit: Duration },
    /// It refuses the profile, or the kernel does. Its words.
    #[error("cannot load the AppArmor profile {PROFILE}: {} says {said:?}", parser.display())]
    Refused { parser: PathBuf, said: String },
}

impl AppArmor {
    /// Looks at the machine. Blocks for a moment.
    pub(crate) fn of_this_machine() -> Self {
        Self::below(Path::new("/"))
    }

    fn below(root: &Path) -> Self {
        let at = |path: &str| root.join(path.trim_start_matches('/'));
        let enabled = std::fs::read(at("/sys/module/apparmor/parameters/enabled"));
        if !enabled.is_ok_and(|text| text.first() == Some(&b'Y')) {
            return Self::Off;
        }
        if !at(LOADED).exists() {
            return Self::Unusable("securityfs is not mounted at /sys/kernel/security");
        }
        match PARSERS.iter().map(|path| at(path)).find(|path| path.is_file()) {
            Some(parser) => Self::On(Arc::new(Loader { parser, turn: Mutex::new(()) })),
            None => Self::Unusable("apparmor_parser is not installed"),
        }
    }

    /// Loads the profile anew, as this version has it.
    ///
    /// # Errors
    /// [`AppArmorError`].
    pub(crate) async fn load(&self) -> Result<(), AppArmorError> {
        let Self::On(loader) = self else { return Ok(()) };
        let _turn = loader.turn.lock().await;
        loader.load().await
    }

    /// The profile for a process that is about to start, which is in the kernel then; `None` where there is none.
    ///
    /// # Errors
    /// [`AppArmorError`]: a container that should be confined does not start without.
    pub(crate) async fn profile(&self) -> Result<Option<&'static str>, AppArmorError> {
        let Self::On(loader) = self else { return Ok(None) };
        let _turn = loader.turn.lock().await;
        // Somebody may have removed it: `aa-remove-unknown` does.
        if !is_loaded().await {
            loader.load().await?;
        }
        Ok(Some(PROFILE))
    }
}

impl Loader {
    async fn load(&self) -> Result<(), AppArmorError> {
        let own_label = tokio::fs::read_to_string("/proc/self/attr/current").await.unwrap_or_default();
        let text = profile(&own_label);
        let run = |source| AppArmorError::Run { parser: self.parser.clone(), source };
        let loading = async {
            // Not from the cache and not into it: what is there may be an older version's.
            let mut child = Command::new(&self.parser)
                .args(["--skip-cache", "--replace"])
                .env_clear()
                .current_dir("/")
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .kill_on_drop(true)
                .spawn()?;
            let mut stdin = child.stdin.take().expect("stdin is piped");
            // One that has ended says why itself.
            let _written = stdin.write_all(text.as_bytes()).await;
            drop(stdin);
            child.wait_with_output().await
        };
        let output = match tokio::time::timeout(LOAD_LIMIT, loading).await {
            Ok(output) => output.map_err(run)?,
            Err(_) => {
                return Err(AppArmorError::TimedOut { parser: self.parser.clone(), limit: LOAD_LIMIT });
            }
        };
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(AppArmorError::Refused { parser: self.parser.clone(), said })
    }
}

async fn is_loaded() -> bool {
    let list = tokio::fs::read_to_string(LOADED).await.unwrap_or_default();
    list.lines().any(|line| line.split_once(" (").is_some_and(|(name, _)| name == PROFILE))
}

/// The profile in the parser's language, for a knarrd that itself runs under `own_label`.
fn profile(own_label: &str) -> String {
    let mut senders = vec!["unconfined", PROFILE];
    // "name (enforce)": a knarrd under a profile of its own signals containers, too.
    let own = own_label.trim().split(" (").next().unwrap_or_default();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_./-".contains(&byte);
    if !own.is_empty() && own.len() <= MAX_LABEL_BYTES && own.bytes().all(is_plain) && !senders.contains(&own)
    {
        senders.push(own);
    }
    let mut text = format!("profile {PROFILE} flags=(attach_disconnected,mediate_deleted) {{\n");
    text.push_str("  capability,\n  file,\n  network,\n  umount,\n  unix,\n");
    for sender in senders {
        writeln!(text, "  signal (receive) peer={sender},").expect("a string takes all");
    }
    writeln!(text, "  signal (send) peer={PROFILE},").expect("a string takes all");
    writeln!(text, "  signal (send, receive) set=(exists),").expect("a string takes all");
    // Processes of a container may look at each other, and be looked at by whoever may.
    writeln!(text, "  ptrace (trace, read, tracedby, readby) peer={PROFILE},").expect("a string takes all");
    writeln!(text, "  ptrace (tracedby, readby),").expect("a string takes all");
    text.push_str(DENIED);
    text.push_str("}\n");
    text
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_machine_is_taken_for_what_it_is() {
        let root = tempfile::tempdir().expect("a directory");
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().expect("below the root")).expect("made");
            fs::write(path, text).expect("written");
        };
        assert!(matches!(AppArmor::below(root.path()), AppArmor::Off));
        write("sys/module/apparmor/parameters/enabled", "N\n");
        assert!(matches!(AppArmor::below(root.path()), AppArmor::Off));
        write("sys/module/apparmor/parameters/enabled", "Y\n");
        assert!(
            matches!(AppArmor::below(root.path()), AppArmor::Unusable(why) if why.contains("securityfs"))
        );
        write("sys/kernel/security/apparmor/profiles", "");
        assert!(matches!(AppArmor::below(root.path()), AppArmor::Unusable(why) if why.contains("parser")));
        write("sbin/apparmor_parser", "");
        assert!(matches!(AppArmor::below(root.path()), AppArmor::On(_)));
    }

    #[test]
    fn a_knarrd_under_a_profile_of_its_own_may_signal_containers() {
        let signals = |label: &str| profile(label).matches("signal (receive)").count();
        for (label, count) in [
            ("unconfined\n", 2),
            ("", 2),
            ("knarrd (enforce)\n", 3),
            ("/usr/bin/knarrd (complain)", 3),
            ("odd,}label", 2),
            (&"x".repeat(1000), 2),
        ] {
            assert_eq!(signals(label), count, "{label}");
        }
        assert!(profile("knarrd (enforce)").contains("signal (receive) peer=knarrd,"));
    }
}
