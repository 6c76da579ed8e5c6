//! Against rust-vmm's seccompiler, for what it can express: one architecture, one action besides the default, and no
//! ENOSYS for newer calls (so that the default has to be permissive).

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use crate::security::seccomp::tests::*;
use crate::sys::seccomp::Instruction;
use ::seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch,
};

const NAMES: [&str; 6] = ["read", "clone", "personality", "socket", "futex", "mmap"];

fn operator(name: &str, mask: u64) -> SeccompCmpOp {
    match name {
        "EQ" => SeccompCmpOp::Eq,
        "NE" => SeccompCmpOp::Ne,
        "LT" => SeccompCmpOp::Lt,
        "LE" => SeccompCmpOp::Le,
        "GT" => SeccompCmpOp::Gt,
        "GE" => SeccompCmpOp::Ge,
        _ => SeccompCmpOp::MaskedEq(mask),
    }
}

type Condition = (u32, &'static str, u64, u64);

fn theirs(rules: &[(&str, Vec<Condition>)]) -> Vec<Instruction> {
    let mut calls: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    for (name, conditions) in rules {
        let number = X86.table.find(name).unwrap().number(0).unwrap();
        let conditions: Vec<_> = conditions
            .iter()
            .map(|&(index, op, value, two)| {
                let (mask, value) = if op == "MASKED_EQ" { (value, two & value) } else { (0, value) };
                SeccompCondition::new(index as u8, SeccompCmpArgLen::Qword, operator(op, mask), value)
                    .unwrap()
            })
            .collect();
        calls.entry(number.into()).or_default().push(SeccompRule::new(conditions).unwrap());
    }
    let filter =
        SeccompFilter::new(calls, SeccompAction::Allow, SeccompAction::Errno(13), TargetArch::x86_64)
            .unwrap();
    let program: BpfProgram = filter.try_into().unwrap();
    program.iter().map(|it| Instruction { code: it.code, jt: it.jt, jf: it.jf, k: it.k }).collect()
}

fn ours(rules: &[(&str, Vec<Condition>)]) -> Seccomp {
    let rules = rules.iter().map(|(name, conditions)| {
        let checks: Vec<_> = conditions
            .iter()
            .map(|&(index, op, value, two)| ArgCheck { value_two: two & value, ..arg(index, op, value) })
            .collect();
        errno(&[name], 13, &checks)
    });
    profile("SCMP_ACT_ALLOW", &[], rules.collect())
}

fn condition() -> impl Strategy<Value = (&'static str, u64, u64)> {
    let value = || prop_oneof![0..4u64, select(vec![u64::from(u32::MAX), 1 << 32, u64::MAX]), any::<u64>()];
    (select(vec!["EQ", "NE", "LT", "LE", "GT", "GE", "MASKED_EQ"]), value(), value())
}

fn rules() -> impl Strategy<Value = Vec<(&'static str, Vec<Condition>)>> {
    let conditions = subsequence(vec![0u32, 1, 2, 3, 4, 5], 1..4).prop_flat_map(|indexes| {
        let count = indexes.len();
        proptest::collection::vec(condition(), count).prop_map(move |conditions| {
            let pairs = indexes.iter().zip(conditions);
            pairs.map(|(&index, (op, value, two))| (index, op, value, two)).collect::<Vec<_>>()
        })
    });
    proptest::collection::vec((select(&NAMES[..]), conditions), 1..8)
}

proptest! {
    #[test]
    fn seccompiler_gives_the_same_verdicts(rules in rules()) {
        let asked = ours(&rules);
        let (ours, theirs) = (compiled(&asked, &X86), theirs(&rules));
        let values = boundaries(&asked);
        for name in NAMES {
            let number = X86.table.find(name).unwrap().number(0).unwrap();
            for at in 0..6 {
                for &value in &values {
                    let mut call = call(X86_64, number, &[1, 2, 3, u64::MAX, 1 << 32, 0]);
                    call.arguments[at] = value;
                    let (ours, theirs) = (simulate::run(ours.instructions(), &call), simulate::run(&theirs, &call));
                    prop_assert_eq!(ours, theirs, "{:x?}", call);
                }
            }
        }
    }
}
