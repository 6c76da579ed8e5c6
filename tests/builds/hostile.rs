//! B01 to B04: contexts and Dockerfiles by somebody who wants out. A canary outside must stay as it is, and unread.

use std::fs;
use std::os::unix::fs::symlink;

use knarr_tests::{Scratch, require};

use crate::bed::{BASE, Bed, write};

const SECRET: &str = "of-the-host-alone";

/// Instructions that try to reach what is outside of the context, or of an image.
const ATTACKS: &[&str] = &[
    // Sources: links of the context, of another image, and names that climb.
    "COPY link /x",
    "COPY link/canary /x",
    "COPY deep /x",
    "COPY deep/canary /x",
    "COPY file /x",
    "ADD file /x",
    "COPY {out}/canary /x",
    "COPY {deep}/canary /x",
    "COPY * /x/",
    "COPY d /x/",
    "COPY li*/canary /x/",
    "COPY --parents link/./canary /x/",
    "COPY --parents {deep}/canary /x/",
    "COPY --from=made /link/canary /x",
    "COPY --from=made /file /x",
    "COPY --from=made / /x/",
    "COPY --from=base:1 {out}/canary /x",
    // Mounts.
    "RUN --mount=target=/m,source=link cat /m/canary",
    "RUN --mount=target=/m,source=file cat /m",
    "RUN --mount=target=/m,source=deep cat /m/canary",
    "RUN --mount=target=/m,source={deep} cat /m/canary",
    "RUN --mount=target=/m,source=link,rw cat /m/canary",
    "RUN --mount=target=/m,from=made,source=/link cat /m/canary",
    "RUN --mount=target=/m,source={out} cat /m/canary",
    "RUN --mount=target=/m cat /m/link/canary",
    "RUN --mount=type=cache,id={deep},target=/m cat /m/canary",
    "RUN --mount=type=cache,from=made,source=/link,target=/m cat /m/canary",
];

#[test]
fn no_link_of_a_context_or_an_image_leads_out() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let bed = Bed::new(&scratch);
    let outside = scratch.directory("outside");
    fs::write(outside.join("canary"), SECRET).expect("written");
    let (out, canary) = (outside.to_str().expect("text").to_owned(), format!("{}/canary", outside.display()));
    let deep = "../".repeat(40) + outside.strip_prefix("/").expect("absolute").to_str().expect("text");
    let attacks: Vec<String> =
        ATTACKS.iter().map(|line| line.replace("{out}", &out).replace("{deep}", &deep)).collect();
    let head = format!("FROM base:1 AS made\nRUN ln -s {out} /link && ln -s {canary} /file\nFROM base:1\n");
    for (number, attack) in attacks.iter().enumerate() {
        let context = bed.context(&format!("out{number}"), &[("d/x", "")]);
        symlink(&outside, context.join("link")).expect("linked");
        symlink(&deep, context.join("deep")).expect("linked");
        symlink(&canary, context.join("file")).expect("linked");
        symlink(&outside, context.join("d/link")).expect("linked");
        fs::write(context.join("Dockerfile"), format!("{head}{attack}\n")).expect("written");
        let name = format!("out{number}");
        let built = bed.build(&context, &["-t", &name]);
        assert!(!built.stderr.contains(SECRET), "{attack}: {built}");
        if built.code() == 0 {
            let found = bed.run(&name, &format!("grep -rs {SECRET} /x /m /etc 2>/dev/null | head -1"));
            assert_eq!(found, "", "{attack}");
        }
    }
}

#[test]
fn nothing_is_written_through_a_link_of_the_image() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let bed = Bed::new(&scratch);
    let outside = scratch.directory("outside");
    fs::write(outside.join("canary"), SECRET).expect("written");
    let (out, canary) = (outside.to_str().expect("text").to_owned(), format!("{}/canary", outside.display()));
    let targets =
        ["/link/canary", "/link/", "/file", "/link/new", "/abs/../link/canary", "/../../../../{out}/canary"];
    for (number, target) in targets.iter().enumerate() {
        let target = target.replace("{out}", out.trim_start_matches('/'));
        for (kind, line) in [
            ("c", format!("COPY canary {target}")),
            ("a", format!("ADD canary.tar {target}")),
            ("w", format!("WORKDIR {target}x\nRUN touch made")),
            ("l", format!("COPY --link canary {target}")),
        ] {
            let context = bed.context(&format!("in{kind}{number}"), &[("canary", "overwritten")]);
            let mut tar = tar::Builder::new(fs::File::create(context.join("canary.tar")).expect("made"));
            tar.append_path_with_name(context.join("canary"), "canary").expect("packed");
            tar.finish().expect("packed");
            let head = format!("FROM base:1\nRUN ln -s {out} /link && ln -s {canary} /file\n");
            fs::write(context.join("Dockerfile"), format!("{head}{line}\n")).expect("written");
            bed.build(&context, &[]);
            assert_eq!(fs::read_to_string(outside.join("canary")).expect("there"), SECRET, "{line}");
            assert_eq!(fs::read_dir(&outside).expect("listed").count(), 1, "{line}");
        }
    }
    // The control: the same copy does read a file that is in the context.
    let context =
        bed.context("control", &[("Dockerfile", "FROM base:1\nCOPY f /x\nRUN cat /x"), ("f", SECRET)]);
    assert!(bed.build(&context, &[]).success().stderr.contains(SECRET));
}

#[test]
fn contexts_that_are_no_honest_tar_leave_nothing() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let bed = Bed::new(&scratch);
    let outside = scratch.directory("outside");
    let entry = |kind: tar::EntryType, path: &[u8], link: &str| {
        let mut header = tar::Header::new_ustar();
        header.as_old_mut().name[..path.len()].copy_from_slice(path);
        header.set_entry_type(kind);
        header.set_mode(0o777);
        header.set_size(0);
        if !link.is_empty() {
            header.set_link_name(link).expect("a link");
        }
        header.set_cksum();
        header.as_bytes().to_vec()
    };
    let dockerfile = {
        let text = b"FROM base:1\nCOPY . /x\n";
        let mut header = tar::Header::new_ustar();
        header.set_path("Dockerfile").expect("a path");
        header.set_size(text.len() as u64);
        header.set_cksum();
        [header.as_bytes().as_slice(), text, &[0; 512][text.len()..]].concat()
    };
    use tar::EntryType as T;
    let out = outside.to_str().expect("text");
    for (what, entries) in [
        ("a name that climbs", vec![entry(T::Regular, b"../../../../tmp/knarr-out", "")]),
        (
            "a link, then a file through it",
            vec![entry(T::Symlink, b"l", out), entry(T::Regular, b"l/made", "")],
        ),
        ("a hard link to the host", vec![entry(T::Link, b"h", "/etc/passwd")]),
        ("a link for a Dockerfile", vec![entry(T::Symlink, b"Dockerfile", "/etc/passwd")]),
        ("a device for a Dockerfile", vec![entry(T::Char, b"Dockerfile", "")]),
        ("a pipe for a Dockerfile", vec![entry(T::Fifo, b"Dockerfile", "")]),
        ("a link for an ignore file", vec![entry(T::Symlink, b".dockerignore", "/etc/passwd")]),
        ("rubbish", vec![vec![7; 512]]),
    ] {
        let tar = [dockerfile.clone(), entries.concat(), vec![0; 1024]].concat();
        let mut build = bed.knarr().command(["build", "-"]);
        let built = knarr_tests::process::run_with_input(&mut build, &tar);
        assert_eq!(fs::read_dir(&outside).expect("listed").count(), 0, "{what}: {built}");
        assert!(!built.stderr.contains("root:"), "{what}: {built}");
    }
    let left = fs::read_dir(bed.daemon.root().join("builds")).expect("listed").count();
    assert_eq!(left, 0, "contexts are left");
}

#[test]
fn what_is_ignored_is_seen_by_no_instruction() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let bed = Bed::new(&scratch);
    let ignore = "*.key\n!public.key\nsecret\n**/inner\nDockerfile\n.dockerignore\n";
    let dockerfile = "FROM base:1\nCOPY . /x/\nRUN --mount=target=/m find /m /x -type f | sort > /all\n";
    let context = bed.context("ignored", &[("Dockerfile", dockerfile), (".dockerignore", ignore)]);
    write(&context, &[("a.key", ""), ("public.key", ""), ("secret/x", ""), ("d/inner/y", ""), ("d/z", "")]);
    bed.build(&context, &["-t", "ignored"]).success();
    assert_eq!(bed.run("ignored", "cat /all | tr '\\n' ' '"), "/m/d/z /m/public.key /x/d/z /x/public.key ");
    // A context that comes as a tar says so itself.
    let mut tar = tar::Builder::new(Vec::new());
    tar.append_dir_all(".", &context).expect("packed");
    let mut build = bed.knarr().command(["build", "-t", "tar", "-"]);
    knarr_tests::process::run_with_input(&mut build, &tar.into_inner().expect("a tar")).success();
    assert_eq!(bed.run("tar", "cat /all | tr '\\n' ' '"), "/m/d/z /m/public.key /x/d/z /x/public.key ");
}

#[test]
fn a_mount_point_that_became_a_link_is_not_cleared_through_it() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let bed = Bed::new(&scratch);
    let outside = scratch.directory("outside");
    fs::create_dir(outside.join("m")).expect("made");
    fs::write(outside.join("empty"), "").expect("written");
    let out = outside.to_str().expect("text");
    for (number, line) in [
        format!("RUN --mount=type=cache,target=/s/m mv /s /t && ln -s {out} /s"),
        format!("RUN --mount=type=cache,target=/s/m --mount=type=tmpfs,target=/s/n mv /s /t && ln -s {out} /s && ls /s"),
        format!("RUN --mount=type=secret,id=x,target=/q/empty mv /q /t; ln -s {out} /q"),
        format!("RUN mv /etc /e && ln -s {out} /etc"),
    ]
    .iter()
    .enumerate()
    {
        let dockerfile = format!("FROM base:1\n{line}\n");
        fs::write(scratch.join("x"), "s").expect("written");
        let secret = format!("id=x,src={}", scratch.join("x").display());
        bed.image(&format!("stub{number}"), &[("Dockerfile", &dockerfile)], &["--secret", &secret]);
        assert!(outside.join("m").is_dir() && outside.join("empty").is_file(), "{line}");
    }
}

#[test]
fn an_image_that_claims_a_step_s_history_is_not_its_result() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let bed = Bed::new(&scratch);
    let honest = "FROM base:1\nRUN echo honest > /it";
    bed.image("honest", &[("Dockerfile", honest)], &[]).success();
    // The same history, upon other files.
    bed.image("other", &[("Dockerfile", "FROM base:1\nRUN echo other > /base")], &[]).success();
    bed.knarr().say(["tag", "other", BASE]);
    let built = bed.image("again", &[("Dockerfile", honest)], &[]).success();
    assert!(!built.stderr.contains("CACHED"), "{built}");
    assert_eq!(bed.run("again", "cat /it /base"), "honest\nother");
}
