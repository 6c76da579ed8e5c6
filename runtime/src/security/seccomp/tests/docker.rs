//! The profile that most containers run under: Docker's, for its default capabilities, as of 2026.

use crate::security::seccomp::tests::*;

/// `docker.json` beside this file, the `linux.seccomp` of a container.
pub(super) fn profile() -> Seccomp {
    serde_json::from_str(include_str!("docker.json")).unwrap()
}

#[test]
fn every_call_of_every_architecture_gets_what_the_rules_say() {
    agrees_with_oracle(&profile(), &X86);
    agrees_with_oracle(&profile(), &ARM);
}

#[test]
fn the_ways_out_of_a_container_are_closed() {
    let program = compiled(&profile(), &X86);
    let denied = ERRNO | 1;
    let x32 = 0x4000_0000;
    for (name, number) in
        [("mount", 165), ("bpf", 321), ("io_uring_setup", 425), ("keyctl", 250), ("unshare", 272)]
    {
        assert_eq!(verdict(&program, X86_64, number, &[]), denied, "{name}");
        assert_eq!(verdict(&program, X86_64, number | x32, &[]), denied, "{name} through x32");
    }
    assert_eq!(verdict(&program, I386, 21, &[]), denied, "mount through int 0x80");
    assert_eq!(verdict(&program, X86_64, 435, &[]), ERRNO | 38, "clone3");
    let socket = [38, 39, 40, 41].map(|family| verdict(&program, X86_64, 41, &[family]));
    assert_eq!(socket, [denied, ALLOW, denied, ALLOW], "AF_ALG and AF_VSOCK are denied");
    assert_eq!(verdict(&program, I386, 102, &[1]), denied, "socketcall hides the address family");
    let new_user_namespace = 0x1000_0000;
    assert_eq!(verdict(&program, X86_64, 56, &[new_user_namespace]), denied, "clone");
    assert_eq!(verdict(&program, X86_64, 56, &[0x11]), ALLOW, "fork");
    assert_eq!(verdict(&program, X86_64, 600, &[]), ERRNO | 38, "calls of the future");
}

#[test]
fn the_program_stays_small_and_quick_to_compile() {
    let profile = profile();
    let program = compiled(&profile, &X86);
    assert!(program.instructions().len() < 700, "{}", program.instructions().len());
}
