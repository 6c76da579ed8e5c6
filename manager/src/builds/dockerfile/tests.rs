//! Files and what they become, row by row.

use super::expand::Expander;
use super::instruction::{Command, Kind};
use super::mount::mount;
use super::plan::{Base, Plan, Wishes};
use super::*;

fn texts(file: &str) -> Vec<String> {
    parse(file.as_bytes()).expect(file).instructions.into_iter().map(|one| one.text).collect()
}

fn kinds(file: &str) -> Vec<Kind> {
    parse(file.as_bytes()).expect(file).instructions.into_iter().map(|one| one.kind).collect()
}

#[track_caller]
fn refused(file: &str) -> String {
    match parse(file.as_bytes()).and_then(|file| Plan::new(file, &Wishes::default())) {
        Ok(plan) => panic!("{file:?} became {plan:?}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn comments_blank_lines_and_continuations_are_put_together() {
    for (file, expected) in [
        ("FROM a\n", &["FROM a"][..]),
        ("\u{feff}FROM a", &["FROM a"]),
        ("# c\n\n   \n  FROM a  \n  # c\nRUN b", &["FROM a", "RUN b"]),
        ("RUN a \\\n  b \\\n\n # c\n\n  c\nRUN d", &["RUN a   b   c", "RUN d"]),
        ("RUN a \\  \t\nb", &["RUN a b"]),
        ("RUN a \\\\\nRUN b", &["RUN a \\\\", "RUN b"]),
        ("RUN a \\", &["RUN a"]),
        ("RUN \\\n# comment \\\n a", &["RUN  a"]),
        ("RUN a # no comment", &["RUN a # no comment"]),
        ("FROM a\r\nRUN b \\\r\n c\r\n", &["FROM a", "RUN b  c"]),
        ("# escape=`\nRUN a `\nb\\\nRUN c", &["RUN a b\\", "RUN c"]),
        ("#escape = `\nRUN a\\\nRUN b", &["RUN a\\", "RUN b"]),
        ("# x=1\n# escape=`\nRUN a\\\n b", &["RUN a b"]),
        ("# c\n# escape=`\nRUN a\\\n b", &["RUN a b"]),
        ("\\\nRUN a", &["RUN a"]),
    ] {
        assert_eq!(texts(file), expected, "{file:?}");
    }
}

#[test]
fn directives_stand_first_and_once() {
    assert!(
        refused("# escape=`\n# escape=`\nFROM a").contains("only one escape parser directive can be used")
    );
    assert!(refused("# escape=x\nFROM a").contains("invalid escape token \"x\""));
    assert!(refused("# syntax=example.com/other:1\nFROM a").contains("a front end of its own"));
    for file in [
        "# syntax=docker/dockerfile:1.7-labs\nFROM a",
        "#SYNTAX=docker.io/docker/dockerfile@sha256:ab\nFROM a",
    ] {
        assert_eq!(texts(file), ["FROM a"]);
    }
    assert!(refused("").contains("file with no instructions"));
    assert!(refused("# only\n\n").contains("file with no instructions"));
    assert_eq!(
        refused("FROM a\nNONSENSE x"),
        "line 2: unknown instruction: NONSENSE (column 1 of: NONSENSE x)"
    );
    assert_eq!(refused("RUN a"), "line 1: no build stage in current context (in: RUN a)");
    assert!(refused(&format!("RUN {}", "x".repeat(70_000))).contains("line 1: the line is longer than"));
}

#[test]
fn heredocs_end_at_their_own_word() {
    let run = |file: &str| match kinds(file).remove(0) {
        Kind::Run(run) => run,
        other => panic!("{other:?}"),
    };
    let one = run("RUN <<EOF\na $b\n  EOF\nEOF\nRUN c");
    assert_eq!((one.heredocs[0].body.as_str(), one.heredocs[0].expands), ("a $b\n  EOF\n", true));
    let one = run("RUN <<-'E' cat\n\t\ta\n\tE\n");
    assert_eq!((one.heredocs[0].body.as_str(), one.heredocs[0].expands), ("a\n", false));
    let two = run("RUN cat <<A 3<<\"B\"\na\r\nA\r\nb\nB\n");
    let bodies: Vec<_> = two.heredocs.iter().map(|one| one.body.as_str()).collect();
    assert_eq!(bodies, ["a\r\n", "b\n"]);
    assert_eq!(run("RUN cat << EOF").heredocs, []);
    for plain in ["RUN echo \"<<EOF\"", "RUN echo a<<b", "RUN cat <<<b"] {
        assert_eq!(run(plain).heredocs, [], "{plain}");
    }
    assert_eq!(kinds("CMD cat <<EOF\nRUN a").len(), 2);
    assert!(refused("FROM a\nRUN <<EOF\nx").contains("unterminated heredoc"));
    let Kind::Onbuild(trigger) = kinds("ONBUILD RUN <<EOF\nx\nEOF").remove(0) else { panic!("no trigger") };
    assert_eq!(trigger, "RUN <<EOF\nx\nEOF");
    let Kind::Run(again) = parse_trigger(&trigger, '\\').expect("a trigger").kind else { panic!("no RUN") };
    assert_eq!(again.heredocs[0].body, "x\n");
    let Kind::Copy(copy) = kinds("COPY <<a.txt <<-b /x/\n1\na.txt\n\t2\n\tb\n").remove(0) else {
        panic!("no COPY")
    };
    assert_eq!((copy.sources.len(), copy.heredocs[1].body.as_str(), copy.target.as_str()), (0, "2\n", "/x/"));
}

#[test]
fn commands_have_two_forms() {
    let exec = |words: &[&str]| Command::Exec(words.iter().map(|word| (*word).to_owned()).collect());
    for (rest, expected) in [
        ("[\"a\", \"b c\"]", exec(&["a", "b c"])),
        ("[]", exec(&[])),
        ("", exec(&[])),
        ("[ \"a\\\"\" ]", exec(&["a\""])),
        ("[a, b]", Command::Shell("[a, b]".to_owned())),
        ("['a']", Command::Shell("['a']".to_owned())),
        ("[\"a\"] b", Command::Shell("[\"a\"] b".to_owned())),
        ("a  b", Command::Shell("a  b".to_owned())),
    ] {
        assert_eq!(kinds(&format!("CMD {rest}")), [Kind::Cmd(expected)], "{rest}");
    }
    assert!(refused("FROM a\nCMD [1]").contains("arrays must be comprised of strings only"));
    assert!(refused("FROM a\nSHELL sh -c").contains("SHELL requires the arguments to be in JSON form"));
    assert!(refused("FROM a\nRUN").contains("RUN requires at least one argument"));
}

#[test]
fn pairs_are_read_in_both_ways() {
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    for (rest, expected) in [
        ("a b  c", vec![pair("a", "b  c")]),
        ("a=b c=d", vec![pair("a", "b"), pair("c", "d")]),
        ("a=\"b c\" d='e f'", vec![pair("a", "\"b c\""), pair("d", "'e f'")]),
        ("a=b\\ c", vec![pair("a", "b\\ c")]),
        ("a=", vec![pair("a", "")]),
        ("a==b", vec![pair("a", "=b")]),
    ] {
        assert_eq!(kinds(&format!("ENV {rest}")), [Kind::Env(expected)], "{rest}");
    }
    for (line, told) in [
        ("ENV", "ENV requires at least one argument"),
        ("ENV a", "ENV must have two arguments"),
        ("ENV =a", "ENV names can not be blank"),
        ("ENV a=b c", "can't find = in \"c\""),
        ("ARG =x", "ARG names can not be blank"),
        ("LABEL a", "LABEL must have two arguments"),
    ] {
        assert!(refused(&format!("FROM a\n{line}")).contains(told), "{line}");
    }
}

#[test]
fn flags_stand_before_the_rest() {
    let Kind::Copy(copy) =
        kinds("COPY --from=x --chown=a:b --link --exclude=*.o --exclude=y -- --z /t").remove(0)
    else {
        panic!("no COPY")
    };
    assert_eq!((copy.from.as_deref(), copy.owner.as_deref(), copy.link), (Some("x"), Some("a:b"), true));
    assert_eq!(
        (copy.excludes, copy.sources),
        (vec!["*.o".to_owned(), "y".to_owned()], vec!["--z".to_owned()])
    );
    for (line, told) in [
        ("COPY --nope a b", "line 2: unknown flag of COPY: --nope (it has --from"),
        ("COPY --from a b", "missing a value on flag: --from"),
        ("COPY --from=a --from=b a b", "duplicate flag specified: --from"),
        ("COPY --link=perhaps a b", "expecting boolean value for flag --link"),
        ("COPY a", "COPY requires at least two arguments, but only 1 was provided"),
        ("RUN --network=some a", "invalid network mode \"some\""),
        ("USER --x a", "unknown flag of USER: --x (it has none)"),
        ("FROM a b c", "FROM requires either one or three arguments"),
        ("FROM a AS 1x", "invalid name for build stage: \"1x\""),
        ("FROM a AS scratch", "is reserved"),
        ("ONBUILD ONBUILD RUN a", "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed"),
        ("ONBUILD FROM a", "FROM isn't allowed as an ONBUILD trigger"),
        ("ONBUILD NOPE", "unknown instruction: NOPE"),
        ("HEALTHCHECK", "HEALTHCHECK requires at least one argument"),
        ("HEALTHCHECK TCP x", "unknown type \"TCP\" in HEALTHCHECK (try CMD)"),
        ("HEALTHCHECK --interval=1 CMD x", "--interval is no duration"),
        ("HEALTHCHECK --interval=1us CMD x", "cannot be less than 1ms"),
        ("VOLUME [\" \"]", "VOLUME specified can not be an empty string"),
    ] {
        let error = refused(&format!("FROM a\n{line}"));
        assert!(error.contains(told), "{line}: {error}");
    }
    let Kind::Healthcheck(check) =
        kinds("HEALTHCHECK --interval=1m30s --timeout=1.5s --retries=3 CMD [\"a\"]").remove(0)
    else {
        panic!("no HEALTHCHECK")
    };
    assert_eq!((check.interval_ns, check.timeout_ns, check.retries), (90_000_000_000, 1_500_000_000, 3));
    assert_eq!(check.test, ["CMD", "a"]);
}

/// Set: `w` is `word`, `e` is empty, `p` is `a/b/c.tar.gz`; `u` is not set. Of each modifier what a shell says.
#[test]
fn variables_are_expanded_as_a_shell_does() {
    let set: Vec<String> =
        ["w=word", "e=", "p=a/b/c.tar.gz", "s=x y", "q=a\"b", "w1=one"].map(str::to_owned).to_vec();
    for (word, expected) in [
        ("plain", Ok("plain")),
        ("$w", Ok("word")),
        ("${w}s", Ok("words")),
        ("$w1$w", Ok("oneword")),
        ("$u", Ok("")),
        ("a$", Ok("a$")),
        ("$ a", Ok("$ a")),
        ("$1x$@$*$#$?", Ok("x")),
        ("\\$w", Ok("$w")),
        ("\\\\$w", Ok("\\word")),
        ("a\\", Ok("a")),
        ("a\\b", Ok("ab")),
        ("'$w'", Ok("$w")),
        ("\"$w'\"", Ok("word'")),
        ("\"\\$w \\a \\\"\"", Ok("$w \\a \"")),
        ("'a'\"b\"c", Ok("abc")),
        ("${w:-d}", Ok("word")),
        ("${e:-d}", Ok("d")),
        ("${e-d}", Ok("")),
        ("${u-d}", Ok("d")),
        ("${u:-$w}", Ok("word")),
        ("${u:-${u:-deep}}", Ok("deep")),
        ("${u:-\"a b\"}", Ok("a b")),
        ("${w:+d}", Ok("d")),
        ("${e:+d}", Ok("")),
        ("${e+d}", Ok("d")),
        ("${u+d}", Ok("")),
        ("${w:?no}", Ok("word")),
        ("${u:?no}", Err("u: no")),
        ("${e:?}", Err("e: is not allowed to be empty or unset")),
        ("${e?}", Ok("")),
        ("${u?}", Err("u: is not allowed to be unset")),
        ("${p#*/}", Ok("b/c.tar.gz")),
        ("${p##*/}", Ok("c.tar.gz")),
        ("${p%.*}", Ok("a/b/c.tar")),
        ("${p%%.*}", Ok("a/b/c")),
        ("${p%/?.*}", Ok("a/b")),
        ("${p#z}", Ok("a/b/c.tar.gz")),
        ("${p%z}", Ok("a/b/c.tar.g")),
        ("${u#a}", Ok("")),
        ("${w/o/0}", Ok("w0rd")),
        ("${p//\\//-}", Ok("a-b-c.tar.gz")),
        ("${p/*/x}", Ok("x")),
        ("${w//?/.}", Ok("....")),
        ("${w/z/x}", Ok("word")),
        ("${w/r*/$e}", Ok("wo")),
        ("${w:#a}", Err("unsupported modifier (:#) in substitution")),
        ("${w:%a}", Err("unsupported modifier (:%) in substitution")),
        ("${w^}", Err("unsupported modifier (^) in substitution")),
        ("${w", Err("syntax error: missing '}'")),
        ("${w:-", Err("syntax error: missing '}'")),
        ("${}", Err("bad substitution")),
        ("'a", Err("unexpected end of statement while looking for matching single-quote")),
        ("\"a", Err("unexpected end of statement while looking for matching double-quote")),
        ("ü$w", Ok("üword")),
    ] {
        let found = Expander::new('\\').word(word, &set);
        assert_eq!(found.as_deref().map_err(String::as_str), expected, "{word}");
    }
    assert_eq!(Expander::new('`').word("`$w\\x", &set).as_deref(), Ok("$w\\x"));
}

#[test]
fn words_are_split_where_nothing_holds_them_together() {
    let set: Vec<String> = vec!["s=x y".to_owned()];
    for (text, expected) in [
        ("a b", &["a", "b"][..]),
        ("$s z", &["x", "y", "z"]),
        ("\"$s\" z", &["x y", "z"]),
        ("'' a", &["", "a"]),
        ("a\\ b", &["a b"]),
        ("$u", &[]),
        ("  a\t\nb  ", &["a", "b"]),
    ] {
        assert_eq!(
            Expander::new('\\').words(text, &set).as_deref(),
            Ok(&expected.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>()[..]),
            "{text}"
        );
    }
}

#[test]
fn nesting_and_growth_have_bounds() {
    let deep = "${u:-".repeat(1000) + &"}".repeat(1000);
    assert!(Expander::new('\\').word(&deep, &Vec::new()).is_err());
    let large = vec![format!("a={}", "x".repeat(1 << 19))];
    assert!(Expander::new('\\').word("$a$a$a$a$a", &large).is_err());
    assert!(Expander::new('\\').word("${a//x/y}", &large).is_err());
    let grown = vec![format!("a={}", "x".repeat(4000))];
    assert!(Expander::new('\\').word(&format!("${{a//x/{}}}", "y".repeat(1000)), &grown).is_err());
}

#[test]
fn mounts_say_what_goes_with_what() {
    let plain = |text: &str| mount(text, |word| Ok(word.to_owned()));
    let cache = plain("type=cache,target=/c,sharing=locked,mode=0700,uid=5").expect("a cache");
    assert_eq!((cache.read_only, cache.mode, cache.uid), (false, Some(0o700), 5));
    assert!(plain("target=/x").expect("a bind").read_only);
    assert_eq!(plain("type=secret,id=a").expect("a secret").target, "/run/secrets/a");
    assert_eq!(plain("type=secret,target=/x/b").expect("a secret").id.as_deref(), Some("b"));
    assert_eq!(plain("type=tmpfs,target=/x,size=2m").expect("tmpfs").size_bytes, 2 << 20);
    for (text, told) in [
        ("type=other,target=/x", "unsupported mount type"),
        ("type=cache", "target is required"),
        ("nonsense", "must be a key=value pair"),
        ("type=cache,target=/x,colour=red", "unexpected key \"colour\""),
        ("type=tmpfs,from=a,target=/x", "from is only for mounts of the type bind or cache"),
        ("type=bind,from=$a,target=/x", "doesn't support variable expansion"),
        ("type=secret", "one of id, source or target is required"),
        ("type=cache,target=/x,sharing=all", "unsupported sharing value"),
        ("target=/x,ro=perhaps", "invalid value \"perhaps\" for ro"),
    ] {
        assert!(plain(text).expect_err(text).contains(told), "{text}");
    }
}

fn planned(file: &str, target: &str, build_args: &[String]) -> Result<Plan, DockerfileError> {
    let platform_args = ["TARGETARCH=amd64".to_owned()];
    Plan::new(parse(file.as_bytes())?, &Wishes { target, build_args, platform_args: &platform_args })
}

#[test]
fn only_what_the_target_needs_is_planned() {
    let file = "FROM a AS one\nFROM b AS two\nFROM one AS three\nCOPY --from=two x y\nFROM c\nRUN --mount=from=0,target=/x y\n";
    let plan = planned(file, "", &[]).expect("a plan");
    assert_eq!((plan.target, plan.needed()), (3, vec![0, 3]));
    let plan = planned(file, "Three", &[]).expect("a plan");
    assert_eq!((plan.target, plan.needed()), (2, vec![0, 1, 2]));
    assert_eq!(planned(file, "1", &[]).expect("a plan").needed(), [1]);
    assert!(planned(file, "nope", &[]).expect_err("none").to_string().contains("could not be found"));
    assert!(refused("FROM a AS x\nFROM b AS X").contains("duplicate name x"));
    // A later stage's name is an image's to an earlier one.
    let plan = planned("FROM a\nCOPY --from=late x y\nFROM b AS late", "0", &[]).expect("a plan");
    assert_eq!(plan.needed(), [0]);
}

#[test]
fn arguments_before_the_first_stage_are_for_from() {
    let file = "ARG V=1\nARG N=img:$V\nFROM $N\nFROM ${X:-scratch} AS s\nFROM arch-$TARGETARCH";
    let bases = |args: &[&str]| {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        planned(file, "", &args)
            .map(|plan| plan.stages.into_iter().map(|stage| stage.base).collect::<Vec<_>>())
    };
    let image = |name: &str| Base::Image(name.to_owned());
    assert_eq!(bases(&[]).expect("bases"), [image("img:1"), Base::Scratch, image("arch-amd64")]);
    assert_eq!(bases(&["V=2"]).expect("bases")[0], image("img:2"));
    assert_eq!(
        refused("ARG A\nFROM $A"),
        "line 2: base name should not be blank: set the argument that it is made of (in: FROM $A)"
    );
}
