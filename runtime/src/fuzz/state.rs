//! Any text as a state file: an error, or a state whose id is a name in `--root` and that is written and read back as
//! it is.

use crate::state::record::State;

/// One input.
pub fn state(text: &str) {
    let Ok(state) = State::parse(text, "state.json".into()) else { return };
    let id = state.id.as_str();
    assert!(!id.is_empty() && !id.contains(['/', '\0']) && id != "." && id != "..", "{id:?} is no name");
    let written = serde_json::to_string(&state).expect("plain data");
    assert_eq!(State::parse(&written, "state.json".into()).expect("our own"), state);
}
