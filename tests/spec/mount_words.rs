//! The words of a bind mount in every order: each of many lists makes of its mount, and of those below it, what runc
//! makes of them. The lists come from a fixed seed, so that a failure repeats.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use knarr_tests::{Bundle, Runtime, Scratch, process, require};
use serde_json::{Value, json};

use crate::mountinfo::{Entry, parse};

const LISTS: usize = 400;
/// Of one container.
const MOUNTS: usize = 50;

/// Knuth's generator: good enough to draw words.
struct Draw {
    state: u64,
    words: Vec<String>,
}

impl Draw {
    fn below(&mut self, bound: usize) -> usize {
        self.state =
            self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.state >> 33).expect("31 bits") % bound
    }

    /// A list with a word for a bind somewhere in it: of the type alone runc 1.1 makes nothing.
    fn list(&mut self) -> Vec<String> {
        let length = self.below(6);
        let mut words: Vec<String> = Vec::new();
        for _ in 0..length {
            let at = self.below(self.words.len());
            words.push(self.words[at].clone());
        }
        let at = self.below(words.len() + 1);
        words.insert(at, ["bind", "rbind"][self.below(2)].to_owned());
        words
    }
}

/// The words that a runtime says it knows.
fn words(runtime: &Runtime<'_>) -> BTreeSet<String> {
    let features: Value = serde_json::from_str(&runtime.call(["features"]).success().stdout).expect("JSON");
    features["mountOptions"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|word| word.as_str().expect("a text").to_owned())
        .collect()
}

/// The mounts below /m in a container that has each list's at `/m/N`, of a source with a mount inside.
fn mounts(runtime: &Runtime<'_>, scratch: &Scratch, bundle: &Bundle) -> BTreeMap<String, Entry> {
    let source = scratch.directory("source");
    let prepare = "umount /sys/fs/cgroup/unified 2>/dev/null; mount -t tmpfs outer $0 && mkdir $0/in && mount -t tmpfs inner $0/in";
    let run = runtime.verb("run", bundle);
    let mut command = scratch.with_mounts(prepare, &source, run.get_program());
    let seen = process::run(command.args(run.get_args())).success();
    parse(&seen.stdout).into_iter().filter(|(path, _)| path.starts_with("/m/")).collect()
}

#[test]
fn many_lists_of_words_make_the_mounts_that_runc_makes() {
    require!(root, tool("busybox"), tool("unshare"), tool("runc"));
    let scratch = Scratch::new();
    let source = scratch.directory("source");
    let (ours, runc) = (Runtime::new(&scratch).as_is(), Runtime::other(&scratch, "runc").as_is());
    // These are no options of a bind mount, or of runc's own kinds.
    let others = [
        "remount",
        "idmap",
        "ridmap",
        "tmpcopyup",
        "mand",
        "sync",
        "dirsync",
        "lazytime",
        "iversion",
        // With these runc asks the kernel for what it refuses.
        "ratime",
        "rstrictatime",
        "rrelatime",
        // runc 1.1 does not let these take back what was set before, as later ones do.
        "rrw",
        "rsuid",
        "rdev",
        "rexec",
        "rdiratime",
        "rsymfollow",
        "rnorelatime",
        "rnostrictatime",
    ];
    let words: Vec<String> = words(&ours)
        .intersection(&words(&runc))
        .filter(|word| !others.contains(&word.as_str()))
        .cloned()
        .collect();
    assert!(words.len() > 40, "{words:?}");
    let mut draw = Draw { state: 2026, words };
    let lists: Vec<Vec<String>> = (0..LISTS).map(|_| draw.list()).collect();
    let mut with_inner = 0;
    for (number, lists) in lists.chunks(MOUNTS).enumerate() {
        let bundle = Bundle::busybox(&scratch, &format!("c{number}")).args(["cat", "/proc/self/mountinfo"]).edit(|config| {
            let all = config["mounts"].as_array_mut().expect("a list");
            all.extend(lists.iter().enumerate().map(|(at, words)| {
                json!({ "destination": format!("/m/{at}"), "type": "bind", "source": source, "options": words })
            }));
        });
        let (own, others) = (mounts(&ours, &scratch, &bundle), mounts(&runc, &scratch, &bundle));
        for (at, words) in lists.iter().enumerate() {
            for path in [format!("/m/{at}"), format!("/m/{at}/in")] {
                let shown = |mounts: &BTreeMap<String, Entry>| {
                    mounts.get(&path).map(|entry| (entry.options.clone(), entry.propagation.is_empty()))
                };
                assert_eq!(shown(&own), shown(&others), "{words:?} at {path}");
                with_inner += usize::from(Path::new(&path).ends_with("in") && own.contains_key(&path));
            }
        }
    }
    // Otherwise nothing was compared.
    assert!(with_inner > LISTS / 4 && with_inner < LISTS, "{with_inner} of {LISTS} had the mount inside");
    println!(
        "option lists compared with runc: {LISTS} of {} words, {with_inner} of them with the mount inside",
        draw.words.len()
    );
}
