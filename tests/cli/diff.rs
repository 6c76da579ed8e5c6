//! `knarr diff`: what a container has changed of its image's files.

use knarr_tests::{Daemon, Scratch, require};

use crate::busybox::{self, NAME};

#[test]
fn changes_of_files_are_told_with_dockers_letters() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let knarr = daemon.knarr();
    busybox::load(&scratch, &knarr);
    knarr.say(["create", "--name", "new", NAME, "true"]);
    assert_eq!(knarr.call(["diff", "new"]).success().stdout, "", "what has not run has changed nothing");
    knarr.say(["start", "-a", "new"]);
    assert_eq!(knarr.call(["diff", "new"]).success().stdout, "", "what it was given is not its change");
    let script = "mkdir -p /a/b; echo x >/a/b/c; rm /etc/group; echo y >>/etc/passwd; mkdir /tmp/d; rmdir /tmp/d; \
                  printf '' >\"$(printf '/a/n\\nl\\033')\"";
    knarr.say(["run", "-d", "--name", "web", NAME, "sleep", "600"]);
    knarr.call(["exec", "web", "sh", "-c", script]).success();
    let wanted = "A /a\nA /a/b\nA /a/b/c\nA /a/n\\nl\\u{1b}\nC /etc\nD /etc/group\nC /etc/passwd\nC /tmp\n";
    assert_eq!(knarr.call(["diff", "web"]).success().stdout, wanted, "while it runs");
    knarr.call(["stop", "-t", "0", "web"]).success();
    assert_eq!(knarr.call(["container", "diff", "web"]).success().stdout, wanted, "and when it has ended");
    let outcome = knarr.call(["diff", "nobody"]).exits_with(1);
    assert_eq!(outcome.stderr, "knarr: no such container: nobody\n");
}
