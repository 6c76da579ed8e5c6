//! Dockerfiles by topic, which docker's classic builder can build, too.

use crate::bed::Files;

/// The files that most contexts have.
pub(crate) const COMMON: Files<'static> = &[
    ("a", "content of a\n"),
    ("b.txt", "content of b\n"),
    ("c.txt", "content of c\n"),
    ("!run.sh", "#!/bin/sh\necho ran\n"),
    ("d/one", "1\n"),
    ("d/two", "2\n"),
    ("d/sub/three", "3\n"),
    ("d/sub/link -> three", ""),
    ("d/empty/", ""),
    ("link-to-a -> a", ""),
    ("link-to-d -> d", ""),
    ("out -> /etc/passwd", ""),
    ("with space", "s\n"),
    ("[odd]", "odd\n"),
];

/// A Dockerfile behind `FROM base:1`, or a whole one.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) text: &'static str,
    pub(crate) args: &'static [&'static str],
}

const fn case(name: &'static str, text: &'static str) -> Case {
    Case { name, text, args: &[] }
}

const fn with(name: &'static str, text: &'static str, args: &'static [&'static str]) -> Case {
    Case { name, text, args }
}

/// The cases, in the order of the instructions' rows.
pub(crate) const CASES: &[Case] = &[
    case("env-old-form", "ENV a the rest of it"),
    case("env-several", "ENV a=1 b=\"2 3\" c='4 $a' d=5\\ 6"),
    case("env-same-line", "ENV a=old\nENV a=new b=$a"),
    case("env-expansion", "ENV a=x\nENV b=${a:-d} c=${u:-d} e=${a:+y} f=${u:+y} g=\\$a h='$a' i=\"$a\""),
    case("env-replaces", "ENV PATH=/bin:$PATH Z=1\nENV Z=2"),
    case("label-several", "LABEL a=1 \"b c\"=\"d e\" f=g\\\n h=i"),
    case("label-variable", "ENV v=w\nLABEL a=$v b=\"${v}x\""),
    case("arg-default", "ARG a=1\nRUN echo $a > /a"),
    with("arg-given", "ARG a=1\nARG b\nRUN echo $a $b > /a", &["--build-arg", "a=2", "--build-arg", "b=3"]),
    case("arg-hidden-by-env", "ARG a=1\nENV a=2\nRUN echo $a > /a"),
    case("arg-in-env", "ARG a=1\nENV b=$a"),
    Case {
        name: "arg-global",
        text: "!ARG a=base\nARG t=1\nFROM $a:$t\nARG a\nRUN echo \"<$a>\" > /a",
        args: &[],
    },
    case("workdir-relative", "WORKDIR /x\nWORKDIR y\nWORKDIR ../z\nRUN pwd > at"),
    case("workdir-variable", "ENV d=/v\nWORKDIR $d/w\nRUN pwd > at"),
    case("workdir-through-link", "WORKDIR /opt/link\nRUN touch here"),
    case("user-run", "USER ada\nRUN id -u > /tmp/u && id -g > /tmp/g"),
    case("user-number", "USER 7:8\nRUN id -u > /tmp/u && id -g > /tmp/g"),
    case("expose", "EXPOSE 80 53/udp 443/TCP\nENV p=99\nEXPOSE $p"),
    case("volume", "VOLUME /v /w\nVOLUME [\"/x y\"]"),
    case("stopsignal", "STOPSIGNAL SIGTERM"),
    case("maintainer", "MAINTAINER Ada <ada@example.com>"),
    case("cmd-shell", "CMD echo $HOME"),
    case("cmd-exec", "CMD [\"echo\", \"a b\"]"),
    case("entrypoint-clears-cmd", "ENTRYPOINT [\"echo\"]"),
    case("entrypoint-keeps-own-cmd", "CMD [\"x\"]\nENTRYPOINT [\"echo\"]"),
    case("cmd-after-entrypoint", "ENTRYPOINT echo\nCMD [\"x\"]"),
    case("shell", "SHELL [\"/bin/sh\", \"-ec\"]\nRUN echo $0 > /x\nCMD y"),
    case(
        "healthcheck",
        "HEALTHCHECK --interval=5s --timeout=1m --start-period=2s --retries=4 CMD test -e /x",
    ),
    case("healthcheck-exec", "HEALTHCHECK CMD [\"/bin/true\"]"),
    case("healthcheck-none", "HEALTHCHECK NONE"),
    case("onbuild-stored", "ONBUILD RUN echo x > /x\nONBUILD ENV a=b"),
    case("run-shell", "RUN echo a > /a && echo b > /b"),
    case("run-exec", "RUN [\"/bin/sh\", \"-c\", \"echo $0 > /a\", \"zero\"]"),
    case("run-removes", "RUN rm -r /opt/real && rm /etc/group"),
    case("run-replaces-directory", "RUN rm -r /opt/real && mkdir /opt/real && touch /opt/real/new"),
    case("run-links", "RUN ln /etc/passwd /hard && ln -s /etc/passwd /soft"),
    case("run-modes", "RUN touch /s && chmod 4755 /s && mkdir -m 1777 /t && chown 5:6 /s"),
    case("run-fifo", "RUN mkfifo -m 600 /pipe"),
    case("run-chmod-only", "RUN chmod 600 /etc/passwd"),
    case("run-nothing", "RUN true"),
    case("run-continued", "RUN echo a \\\n  # comment\n  b \\\n\n  c > /x"),
    case("run-moves-directory", "RUN mv /opt/real /moved"),
    case("copy-file", "COPY a /x"),
    case("copy-into-new-directory", "COPY a /new/deep/"),
    case("copy-to-workdir", "WORKDIR /w\nCOPY a .\nCOPY b.txt ./\nCOPY c.txt sub/"),
    case("copy-directory", "COPY d /x"),
    case("copy-directory-slash", "COPY d/ /x/"),
    case("copy-all", "COPY . /all/"),
    case("copy-several", "COPY a b.txt d /x/"),
    case("copy-wildcard", "COPY *.txt /x/"),
    case("copy-wildcard-directory", "COPY d/*o* /x/"),
    case("copy-question", "COPY ?.txt /x/"),
    case("copy-class", "COPY [bc].txt /x/"),
    case("copy-escaped", "COPY [[]odd] /x/"),
    case("copy-json", "COPY [\"with space\", \"/x y/\"]"),
    case("copy-executable", "COPY run.sh /run.sh\nRUN /run.sh > /ran"),
    case("copy-onto-file", "COPY a /etc/passwd"),
    case("copy-into-existing", "COPY a /opt/real"),
    case("copy-through-link", "COPY a /opt/link/"),
    case("copy-through-absolute-link", "COPY a /opt/absolute/x"),
    case("copy-merges", "COPY d /opt/real/"),
    case("copy-absolute", "COPY /a /x"),
    case("copy-inner-links", "COPY d/sub /x/"),
    case("copy-chown-number", "COPY --chown=5:6 d /x"),
    case("copy-chown-name", "COPY --chown=ada:staff a /x/y"),
    case("copy-variable", "ENV s=a t=/x\nCOPY $s $t"),
    case("add-file", "ADD a /x"),
    case("add-directory", "ADD d /x"),
    case("add-archive", "ADD archive.tar /x"),
    case("add-gzip", "ADD archive.tar.gz /x/"),
    case("add-not-archive", "ADD b.txt /x/"),
    case("copy-archive", "COPY archive.tar /x/"),
    Case {
        name: "stages",
        text: "!FROM base:1 AS one\nRUN echo 1 > /made\nFROM base:1\nCOPY --from=one /made /a\nCOPY --from=0 /opt/real /b",
        args: &[],
    },
    Case {
        name: "stage-as-base",
        text: "!FROM base:1 AS one\nENV a=1\nWORKDIR /q\nRUN echo 1 > made\nFROM one\nRUN echo $a > other",
        args: &[],
    },
    Case {
        name: "stage-target",
        text: "!FROM base:1 AS one\nRUN echo 1 > /made\nFROM base:1\nRUN exit 9",
        args: &["--target", "one"],
    },
    Case { name: "copy-from-image", text: "!FROM base:1\nCOPY --from=base:1 /etc/passwd /copied", args: &[] },
    Case { name: "scratch", text: "!FROM scratch\nCOPY a /x\nENV a=b\nCMD [\"/x\"]", args: &[] },
    Case { name: "case-of-words", text: "!from base:1\nrun echo x > /x\nEnv a=b\ncOpY a /y", args: &[] },
    Case {
        name: "escape-directive",
        text: "!# escape=`\nFROM base:1\nRUN echo a `\n b > /x\nENV a=x`$y",
        args: &[],
    },
    with("labels-by-flag", "LABEL a=1 b=2", &["--label", "b=3", "--label", "c=4"]),
];
