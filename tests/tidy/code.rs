//! What of a Rust file is the product's: neither its comments nor what only tests build.

use std::collections::BTreeSet;

use crate::{File, files};

/// All Rust files of the workspace.
pub(crate) fn rust() -> Vec<File> {
    files(&["rs"])
}

/// The files of the four programs and proto, without those that only tests build.
pub(crate) fn product() -> Vec<File> {
    let all = rust();
    let of_tests: BTreeSet<String> = all.iter().flat_map(test_modules).collect();
    all.into_iter()
        .filter(|file| !file.path.starts_with("tests/") && !file.path.contains("/fuzz/"))
        .filter(|file| !file.path.contains("/tests/") && !file.path.ends_with("/tests.rs"))
        .filter(|file| !of_tests.contains(&file.path))
        .collect()
}

/// The files of the modules that a file declares below `#[cfg(test)]`.
fn test_modules(file: &File) -> Vec<String> {
    let (directory, name) = file.path.rsplit_once('/').unwrap_or(("", &file.path));
    let below = match name.trim_end_matches(".rs") {
        "mod" | "main" | "lib" => directory.to_owned(),
        stem => format!("{directory}/{stem}"),
    };
    let lines: Vec<&str> = file.text.lines().map(str::trim).collect();
    let pairs = lines.windows(2).filter(|pair| pair[0] == "#[cfg(test)]");
    let names = pairs.filter_map(|pair| {
        let declared = pair[1].trim_start_matches("pub(crate) ").strip_prefix("mod ")?;
        declared.strip_suffix(';')
    });
    names.flat_map(|name| [format!("{below}/{name}.rs"), format!("{below}/{name}/mod.rs")]).collect()
}

/// The lines of a file, numbered, without comments and without what stands below a `#[cfg(test)]`: that item alone.
pub(crate) fn product_lines(file: &File) -> Vec<(usize, &str)> {
    let mut lines = (1..).zip(file.text.lines());
    let mut kept = Vec::new();
    while let Some((number, line)) = lines.next() {
        let code = line.trim_start();
        if code == "#[cfg(test)]" {
            let indentation = line.len() - code.len();
            // The item ends where a line at the attribute's own indentation ends it, as rustfmt lays it out.
            lines.by_ref().map(|(_, line)| line).find(|line| ends_item(line, indentation));
        } else if !code.starts_with("//") {
            kept.push((number, line));
        }
    }
    kept
}

fn ends_item(line: &str, indentation: usize) -> bool {
    let code = line.trim_start();
    let is_outermost = line.len() - code.len() == indentation;
    is_outermost && !code.starts_with("//") && !code.starts_with("#[") && code.ends_with([';', '}', ','])
}

/// Where any of `words` stands in the product's code.
pub(crate) fn product_uses(words: &[&str]) -> Vec<String> {
    let mut offenders = Vec::new();
    for file in product() {
        for (number, line) in product_lines(&file) {
            if let Some(word) = words.iter().find(|word| line.contains(**word)) {
                offenders.push(format!("{}:{number}: {word}", file.path));
            }
        }
    }
    offenders
}

#[test]
fn only_what_a_test_attribute_stands_on_is_left_out() {
    let text = "#[cfg(test)]\nmod proofs;\nmod words;\n#[cfg(test)]\n#[derive(Debug)]\nstruct Fake {\n    a: u8,\n}\nfn a() {\n    \
                #[cfg(test)]\n    note();\n    go();\n}\n// no code\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\nfn c() {}\n";
    let file = File { path: "manager/src/noun/mod.rs".to_owned(), text: text.to_owned() };
    let kept: Vec<&str> = product_lines(&file).into_iter().map(|(_, line)| line).collect();
    assert_eq!(kept, ["mod words;", "fn a() {", "    go();", "}", "fn c() {}"]);
    assert_eq!(test_modules(&file)[0], "manager/src/noun/proofs.rs");
}
