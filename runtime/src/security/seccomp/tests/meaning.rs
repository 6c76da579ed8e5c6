//! What rules mean, case by case.

use crate::security::seccomp::tests::*;

#[test]
fn an_unconditional_rule_decides_whatever_the_others_say() {
    for rules in [
        vec![errno(&["personality"], 5, &[arg(0, "EQ", 1)]), rule(&["personality"], "SCMP_ACT_ALLOW", &[])],
        vec![rule(&["personality"], "SCMP_ACT_ALLOW", &[]), errno(&["personality"], 5, &[arg(0, "EQ", 1)])],
    ] {
        let program = compiled(&profile("SCMP_ACT_ERRNO", &[], rules), &X86);
        assert_eq!(verdict(&program, X86_64, 135, &[1]), ALLOW);
    }
}

#[test]
fn the_first_of_two_unconditional_rules_wins() {
    let rules = vec![rule(&["setns"], "SCMP_ACT_ALLOW", &[]), errno(&["setns"], 5, &[])];
    let program = compiled(&profile("SCMP_ACT_ERRNO", &[], rules), &X86);
    assert_eq!(verdict(&program, X86_64, 308, &[]), ALLOW);
}

#[test]
fn a_rule_that_repeats_the_default_does_not_count() {
    let rules = vec![rule(&["setns"], "SCMP_ACT_ERRNO", &[]), rule(&["setns"], "SCMP_ACT_ALLOW", &[])];
    let program = compiled(&profile("SCMP_ACT_ERRNO", &[], rules), &X86);
    assert_eq!(verdict(&program, X86_64, 308, &[]), ALLOW);
}

#[test]
fn the_first_rule_that_holds_wins_among_those_with_arguments() {
    let rules =
        vec![errno(&["personality"], 6, &[arg(0, "EQ", 5)]), errno(&["personality"], 5, &[arg(0, "LT", 10)])];
    let program = compiled(&profile("SCMP_ACT_ERRNO", &[], rules), &X86);
    let verdicts = [4, 5, 10].map(|value| verdict(&program, X86_64, 135, &[value]));
    assert_eq!(verdicts, [ERRNO | 5, ERRNO | 6, ERRNO | 1]);
}

#[test]
fn all_arguments_of_a_rule_must_hold_but_repeated_ones_are_alternatives() {
    let both = vec![rule(&["mmap"], "SCMP_ACT_ALLOW", &[arg(0, "EQ", 1), arg(2, "GT", 7)])];
    let program = compiled(&profile("SCMP_ACT_ERRNO", &[], both), &X86);
    let verdicts =
        [[1, 0, 8], [1, 0, 7], [0, 0, 8]].map(|arguments| verdict(&program, X86_64, 9, &arguments));
    assert_eq!(verdicts, [ALLOW, ERRNO | 1, ERRNO | 1]);
    let either = vec![rule(&["mmap"], "SCMP_ACT_ALLOW", &[arg(0, "EQ", 1), arg(0, "EQ", 3)])];
    let program = compiled(&profile("SCMP_ACT_ERRNO", &[], either), &X86);
    let verdicts = [1, 2, 3].map(|value| verdict(&program, X86_64, 9, &[value]));
    assert_eq!(verdicts, [ALLOW, ERRNO | 1, ALLOW]);
}

#[test]
fn sixty_four_bits_are_compared_where_the_abi_has_them_and_thirty_two_elsewhere() {
    let rules = vec![rule(&["personality"], "SCMP_ACT_ALLOW", &[arg(0, "EQ", 8)])];
    let all = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"];
    let program = compiled(&profile("SCMP_ACT_ERRNO", &all, rules), &X86);
    let high = 8 | 1 << 40;
    assert_eq!(verdict(&program, X86_64, 135, &[high]), ERRNO | 1);
    assert_eq!(verdict(&program, I386, 136, &[high]), ALLOW);
    assert_eq!(verdict(&program, X86_64, 135 | 0x4000_0000, &[high]), ALLOW);
}

#[test]
fn calls_newer_than_the_profile_get_enosys_unless_the_default_lets_them_through() {
    let rules = |action| vec![rule(&["read", "openat2"], action, &[])];
    let strict = compiled(&profile("SCMP_ACT_KILL", &[], rules("SCMP_ACT_ALLOW")), &X86);
    let verdicts = [0, 1, 437, 438, 0x3fff_ffff].map(|number| verdict(&strict, X86_64, number, &[]));
    assert_eq!(verdicts, [ALLOW, 0, ALLOW, ERRNO | 38, ERRNO | 38]);
    let loose = compiled(&profile("SCMP_ACT_LOG", &[], rules("SCMP_ACT_TRAP")), &X86);
    assert_eq!(verdict(&loose, X86_64, 438, &[]), 0x7ffc_0000);
}

#[test]
fn a_door_to_a_call_that_the_profile_names_is_no_newer_call() {
    // i386 has no semop of its own: all that the profile has there is read (3) and ipc (117).
    let rules = vec![rule(&["read", "semop"], "SCMP_ACT_ALLOW", &[])];
    let program = compiled(&profile("SCMP_ACT_ERRNO", &["SCMP_ARCH_X86"], rules), &X86);
    let verdicts = [3, 4, 66, 116, 118, 400].map(|number| verdict(&program, I386, number, &[1]));
    let (refused, unknown) = (ERRNO | 1, ERRNO | 38);
    assert_eq!(verdicts, [ALLOW, refused, refused, refused, unknown, unknown]);
    assert_eq!([1, 2].map(|call| verdict(&program, I386, 117, &[call])), [ALLOW, refused]);
}

#[test]
fn architectures_that_are_not_listed_are_killed_and_the_native_one_is_always_listed() {
    let rules = vec![rule(&["read"], "SCMP_ACT_ALLOW", &[])];
    let program = compiled(&profile("SCMP_ACT_ALLOW", &[], rules), &X86);
    assert_eq!(verdict(&program, X86_64, 0, &[]), ALLOW);
    assert_eq!(verdict(&program, X86_64, 0x4000_0000, &[]), KILL_PROCESS);
    assert_eq!(verdict(&program, X86_64, u32::MAX, &[]), ALLOW, "a tracer skips calls by this number");
    assert_eq!(verdict(&program, I386, 3, &[]), KILL_PROCESS);
    assert_eq!(verdict(&program, AARCH64, 63, &[]), KILL_PROCESS);
}

#[test]
fn x32_calls_have_the_rules_of_their_names_when_x32_is_listed() {
    let rules = vec![rule(&["execve", "read"], "SCMP_ACT_ALLOW", &[])];
    let program = compiled(&profile("SCMP_ACT_ERRNO", &["SCMP_ARCH_X32"], rules), &X86);
    assert_eq!(verdict(&program, X86_64, 0x4000_0000 | 520, &[]), ALLOW);
    assert_eq!(verdict(&program, X86_64, 0x4000_0000 | 59, &[]), ERRNO | 1);
    assert_eq!(verdict(&program, X86_64, 59, &[]), ALLOW);
    assert_eq!(verdict(&program, X86_64, 520, &[]), ERRNO | 38);
}

#[test]
fn what_is_forbidden_is_forbidden_behind_socketcall_and_ipc_too() {
    let rules = vec![errno(&["socket"], 13, &[arg(0, "EQ", 38)]), errno(&["shmget"], 13, &[])];
    let program = compiled(&profile("SCMP_ACT_ALLOW", &["SCMP_ARCH_X86"], rules), &X86);
    assert_eq!(verdict(&program, I386, 102, &[1]), ERRNO | 13);
    assert_eq!(verdict(&program, I386, 102, &[2]), ALLOW);
    // ipc's upper half is a version that does not select the call.
    assert_eq!(verdict(&program, I386, 117, &[23 | 1 << 16]), ERRNO | 13);
    assert_eq!(verdict(&program, I386, 117, &[24]), ALLOW);
}

#[test]
fn what_is_permitted_for_some_arguments_is_not_permitted_behind_socketcall() {
    let rules =
        vec![rule(&["socket"], "SCMP_ACT_ALLOW", &[arg(0, "EQ", 2)]), rule(&["bind"], "SCMP_ACT_ALLOW", &[])];
    let program = compiled(&profile("SCMP_ACT_ERRNO", &["SCMP_ARCH_X86"], rules), &X86);
    assert_eq!(verdict(&program, I386, 359, &[2]), ALLOW);
    assert_eq!(verdict(&program, I386, 102, &[1]), ERRNO | 1);
    assert_eq!(verdict(&program, I386, 102, &[2]), ALLOW);
}

#[test]
fn every_action_becomes_the_kernels_value() {
    for (action, value) in [
        ("SCMP_ACT_ALLOW", 0x7fff_0000),
        ("SCMP_ACT_LOG", 0x7ffc_0000),
        ("SCMP_ACT_TRACE", 0x7ff0_0001),
        ("SCMP_ACT_NOTIFY", 0x7fc0_0000),
        ("SCMP_ACT_ERRNO", 0x0005_0001),
        ("SCMP_ACT_TRAP", 0x0003_0000),
        ("SCMP_ACT_KILL", 0),
        ("SCMP_ACT_KILL_THREAD", 0),
        ("SCMP_ACT_KILL_PROCESS", 0x8000_0000),
    ] {
        let mut asked = profile("SCMP_ACT_ERRNO", &[], vec![rule(&["getpid"], action, &[])]);
        asked.default_errno_ret = Some(2);
        asked.listener_path = "/agent".to_owned();
        assert_eq!(verdict(&compiled(&asked, &X86), X86_64, 39, &[]), value, "{action}");
    }
}

#[test]
fn names_that_no_kernel_has_are_ignored() {
    let rules = vec![rule(&["no_such_call", "getpid"], "SCMP_ACT_ALLOW", &[])];
    let program = compiled(&profile("SCMP_ACT_ERRNO", &[], rules), &X86);
    assert_eq!(verdict(&program, X86_64, 39, &[]), ALLOW);
}

#[test]
fn flags_become_the_kernels_bits() {
    let with = |flags: Option<&[&str]>, action: &str| {
        let mut asked = profile("SCMP_ACT_ALLOW", &[], vec![rule(&["mkdir"], action, &[])]);
        asked.flags =
            flags.map(|flags| flags.iter().map(|flag| format!("SECCOMP_FILTER_FLAG_{flag}")).collect());
        asked.listener_path = "/agent".to_owned();
        compiled(&asked, &X86).flags()
    };
    assert_eq!(with(None, "SCMP_ACT_TRAP"), 4);
    assert_eq!(with(Some(&[]), "SCMP_ACT_TRAP"), 0);
    assert_eq!(with(Some(&["LOG", "SPEC_ALLOW", "TSYNC"]), "SCMP_ACT_TRAP"), 6);
    assert_eq!(with(Some(&["WAIT_KILLABLE_RECV"]), "SCMP_ACT_TRAP"), 0);
    assert_eq!(with(Some(&["WAIT_KILLABLE_RECV"]), "SCMP_ACT_NOTIFY"), 8 | 32);
}
