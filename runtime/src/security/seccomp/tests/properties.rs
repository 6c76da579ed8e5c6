//! Generated profiles against the naive evaluation. Few names, so that rules meet; values near each other, so that
//! checks overlap.

use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::oracle::{ACTIONS, NAMES, OPERATORS};
use crate::security::seccomp::tests::*;

const ARCHITECTURES: [&str; 5] =
    ["SCMP_ARCH_X86_64", "SCMP_ARCH_X32", "SCMP_ARCH_X86", "SCMP_ARCH_ARM", "SCMP_ARCH_S390X"];

fn value() -> impl Strategy<Value = u64> {
    prop_oneof![
        0..4u64,
        select(vec![u64::from(u32::MAX), 1 << 32, (1 << 32) + 1, u64::MAX, 0x7e02_0000]),
        any::<u64>()
    ]
}

fn check() -> impl Strategy<Value = ArgCheck> {
    (0..6u32, select(&OPERATORS[..]), value(), value())
        .prop_map(|(index, op, value, value_two)| ArgCheck { value_two, ..arg(index, op, value) })
}

fn any_rule() -> impl Strategy<Value = SyscallRule> {
    let names = subsequence(&NAMES[..], 1..4);
    (names, select(&ACTIONS[..]), proptest::option::of(0..100u32), proptest::collection::vec(check(), 0..4))
        .prop_map(|(names, action, errno, args)| {
            let takes_errno = matches!(action, "ERRNO" | "TRACE");
            let errno_ret = errno.filter(|_| takes_errno);
            SyscallRule { errno_ret, ..rule(&names, &format!("SCMP_ACT_{action}"), &args) }
        })
}

fn any_profile() -> impl Strategy<Value = Seccomp> {
    let architectures = subsequence(&ARCHITECTURES[..], 0..=ARCHITECTURES.len());
    (select(&ACTIONS[..]), architectures, proptest::collection::vec(any_rule(), 0..12)).prop_map(
        |(action, architectures, rules)| profile(&format!("SCMP_ACT_{action}"), &architectures, rules),
    )
}

/// Where the profile's own numbers and values are; going over all numbers for each profile would take minutes.
fn calls_nearby(profile: &Seccomp, family: &Family) -> Vec<Call> {
    let values = boundaries(profile);
    let mut calls = Vec::new();
    for abi in family.abis {
        let named = profile.syscalls.iter().flat_map(|rule| rule.names.iter());
        let named = named.chain(["ipc", "socketcall"]);
        for number in named.filter_map(|name| family.table.find(name)?.number(abi.column)) {
            for number in [number.wrapping_sub(1), number, number + 1] {
                let shifted = |at: usize| values.iter().map(move |&value| (at, value));
                calls.extend((0..6).flat_map(shifted).map(|(at, value)| {
                    let mut call = call(abi.audit, number | abi.base, &[1, 2, 3, u64::MAX, 1 << 32, 0]);
                    call.arguments[at] = value;
                    call
                }));
                calls.extend(values.iter().map(|&value| call(abi.audit, number | abi.base, &[value; 6])));
            }
        }
    }
    calls
}

fn agrees(profile: &Seccomp, family: &Family) -> Result<(), TestCaseError> {
    let program = compiled(profile, family);
    for call in calls_nearby(profile, family) {
        let (got, want) =
            (simulate::run(program.instructions(), &call), oracle::evaluate(profile, family, &call));
        prop_assert_eq!(got, want, "{:x?}", call);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn any_profile_means_on_x86_what_its_rules_say(profile in any_profile()) {
        agrees(&profile, &X86)?;
    }

    #[test]
    fn any_profile_means_on_arm_what_its_rules_say(profile in any_profile()) {
        agrees(&profile, &ARM)?;
    }
}
