//! Any bytes as a config.json: parsed, planned, its filter compiled and asked about calls. Refused or planned, never a
//! panic; what was planned keeps what the plan promises of it.

use std::path::Path;

use crate::plan::Plan;
use crate::process::policies::Policies;
use crate::security::seccomp::{self, simulate};
use crate::spec::Spec;

const X86_64: u32 = 0xc000_003e;
const I386: u32 = 0x4000_0003;
const AARCH64: u32 = 0xc000_00b7;

/// One input.
pub fn spec(text: &[u8]) {
    let Ok(spec) = Spec::parse(text, Path::new("config.json")) else { return };
    // The answer is all that counts: an error is as good as a policy.
    drop(Policies::parse(spec.process.as_deref(), &spec.linux));
    if let Some(profile) = &spec.linux.seccomp {
        filter(profile);
    }
    let Ok(plan) = Plan::new(&spec, Path::new("/bundle")) else { return };
    for mount in &plan.root.mounts {
        assert!(is_below(&mount.destination), "a mount leaves the root: {:?}", mount.destination);
    }
    for path in plan.root.masked.iter().chain(&plan.root.readonly) {
        assert!(is_below(path), "a mask leaves the root: {path:?}");
    }
    if let Some(ids) = &plan.ids {
        for map in [&ids.users, &ids.groups] {
            let mut ranges: Vec<_> = map.iter().map(|range| (u64::from(range.host_id), range.size)).collect();
            ranges.sort_unstable();
            assert!(ranges.iter().all(|(first, size)| *size > 0 && first + u64::from(*size) <= 1 << 32));
            assert!(ranges.windows(2).all(|pair| pair[0].0 + u64::from(pair[0].1) <= pair[1].0));
        }
    }
}

/// Relative, and no part of it leads upwards.
fn is_below(path: &str) -> bool {
    !path.starts_with('/') && !path.contains('\0') && path.split('/').all(|part| part != "..")
}

/// Every call ends in an answer, and one by an unknown way into the kernel is not let through.
fn filter(profile: &crate::spec::seccomp::Seccomp) {
    let Ok(program) = seccomp::compile(profile) else { return };
    for architecture in [X86_64, I386, AARCH64, 0] {
        for number in (0..480).step_by(7).chain([0x4000_0000, 0x4000_01ff, u32::MAX]) {
            for argument in [0, 1, u64::MAX] {
                let call = simulate::Call { number, architecture, arguments: [argument; 6] };
                let verdict = simulate::run(program.instructions(), &call);
                assert!(
                    architecture != 0 || verdict == 0x8000_0000,
                    "an unknown architecture gets {verdict:#x}"
                );
            }
        }
    }
}
