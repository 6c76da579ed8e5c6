//! Odd but honest images and bundles: refusing everything would be safe and useless.

use std::fs;
use std::os::unix::fs::symlink;

use knarr_tests::{Bundle, Runtime, Scratch, process, require};
use serde_json::{Value, json};

fn add_mounts(bundle: Bundle, mounts: &[Value]) -> Bundle {
    bundle.edit(|config| config["mounts"].as_array_mut().expect("a list").extend_from_slice(mounts))
}

#[test]
fn links_that_stay_inside_are_followed() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let volume = scratch.directory("volume");
    fs::write(volume.join("file"), "bound\n").expect("ours");
    let bundle = Bundle::busybox(&scratch, "links").script(
        "cat /var/run/app/file /etc/resolv.conf /deep/a/b/file; readlink /var/run; cat /etc/mtab | head -c 4 >/dev/null; pwd",
    );
    let root = bundle.rootfs();
    // As Debian, Alpine and many others have them: absolute, relative, dangling, a chain, and one with too many "..".
    symlink("/run", root.join("var/run")).expect("ours");
    symlink("../../../../../run/resolv", root.join("etc/resolv.conf")).expect("ours");
    symlink("/proc/self/mounts", root.join("etc/mtab")).expect("ours");
    symlink("/deep2", root.join("deep")).expect("ours");
    symlink("home", root.join("deep2")).expect("ours");
    symlink("/etc/../home", root.join("work")).expect("ours");
    let bind = |destination: &str, source: &std::path::Path| json!({ "destination": destination, "type": "bind", "source": source, "options": ["rbind", "ro"] });
    fs::write(root.join("run/resolv"), "").expect("ours");
    let bundle = add_mounts(
        bundle,
        &[
            bind("/var/run/app", &volume),
            bind("/etc/resolv.conf", &volume.join("file")),
            bind("/deep/a/b", &volume),
        ],
    )
    .edit(|config| config["process"]["cwd"] = json!("/work"));
    assert_eq!(runtime.run(&bundle).success().stdout, "bound\nbound\nbound\n/run\n/home\n");
}

#[test]
fn a_read_only_bundle_and_a_read_only_root_work() {
    require!(root, tool("busybox"), tool("unshare"));
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let bundle = Bundle::busybox(&scratch, "readonly")
        .script("touch /x 2>/dev/null && echo WROTE; touch /dev/shm/x && echo ok")
        .edit(|config| config["root"]["readonly"] = json!(true));
    assert_eq!(runtime.run(&bundle).success().stdout, "ok\n");
    let run = runtime.verb("run", &bundle);
    let prepare = "mount --bind -o ro \"$0\" \"$0\" && mount -o remount,bind,ro \"$0\"";
    let mut wrapped = scratch.with_mounts(prepare, bundle.path(), run.get_program());
    assert_eq!(process::run(wrapped.args(run.get_args())).success().stdout, "ok\n");
}

#[test]
fn mount_points_are_made_for_files_directories_and_odd_names() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let mut mounts = Vec::new();
    let mut expected = String::new();
    let names = [
        "a:b",
        "a,b",
        "back\\slash",
        "space here",
        "new\nline",
        "umläut",
        "-dash",
        "*",
        "$HOME",
        "lowerdir=x",
    ];
    for (number, name) in names.iter().enumerate() {
        let source = scratch.directory(format!("source/{name}"));
        fs::write(source.join("file"), format!("{number}\n")).expect("ours");
        expected += &format!("{number}\n");
        mounts.push(json!({ "destination": format!("/mnt/{name}"), "type": "bind", "source": source, "options": ["rbind"] }));
    }
    let script = "for n in 'a:b' 'a,b' 'back\\slash' 'space here' 'new\nline' 'umläut' '-dash' '*' '$HOME' 'lowerdir=x'; do cat \"/mnt/$n/file\"; done";
    let bundle = add_mounts(Bundle::busybox(&scratch, "odd").script(script), &mounts);
    assert_eq!(runtime.run(&bundle).success().stdout, expected);
}

#[test]
fn an_image_with_its_own_devices_and_files_at_mount_points_works() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let bundle = Bundle::busybox(&scratch, "devices")
        .script("echo x >/dev/null && head -c 2 /dev/zero | wc -c && cat /etc/hosts");
    let bundle = bundle.edit(|config| {
        let mounts = config["mounts"].as_array_mut().expect("a list");
        mounts.retain(|mount| mount["destination"] == "/proc");
    });
    let node = |name: &str, minor| {
        let path = bundle.rootfs().join(name);
        let mode = rustix::fs::Mode::from_raw_mode(0o666);
        rustix::fs::mknodat(
            rustix::fs::CWD,
            path,
            rustix::fs::FileType::CharacterDevice,
            mode,
            rustix::fs::makedev(1, minor),
        )
        .expect("a node");
    };
    node("dev/null", 3);
    node("dev/zero", 5);
    let hosts = scratch.join("hosts");
    fs::write(&hosts, "127.0.0.1 localhost\n").expect("ours");
    fs::write(bundle.rootfs().join("etc/hosts"), "an image's own\n").expect("ours");
    let bundle = add_mounts(
        bundle,
        &[json!({ "destination": "/etc/hosts", "type": "bind", "source": hosts, "options": ["bind", "ro"] })],
    );
    assert_eq!(runtime.run(&bundle).success().stdout, "2\n127.0.0.1 localhost\n");
}
