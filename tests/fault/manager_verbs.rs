//! What people ask of knarrd and a fault meets: each with what must be there before, and what must be true after it.

use knarr_tests::process::Outcome;
use serde_json::Value;

use crate::manager_bed::{Bed, IMAGE, archive};

/// One thing that is asked for.
pub(crate) struct Verb {
    pub(crate) name: &'static str,
    /// What has to be there before.
    pub(crate) prepare: fn(&Bed<'_>),
    /// The command line.
    pub(crate) args: fn(&Bed<'_>) -> Vec<String>,
    /// What is wrong afterwards, if the command ended like this.
    pub(crate) look: fn(&Bed<'_>, &Outcome) -> Result<(), String>,
    /// Takes away what prepare and the command made, with the product's own commands.
    pub(crate) tidy: fn(&Bed<'_>) -> Result<(), String>,
}

/// Those that faults are tried on.
pub(crate) const VERBS: [Verb; 9] = [
    Verb { name: "create", prepare: nothing, args: create, look: created, tidy: remove },
    Verb {
        name: "start",
        prepare: has_created,
        args: |_| words(&["start", "it"]),
        look: started,
        tidy: remove,
    },
    Verb { name: "exec", prepare: nothing, args: exec, look: executed, tidy: nothing_to_tidy },
    Verb { name: "stop", prepare: has_running, args: stop, look: stopped, tidy: remove },
    Verb { name: "rm", prepare: has_ended, args: |_| words(&["rm", "it"]), look: removed, tidy: remove },
    Verb { name: "pull", prepare: nothing, args: pull, look: pulled, tidy: remove_image },
    Verb { name: "load", prepare: nothing, args: load, look: loaded, tidy: remove_image },
    Verb {
        name: "rmi",
        prepare: has_image,
        args: |_| words(&["rmi", LOADED]),
        look: image_removed,
        tidy: remove_image,
    },
    Verb { name: "tag", prepare: nothing, args: tag, look: tagged, tidy: remove_tag },
];

/// A program that ends by itself when asked, and says so.
const ENDS_WHEN_ASKED: &str = "trap 'exit 5' TERM; while :; do sleep 0.02; done";
const LOADED: &str = "test/other:2";
const TAG: &str = "test/again:1";

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn nothing(_: &Bed<'_>) {}

fn nothing_to_tidy(_: &Bed<'_>) -> Result<(), String> {
    Ok(())
}

fn create(_: &Bed<'_>) -> Vec<String> {
    words(&["create", "--name", "it", IMAGE, "sh", "-c", "exit 3"])
}

fn has_created(bed: &Bed<'_>) {
    bed.knarr.say(create(bed));
}

fn has_running(bed: &Bed<'_>) {
    bed.knarr.say(["run", "-d", "--name", "it", IMAGE, "sh", "-c", ENDS_WHEN_ASKED]);
}

fn has_ended(bed: &Bed<'_>) {
    bed.knarr.call(["run", "--name", "it", IMAGE, "sh", "-c", "exit 3"]).exits_with(3);
}

fn has_image(bed: &Bed<'_>) {
    bed.knarr.say(load(bed));
}

fn exec(_: &Bed<'_>) -> Vec<String> {
    words(&["exec", "running", "sh", "-c", "exit 4"])
}

fn stop(_: &Bed<'_>) -> Vec<String> {
    words(&["stop", "-t", "30", "it"])
}

fn pull(bed: &Bed<'_>) -> Vec<String> {
    words(&["pull", "-q", &bed.remote])
}

fn load(bed: &Bed<'_>) -> Vec<String> {
    words(&["load", "-q", "-i", &archive(bed.scratch)])
}

fn tag(_: &Bed<'_>) -> Vec<String> {
    words(&["tag", IMAGE, TAG])
}

/// The container's state, which must be one of these.
fn is_one_of(state: &Value, allowed: &[(&str, u64)]) -> Result<(), String> {
    let is_allowed =
        allowed.iter().any(|(status, code)| state["Status"] == *status && state["ExitCode"] == *code);
    if is_allowed { Ok(()) } else { Err(format!("it is told as {state}")) }
}

fn created(bed: &Bed<'_>, outcome: &Outcome) -> Result<(), String> {
    match bed.container("it") {
        Some(it) => is_one_of(&it["State"], &[("created", 0)]),
        None if outcome.status.success() => Err("what was acknowledged as created is lost".to_owned()),
        None => Ok(()),
    }
}

/// The program may not have run, or have ended as it does; a start that was refused has docker's codes for it.
fn started(bed: &Bed<'_>, outcome: &Outcome) -> Result<(), String> {
    if bed.container("it").is_none() {
        return Err("the container is lost".to_owned());
    }
    let ended = bed.knarr.call(["wait", "it"]);
    let it = bed.container("it").ok_or("the container is lost")?;
    match outcome.status.success() {
        true => is_one_of(&it["State"], &[("exited", 3)]),
        false => is_one_of(
            &it["State"],
            &[
                ("created", 0),
                ("exited", 3),
                ("exited", 127),
                ("exited", 128),
                ("created", 127),
                ("created", 128),
            ],
        ),
    }
    .map_err(|wrong| format!("{wrong}, after wait: {ended}"))
}

fn executed(_: &Bed<'_>, outcome: &Outcome) -> Result<(), String> {
    // 4 is the program's own; anything else must be a refusal in words.
    let is_told = outcome.code() == 4 || (outcome.code() != 0 && outcome.stderr.len() > 10);
    if is_told { Ok(()) } else { Err(format!("an exit status is invented: {outcome}")) }
}

fn stopped(bed: &Bed<'_>, outcome: &Outcome) -> Result<(), String> {
    let it = bed.container("it").ok_or("the container is lost")?;
    match outcome.status.success() {
        true => is_one_of(&it["State"], &[("exited", 5), ("exited", 137)]),
        false => is_one_of(&it["State"], &[("exited", 5), ("exited", 137), ("running", 0)]),
    }
}

fn removed(bed: &Bed<'_>, outcome: &Outcome) -> Result<(), String> {
    match bed.container("it") {
        Some(_) if outcome.status.success() => Err("what was removed is there again".to_owned()),
        // Some of it may be gone: another `rm` takes the rest.
        Some(it) => is_one_of(&it["State"], &[("exited", 3), ("removing", 3)]),
        None => Ok(()),
    }
}

/// An image is here whole, or not at all.
fn whole(bed: &Bed<'_>, name: &str, outcome: &Outcome) -> Result<(), String> {
    let is_here = bed.knarr.call(["inspect", "--type", "image", name]).status.success();
    if !is_here {
        return match outcome.status.success() {
            true => Err("what was acknowledged is lost".to_owned()),
            false => Ok(()),
        };
    }
    let ran = bed.knarr.call(["run", "--rm", name, "cat", "/etc/other", "/data/file"]);
    if ran.status.success() && ran.stdout.starts_with("other\nxx") {
        Ok(())
    } else {
        Err(format!("half of an image: {ran}"))
    }
}

fn pulled(bed: &Bed<'_>, outcome: &Outcome) -> Result<(), String> {
    whole(bed, &bed.remote.clone(), outcome)
}

fn loaded(bed: &Bed<'_>, outcome: &Outcome) -> Result<(), String> {
    whole(bed, LOADED, outcome)
}

fn image_removed(bed: &Bed<'_>, outcome: &Outcome) -> Result<(), String> {
    let is_here = bed.knarr.call(["inspect", "--type", "image", LOADED]).status.success();
    match (is_here, outcome.status.success()) {
        (true, true) => Err("what was removed is there again".to_owned()),
        (true, false) => whole(bed, LOADED, outcome),
        (false, _) => Ok(()),
    }
}

fn tagged(bed: &Bed<'_>, outcome: &Outcome) -> Result<(), String> {
    let is_here = bed.knarr.call(["inspect", "--type", "image", TAG]).status.success();
    if outcome.status.success() && !is_here {
        Err("what was acknowledged is lost".to_owned())
    } else {
        Ok(())
    }
}

fn remove(bed: &Bed<'_>) -> Result<(), String> {
    if bed.container("it").is_none() {
        return Ok(());
    }
    let outcome = bed.knarr.call(["rm", "-f", "it"]);
    if outcome.status.success() { Ok(()) } else { Err(format!("it cannot be removed: {outcome}")) }
}

/// What came by halves goes by `prune`.
fn remove_image(bed: &Bed<'_>) -> Result<(), String> {
    for name in [LOADED, bed.remote.as_str()] {
        if bed.knarr.call(["inspect", "--type", "image", name]).status.success() {
            let outcome = bed.knarr.call(["rmi", name]);
            if !outcome.status.success() {
                return Err(format!("it cannot be removed: {outcome}"));
            }
        }
    }
    let outcome = bed.knarr.call(["image", "prune", "-f"]);
    if outcome.status.success() { Ok(()) } else { Err(format!("{outcome}")) }
}

fn remove_tag(bed: &Bed<'_>) -> Result<(), String> {
    if bed.knarr.call(["inspect", "--type", "image", TAG]).status.success() {
        bed.knarr.say(["rmi", TAG]);
    }
    Ok(())
}
