//! RUN's mounts, and that nothing of them is left in an image.

use knarr_tests::{Scratch, require};

use crate::bed::Bed;

#[test]
fn mounts_show_what_they_are_to_and_leave_nothing() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let bed = Bed::new(&scratch);
    let dockerfile = "FROM base:1 AS made\nRUN mkdir /from && echo stage > /from/x\n\
        FROM base:1\nWORKDIR /w\n\
        RUN --mount=target=/ctx,source=d cat /ctx/x > bound && ! touch /ctx/y\n\
        RUN --mount=target=rw,source=d,rw echo thrown > rw/away && cat rw/away\n\
        RUN --mount=from=made,target=/from,source=/from cat /from/x > staged\n\
        RUN --mount=from=made,target=/one,source=/from/x cat /one > file\n\
        RUN --mount=type=cache,target=/cache echo kept > /cache/k\n\
        RUN --mount=type=cache,target=/cache cat /cache/k > cached\n\
        RUN --mount=type=cache,id=/cache,target=/else,sharing=locked cat /else/k > again\n\
        RUN --mount=type=tmpfs,target=/memory,size=1m touch /memory/x && mount | grep /memory > tmpfs\n\
        RUN --mount=type=secret,id=token cat /run/secrets/token | wc -c > length && stat -c %a /run/secrets/token > mode\n\
        RUN --mount=type=secret,id=none test ! -e /run/secrets/none\n";
    let secret = scratch.join("token");
    std::fs::write(&secret, "s3cr3t-t0k3n").expect("written");
    let flag = format!("id=token,src={}", secret.display());
    let files = [("Dockerfile", dockerfile), ("d/x", "context\n")];
    let built = bed.image("m", &files, &["--secret", &flag]).success();
    assert!(!built.stderr.contains("s3cr3t"), "{built}");
    let said = bed.run("m", "cd /w; cat bound staged file cached again length mode; ls -A /w | tr '\\n' ' '");
    assert_eq!(
        said,
        "context\nstage\nstage\nkept\nkept\n12\n400\nagain bound cached file length mode staged tmpfs "
    );
    let places = "ls -d /ctx /from /one /cache /else /memory /run/secrets 2>/dev/null || true";
    let left = bed.run("m", places);
    assert_eq!(left, "", "mount points of RUN are in the image");
    // Neither in a file of knarrd's, nor in the image.
    let mut grep = std::process::Command::new("grep");
    grep.args(["-rla", "s3cr3t-t0k3n"]).arg(bed.daemon.root()).arg(bed.daemon.state());
    let found = knarr_tests::process::run(&mut grep);
    assert_eq!((found.code(), found.stdout.as_str()), (1, ""), "the secret is left somewhere");
}
