//! Circles of files: each file of a program is a module, and uses those that its paths name. A circle can only be
//! understood, changed and tested whole, so that its length is bounded. A path names the longest prefix that is a file:
//! `crate::cgroup::fence::Fence` uses cgroup/fence.rs, `crate::cgroup::Fence` would use cgroup/mod.rs and all below it.

use std::collections::{BTreeMap, BTreeSet};

use crate::File;
use crate::code::{product, product_lines};

/// The sources of a program, and how many files its longest circle may have.
const LONGEST: [(&str, usize); 5] =
    [("runtime/src/", 5), ("shim/src/", 5), ("proto/src/", 5), ("manager/src/", 10), ("cli/src/", 8)];

type Module = Vec<String>;
type Graph = BTreeMap<Module, BTreeSet<Module>>;

/// `["cgroup", "fence"]` for cgroup/fence.rs, the empty path for main.rs and lib.rs.
fn module(path: &str) -> Module {
    let parts: Vec<&str> = path.trim_end_matches(".rs").split('/').collect();
    let parts = match parts.split_last() {
        Some((&("mod" | "main" | "lib"), above)) => above,
        _ => parts.as_slice(),
    };
    parts.iter().map(|part| (*part).to_owned()).collect()
}

/// Words, `::` and single characters.
fn tokens(code: &str) -> Vec<&str> {
    let is_word = |letter: char| letter.is_alphanumeric() || letter == '_';
    let mut tokens = Vec::new();
    let mut rest = code.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = match first {
            _ if is_word(first) => rest.find(|letter| !is_word(letter)).unwrap_or(rest.len()),
            ':' if rest.starts_with("::") => 2,
            other => other.len_utf8(),
        };
        let (token, after) = rest.split_at(length);
        tokens.push(token);
        rest = after.trim_start();
    }
    tokens
}

/// The paths of two names or more in the code, with the lists of `use` taken apart.
fn paths(tokens: &[&str]) -> Vec<Vec<String>> {
    let mut paths = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let begins = tokens.get(at + 1) == Some(&"::") && is_name(tokens[at]);
        // `$crate` is another crate's, `a.b::<T>()` a method, and `pub(in a::b)` uses nothing.
        let goes_on = at > 0 && matches!(tokens[at - 1], "::" | "$" | ".");
        let goes_on = goes_on || (at > 2 && tokens[at - 3..at] == ["pub", "(", "in"]);
        if begins && !goes_on {
            at = path(tokens, at, &[], &mut paths);
        } else {
            at += 1;
        }
    }
    paths
}

fn is_name(token: &str) -> bool {
    token.starts_with(|first: char| first.is_ascii_lowercase() || first == '_')
}

/// Reads a path or a list in braces from `at` on; returns where it ends.
fn path(tokens: &[&str], mut at: usize, before: &[String], paths: &mut Vec<Vec<String>>) -> usize {
    let mut names = before.to_vec();
    while let Some(&token) = tokens.get(at) {
        if token == "{" {
            at += 1;
            while tokens.get(at).is_some_and(|token| *token != "}") {
                let end = path(tokens, at, &names, paths);
                // Neither a name nor a list: a comma, `as`, `*`.
                at = end.max(at + 1);
            }
            return at + 1;
        }
        if !token.starts_with(|first: char| first.is_alphabetic() || first == '_') {
            break;
        }
        names.push(token.to_owned());
        at += 1;
        if tokens.get(at) != Some(&"::") {
            break;
        }
        at += 1;
    }
    if names.len() > before.len() {
        paths.push(names);
    }
    at
}

/// The file that a path names, seen from `user`.
fn target(user: &Module, path: &[String], modules: &BTreeSet<Module>) -> Option<Module> {
    let mut base = user.clone();
    let mut rest = path;
    match rest.first().map(String::as_str) {
        Some("crate") => (base, rest) = (Vec::new(), &rest[1..]),
        Some("self") => rest = &rest[1..],
        Some("super") => {
            while rest.first().is_some_and(|name| name == "super") {
                base.pop();
                rest = &rest[1..];
            }
        }
        first => {
            let child: Module = base.iter().cloned().chain(first.map(str::to_owned)).collect();
            if !modules.contains(&child) {
                return None;
            }
        }
    }
    base.extend(rest.iter().cloned());
    while !modules.contains(&base) {
        base.pop()?;
    }
    Some(base)
}

fn graph(files: &[(Module, &File)]) -> Graph {
    let modules: BTreeSet<Module> = files.iter().map(|(module, _)| module.clone()).collect();
    let mut graph = Graph::new();
    for (module, file) in files {
        let code: String = product_lines(file)
            .into_iter()
            .flat_map(|(_, line)| [line.split(" // ").next().unwrap_or_default(), "\n"])
            .collect();
        let named = paths(&tokens(&code)).into_iter().filter_map(|path| target(module, &path, &modules));
        graph.entry(module.clone()).or_default().extend(named.filter(|other| other != module));
    }
    graph
}

fn reachable(graph: &Graph, from: &Module) -> BTreeSet<Module> {
    let mut seen = BTreeSet::new();
    let mut next = vec![from.clone()];
    while let Some(module) = next.pop() {
        for other in graph.get(&module).into_iter().flatten() {
            if seen.insert(other.clone()) {
                next.push(other.clone());
            }
        }
    }
    seen
}

/// The sets of files each of which reaches all others, the largest first.
fn circles(graph: &Graph) -> Vec<BTreeSet<Module>> {
    let reach: BTreeMap<&Module, BTreeSet<Module>> =
        graph.keys().map(|module| (module, reachable(graph, module))).collect();
    let mut circles = BTreeSet::new();
    for (module, reached) in &reach {
        if reached.contains(*module) {
            circles.insert(reached.iter().filter(|other| reach[other].contains(*module)).cloned().collect());
        }
    }
    let mut circles: Vec<BTreeSet<Module>> = circles.into_iter().collect();
    circles.sort_by_key(|circle| std::cmp::Reverse(circle.len()));
    circles
}

#[test]
fn no_circle_of_files_is_longer_than_its_program_allows() {
    let product = product();
    let mut too_long = Vec::new();
    for (source, longest) in LONGEST {
        let files: Vec<(Module, &File)> =
            product.iter().filter_map(|file| Some((module(file.path.strip_prefix(source)?), file))).collect();
        // The runtime's main.rs only calls its library.
        let files: Vec<_> =
            files.into_iter().filter(|(_, file)| file.path != "runtime/src/main.rs").collect();
        assert!(!files.is_empty(), "no files in {source}");
        for circle in circles(&graph(&files)) {
            let names: Vec<String> = circle.iter().map(|module| module.join("/")).collect();
            let told = format!("{source}: {} files in a circle: {}", circle.len(), names.join(" "));
            println!("{told}");
            if circle.len() > longest {
                too_long.push(format!("{told}; at most {longest}"));
            }
        }
    }
    crate::none("circles of files", &too_long);
}

#[test]
fn a_circle_is_found_through_every_form_of_path() {
    let file = |path: &str, text: &str| File { path: path.to_owned(), text: text.to_owned() };
    let files = [
        file("lib.rs", "mod a;\nmod b;\n"),
        file("a/mod.rs", "pub mod x;\npub mod y;\nuse std::{fs, io::Read};\nfn f() { x::go() }\n"),
        file("a/x.rs", "use crate::b::{self, Thing};\npub(in crate::a) fn f() {}\n"),
        file("a/y.rs", "use super::x::go;\nlet n = $crate::b::C;\n"),
        file("c.rs", "pub(in crate::a) struct C;\nuse crate::a::x;\n"),
        file("b.rs", "// crate::nothing\n#[cfg(test)]\nuse crate::a::y;\nfn f() { crate::a::Item::new() }\n"),
    ];
    let files: Vec<(Module, &File)> = files.iter().map(|file| (module(&file.path), file)).collect();
    let found = circles(&graph(&files));
    let names: Vec<Vec<String>> =
        found.iter().map(|circle| circle.iter().map(|module| module.join("/")).collect()).collect();
    assert_eq!(names, [["a", "a/x", "b"]]);
}
