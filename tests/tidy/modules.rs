//! The floors of the manager's modules: each may use those below it, and none beside or above it. So that no circle of
//! modules can come to be, and each noun can be understood, and tested, without those that use it.

use std::collections::{BTreeMap, BTreeSet};

use crate::code::{product, product_lines};
use crate::{File, none};

const SOURCE: &str = "manager/src/";

/// Each module of the manager and its floor, from the ground up.
const FLOORS: [(usize, &[&str]); 12] = [
    // Leaves: they know no noun.
    (0, &["apparmor", "authority", "cgroups", "error", "failure", "files", "host", "inherited", "limits"]),
    (0, &["logging", "lost", "notify", "random", "time", "trees", "untrusted"]),
    (1, &["filters"]),
    (2, &["content", "events", "held", "store"]),
    // Things on the disk and in the kernel, held by id.
    (3, &["networks", "snapshots", "volumes"]),
    (4, &["collect", "layers"]),
    (5, &["images", "tasks"]),
    // Those that orchestrate the others.
    (6, &["builds", "containers", "pods"]),
    (7, &["connections", "recovery", "schema", "verbs"]),
    (8, &["api", "settings"]),
    (9, &["daemon", "manual"]),
    (10, &["main"]),
];

/// Uses that do not go down yet, and what has to be done about each. This list only gets shorter.
const NOT_YET: [(&str, &str, &str); 0] = [];

/// The module that a file is of: `containers` for `manager/src/containers/logs.rs`.
fn module(file: &File) -> Option<&str> {
    let path = file.path.strip_prefix(SOURCE)?;
    path.split(['/', '.']).next()
}

/// How many modules a file's own one is below the crate: 1 for `logs.rs` and `logs/mod.rs`, 2 for `logs/tail.rs`.
fn depth(file: &File) -> usize {
    let path = file.path.trim_start_matches(SOURCE);
    path.split('/').filter(|part| *part != "mod.rs").count()
}

/// The modules of the crate that a file names, as `crate::NAME`, in `crate::{NAME, …}` or by enough of `super::`.
fn used(file: &File) -> BTreeSet<String> {
    let code: String = product_lines(file).into_iter().flat_map(|(_, line)| [line, "\n"]).collect();
    let root = "super::".repeat(depth(file));
    let mut names = BTreeSet::new();
    for beginning in ["crate::", root.as_str()] {
        for (at, _) in code.match_indices(beginning) {
            // Neither the end of a longer word nor of a longer path.
            if code[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_' || before == ':')
            {
                continue;
            }
            let rest = &code[at + beginning.len()..];
            match rest.strip_prefix('{') {
                Some(list) => names.extend(first_names(list)),
                None => names.extend(word(rest)),
            }
        }
    }
    names
}

/// The first name of each path in the rest of a `{…}` list.
fn first_names(list: &str) -> Vec<String> {
    let (mut open, mut is_first, mut names) = (1, true, Vec::new());
    for (at, letter) in list.char_indices() {
        match letter {
            '{' => open += 1,
            '}' => open -= 1,
            ',' if open == 1 => is_first = true,
            _ if letter.is_whitespace() => {}
            _ if is_first => {
                names.extend(word(&list[at..]));
                is_first = false;
            }
            _ => {}
        }
        if open == 0 {
            break;
        }
    }
    names
}

/// The module's name that a text begins with, if it does.
fn word(text: &str) -> Option<String> {
    let is_part = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_';
    let name: String = text.chars().take_while(|letter| is_part(*letter)).collect();
    (!name.is_empty()).then_some(name)
}

fn floors() -> BTreeMap<&'static str, usize> {
    FLOORS.iter().flat_map(|(floor, names)| names.iter().map(move |name| (*name, *floor))).collect()
}

#[test]
fn the_managers_modules_use_only_what_is_below_them() {
    let floors = floors();
    let (mut offenders, mut met) = (Vec::new(), BTreeSet::new());
    for file in product() {
        let Some(user) = module(&file) else { continue };
        let Some(floor) = floors.get(user) else {
            offenders.push(format!("{}: {user} has no floor in tests/tidy/modules.rs", file.path));
            continue;
        };
        for name in used(&file) {
            let Some(below) = floors.get(name.as_str()) else { continue };
            let is_excepted = NOT_YET.iter().any(|(from, to, _)| *from == user && *to == name);
            if is_excepted {
                met.insert((user.to_owned(), name));
            } else if user != name && below >= floor {
                offenders.push(format!("{}: {user} (floor {floor}) uses {name} (floor {below})", file.path));
            }
        }
    }
    let done = NOT_YET.iter().filter(|(from, to, _)| !met.contains(&((*from).to_owned(), (*to).to_owned())));
    offenders.extend(done.map(|(from, to, _)| format!("{from} uses {to} no more: take it out of NOT_YET")));
    none("uses that do not go down", &offenders);
}

#[test]
fn names_of_modules_are_read_from_every_form_of_path() {
    let text = "use crate::store::Store;\nuse crate::{content::Digest, images::{self, Id}};\nuse super::super::events;\n\
                fn a(x: crate::Shape) { super::own(); other_crate::shims::b() }\n// crate::api\n";
    let file = File { path: "manager/src/noun/verb.rs".to_owned(), text: text.to_owned() };
    assert_eq!(used(&file).into_iter().collect::<Vec<_>>(), ["content", "events", "images", "store"]);
    assert_eq!((module(&file), depth(&file)), (Some("noun"), 2));
}

#[test]
fn every_phase_of_a_container_is_made_by_its_life() {
    let mut offenders = Vec::new();
    let ours =
        |file: &File| file.path.starts_with("manager/src/containers/") && !file.path.ends_with("/life.rs");
    for file in product().into_iter().filter(ours) {
        for (number, line) in product_lines(&file) {
            if ["phase: Phase::", "phase = Phase::", "phase: P::"].iter().any(|made| line.contains(made)) {
                offenders.push(format!("{}:{number}: {}", file.path, line.trim()));
            }
        }
    }
    none("phases that are made outside of containers/life.rs", &offenders);
}
