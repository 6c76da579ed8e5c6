//! Command lines, good and bad, as runc's users and callers know them: exit codes, and what is said where.

use knarr_tests::{Bundle, Runtime, Scratch, process, require};

/// The child waits until it may go on; it is ended before it can take the end of its creator's work for that of its creator.
#[test]
fn a_create_that_fails_late_says_why_and_nothing_else() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let bundle = Bundle::busybox(&scratch, "one");
    for _ in 0..20 {
        let mut create = runtime.verb("create", &bundle);
        let said = process::run(create.arg("--pid-file").arg("/nonexistent/pid")).exits_with(1).stderr;
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(said.contains("cannot write the pid file"), "{said}");
    }
}
