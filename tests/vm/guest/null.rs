//! tests/security/runtime_null.rs on the machine's own node, where a Linux before 5.12 knows no mount_setattr.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Stdio;

use knarr_tests::{Bundle, Runtime, Scratch, process};
use serde_json::json;

use crate::Check;

pub(crate) const V2: &[Check] =
    &[("a_given_dev_without_a_null_leaves_the_hosts_as_it_is", a_given_dev_without_a_null)];

const ATTACK: &str = "for stream in 0 1 2; do chmod 600 /proc/self/fd/$stream; chown 7:7 /proc/self/fd/$stream; \
                      touch -d @0 /proc/self/fd/$stream; done; echo told && cat && touch /dev/attacked";

fn a_given_dev_without_a_null() {
    let scratch = Scratch::new();
    let given = scratch.directory("dev");
    let bundle = Bundle::busybox(&scratch, "given").script(ATTACK).edit(|config| {
        let mounts = config["mounts"].as_array_mut().expect("a list");
        mounts.retain(|mount| !mount["destination"].as_str().unwrap_or_default().starts_with("/dev"));
        mounts.push(
            json!({ "destination": "/dev", "type": "bind", "source": given, "options": ["bind", "rw"] }),
        );
    });
    let facts = || {
        let node = fs::metadata("/dev/null").expect("the node");
        (node.uid(), node.gid(), node.mode(), node.mtime())
    };
    let before = facts();
    let mut run = Runtime::new(&scratch).verb("run", &bundle);
    run.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let status = process::run_as_it_is(&mut run);
    assert!(status.success() && given.join("attacked").exists(), "it did not attack: {status}");
    assert_eq!(facts(), before);
}
