//! `knarr run --rm IMAGE true` beside `ctr run --rm` of Debian's containerd with runc, on the same image.

use std::path::Path;

use knarr_tests::{Containerd, Daemon, Image, Scratch};

use crate::Table;

const IMAGE: &str = "docker.io/bench/busybox:latest";

pub(crate) fn measure(rounds: usize) -> Table {
    let line = "run --rm IMAGE true";
    let mut table = Table::new(&["knarr", "ctr, runc"], &[line]);
    let scratch = Scratch::new();
    let archive = scratch.join("busybox.tar");
    Image::busybox().write_docker_archive(&archive, &[IMAGE]);
    let daemon = Daemon::start(&scratch);
    let knarr = daemon.knarr();
    knarr.call([Path::new("load"), Path::new("-i"), &archive]).success();
    let containerd = Containerd::start(&scratch);
    containerd.ctr([Path::new("images"), Path::new("import"), &archive]).success();
    let cgroup = scratch.cgroup("ctr");
    // One round more than is counted: the first finds nothing warm.
    for round in 0..=rounds {
        let ours = knarr.call(["run", "--rm", IMAGE, "true"]).success().elapsed;
        let theirs =
            containerd.ctr(["run", "--rm", "--cgroup", &cgroup, IMAGE, "ctr", "true"]).success().elapsed;
        if round > 0 {
            table.add(line, 0, ours);
            table.add(line, 1, theirs);
        }
    }
    table
}
