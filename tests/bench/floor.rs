//! The floor (floor.c): what the kernel does for the same containers, without a runtime.

use std::path::{Path, PathBuf};

use knarr_tests::{Bundle, Runtime, Scratch, process, programs};

use crate::peers::STATE;

/// The floor's program, and the system call filter of the full bundle.
#[derive(Debug)]
pub(crate) struct Floor<'a> {
    scratch: &'a Scratch,
    program: PathBuf,
    filter: PathBuf,
}

impl<'a> Floor<'a> {
    /// Builds it, static against musl as ours, and has a container of ours tell it the filter; `None` without cgroup v1,
    /// which is all that it knows.
    pub(crate) fn find(scratch: &'a Scratch, ours: &Runtime<'_>, sleeper: &Bundle) -> Option<Self> {
        if Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
            return None;
        }
        let program = scratch.join("floor");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("bench/floor.c");
        let mut compile = scratch.command(programs::tool("musl-gcc"));
        compile.args(["-O2", "-static", "-idirafter", "/usr/include", "-idirafter"]);
        compile.arg(format!("/usr/include/{}-linux-gnu", std::env::consts::ARCH));
        process::run(compile.arg("-o").arg(&program).arg(source)).success();
        let filter = scratch.join("filter");
        let container = ours.run_detached(sleeper);
        let mut tell = scratch.command("sh");
        tell.args(["-c", r#""$1" filter "$2" >"$3""#, "sh"]).arg(&program);
        process::run(tell.arg(container.pid().to_string()).arg(&filter)).success();
        Some(Self { scratch, program, filter })
    }

    /// Runs one container of the bundle's root filesystem; the full bundle's has limits and filter, too.
    pub(crate) fn run(&self, bundle: &Bundle) -> process::Outcome {
        let mut command = self.scratch.command(&self.program);
        command.arg("run").arg(STATE).arg(bundle.rootfs());
        command.arg(format!("{}-floor", bundle.id()));
        if bundle.config()["linux"]["seccomp"].is_object() {
            command.arg(&self.filter);
        }
        process::run(&mut command)
    }
}
