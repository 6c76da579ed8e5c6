//! Names: docker's grammar, docker's way of making one up, and random ids.

use knarr_proto::id::ContainerId;

use crate::random;

/// The longest name; it becomes no path, so the bound is only about being read.
const MAX_BYTES: usize = 128;

/// What a name must look like.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "invalid container name {name:?}: only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed, 2 to {MAX_BYTES} of them"
)]
pub(crate) struct InvalidName {
    name: String,
}

const ADJECTIVES: [&str; 32] = [
    "able", "bold", "brisk", "calm", "clever", "crisp", "daring", "eager", "fair", "fleet", "gentle", "glad",
    "grand", "hardy", "keen", "kind", "lively", "lucid", "merry", "neat", "noble", "patient", "plucky",
    "proud", "quick", "quiet", "ready", "sharp", "stout", "swift", "trusty", "wise",
];
const SEAFARERS: [&str; 32] = [
    "anchor", "beacon", "bosun", "bowsprit", "cutter", "drakkar", "fathom", "fjord", "galley", "gannet",
    "harbour", "helm", "karve", "keel", "knarr", "lantern", "longship", "mast", "oar", "osprey", "petrel",
    "pilot", "prow", "puffin", "rudder", "sail", "skald", "skiff", "sloop", "snekke", "tiller", "voyager",
];

/// Checks a chosen name.
///
/// # Errors
/// [`InvalidName`] when it does not fit the grammar.
pub(crate) fn check(name: &str) -> Result<(), InvalidName> {
    let rest = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    let fits = (2..=MAX_BYTES).contains(&name.len())
        && name.as_bytes()[0].is_ascii_alphanumeric()
        && name.bytes().all(rest);
    if fits { Ok(()) } else { Err(InvalidName { name: name.chars().take(MAX_BYTES).collect() }) }
}

/// Makes up a name; after some unlucky attempts with a number, so that one is found in the end.
pub(crate) fn generate(attempt: u32) -> String {
    let [a, b, c, d] = random::bytes();
    let (adjective, seafarer) = (ADJECTIVES[usize::from(a) % 32], SEAFARERS[usize::from(b) % 32]);
    match attempt {
        0..=5 => format!("{adjective}_{seafarer}"),
        _ => format!("{adjective}_{seafarer}{}", u16::from_be_bytes([c, d])),
    }
}

/// A new id of 64 hexadecimal digits.
pub(crate) fn new_id() -> ContainerId {
    random::hex().parse().expect("hexadecimal digits are an id")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dockers_names_are_taken_and_no_others() {
        for name in ["ab", "web-1", "A.b_c-d", "0x"] {
            assert_eq!(check(name), Ok(()), "{name}");
        }
        for name in ["", "a", "-ab", ".ab", "a/b", "a b", "ä1", "a\0", &"n".repeat(129)] {
            assert!(check(name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn made_up_names_and_ids_are_valid_and_differ() {
        for attempt in 0..12 {
            assert_eq!(check(&generate(attempt)), Ok(()));
        }
        let (one, other) = (new_id(), new_id());
        assert_eq!(one.as_str().len(), 64);
        assert_ne!(one, other);
    }
}
