//! No type that does everything: one with very many methods is several in one.

use std::collections::BTreeMap;

use crate::code::{product, product_lines};
use crate::{File, none};

const MAX_METHODS: usize = 40;

/// Types that every new verb would grow, if verbs were methods: theirs are functions, each in a file of its own.
const FEWER: [(&str, usize); 1] = [("manager's Containers", 8)];

/// A file's methods by the type whose own they are; a trait's are the trait's matter.
fn methods(file: &File) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    let mut current: Option<String> = None;
    for (_, line) in product_lines(file) {
        if line.starts_with("impl") {
            current = own_type(line);
        } else if line.starts_with('}') {
            current = None;
        } else if let Some(name) = &current
            && is_method(line)
        {
            *counts.entry(name.clone()).or_default() += 1;
        }
    }
    counts
}

/// `Store` for `impl<'a> Store<'a> {`; nothing for `impl Drop for Store {`.
fn own_type(line: &str) -> Option<String> {
    let rest = line.strip_prefix("impl")?;
    let rest = match rest.strip_prefix('<') {
        Some(generic) => {
            let mut open = 1;
            let end = generic.find(|letter| {
                open += i32::from(letter == '<') - i32::from(letter == '>');
                open == 0
            })?;
            &generic[end + 1..]
        }
        None => rest,
    };
    if rest.contains(" for ") {
        return None;
    }
    let is_part = |letter: char| letter.is_alphanumeric() || letter == '_' || letter == ':';
    let name: String = rest.trim_start().chars().take_while(|letter| is_part(*letter)).collect();
    (!name.is_empty()).then_some(name)
}

fn is_method(line: &str) -> bool {
    let Some(code) = line.strip_prefix("    ") else { return false };
    let Some((before, _)) = code.split_once("fn ") else { return false };
    !code.starts_with(' ')
        && before
            .split_whitespace()
            .all(|word| word.starts_with("pub") || matches!(word, "const" | "async" | "unsafe"))
}

#[test]
fn no_type_does_everything() {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for file in product() {
        let program = file.path.split('/').next().unwrap_or_default().to_owned();
        for (name, count) in methods(&file) {
            *counts.entry(format!("{program}'s {name}")).or_default() += count;
        }
    }
    let allowed = |name: &str| {
        FEWER.iter().find(|(limited, _)| *limited == name).map_or(MAX_METHODS, |(_, allowed)| *allowed)
    };
    let large = counts.iter().filter(|(name, count)| **count > allowed(name));
    none(
        &format!("types with more methods than {MAX_METHODS}, or than FEWER allows"),
        &large.map(|(name, count)| format!("{name}: {count}")).collect::<Vec<_>>(),
    );
}

#[test]
fn methods_are_counted_by_the_type_whose_own_they_are() {
    let text = "impl<'a, T: Into<u8>> Store<'a, T> {\n    pub(crate) async fn a(&self) {}\n    fn b() {\n        fn inner() {}\n    }\n}\n\
                impl Drop for Store {\n    fn drop(&mut self) {}\n}\nimpl Store {\n    const fn c() {}\n}\n";
    let file = File { path: "manager/src/store.rs".to_owned(), text: text.to_owned() };
    assert_eq!(methods(&file).into_iter().collect::<Vec<_>>(), [("Store".to_owned(), 3)]);
}
