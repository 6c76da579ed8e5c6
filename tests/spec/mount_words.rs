//! The words of a bind mount in every order: each of many lists makes of its mount, and of those below it, what runc makes
//! of them. The lists come from a fixed seed, so that a failure repeats.

use std::collections::BTreeMap;
use std::path::Path;

use knarr_tests::{Bundle, Runtime, Scratch, process, require};
use serde_json::json;

use crate::mountinfo::{Entry, parse};

/// Those that runc 1.1 knows as well; recursive attributes among them.
const WORDS: [&str; 24] = [
    "bind",
    "rbind",
    "ro",
    "rw",
    "nosuid",
    "suid",
    "nodev",
    "dev",
    "noexec",
    "exec",
    "noatime",
    "relatime",
    "strictatime",
    "nodiratime",
    "diratime",
    "private",
    "rprivate",
    "slave",
    "rslave",
    "rro",
    "rnosuid",
    "rnodev",
    "rnoexec",
    "defaults",
];
const LISTS: usize = 300;
/// Of one container.
const MOUNTS: usize = 50;

/// Knuth's generator: good enough to draw words.
struct Draw(u64);

impl Draw {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits") % bound
    }

    /// A list with a word for a bind somewhere in it, or with the type alone.
    fn list(&mut self) -> Vec<&'static str> {
        let length = self.below(6);
        let mut words: Vec<&str> = (0..length).map(|_| WORDS[self.below(WORDS.len())]).collect();
        if self.below(4) > 0 {
            let at = self.below(words.len() + 1);
            words.insert(at, ["bind", "rbind"][self.below(2)]);
        }
        words
    }
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
    let mut draw = Draw(2026);
    let lists: Vec<Vec<&str>> = (0..LISTS).map(|_| draw.list()).collect();
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
    println!("option lists compared with runc: {LISTS}, {with_inner} of them with the mount inside");
}
