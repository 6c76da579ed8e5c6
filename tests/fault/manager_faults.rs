//! knarrd killed, or one of its system calls failed, at each call that changes something of what people ask of it. Whatever
//! is met: what was acknowledged stays, no exit status is invented, knarrd is there again at once, and its own commands
//! bring the host back to what it was.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use knarr_tests::eventually::holds_within;
use knarr_tests::process::{self, Outcome};
use knarr_tests::strace::{self, Fault, Tracer};
use knarr_tests::{Scratch, require};
use rustix::process::{Signal, kill_process};

use crate::manager_bed::Bed;
use crate::manager_verbs::{VERBS, Verb};
use crate::sweep::{Harm, Injection, Sweep, errors, kills_at_changes};

/// How long a command may take whose knarrd met a fault; stop's own time-out is longer.
const COMMAND_LIMIT: Duration = Duration::from_secs(50);

/// The calls that an undisturbed run makes, and what the host holds around it.
fn rehearse(bed: &mut Bed<'_>, verb: &Verb) -> (BTreeMap<String, u32>, BTreeSet<String>) {
    // The first run also makes what stays for all.
    (verb.prepare)(bed);
    bed.knarr.call((verb.args)(bed));
    (verb.tidy)(bed).expect("undisturbed");
    let before = bed.inventory_at_rest();
    (verb.prepare)(bed);
    let tracer = Tracer::record(bed.daemon.pid(), &bed.scratch.join("calls"));
    let outcome = process::run(&mut bed.knarr.command((verb.args)(bed)));
    let calls = tracer.calls();
    (verb.look)(bed, &outcome).expect("undisturbed");
    (verb.tidy)(bed).expect("undisturbed");
    bed.settles_as(&before).expect("an undisturbed command and its reverse leave nothing");
    (calls, before)
}

/// Runs the verb while knarrd meets the fault. How the command ended, and whether an error was injected.
fn strike(bed: &Bed<'_>, verb: &Verb, injection: &Injection) -> (Outcome, bool) {
    let log = bed.scratch.join("injected");
    let tracer = Tracer::inject(bed.daemon.pid(), &injection.point, injection.fault, &log);
    let mut command = bed.knarr.command((verb.args)(bed));
    let (pid, is_over) = (bed.daemon.pid(), AtomicBool::new(false));
    let outcome = thread::scope(|scope| {
        // A knarrd whose own wake-up has failed, which cannot be in truth, may never answer.
        scope.spawn(|| {
            let is_over = || is_over.load(Ordering::Relaxed);
            if holds_within(COMMAND_LIMIT, || is_over() || strace::was_impossible(&log)) && !is_over() {
                kill_process(pid, Signal::KILL).ok();
            }
        });
        let outcome = process::run_within(COMMAND_LIMIT, command.stdin(Stdio::null()));
        is_over.store(true, Ordering::Relaxed);
        outcome
    });
    let is_injected = tracer.detach();
    (outcome, is_injected)
}

/// One fault: whether it was met, or what is wrong afterwards.
fn trial(
    bed: &mut Bed<'_>,
    verb: &Verb,
    injection: &Injection,
    before: &mut BTreeSet<String>,
) -> Result<bool, Harm> {
    (verb.prepare)(bed);
    let (outcome, is_injected) = strike(bed, verb, injection);
    let is_kill = matches!(injection.fault, Fault::Kill);
    let is_possible = !strace::was_impossible(&bed.scratch.join("injected"));
    if !is_possible {
        // It panics then, sooner or later, and has to have lost nothing by that.
        bed.daemon.kill();
    }
    let was_killed = !bed.daemon.is_running();
    let mut harms = Vec::new();
    if was_killed && !is_kill && is_possible {
        harms.push(Harm::Unclear(format!("knarrd ended by it: {}", bed.last_words())));
    }
    if was_killed {
        harms.extend(bed.start_again().map_err(Harm::Unclear).err());
    }
    harms.extend((verb.look)(bed, &outcome).map_err(Harm::Lost).err());
    harms.extend(bed.bystanders().map_err(Harm::Lost).err());
    harms.extend((verb.tidy)(bed).map_err(Harm::Unclear).err());
    harms.extend(bed.settles_as(before).err());
    if !was_killed && !bed.daemon.stop_or_kill() {
        harms.push(Harm::Unclear(format!("knarrd did not end when it was told to: {}", bed.last_words())));
    }
    if !bed.daemon.is_running() {
        harms.extend(bed.start_again().map_err(Harm::Unclear).err());
    }
    match Harm::of_all(harms) {
        None => Ok(if is_kill { was_killed } else { is_injected && is_possible }),
        Some(harm) => {
            *before = bed.inventory_at_rest();
            eprintln!(
                "{}: {injection}: {harm}; it ended with {}: {}",
                verb.name, outcome.status, outcome.stderr
            );
            Err(harm)
        }
    }
}

fn sweep(name: &str) {
    let verb = VERBS.iter().find(|verb| verb.name == name).expect("one of them");
    let scratch = Scratch::new();
    let mut bed = Bed::make(&scratch);
    let (calls, mut before) = rehearse(&mut bed, verb);
    let [killed, failed] = [kills_at_changes(&calls), errors(&calls)]
        .map(|faults| Sweep::over(&faults, |injection| trial(&mut bed, verb, injection, &mut before)));
    bed.close();
    killed.conclude(&format!("the manager's {name} killed"));
    failed.conclude(&format!("the manager's {name} with failing calls"));
}

macro_rules! each_verb {
    ($($test:ident: $verb:literal;)+) => {
        $(
            #[test]
            fn $test() {
                require!(root, tool("strace"), tool("busybox"), tool("docker-registry"), tool("skopeo"));
                sweep($verb);
            }
        )+
    };
}

each_verb! {
    a_create_loses_and_leaves_nothing_whatever_the_manager_meets: "create";
    a_start_loses_and_leaves_nothing_whatever_the_manager_meets: "start";
    an_exec_loses_and_leaves_nothing_whatever_the_manager_meets: "exec";
    a_stop_loses_and_leaves_nothing_whatever_the_manager_meets: "stop";
    an_rm_loses_and_leaves_nothing_whatever_the_manager_meets: "rm";
    a_pull_loses_and_leaves_nothing_whatever_the_manager_meets: "pull";
    a_load_loses_and_leaves_nothing_whatever_the_manager_meets: "load";
    an_rmi_loses_and_leaves_nothing_whatever_the_manager_meets: "rmi";
    a_tag_loses_and_leaves_nothing_whatever_the_manager_meets: "tag";
}
