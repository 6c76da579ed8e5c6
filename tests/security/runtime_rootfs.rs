//! Hostile root filesystems: /dev, /proc, /sys and mount points that are something else than they seem. The host stays
//! as it was, and what starts all the same is confined as asked. Classes R04, R05, R06, R08, R10 and R28.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use knarr_tests::{Bundle, Outcome, Runtime, Scratch, process, require};
use require::skip;
use serde_json::{Value, json};

use crate::canary::Canary;

/// Replaces what is at `name` of the root filesystem by a symbolic link.
fn link(bundle: &Bundle, name: &str, target: impl AsRef<Path>) {
    let path = bundle.rootfs().join(name);
    fs::remove_dir_all(&path).or_else(|_| fs::remove_file(&path)).ok();
    symlink(target, path).expect("the rootfs is ours");
}

/// Leaves only these mounts.
fn only_mounts(bundle: Bundle, kept: &[&str]) -> Bundle {
    bundle.edit(|config| {
        let mounts = config["mounts"].as_array_mut().expect("a list");
        mounts.retain(|mount| kept.contains(&mount["destination"].as_str().unwrap_or_default()));
    })
}

fn add_mount(bundle: Bundle, mount: Value) -> Bundle {
    bundle.edit(|config| config["mounts"].as_array_mut().expect("a list").push(mount))
}

/// It ran, or was refused with a sentence; never more.
#[track_caller]
fn ran_or_was_refused(outcome: &Outcome) {
    let clear = outcome.status.success() || (outcome.code() < 128 && outcome.stderr.contains("level=error"));
    assert!(clear, "{outcome}");
}

/// Where an image may have its links point: to the host by absolute name, upwards, and to nothing.
fn leads_out(canary: &Canary) -> [String; 4] {
    let path = canary.path().display().to_string();
    let up = format!("{}{}", "../".repeat(40), path.trim_start_matches('/'));
    [path, up, "/proc/1/root/tmp".to_owned(), "/not/there".to_owned()]
}

#[test]
fn a_dev_that_is_a_link_to_the_host_fills_nothing_there() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let canary = Canary::new(&scratch);
    for (number, target) in leads_out(&canary).iter().enumerate() {
        for (kind, kept) in
            [("bare", &["/proc"][..]), ("mounted", &["/proc", "/dev", "/dev/pts", "/dev/shm"])]
        {
            let bundle = only_mounts(Bundle::busybox(&scratch, &format!("dev-{kind}-{number}")), kept);
            link(&bundle, "dev", target);
            let outcome = runtime.run(&bundle);
            ran_or_was_refused(&outcome);
            canary.assert_untouched(&format!("a run with /dev -> {target} ({kind}): {outcome}"));
        }
    }
}

/// The control: Debian's runc 1.1.5 has CVE-2026-41579, and the canary above sees it.
#[test]
fn the_canary_sees_a_runtime_that_follows_dev() {
    require!(root, tool("busybox"), tool("runc"));
    let scratch = Scratch::new();
    let runc = Runtime::other(&scratch, "runc");
    let version = runc.call(["--version"]).success().stdout;
    if !version.starts_with("runc version 1.1.") {
        return skip("the_canary_sees_a_runtime_that_follows_dev", "runc is too new");
    }
    let canary = Canary::new(&scratch);
    let bundle = only_mounts(Bundle::busybox(&scratch, "control"), &["/proc"]);
    link(&bundle, "dev", canary.path());
    process::run(&mut runc.verb("run", &bundle));
    assert!(!canary.is_untouched(), "the control did nothing: the test is blind");
    canary.restore();
}

#[test]
fn a_proc_or_sys_that_is_no_directory_is_refused() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let canary = Canary::new(&scratch);
    for name in ["proc", "sys"] {
        for (number, target) in ["/tmp", "/dev", canary.path().to_str().expect("ours")].iter().enumerate() {
            let bundle =
                Bundle::busybox(&scratch, &format!("{name}-{number}")).args(["cat", "/proc/self/mountinfo"]);
            link(&bundle, name, target);
            let outcome = runtime.run(&bundle);
            assert!(!outcome.status.success(), "/{name} -> {target}: {outcome}");
            assert!(outcome.stderr.contains("must be mounted on ordinary directory"), "{outcome}");
            canary.assert_untouched(&format!("/{name} -> {target}"));
        }
        let bundle = Bundle::busybox(&scratch, &format!("{name}-file"));
        fs::remove_dir(bundle.rootfs().join(name)).expect("empty");
        fs::write(bundle.rootfs().join(name), "").expect("ours");
        runtime.run(&bundle).exits_with(1);
    }
}

#[test]
fn a_false_dev_null_masks_nothing_but_what_it_should() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let canary = Canary::new(&scratch);
    let script = "stat -c '%F %t %T' /proc/keys; cat /proc/keys; echo '|x' > /proc/sys/kernel/core_pattern && echo WRITTEN; \
                  echo y >/dev/null; exit 0";
    let secret = canary.secret();
    let targets = [
        "/proc/sys/kernel/core_pattern",
        "/proc/sysrq-trigger",
        secret.to_str().expect("ours"),
        "/etc/passwd",
    ];
    for (number, target) in targets.iter().enumerate() {
        let bundle =
            only_mounts(Bundle::busybox(&scratch, &format!("null-{number}")), &["/proc"]).script(script);
        link(&bundle, "dev/null", target);
        let outcome = runtime.run(&bundle);
        ran_or_was_refused(&outcome);
        assert!(!outcome.stdout.contains("WRITTEN"), "{outcome}");
        if outcome.status.success() {
            assert!(outcome.stdout.starts_with("character special file 1 3\n"), "{outcome}");
        }
        canary.assert_untouched(&format!("/dev/null -> {target}"));
    }
}

#[test]
fn what_is_masked_shows_nothing_and_what_is_read_only_takes_nothing() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let canary = Canary::new(&scratch);
    let bundle = Bundle::busybox(&scratch, "masks").edit(|config| {
        let masked = config["linux"]["maskedPaths"].as_array_mut().expect("a list");
        masked.extend(["/link/keys", "/proc/1/fd"].map(|path| json!(path)));
        config["linux"]["readonlyPaths"].as_array_mut().expect("a list").push(json!("/upward/etc"));
    });
    // Names that lead to /proc and upwards through links in the image.
    link(&bundle, "link", "/proc");
    link(&bundle, "upward", "../../../..");
    let masked: Vec<String> = bundle.config()["linux"]["maskedPaths"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|path| path.as_str().map(str::to_owned))
        .collect();
    let look = format!(
        "for path in {}; do [ -e $path ] || continue; if [ -d $path ]; then ls -A $path; touch $path/x 2>/dev/null && echo MADE; \
         else cat $path; fi; done; for path in /proc/sys/kernel/core_pattern /proc/sysrq-trigger /proc/irq/default_smp_affinity \
         /proc/sys/kernel/hostname /etc/new; do (echo x >$path) 2>/dev/null && echo WROTE $path; done; exit 0",
        masked.join(" ")
    );
    let outcome = runtime.run(&bundle.script(&look)).success();
    assert_eq!(outcome.stdout, "", "{outcome}");
    canary.assert_untouched("looks at masked paths");
}

#[test]
fn mount_points_that_lead_out_are_found_inside() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let canary = Canary::new(&scratch);
    let source = scratch.directory("source");
    fs::write(source.join("bound"), "").expect("ours");
    let mut number = 0;
    for target in leads_out(&canary) {
        for (kind, destination) in [
            ("file", "/out/new-file"),
            ("tree", "/out/new/deep"),
            ("itself", "/out"),
            ("up", "/out/../../../x"),
        ] {
            number += 1;
            let bundle = Bundle::busybox(&scratch, &format!("mount-{number}"));
            link(&bundle, "out", &target);
            let source = if kind == "file" { source.join("bound") } else { source.clone() };
            let mount = json!({ "destination": destination, "type": "bind", "source": source, "options": ["rbind", "rw"] });
            let outcome = runtime.run(&add_mount(bundle, mount));
            ran_or_was_refused(&outcome);
            canary.assert_untouched(&format!("a mount at {destination} with /out -> {target}: {outcome}"));
        }
    }
}

#[test]
fn nothing_is_mounted_inside_proc() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let canary = Canary::new(&scratch);
    let fake = scratch.directory("fake");
    fs::create_dir_all(fake.join("attr")).expect("ours");
    fs::write(fake.join("attr/exec"), "").expect("ours");
    let mut number = 0;
    let refused = |bundle: Bundle, kind: &str, destination: &str| {
        let options = if kind == "bind" { json!(["rbind"]) } else { json!([]) };
        let mount = json!({ "destination": destination, "type": kind, "source": fake, "options": options });
        let outcome = runtime.run(&add_mount(bundle, mount));
        assert!(
            !outcome.status.success() && outcome.stderr.contains("proc"),
            "{kind} at {destination}: {outcome}"
        );
        canary.assert_untouched(destination);
    };
    for destination in
        ["/proc/self", "/proc/1", "/proc/sys", "/proc/self/attr", "/proc/../proc/sys", "//proc//1"]
    {
        for kind in ["bind", "tmpfs"] {
            number += 1;
            refused(Bundle::busybox(&scratch, &format!("proc-{number}")), kind, destination);
        }
    }
    // The same through a link of the image.
    for kind in ["bind", "tmpfs"] {
        number += 1;
        let bundle = Bundle::busybox(&scratch, &format!("proc-{number}"));
        link(&bundle, "innocent", "/proc/sys");
        refused(bundle, kind, "/innocent");
    }
}

/// An image's own /proc/sys where no procfs is mounted: settings are the kernel's or refused. Debian's runc 1.1.5, the
/// control, writes them to the image's file.
#[test]
fn a_setting_is_written_to_no_false_proc() {
    require!(root, tool("busybox"), tool("runc"));
    let scratch = Scratch::new();
    let bundle = only_mounts(Bundle::busybox(&scratch, "false"), &["/dev"]).edit(|config| {
        config["linux"]["sysctl"] = json!({ "net.ipv4.ip_forward": "1" });
        for paths in ["maskedPaths", "readonlyPaths"] {
            config["linux"][paths] = json!([]);
        }
    });
    let setting = bundle.rootfs().join("proc/sys/net/ipv4/ip_forward");
    fs::create_dir_all(setting.parent().expect("a path")).expect("ours");
    fs::write(&setting, "0").expect("ours");
    let written = |runtime: &Runtime<'_>| {
        let outcome = process::run(&mut runtime.verb("run", &bundle));
        (outcome, fs::read_to_string(&setting).expect("ours"))
    };
    let (outcome, text) = written(&Runtime::new(&scratch));
    ran_or_was_refused(&outcome);
    assert_eq!(text, "0", "{outcome}");
    let runc = Runtime::other(&scratch, "runc");
    if runc.call(["--version"]).success().stdout.starts_with("runc version 1.1.") {
        let (outcome, text) = written(&runc);
        assert_eq!(text, "1", "the control wrote nothing, the test is blind: {outcome}");
    }
}

#[test]
fn a_terminal_goes_to_no_other_file_than_the_containers() {
    require!(root, tool("busybox"), tool("setsid"));
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let canary = Canary::new(&scratch);
    let secret = canary.secret();
    for (number, target) in
        ["/proc/sysrq-trigger", secret.to_str().expect("ours"), "/proc/sys/kernel/core_pattern", "/not/there"]
            .iter()
            .enumerate()
    {
        let bundle = only_mounts(Bundle::busybox(&scratch, &format!("tty-{number}")), &["/proc", "/dev/pts"])
            .script("echo x >/proc/sys/kernel/core_pattern && echo WRITTEN; echo done")
            .edit(|config| config["process"]["terminal"] = json!(true));
        fs::create_dir_all(bundle.rootfs().join("dev/pts")).expect("ours");
        link(&bundle, "dev/console", target);
        let pty = knarr_tests::Pty::spawn(&runtime.verb("run", &bundle));
        let (_, shown) = pty.finish(process::DEADLINE);
        assert!(!shown.contains("WRITTEN"), "/dev/console -> {target}: {shown}");
        canary.assert_untouched(&format!("/dev/console -> {target}: {shown}"));
    }
}

#[test]
fn what_the_container_mounts_stays_in_it() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let shared = scratch.directory("shared");
    for propagation in ["", "rslave", "rprivate"] {
        let bundle = Bundle::busybox(&scratch, &format!("propagation-{propagation}"))
            .script("mount -t tmpfs inside /vol && mount -t tmpfs inside /tmp && grep -c inside /proc/self/mountinfo")
            .edit(|config| {
                let capabilities = json!(["CAP_SYS_ADMIN"]);
                config["process"]["capabilities"] = json!({ "bounding": capabilities, "effective": capabilities, "permitted": capabilities });
                if !propagation.is_empty() {
                    config["linux"]["rootfsPropagation"] = json!(propagation);
                }
            });
        let mount = json!({ "destination": "/vol", "type": "bind", "source": shared, "options": ["rbind"] });
        let outcome = runtime.run(&add_mount(bundle, mount)).success();
        assert_eq!(outcome.stdout.trim(), "2", "{outcome}");
        let host = fs::read_to_string("/proc/self/mountinfo").expect("procfs");
        assert!(!host.contains(" - tmpfs inside"), "a container's mount is on the host: {propagation}");
    }
}
