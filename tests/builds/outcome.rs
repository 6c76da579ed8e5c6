//! What a build says and leaves: output, ids, errors with their place.

use std::fs;

use knarr_tests::{Scratch, process, require};

use crate::bed::Bed;

#[test]
fn a_file_with_every_kind_of_step_is_built_and_runs() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let bed = Bed::new(&scratch);
    let dockerfile = "FROM base:1 AS first\nARG WHO=nobody\nENV A=1 B=\"two words\"\nWORKDIR /w\nCOPY a b/ /w/\n\
        RUN echo \"$WHO $A $B\" > said && echo out && echo err >&2\nFROM base:1\nCOPY --from=first /w/said /said\n\
        LABEL x.y=z\nEXPOSE 80 53/udp\nUSER ada\nVOLUME /data\nSTOPSIGNAL SIGINT\nCMD [\"cat\", \"/said\"]\n";
    let files = [("Dockerfile", dockerfile), ("a", "1"), ("b/c", "2")];
    let iid = scratch.join("iid");
    let built = bed.image(
        "one",
        &files,
        &["--build-arg", "WHO=me", "--label", "l=m", "--iidfile", iid.to_str().expect("text")],
    );
    let said = built.success().stderr;
    for line in ["[first 6/14] RUN echo", " out\n", " err\n", "CACHED"] {
        assert_eq!(said.contains(line), line != "CACHED", "{line}: {said}");
    }
    assert_eq!(bed.knarr().say(["run", "--rm", "--network", "none", "one"]), "me 1 two words");
    let config = bed.config("one");
    assert_eq!(config["User"], "ada");
    assert_eq!(config["Labels"]["x.y"], "z");
    assert_eq!(config["Labels"]["l"], "m");
    assert_eq!(config["StopSignal"], "SIGINT");
    let id = bed.knarr().json(["image", "inspect", "one"])[0]["Id"].as_str().expect("an id").to_owned();
    assert_eq!(fs::read_to_string(iid).expect("written"), id);
    // The same again is the same image, and nothing is made.
    let again = bed
        .build(&scratch.join("context-one"), &["-q", "-t", "one", "--build-arg", "WHO=me", "--label", "l=m"]);
    assert_eq!(again.success().stdout.trim(), id);
}

#[test]
fn a_mistake_is_told_with_its_place_and_nothing_is_made() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let bed = Bed::new(&scratch);
    for (number, (dockerfile, told)) in [
        ("FROM base:1\nNOPE x", "Dockerfile: parse error on line 2: unknown instruction: NOPE (column 1 of: NOPE x)"),
        ("FROM base:1\nCOPY absent /", "line 2: file not found in the context or left out by .dockerignore: stat absent: file does not exist"),
        ("FROM base:1\nCOPY --from=base:1 absent /", "\"absent\": not found in base:1"),
        ("FROM base:1\nCOPY ../../etc/passwd /x", "stat ../../etc/passwd: file does not exist"),
        ("FROM base:1\nRUN exit 7", "did not complete successfully: exit code: 7"),
        ("FROM base:1\nENV a=${b?gone}", "line 2: b: gone (column 7 of"),
        ("FROM base:1\nCOPY --chown=nobody a /", "nobody"),
        ("FROM base:1\nADD http://example.invalid/x /", "http://example.invalid/x cannot be added"),
        ("FROM base:1\nEXPOSE eighty", "invalid port \"eighty\""),
        ("FROM base:1\nCOPY a b c", "the destination must be a directory and end with a /"),
        ("FROM base:1\nRUN --mount=type=ssh x", "type=ssh is not supported"),
        ("FROM base:1\nRUN --mount=type=secret,id=s,required cat /run/secrets/s", "the secret s is required"),
        ("FROM base:1\nRUN /bin/absent", "exit code: 127"),
        ("FROM base:1\nRUN [\"/bin/absent\"]", "/bin/absent"),
    ]
    .into_iter()
    .enumerate()
    {
        let built = bed.image(&format!("bad{number}"), &[("Dockerfile", dockerfile), ("a", "")], &[]);
        assert!(built.code() == 1 && built.stderr.contains(told), "{dockerfile}: {built}");
    }
    assert_eq!(bed.knarr().say(["images", "-q", "-a"]).lines().count(), 1, "only the base is there");
    let nothing = bed.build(&bed.context("empty", &[("a", "")]), &[]);
    assert!(nothing.stderr.contains("cannot read the Dockerfile"), "{nothing}");
}

#[test]
fn a_dockerfile_or_a_context_may_come_from_standard_input() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let bed = Bed::new(&scratch);
    let text = b"FROM base:1\nRUN echo piped > /it";
    let mut build = bed.knarr().command(["build", "-t", "piped", "-"]);
    process::run_with_input(&mut build, text).success();
    assert_eq!(bed.run("piped", "cat /it"), "piped");
    let context = bed.context("c", &[("a", "of the context")]);
    let mut build = bed.knarr().command(["build", "-t", "both", "-f", "-", context.to_str().expect("text")]);
    process::run_with_input(&mut build, b"FROM base:1\nCOPY a /a").success();
    assert_eq!(bed.run("both", "cat /a"), "of the context");
    let mut tar = tar::Builder::new(Vec::new());
    tar.append_dir_all(".", &context).expect("packed");
    let mut header = tar::Header::new_ustar();
    let text = b"FROM base:1\nCOPY a /b";
    header.set_size(text.len() as u64);
    tar.append_data(&mut header, "sub/My.file", &text[..]).expect("packed");
    let tar = tar.into_inner().expect("a tar");
    let mut build = bed.knarr().command(["build", "-t", "tar", "-f", "sub/My.file", "-"]);
    process::run_with_input(&mut build, &tar).success();
    assert_eq!(bed.run("tar", "cat /b"), "of the context");
    let outside = scratch.join("Outside");
    fs::write(&outside, "FROM base:1\nCOPY a /c").expect("written");
    bed.build(&context, &["-t", "out", "-f", outside.to_str().expect("text")]).success();
    assert_eq!(bed.run("out", "cat /c"), "of the context");
}

#[test]
fn a_source_date_makes_the_same_image_each_time() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let bed = Bed::new(&scratch);
    let files = [("Dockerfile", "FROM base:1\nCOPY a /a\nRUN date > /dev/null; echo x > /b"), ("a", "1")];
    let context = bed.context("epoch", &files);
    let args = ["--no-cache", "-q", "--build-arg", "SOURCE_DATE_EPOCH=1000000000"];
    let one = bed.build(&context, &args).success().stdout;
    fs::write(context.join("a"), "1").expect("written");
    assert_eq!(bed.build(&context, &args).success().stdout, one);
    let created = bed.knarr().json(["image", "inspect", one.trim()])[0]["Created"].clone();
    assert_eq!(created, "2001-09-09T01:46:40Z");
}
