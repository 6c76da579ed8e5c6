//! Rules about Rust files.

use crate::code::{product, product_lines, product_uses, rust};
use crate::none;

/// Rule 9 of docs/architecture.md.
const MAX_FILE_LINES: usize = 700;
const MAX_FUNCTION_LINES: usize = 70;

/// The only place for `unsafe`.
const FENCE: &str = "runtime/src/sys";

#[test]
fn no_file_is_longer_than_the_hard_limit() {
    let long = rust().into_iter().filter_map(|file| {
        let lines = file.text.lines().count();
        (lines > MAX_FILE_LINES).then(|| format!("{}: {lines} lines", file.path))
    });
    none(&format!("files over {MAX_FILE_LINES} lines"), &long.collect::<Vec<_>>());
}

#[test]
fn no_function_is_longer_than_a_screen() {
    let mut long = Vec::new();
    for file in rust() {
        for (name, lines) in functions(&file.text) {
            if lines > MAX_FUNCTION_LINES {
                long.push(format!("{}: fn {name} has {lines} lines", file.path));
            }
        }
    }
    none(&format!("functions over {MAX_FUNCTION_LINES} lines"), &long);
}

/// Names and code lines of all functions: from `fn` to the brace that rustfmt puts at the same indentation.
fn functions(text: &str) -> Vec<(String, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let trimmed = line.trim_start();
        let Some((before, rest)) = trimmed.split_once("fn ") else { continue };
        let is_function = before.split_whitespace().all(|word| {
            matches!(
                word,
                "pub" | "pub(crate)" | "pub(super)" | "const" | "async" | "unsafe" | "extern" | "\"C\""
            )
        });
        if !is_function || trimmed.ends_with('}') || trimmed.ends_with(';') {
            continue;
        }
        let indentation = line.len() - trimmed.len();
        let end = format!("{}}}", " ".repeat(indentation));
        let body = lines[start + 1..].iter().take_while(|line| **line != end);
        let code = body.filter(|line| !line.trim().is_empty() && !line.trim_start().starts_with("//"));
        let name = rest.split(['(', '<']).next().unwrap_or_default();
        found.push((name.to_owned(), code.count()));
    }
    found
}

#[test]
fn every_file_opens_with_what_it_is_for() {
    let bare = rust().into_iter().filter(|file| !file.text.starts_with("//! ")).map(|file| file.path);
    none("files that do not open with `//! `", &bare.collect::<Vec<_>>());
}

#[test]
fn unsafe_lives_in_the_runtimes_sys_alone() {
    let mut offenders = Vec::new();
    for file in rust().into_iter().filter(|file| !file.path.starts_with(FENCE)) {
        for (number, line) in file.text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            let is_text = code.contains('"') || code.contains("unsafe_code");
            if !is_text && code.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == "unsafe")
            {
                offenders.push(format!("{}:{}", file.path, number + 1));
            }
        }
    }
    none(&format!("unsafe outside of {FENCE}"), &offenders);
}

#[test]
fn every_program_forbids_unsafe_where_it_may_not_be() {
    let roots = rust().into_iter().filter(|file| {
        let is_test_target = file.path.starts_with("tests/") && file.path.ends_with("/main.rs");
        let is_root = file.path.ends_with("src/main.rs") || file.path.ends_with("src/lib.rs");
        (is_root || is_test_target) && !file.path.starts_with("runtime/") && !file.path.contains("fuzz/")
    });
    let open = roots.filter(|file| !file.text.contains("#![forbid(unsafe_code)]")).map(|file| file.path);
    none("crate roots without #![forbid(unsafe_code)]", &open.collect::<Vec<_>>());
    let deny =
        rust().into_iter().find(|file| file.path == "runtime/src/main.rs").expect("the runtime's main.rs");
    assert!(deny.text.contains("(unsafe_code)]"), "runtime/src/main.rs says nothing of unsafe_code");
}

#[test]
fn nothing_unfinished_is_merged() {
    let words = ["todo!(", "unimplemented!(", "dbg!(", "FIXME", "XXX"];
    none("unfinished code", &product_uses(&words));
}

#[test]
fn no_test_is_ignored_or_expected_to_panic() {
    let attributes = ["#[ignore", "#[should_panic"];
    let marked = rust().into_iter().filter(|file| {
        file.text
            .lines()
            .any(|line| attributes.iter().any(|attribute| line.trim_start().starts_with(attribute)))
    });
    none("tests that do not count", &marked.map(|file| file.path).collect::<Vec<_>>());
}

/// By `knarr_tests::process`: a program that hangs must be a failure that names it. `cargo metadata` asks nobody.
#[test]
fn tests_give_every_program_a_deadline() {
    let words = [".output().expect(", ".status().expect("];
    let tests = rust()
        .into_iter()
        .filter(|file| file.path.starts_with("tests/") && !file.path.starts_with("tests/tidy/"));
    let endless = tests.filter(|file| words.iter().any(|word| file.text.contains(word)));
    none("programs waited for without an end", &endless.map(|file| file.path).collect::<Vec<_>>());
}

#[test]
fn the_product_waits_for_events_not_for_time() {
    none("sleeps in place of events", &product_uses(&["thread::sleep("]));
}

#[test]
fn modules_are_named_for_a_noun_or_a_verb() {
    let vague = ["utils.rs", "util.rs", "helpers.rs", "helper.rs", "common.rs", "misc.rs"];
    let offenders = rust().into_iter().map(|file| file.path);
    let offenders = offenders.filter(|path| vague.iter().any(|name| path.ends_with(&format!("/{name}"))));
    none("modules that say nothing", &offenders.collect::<Vec<_>>());
}

#[test]
fn the_manager_execs_and_never_forks_and_the_runtime_has_no_threads() {
    let mut offenders = Vec::new();
    for file in product() {
        let words: &[&str] = match file.path.split('/').next() {
            Some("manager") => &["fork(", "pre_exec("],
            Some("runtime") => &["thread::spawn", "tokio::", "async fn"],
            _ => continue,
        };
        for (number, line) in product_lines(&file) {
            if let Some(word) = words.iter().find(|word| line.contains(**word)) {
                offenders.push(format!("{}:{number}: {word}", file.path));
            }
        }
    }
    none("rule 4 of docs/architecture.md", &offenders);
}

#[test]
fn a_long_function_is_seen() {
    let body = "    step();\n".repeat(71);
    let text =
        format!("/// Long.\npub(crate) fn long(a: u8) {{\n{body}}}\n\nfn short() {{\n    step();\n}}\n");
    assert_eq!(functions(&text), [("long".to_owned(), 71), ("short".to_owned(), 1)]);
}
