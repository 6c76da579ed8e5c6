//! What is shipped: programs without what nobody needs in them, and systemd units that systemd itself accepts.

use std::process::Command;

use knarr_tests::{Scratch, process, programs, require};

#[test]
fn systemd_finds_nothing_wrong_with_our_units() {
    require!(root, tool("systemd-analyze"));
    let scratch = Scratch::new();
    let units = scratch.directory("units");
    for name in ["knarrd.service", "knarrd.socket", "knarrd-docker.socket"] {
        let text = std::fs::read_to_string(programs::workspace().join("packaging").join(name)).expect(name);
        // The program is where this build has it, not yet in /usr/bin.
        let text = text.replace("/usr/bin/knarrd", &programs::ours("knarrd").display().to_string());
        std::fs::write(units.join(name), text).expect("the unit can be written");
    }
    let mut analyze = scratch.command("systemd-analyze");
    analyze.args(["verify", "--man=no"]).arg(units.join("knarrd.service"));
    analyze.arg(units.join("knarrd.socket")).arg(units.join("knarrd-docker.socket"));
    let outcome = process::run(&mut analyze);
    // Complaints about other units of this machine are not ours.
    let ours: Vec<&str> = outcome.stderr.lines().filter(|line| line.contains("knarrd")).collect();
    assert!(ours.is_empty(), "{outcome}");
}

/// Symbols are a fifth of the runtime's file, and cargo leaves them in for less than one would think.
#[test]
fn the_small_programs_are_static_and_stripped() {
    require!(tool("readelf"));
    for name in ["knarr-runtime", "containerd-shim-knarr-v2"] {
        let mut readelf = Command::new(programs::tool("readelf"));
        let outcome =
            process::run(readelf.args(["--wide", "--sections"]).arg(programs::ours(name))).success();
        assert!(outcome.stdout.contains(".text"), "{outcome}");
        for section in [".interp", ".symtab", ".debug_info"] {
            assert!(!outcome.stdout.contains(section), "{name} has {section}: {outcome}");
        }
    }
}
