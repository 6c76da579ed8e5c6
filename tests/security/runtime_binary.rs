//! The runtime's own file, which a container gets to see when a process of the runtime enters it: overwriting it would
//! be root on the host at the next call (CVE-2019-5736). Class R01.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use knarr_tests::{Bundle, Runtime, Scratch, eventually, process, programs, require};

/// Waits for a process whose program is none of the container's, opens that program, lets the process end (it hangs at
/// the fifo that is its log), and writes to what it opened: a program that runs cannot be written to, one that has
/// ended can.
const ATTACK: &str = r#"
mkfifo /fifo
while :; do
  for p in /proc/[0-9]*; do
    case $(readlink $p/exe) in ''|/bin/*) continue;; esac
    {
      cat /fifo >/dev/null
      while [ -e $p ]; do :; done
      printf overwritten >>/proc/self/fd/5
      echo $? >/result
    } 5<$p/exe
  done
done"#;

/// A copy of the runtime, so that a lost test harms nobody, and what it needs to start inside of a container.
fn copy(scratch: &Scratch, rootfs: &Path) -> std::path::PathBuf {
    let original = programs::ours("knarr-runtime");
    let copy = scratch.directory("programs").join("knarr-runtime");
    fs::copy(&original, &copy).expect("the program can be copied");
    let libraries = process::run(Command::new("ldd").arg(&original)).stdout;
    for library in libraries.split_whitespace().filter(|word| word.starts_with('/')) {
        let inside = rootfs.join(library.trim_start_matches('/'));
        fs::create_dir_all(inside.parent().expect("below the root")).expect("ours");
        fs::copy(library, &inside).expect("a library can be copied");
    }
    copy
}

fn executable(path: &Path, text: &[u8]) {
    fs::write(path, text).expect("ours");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("ours");
}

/// Until the attacker lies in wait: without its fifo the runtime would make a file of that name, as its log.
fn await_fifo(rootfs: &Path) {
    eventually(Duration::from_secs(20), || rootfs.join("fifo").exists().then_some(()));
}

/// What the attacker's write came to, once it was made.
fn result(rootfs: &Path) -> String {
    eventually(Duration::from_secs(20), || {
        let text = fs::read_to_string(rootfs.join("result")).ok()?;
        text.ends_with('\n').then(|| text.trim().to_owned())
    })
}

#[test]
fn a_container_cannot_overwrite_the_runtime_that_enters_it() {
    require!(root, tool("busybox"), tool("ldd"));
    let scratch = Scratch::new();
    let bundle = Bundle::busybox(&scratch, "binary").script(ATTACK);
    let (rootfs, program) = (bundle.rootfs(), copy(&scratch, &bundle.rootfs()));
    let before = fs::read(&program).expect("the copy");
    // The kernel runs the interpreter that /proc/self/exe names: our own program, under the container's control.
    executable(&rootfs.join("evil"), b"#!/proc/self/exe --log=/fifo\n");
    let runtime = Runtime::at(&scratch, program.clone());
    let container = runtime.run_detached(&bundle);
    await_fifo(&rootfs);
    let outcome = container.exec(["/evil"]);
    assert_ne!(outcome.code(), 0, "the runtime knows no command /evil: {outcome}");
    assert_ne!(result(&rootfs), "0", "the container could open the runtime's file for writing");
    assert!(fs::read(&program).expect("still there") == before, "the runtime's file was changed");
}

/// The control: without protection, as for a file of the container's own, the same attack succeeds.
#[test]
fn the_attack_on_the_runtime_works_on_files_that_nobody_protects() {
    require!(root, tool("busybox"), tool("ldd"));
    let scratch = Scratch::new();
    let bundle = Bundle::busybox(&scratch, "control").script(ATTACK);
    let (rootfs, program) = (bundle.rootfs(), copy(&scratch, &bundle.rootfs()));
    let before = fs::read(&program).expect("the copy");
    executable(&rootfs.join("program"), &before);
    let runtime = Runtime::at(&scratch, program);
    let container = runtime.run_detached(&bundle);
    await_fifo(&rootfs);
    container.exec(["/program", "--log=/fifo", "evil"]);
    assert_eq!(result(&rootfs), "0");
    assert!(fs::read(rootfs.join("program")).expect("still there") != before);
}
