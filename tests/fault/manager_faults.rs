//! knarrd killed, or one of its system calls failed, at each mutating call of what people ask of it. Whatever is met:
//! what was acknowledged stays, no exit status is invented, knarrd is there again at once, and its own commands bring
//! the host back to what it was.

use std::collections::BTreeSet;
use std::time::Duration;

use knarr_tests::process::{self, Outcome};
use knarr_tests::strace::{Fault, Point, Tracer};
use knarr_tests::{Scratch, require};

use crate::manager_bed::Bed;
use crate::manager_verbs::{VERBS, Verb};
use crate::sweep::stride;

/// Calls that change something outside of the process.
const MUTATING: [&str; 46] = [
    "open",
    "openat",
    "openat2",
    "creat",
    "mkdir",
    "mkdirat",
    "mknod",
    "mknodat",
    "rmdir",
    "unlink",
    "unlinkat",
    "rename",
    "renameat",
    "renameat2",
    "link",
    "linkat",
    "symlink",
    "symlinkat",
    "write",
    "writev",
    "pwrite64",
    "truncate",
    "ftruncate",
    "fallocate",
    "fsync",
    "fdatasync",
    "syncfs",
    "chmod",
    "fchmod",
    "fchmodat",
    "chown",
    "fchown",
    "fchownat",
    "utimensat",
    "setxattr",
    "fsetxattr",
    "mount",
    "umount2",
    "move_mount",
    "fsmount",
    "clone3",
    "clone",
    "socket",
    "bind",
    "connect",
    "sendmsg",
];

/// What each of the calls may fail with.
const ERRORS: [(&str, &[&str]); 4] = [
    (
        "ENOSPC",
        &[
            "openat",
            "mkdir",
            "mkdirat",
            "mknodat",
            "renameat",
            "rename",
            "symlinkat",
            "linkat",
            "write",
            "pwrite64",
            "ftruncate",
            "fallocate",
            "fsync",
            "fdatasync",
            "syncfs",
            "fsetxattr",
            "setxattr",
        ],
    ),
    (
        "EIO",
        &[
            "openat",
            "mkdir",
            "rmdir",
            "unlink",
            "unlinkat",
            "rename",
            "renameat",
            "write",
            "pwrite64",
            "ftruncate",
            "fsync",
            "fdatasync",
            "syncfs",
            "fchmod",
            "fchown",
            "utimensat",
        ],
    ),
    ("EMFILE", &["open", "openat", "openat2", "socket", "fsmount", "clone3"]),
    (
        "ENOMEM",
        &[
            "clone3",
            "clone",
            "fsmount",
            "move_mount",
            "mkdir",
            "openat",
            "mount",
            "umount2",
            "connect",
            "sendmsg",
        ],
    ),
];

/// How long a command may take whose knarrd met a fault; stop's own time-out is longer.
const COMMAND_LIMIT: Duration = Duration::from_secs(50);

/// What came of a sweep.
#[derive(Default)]
struct Findings {
    injected: usize,
    not_met: usize,
    wrong: Vec<String>,
}

/// Runs the verb with a tracer on knarrd; says how the command ended.
fn act(bed: &Bed<'_>, verb: &Verb, tracer: Tracer) -> Outcome {
    let outcome = process::run_within(
        COMMAND_LIMIT,
        bed.knarr.command((verb.args)(bed)).stdin(std::process::Stdio::null()),
    );
    tracer.detach();
    outcome
}

/// The mutating calls of an undisturbed run, and what the host holds around it.
fn rehearse(bed: &Bed<'_>, verb: &Verb) -> (Vec<Point>, BTreeSet<String>) {
    // The first run also makes what stays for all.
    (verb.prepare)(bed);
    bed.knarr.call((verb.args)(bed));
    (verb.tidy)(bed).expect("undisturbed");
    let before = bed.inventory();
    (verb.prepare)(bed);
    let tracer = Tracer::record(bed.daemon.pid(), &MUTATING, &bed.scratch.join("calls"));
    let outcome = process::run(&mut bed.knarr.command((verb.args)(bed)));
    let calls = tracer.calls();
    (verb.look)(bed, &outcome).expect("undisturbed");
    (verb.tidy)(bed).expect("undisturbed");
    bed.is_as(&before).expect("an undisturbed command and its reverse leave nothing");
    let points = calls.iter().flat_map(|(call, count)| (1..=*count).map(|number| Point::new(call, number)));
    (points.collect(), before)
}

/// One fault, and what is wrong afterwards; `None` when it was not met.
fn attempt(
    bed: &mut Bed<'_>,
    verb: &Verb,
    point: &Point,
    fault: Fault,
    before: &BTreeSet<String>,
) -> Option<Result<(), String>> {
    (verb.prepare)(bed);
    let tracer = Tracer::inject(bed.daemon.pid(), point, fault);
    let outcome = act(bed, verb, tracer);
    let was_killed = !bed.daemon.is_running();
    let mut wrong = Vec::new();
    if was_killed {
        wrong.extend(bed.start_again().err());
    }
    if was_killed && !matches!(fault, Fault::Kill) {
        wrong.push(format!(
            "knarrd ended by it: {}",
            bed.daemon.log().lines().rev().take(3).collect::<Vec<_>>().join(" / ")
        ));
    }
    wrong.extend((verb.look)(bed, &outcome).err());
    wrong.extend(bed.bystanders().err());
    wrong.extend((verb.tidy)(bed).err());
    wrong.extend(bed.is_as(before).err());
    if matches!(fault, Fault::Kill) && !was_killed {
        return None;
    }
    Some(if wrong.is_empty() { Ok(()) } else { Err(format!("{}\n  after {outcome}", wrong.join("; "))) })
}

fn sweep(verb: &Verb, faults: impl Fn(&Point) -> Vec<Fault>) {
    let scratch = Scratch::new();
    let mut bed = Bed::make(&scratch);
    let (points, mut before) = rehearse(&bed, verb);
    let all = points.iter().flat_map(|point| faults(point).into_iter().map(move |fault| (point, fault)));
    let mut findings = Findings::default();
    for (point, fault) in all.step_by(stride()).collect::<Vec<_>>() {
        match attempt(&mut bed, verb, point, fault, &before) {
            None => findings.not_met += 1,
            Some(Ok(())) => findings.injected += 1,
            Some(Err(wrong)) => {
                findings.injected += 1;
                findings.wrong.push(format!("{fault:?} at {point} of {}: {wrong}", verb.name));
                before = bed.inventory();
            }
        }
    }
    bed.close();
    let Findings { injected, not_met, wrong } = findings;
    eprintln!("{}: {injected} faults, {} wrong, {not_met} not met", verb.name, wrong.len());
    let orphans = wrong.iter().filter(|wrong| wrong.contains("left: ")).count();
    println!("faults: {injected} injected, lost {}, orphans {orphans}", wrong.len() - orphans);
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(injected > 0, "{}: no fault was met", verb.name);
}

fn is_killed(name: &str) {
    let verb = VERBS.iter().find(|verb| verb.name == name).expect("one of them");
    sweep(verb, |_| vec![Fault::Kill]);
}

fn meets_errors(name: &str) {
    let verb = VERBS.iter().find(|verb| verb.name == name).expect("one of them");
    sweep(verb, |point| {
        let of_call = ERRORS.iter().filter(|(_, calls)| calls.contains(&point.call.as_str()));
        of_call.map(|(error, _)| Fault::Error(error)).collect()
    });
}

macro_rules! each_verb {
    ($($verb:literal: $killed:ident, $errors:ident;)+) => {
        $(
            #[test]
            fn $killed() {
                require!(root, tool("strace"), tool("busybox"), tool("docker-registry"), tool("skopeo"));
                is_killed($verb);
            }

            #[test]
            fn $errors() {
                require!(root, tool("strace"), tool("busybox"), tool("docker-registry"), tool("skopeo"));
                meets_errors($verb);
            }
        )+
    };
}

each_verb! {
    "create": a_manager_killed_in_create_loses_nothing, a_create_whose_calls_fail_loses_nothing;
    "start": a_manager_killed_in_start_loses_nothing, a_start_of_the_manager_whose_calls_fail_loses_nothing;
    "exec": a_manager_killed_in_exec_loses_nothing, an_exec_of_the_manager_whose_calls_fail_loses_nothing;
    "stop": a_manager_killed_in_stop_loses_nothing, a_stop_whose_calls_fail_loses_nothing;
    "rm": a_manager_killed_in_rm_loses_nothing, an_rm_whose_calls_fail_loses_nothing;
    "pull": a_manager_killed_in_pull_loses_nothing, a_pull_whose_calls_fail_loses_nothing;
    "load": a_manager_killed_in_load_loses_nothing, a_load_whose_calls_fail_loses_nothing;
    "rmi": a_manager_killed_in_rmi_loses_nothing, an_rmi_whose_calls_fail_loses_nothing;
    "tag": a_manager_killed_in_tag_loses_nothing, a_tag_whose_calls_fail_loses_nothing;
}
