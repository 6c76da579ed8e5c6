//! Callers with odd process attributes: what a program inherits from the one that starts it, and had better not take
//! for granted. Each attribute is a piece of Perl (which every Debian has, and which can call whatever the kernel
//! offers) that is run before the program is executed.

use std::path::Path;
use std::process::Command;

use crate::programs;
use crate::scratch::Scratch;

/// An attribute of a process, made odd.
#[derive(Clone, Copy, Debug)]
pub struct Attribute {
    /// For messages.
    pub name: &'static str,
    perl: &'static str,
}

const fn attribute(name: &'static str, perl: &'static str) -> Attribute {
    Attribute { name, perl }
}

/// x86-64's numbers, with those of 64-bit ARM behind.
const CALLS: &str = r"
use POSIX;
my $arm = (POSIX::uname())[4] eq 'aarch64';
sub personality { syscall($arm ? 92 : 135, $_[0]) == -1 and die qq(personality: $!) }
sub prctl { syscall($arm ? 167 : 157, @_, 0, 0, 0) == -1 and die qq(prctl: $!) }
sub bind_memory { my $nodes = pack('Q', 1); syscall($arm ? 237 : 238, 2, $nodes, 64) }
sub limit { my $pair = pack('QQ', $_[1], $_[2]); syscall($arm ? 164 : 160, $_[0], $pair) == -1 and die qq(rlimit: $!) }
sub schedule { my $none = pack('l', 0); syscall($arm ? 119 : 144, 0, $_[0], $none) == -1 and die qq(schedule: $!) }
sub ignore { sigaction($_, POSIX::SigAction->new('IGNORE')) for @_ }
";

/// SIGCHLD is ignored.
pub const CHILDREN_IGNORED: Attribute = attribute("SIGCHLD ignored", "ignore(17);");
/// No signal arrives.
pub const SIGNALS_BLOCKED: Attribute = attribute(
    "every signal blocked",
    "my $all = POSIX::SigSet->new; $all->fillset; sigprocmask(SIG_SETMASK, $all);",
);
/// What is made is closed to its maker.
pub const UMASK_ALL: Attribute = attribute("umask 0777", "umask 0777;");

/// All of them.
pub const ATTRIBUTES: [Attribute; 26] = [
    CHILDREN_IGNORED,
    attribute("every signal ignored", "ignore(grep { $_ != 9 && $_ != 19 } 1 .. 31, 34 .. 64);"),
    SIGNALS_BLOCKED,
    UMASK_ALL,
    attribute("umask 0", "umask 0;"),
    attribute("working directory gone", "my $d = qq(/tmp/knarr-gone-$$); mkdir $d; chdir $d; rmdir $d;"),
    attribute("descriptors 0 to 2 closed", "POSIX::close($_) for 0 .. 2;"),
    attribute("40 more descriptors open", "for (3 .. 42) { POSIX::dup2(0, $_) }"),
    attribute("personality without address randomisation", "personality(0x40000);"),
    attribute("personality of Linux 2.6", "personality(0x20000);"),
    attribute("personality of 32 bits", "personality(8);"),
    attribute("timer slack of a second", "prctl(29, 1000000000);"),
    attribute("nice 15", "POSIX::nice(15);"),
    attribute(
        "out-of-memory score 900",
        "open my $f, '>', '/proc/self/oom_score_adj'; print $f 900; close $f;",
    ),
    attribute("memory bound to node 0", "bind_memory();"),
    attribute("signal at the parent's death", "prctl(1, 9);"),
    attribute("reaper of descendants", "prctl(36, 1);"),
    attribute("no huge pages", "prctl(41, 1);"),
    attribute("securebits that keep capabilities and raise none", "prctl(28, 0x44);"),
    attribute("no new privileges", "prctl(38, 1);"),
    attribute("batch scheduling", "schedule(3);"),
    attribute("idle scheduling", "schedule(5);"),
    attribute(
        "idle input and output",
        "syscall($arm ? 30 : 251, 1, 0, 3 << 13) == -1 and die qq(ioprio: $!);",
    ),
    attribute(
        "one processor",
        "my $set = pack('Q', 1); syscall($arm ? 122 : 203, 0, 8, $set) == -1 and die qq(affinity: $!);",
    ),
    attribute("a pending alarm", "alarm 600;"),
    attribute("files of 32 MiB at most", "limit(1, 32 << 20, 1 << 62);"),
];

/// Perl's program: takes these attributes on, then becomes the program that its arguments name.
pub(crate) fn script(attributes: &[Attribute]) -> String {
    let changes: Vec<&str> = attributes.iter().map(|attribute| attribute.perl).collect();
    format!("{CALLS}{} exec {{ $ARGV[0] }} @ARGV; die qq(exec: $!);", changes.join("\n"))
}

/// A command like [`Scratch::command`], whose program begins with these attributes.
#[must_use]
pub fn command(scratch: &Scratch, attributes: &[Attribute], program: impl AsRef<Path>) -> Command {
    let mut command = scratch.command(programs::tool("perl"));
    command.args(["-e", &script(attributes)]).arg(program.as_ref());
    command
}

/// The same for a command that is there already.
#[must_use]
pub fn deranged(scratch: &Scratch, attributes: &[Attribute], inner: &Command) -> Command {
    let mut outer = command(scratch, attributes, inner.get_program());
    outer.args(inner.get_args());
    for (name, value) in inner.get_envs() {
        match value {
            Some(value) => outer.env(name, value),
            None => outer.env_remove(name),
        };
    }
    outer
}
