//! What docker's classic builder does not know: heredocs, links, modes, parents, exclusions, platforms, triggers.

use knarr_tests::{Scratch, require};

use crate::bed::Bed;

/// A Dockerfile behind `FROM base:1`, a command in its image, and what that says.
type Case = (&'static str, &'static str, &'static str);

const CASES: &[Case] = &[
    ("RUN <<EOF\necho a > /x\necho $0 >> /x\nEOF", "cat /x", "a\n/bin/sh"),
    ("RUN <<EOF cat > /x\none $HOME\nEOF", "cat /x", "one /root"),
    ("RUN cat <<A <<'B' > /x\na\nA\nb $HOME\nB", "cat /x", "b $HOME"),
    (
        "RUN <<EOF\n#!/bin/awk -f\nBEGIN { print \"awk\" > \"/x\" }\nEOF",
        "cat /x; ls -A /dev/pipes 2>&1 | grep -c EOF || true",
        "awk\n0",
    ),
    (
        "ENV v=1\nCOPY <<one <<\"two\" /d/\n$v\none\n$v\ntwo",
        "cat /d/one /d/two; stat -c %a /d/one",
        "1\n$v\n644",
    ),
    ("COPY <<-end /x\n\t\tindented\n\tend", "cat /x", "indented"),
    ("COPY --chmod=640 a /x", "stat -c '%a %u:%g' /x", "640 0:0"),
    ("COPY --chmod=u+x,go= --chown=ada a /x", "stat -c '%a %u:%g' /x", "700 1000:1001"),
    ("ENV m=600\nCOPY --chmod=$m a /x", "stat -c %a /x", "600"),
    ("COPY --parents d/sub/f a /x/", "cd /x && find . -type f | sort | tr '\\n' ' '", "./a ./d/sub/f "),
    ("COPY --parents ./d/./sub/f /x/", "cd /x && find . -type f", "./sub/f"),
    ("COPY --exclude=*.o --exclude=sub d /x/", "cd /x && find . -type f", "./keep"),
    ("COPY --link a /opt/link/x", "ls -ld /opt/link | cut -c1; cat /opt/link/x; ls /opt/real", "d\n1\nold"),
    ("COPY a /opt/link/x", "ls -ld /opt/link | cut -c1; cat /opt/real/x", "l\n1"),
    ("COPY --from=base:1 --chown=7:8 /opt/real /x", "stat -c %u:%g /x/old", "7:8"),
    ("RUN mkdir /o && touch /o/f && chown 5:6 /o/f", "stat -c %u:%g /o/f", "5:6"),
    (
        "ARG TARGETARCH\nARG BUILDPLATFORM\nRUN echo $TARGETARCH $BUILDPLATFORM > /x",
        "cat /x",
        "amd64 linux/amd64",
    ),
    ("RUN echo \"<$TARGETARCH>\" > /x", "cat /x", "<>"),
    (
        "ENV p=/usr/local/lib.tar.gz\nENV a=${p##*/} b=${p%%.*} c=${p//l/L}\nRUN echo $a $b $c > /x",
        "cat /x",
        "lib.tar.gz /usr/local/lib /usr/LocaL/Lib.tar.gz",
    ),
    ("RUN --network=none ls /sys/class/net > /x", "cat /x", "lo"),
    ("ADD --unpack=false t.tar /x/", "ls /x", "t.tar"),
    ("ADD t.tar /opt/link", "cat /opt/real/in", "packed"),
    ("USER ada\nWORKDIR /mine/deep\nRUN touch f", "stat -c %u:%g /mine /mine/deep", "1000:1001\n1000:1001"),
    ("COPY --chown=ada a /new/deep/f", "stat -c %u:%g /new /new/deep/f", "1000:1001\n1000:1001"),
    ("EXPOSE 8000-8002", "true", ""),
    ("COPY * /x/", "ls /x | tr '\\n' ' '", "Dockerfile a in keep sub t.tar x.o "),
];

#[test]
fn the_newer_language_does_what_it_says() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let bed = Bed::new(&scratch);
    for (number, (text, script, expected)) in CASES.iter().enumerate() {
        let name = format!("newer{number}");
        let dockerfile = format!("# syntax=docker/dockerfile:1.7-labs\nFROM base:1\n{text}\n");
        let files = [
            ("Dockerfile", dockerfile.as_str()),
            ("a", "1\n"),
            ("d/sub/f", ""),
            ("d/keep", ""),
            ("d/x.o", ""),
        ];
        let context = bed.context(&name, &files);
        std::fs::write(context.join("in"), "packed\n").expect("written");
        let mut tar = tar::Builder::new(std::fs::File::create(context.join("t.tar")).expect("made"));
        tar.append_path_with_name(context.join("in"), "in").and_then(|()| tar.finish()).expect("packed");
        let built = bed.build(&context, &["-t", &name]);
        assert_eq!(built.code(), 0, "{text}: {built}");
        // The last case shows the content of directories, without their names.
        assert_eq!(bed.run(&name, script), expected.trim_end_matches('\n'), "{text}");
    }
}

#[test]
fn triggers_of_a_base_run_once_and_layers_are_shared() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let bed = Bed::new(&scratch);
    let base = "FROM base:1\nONBUILD COPY a /a\nONBUILD RUN <<EOF\ncat /a > /b\nEOF\nONBUILD ENV t=1\n";
    bed.image("trigger", &[("Dockerfile", base)], &[]).success();
    let file = ("a", "from the second\n");
    bed.image("second", &[("Dockerfile", "FROM trigger\nRUN echo $t > /t"), file], &[]).success();
    assert_eq!(bed.run("second", "cat /b /t"), "from the second\n1");
    bed.image("third", &[("Dockerfile", "FROM second\nRUN true"), ("a", "x")], &[]).success();
    assert_eq!(bed.run("third", "cat /b"), "from the second");
    // Two ways to the same files have the same layers: an empty one that a mount was made for is the same as any other.
    let layers = |name: &str| bed.knarr().json(["image", "inspect", name])[0]["RootFS"]["Layers"].clone();
    let mounted = "FROM base:1\nRUN --mount=type=cache,target=/made/for/it true";
    bed.image("mounted", &[("Dockerfile", mounted)], &[]).success();
    bed.image("plain", &[("Dockerfile", "FROM base:1\nRUN true")], &[]).success();
    assert_eq!(layers("mounted"), layers("plain"));
}
