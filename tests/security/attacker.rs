//! The attacker's own program (attacker.c), built with the machine's C compiler and put into a root filesystem.

use std::path::{Path, PathBuf};

use knarr_tests::{Bundle, Scratch, process, programs};

/// Builds it; nothing of it is run here.
pub(crate) fn build(scratch: &Scratch) -> PathBuf {
    let program = scratch.join("attacker");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("security/attacker.c");
    let mut compile = scratch.command(programs::tool("cc"));
    compile.args(["-O1", "-static", "-Wall", "-o"]).arg(&program).arg(source);
    process::run(&mut compile).success();
    program
}

/// Builds it as /bin/attacker of the bundle.
pub(crate) fn arm(scratch: &Scratch, bundle: &Bundle) {
    std::fs::copy(build(scratch), bundle.rootfs().join("bin/attacker")).expect("the rootfs is ours");
}
