//! `knarr run --rm IMAGE true` beside `ctr run --rm` of Debian's containerd with runc, on the same image.

use knarr_tests::{Containerd, Daemon, Image, Scratch};

use crate::peers::{self, IMAGE};
use crate::table::Table;

pub(crate) fn print(rounds: usize) {
    println!("\nMilliseconds from start to exit, medians of {rounds} interleaved rounds.");
    let line = "run --rm IMAGE true";
    let mut table = Table::new(["knarr", "ctr, containerd, runc"]);
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let knarr = daemon.knarr();
    peers::load(&scratch, &knarr);
    let containerd = Containerd::start(&scratch);
    containerd.import(&Image::busybox(), IMAGE);
    let cgroup = scratch.cgroup("ctr");
    // One round more than is counted: the first finds nothing warm.
    for round in 0..=rounds {
        let ours = knarr.call(["run", "--rm", IMAGE, "true"]).success().elapsed;
        let theirs =
            containerd.ctr(["run", "--rm", "--cgroup", &cgroup, IMAGE, "ctr", "true"]).success().elapsed;
        if round > 0 {
            table.add_time(line, 0, ours);
            table.add_time(line, 1, theirs);
        }
    }
    table.print();
}
