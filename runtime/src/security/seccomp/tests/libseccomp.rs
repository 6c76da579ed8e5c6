//! Against libseccomp itself, through its Python binding (Debian's python3-seccomp), which exports the program that it
//! would load. Skipped, and said so, where the binding is missing.
//!
//! Known and wanted differences are kept out of the profiles: rules with arguments for calls behind i386's socketcall
//! and ipc (libseccomp forgets the arguments), overlapping rules of different actions (libseccomp's order is that of
//! its tree), and ENOSYS for newer calls, which runc adds in front of libseccomp's program, as [`with_enosys`] does.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::security::seccomp::tests::*;
use crate::sys::seccomp::Instruction;

/// Reads `action`, `arch`, `rule` and `args` lines, writes the program as one number a line.
const EXPORT: &str = r#"
import seccomp, struct, sys, tempfile
actions = {"ALLOW": seccomp.ALLOW, "LOG": seccomp.LOG, "TRAP": seccomp.TRAP, "KILL": seccomp.KILL,
           "KILL_PROCESS": seccomp.KILL_PROCESS}
operators = {"EQ": seccomp.EQ, "NE": seccomp.NE, "LT": seccomp.LT, "LE": seccomp.LE, "GT": seccomp.GT,
             "GE": seccomp.GE, "MASKED_EQ": seccomp.MASKED_EQ}
def action(name, errno):
    return seccomp.ERRNO(int(errno)) if name == "ERRNO" else actions[name]
lines = [line.split() for line in sys.stdin]
filter = seccomp.SyscallFilter(action(lines[0][1], lines[0][2]))
for line in lines[1:]:
    if line[0] == "arch":
        filter.add_arch(getattr(seccomp.Arch, line[1]))
    else:
        args = [seccomp.Arg(int(i), operators[op], int(a), int(b)) if op == "MASKED_EQ"
                else seccomp.Arg(int(i), operators[op], int(a))
                for i, op, a, b in (arg.split(",") for arg in line[4:])]
        try:
            filter.add_rule(action(line[1], line[2]), line[3], *args)
        except RuntimeError as error:
            if "errno = -17" not in str(error):
                raise
with tempfile.TemporaryFile() as file:
    filter.export_bpf(file)
    file.seek(0)
    for code, jt, jf, k in struct.iter_unpack("=HBBI", file.read()):
        print(code, jt, jf, k)
"#;

/// The system's python, which has Debian's modules, whatever else is on PATH.
fn python() -> Command {
    Command::new("/usr/bin/python3")
}

fn is_missing() -> bool {
    let probe = python().args(["-c", "import seccomp"]).stderr(Stdio::null()).status();
    let missing = !probe.is_ok_and(|status| status.success());
    if missing {
        eprintln!("SKIPPED: python3-seccomp is not installed, nothing was compared with libseccomp");
    }
    missing
}

fn short(name: &str) -> &str {
    ["SCMP_ACT_", "SCMP_CMP_", "SCMP_ARCH_"]
        .iter()
        .find_map(|prefix| name.strip_prefix(prefix))
        .unwrap_or(name)
}

fn theirs(profile: &Seccomp) -> Vec<Instruction> {
    let default_errno = profile.default_errno_ret.unwrap_or(1);
    let mut text = format!("default {} {default_errno}\n", short(&profile.default_action));
    for name in profile.architectures.iter().filter(|name| *name != "SCMP_ARCH_X86_64") {
        text.push_str(&format!("arch {}\n", short(name)));
    }
    for rule in &profile.syscalls {
        let errno = rule.errno_ret.unwrap_or(1);
        if rule.action == profile.default_action && errno == default_errno {
            continue;
        }
        let checks: Vec<_> = rule
            .args
            .iter()
            .map(|it| format!("{},{},{},{}", it.index, short(&it.op), it.value, it.value_two))
            .collect();
        for name in rule.names.iter().filter(|name| is_known(name)) {
            text.push_str(&format!("rule {} {errno} {name} {}\n", short(&rule.action), checks.join(" ")));
        }
    }
    let mut child =
        python().args(["-c", EXPORT]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{text}");
    let numbers = |line: &str| line.split(' ').map(|word| word.parse::<u32>().unwrap()).collect::<Vec<_>>();
    let instruction = |line: &str| match numbers(line)[..] {
        [code, jt, jf, k] => Instruction { code: code as u16, jt: jt as u8, jf: jf as u8, k },
        _ => panic!("not an instruction: {line}"),
    };
    String::from_utf8(output.stdout).unwrap().lines().map(instruction).collect()
}

/// libseccomp 2.5.4 is of 2022: what it does not know cannot be compared.
fn is_known(name: &str) -> bool {
    let number = |column| X86.table.find(name).and_then(|found| found.number(column));
    let newest_known = 448;
    (0..3).any(|column| number(column).is_some())
        && (0..3).all(|column| {
            number(column).is_none_or(|number| number <= newest_known || (512..548).contains(&number))
        })
        && !matches!(name, "uretprobe" | "uprobe")
}

/// runc's answer in front of libseccomp's: what is newer than the newest call that the profile names.
fn with_enosys(profile: &Seccomp, call: &Call, theirs: u32) -> u32 {
    let listed = |name: &str| name == "SCMP_ARCH_X86_64" || profile.architectures.iter().any(|it| it == name);
    let base = if call.architecture == X86_64 { call.number & 0x4000_0000 } else { 0 };
    let abi =
        X86.abis.iter().find(|abi| abi.audit == call.architecture && abi.base == base && listed(abi.name));
    let Some(abi) = abi else { return theirs };
    let names = profile.syscalls.iter().flat_map(|rule| rule.names.iter());
    let newest = names.filter_map(|name| X86.table.find(name)?.number(abi.column)).max();
    let permissive = matches!(short(&profile.default_action), "ALLOW" | "LOG" | "TRACE");
    let is_newer = newest.is_some_and(|newest| call.number > newest | base);
    if is_newer && !permissive { ERRNO | 38 } else { theirs }
}

/// What a call of a bad architecture gets is the one verdict that differs: libseccomp kills the thread, we the process.
fn same(ours: u32, theirs: u32) -> bool {
    ours == theirs || (ours, theirs) == (KILL_PROCESS, 0)
}

fn agrees_with_libseccomp(profile: &Seccomp) {
    let (ours, exported) = (compiled(profile, &X86), theirs(profile));
    for architecture in [X86_64, I386, AARCH64] {
        for call in calls(profile, &X86, architecture) {
            let theirs = with_enosys(profile, &call, simulate::run(&exported, &call));
            let ours = simulate::run(ours.instructions(), &call);
            assert!(same(ours, theirs), "{call:x?}: we {ours:#x}, libseccomp {theirs:#x}");
        }
    }
}

const ALL: [&str; 3] = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"];

#[test]
fn dockers_profile_means_what_it_means_to_libseccomp() {
    if is_missing() {
        return;
    }
    let mut profile = docker::profile();
    // With it the rules for what is behind it, where libseccomp and we differ, decide nothing.
    profile.syscalls.push(rule(&["socketcall"], "SCMP_ACT_ALLOW", &[]));
    for rule in &mut profile.syscalls {
        rule.names = rule.names.iter().filter(|name| is_known(name)).collect();
    }
    agrees_with_libseccomp(&profile);
}

#[test]
fn every_operator_means_what_it_means_to_libseccomp() {
    if is_missing() {
        return;
    }
    for op in ["EQ", "NE", "LT", "LE", "GT", "GE", "MASKED_EQ"] {
        for value in [0, 7, 0x7e02_0000, u64::from(u32::MAX), 1 << 32, (5 << 32) + 7, u64::MAX] {
            let check = ArgCheck { value_two: value & 0x3_0000_0005, ..arg(1, op, value) };
            for architectures in [&ALL[..], &[]] {
                let rules =
                    vec![rule(&["mmap", "read"], "SCMP_ACT_ALLOW", &[check.clone(), arg(3, "GE", 3)])];
                agrees_with_libseccomp(&profile("SCMP_ACT_ERRNO", architectures, rules));
            }
        }
    }
}

#[test]
fn unconditional_rules_override_for_libseccomp_too() {
    if is_missing() {
        return;
    }
    for default in ["SCMP_ACT_ERRNO", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_LOG", "SCMP_ACT_ALLOW"] {
        let rules = vec![
            errno(&["personality"], 5, &[arg(0, "EQ", 1)]),
            rule(&["personality", "setns"], "SCMP_ACT_TRAP", &[]),
            rule(&["setns"], "SCMP_ACT_ALLOW", &[]),
            errno(&["socket", "shmget"], 7, &[]),
            rule(&["futex"], "SCMP_ACT_ALLOW", &[arg(0, "EQ", 1), arg(1, "EQ", 1)]),
            rule(&["futex"], "SCMP_ACT_ALLOW", &[arg(0, "EQ", 2), arg(2, "EQ", 1)]),
        ];
        agrees_with_libseccomp(&profile(default, &ALL, rules));
    }
}

#[test]
fn the_tables_have_libseccomps_numbers() {
    if is_missing() {
        return;
    }
    let script = "import seccomp, sys\nfor line in sys.stdin:\n    a, n = line.split()\n    print(seccomp.resolve_syscall(getattr(seccomp.Arch, a), n))";
    let mut asked: Vec<(&str, &str, u32)> = Vec::new();
    for family in [&X86, &ARM] {
        for abi in family.abis {
            for name in family.table.names() {
                let number = family.table.find(name).unwrap().number(abi.column);
                asked.extend(number.map(|number| (short(abi.name), name, number | abi.base)));
            }
        }
    }
    let mut child =
        python().args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let text: String = asked.iter().map(|(abi, name, _)| format!("{abi} {name}\n")).collect();
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(text.as_bytes()));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    let mut compared = 0;
    for ((abi, name, number), line) in asked.iter().zip(String::from_utf8(output.stdout).unwrap().lines()) {
        let theirs: i64 = line.parse().unwrap();
        // -1 is a name that it does not know; socketcall and ipc stand for the calls behind them.
        if theirs == -1 || *abi == "X86" && (theirs == 102 || theirs == 117) {
            continue;
        }
        assert_eq!(i64::from(*number), theirs, "{abi} {name}");
        compared += 1;
    }
    assert!(compared > 1500, "only {compared} names were compared");
}
