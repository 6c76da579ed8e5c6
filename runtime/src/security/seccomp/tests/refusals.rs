//! Profiles that are refused, each with the JSON path of what is wrong.

use crate::security::seccomp::tests::*;

fn refusal(change: impl FnOnce(&mut Seccomp)) -> String {
    let mut asked =
        profile("SCMP_ACT_ALLOW", &[], vec![rule(&["mkdir"], "SCMP_ACT_TRAP", &[arg(0, "EQ", 1)])]);
    change(&mut asked);
    compile_for(&asked, &X86).unwrap_err().to_string()
}

#[test]
fn unknown_words_are_refused() {
    assert_eq!(
        refusal(|it| it.default_action = "SCMP_ACT_NO".to_owned()),
        "linux.seccomp.defaultAction: string SCMP_ACT_NO is not a valid action for seccomp"
    );
    assert_eq!(
        refusal(|it| it.syscalls[0].action = String::new()),
        "linux.seccomp.syscalls[0].action: string  is not a valid action for seccomp"
    );
    assert_eq!(
        refusal(|it| it.syscalls[0].args[0].op = "==".to_owned()),
        "linux.seccomp.syscalls[0].args[0].op: string == is not a valid operator for seccomp"
    );
    assert_eq!(
        refusal(|it| it.architectures = vec!["SCMP_ARCH_X86".to_owned(), "x86".to_owned()]),
        "linux.seccomp.architectures[1]: string x86 is not a valid arch for seccomp"
    );
    assert_eq!(
        refusal(|it| it.flags = Some(vec!["LOG".to_owned()])),
        "linux.seccomp.flags[0]: seccomp flag LOG is not known"
    );
}

#[test]
fn values_out_of_range_are_refused() {
    assert_eq!(
        refusal(|it| it.syscalls[0].args[0].index = 6),
        "linux.seccomp.syscalls[0].args[0].index: 6 is not within 0 to 5"
    );
    assert_eq!(
        refusal(|it| it.syscalls[0] = errno(&["mkdir"], 0x1_0000, &[])),
        "linux.seccomp.syscalls[0].action: errno 65536 is larger than 65535"
    );
    assert_eq!(
        refusal(|it| it.syscalls[0].errno_ret = Some(1)),
        "linux.seccomp.syscalls[0].action: SCMP_ACT_TRAP takes no errno, remove errnoRet"
    );
    assert_eq!(
        refusal(|it| it.syscalls[0].names = [].into_iter().collect()),
        "linux.seccomp.syscalls[0].names: empty string is not a valid syscall, and at least one is required"
    );
}

#[test]
fn notifications_that_could_not_be_answered_are_refused() {
    assert_eq!(
        refusal(|it| it.default_action = "SCMP_ACT_NOTIFY".to_owned()),
        "linux.seccomp.defaultAction: SCMP_ACT_NOTIFY cannot be used as default action"
    );
    assert_eq!(
        refusal(|it| it.syscalls[0] = rule(&["read", "write"], "SCMP_ACT_NOTIFY", &[])),
        "linux.seccomp.syscalls[0]: SCMP_ACT_NOTIFY cannot be used for the write syscall"
    );
    assert_eq!(
        refusal(|it| it.syscalls[0] = rule(&["read"], "SCMP_ACT_NOTIFY", &[])),
        "linux.seccomp.listenerPath is required by SCMP_ACT_NOTIFY"
    );
}

#[test]
fn the_kernels_limit_of_instructions_is_kept() {
    let with = |rules: u64| {
        let rules =
            (0..rules).map(|value| rule(&["mkdir"], "SCMP_ACT_TRAP", &[arg(0, "EQ", value << 32 | value)]));
        compile_for(&profile("SCMP_ACT_ALLOW", &[], rules.collect()), &X86)
    };
    let largest = (900..1024).rev().find_map(|rules| with(rules).ok()).unwrap();
    assert!((4000..=4096).contains(&largest.instructions().len()), "{}", largest.instructions().len());
    for rules in [1100, 100_000] {
        let error = with(rules).unwrap_err().to_string();
        assert!(error.starts_with("linux.seccomp needs more than 4096 BPF instructions"), "{error}");
    }
}
