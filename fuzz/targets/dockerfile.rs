//! Bytes as a Dockerfile, then as an ignore file: read or refused with a place in the file, never a panic, and what was read
//! is planned or refused; a trigger that was taken is read again.
#![no_main]
#![forbid(unsafe_code)]

use libfuzzer_sys::fuzz_target;

#[allow(dead_code, unused_imports, reason = "what is planned is not carried out here")]
#[path = "../../manager/src/builds/dockerfile/mod.rs"]
mod dockerfile;
#[allow(dead_code, reason = "no tree is looked at here")]
#[path = "../../proto/src/ignore.rs"]
mod ignore;

use dockerfile::instruction::Kind;
use dockerfile::plan::{Plan, Wishes};

fuzz_target!(|input: &[u8]| {
    let text = String::from_utf8_lossy(input);
    if let Ok(ignored) = ignore::Ignore::read(&text) {
        assert!(!(ignored.is_empty() && ignored.excludes(input)), "nothing leaves something out");
    }
    match dockerfile::parse(input) {
        Err(error) => assert!(error.line <= text.lines().count() + 1, "{error}"),
        Ok(file) => {
            for instruction in &file.instructions {
                if let Kind::Onbuild(trigger) = &instruction.kind {
                    dockerfile::parse_trigger(trigger, file.escape).expect("a trigger is read again");
                }
            }
            let args = ["A=1".to_owned()];
            let wishes = Wishes { target: "", build_args: &args, platform_args: &args };
            if let Ok(plan) = Plan::new(file, &wishes) {
                let needed = plan.needed();
                assert_eq!(needed.last(), Some(&plan.target));
            }
        }
    }
});
