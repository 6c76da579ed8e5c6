//! Rules folded, and the BPF program run by an interpreter against what v1 would decide.

use super::program::assemble;
use crate::cgroup::devices::*;
use crate::sys::bpf::Instruction;

fn list(rules: &str) -> Result<DeviceList, CgroupError> {
    let rules: Vec<DeviceRule> = serde_json::from_str(rules).expect(rules);
    DeviceList::plan(&rules, Fields("r"))
}

fn lines(rules: &str) -> Vec<String> {
    let list = list(rules).expect(rules);
    let of_file =
        |(file, lines): (_, Vec<String>)| lines.into_iter().map(move |line| format!("{file} {line}"));
    list.v1_writes().into_iter().flat_map(of_file).collect()
}

#[test]
fn without_rules_a_container_has_the_usual_devices() {
    let found = lines("[]");
    assert_eq!(found.len(), 1 + DEFAULTS.len());
    assert_eq!(found[0], "devices.deny a");
    for line in ["b *:* m", "c *:* m", "c 1:3 rwm", "c 136:* rwm", "c 10:200 rwm"] {
        assert!(found.contains(&format!("devices.allow {line}")), "{line}: {found:?}");
    }
}

#[test]
fn rules_count_in_order_and_a_whole_rule_forgets_those_before() {
    let allow = r#"{"allow":true,"type":"c","major":9,"minor":1,"access":"rw"}"#;
    let deny = r#"{"allow":false,"type":"c","major":9,"minor":1,"access":"w"}"#;
    assert!(lines(&format!("[{allow}]")).contains(&"devices.allow c 9:1 rw".to_owned()));
    assert!(lines(&format!("[{allow},{deny}]")).contains(&"devices.allow c 9:1 r".to_owned()));
    assert!(lines(&format!("[{deny},{allow}]")).contains(&"devices.allow c 9:1 rw".to_owned()));
    let nothing = r#"{"allow":false,"access":"rwm"}"#;
    assert!(!lines(&format!("[{allow},{nothing}]")).iter().any(|line| line.contains("9:1")));
}

#[test]
fn everything_may_be_allowed() {
    let all = r#"{"allow":true,"access":"rwm"}"#;
    assert_eq!(lines(&format!("[{all}]")), ["devices.allow a"]);
    let deny = r#"{"allow":false,"type":"b","major":8,"minor":0,"access":"rw"}"#;
    assert_eq!(lines(&format!("[{all},{deny}]")), ["devices.allow a", "devices.deny b 8:0 rw"]);
}

#[test]
fn a_rule_that_is_none_is_refused_by_its_place() {
    for (rules, words) in [
        (r#"[{"allow":true,"type":"x"}]"#, "invalid r.devices[0]: invalid cgroup device type \"x\""),
        (r#"[{"allow":true,"type":"c","access":"x"}]"#, "invalid r.devices[0]: invalid device access"),
        (r#"[{"allow":true,"type":"c","major":-2}]"#, "invalid r.devices[0]: -2 is no device number"),
        (
            r#"[{"allow":true,"type":"c","major":9},{"allow":false,"type":"c","major":9,"minor":1,"access":"r"}]"#,
            "invalid r.devices[1]: cannot punch a hole for c 9:1 r into the wider rule c 9:* rwm",
        ),
    ] {
        let error = list(rules).expect_err(rules).to_string();
        assert!(error.starts_with(words), "{error}");
    }
}

/// What the kernel would do with the program, for the instructions that it is made of.
fn verdict(program: &[Instruction], kind: u32, access: u32, major: u32, minor: u32) -> u32 {
    let context = [access << 16 | kind, major, minor];
    let mut registers = [0_u32; 11];
    let mut at = 0;
    loop {
        let Instruction { code, registers: pair, offset, value } = program[at];
        let (to, from) = (usize::from(pair & 15), usize::from(pair >> 4));
        let value = value.cast_unsigned();
        at += 1;
        let jumps = match code {
            0x61 => {
                registers[to] = context[usize::try_from(offset).expect("positive") / 4];
                false
            }
            0x54 => {
                registers[to] &= value;
                false
            }
            0x74 => {
                registers[to] >>= value;
                false
            }
            0xb4 => {
                registers[to] = value;
                false
            }
            0xbc => {
                registers[to] = registers[from];
                false
            }
            0x56 => registers[to] != value,
            0x16 => registers[to] == value,
            0x95 => return registers[0],
            other => panic!("no such instruction: {other:#x}"),
        };
        if jumps {
            at += usize::try_from(offset).expect("forwards");
        }
    }
}

/// What v1's device cgroup says, from devcgroup_legacy_check_permission.
fn by_v1(list: &DeviceList, kind: Kind, access: u8, major: u32, minor: u32) -> bool {
    let about = |device: &Device| {
        device.kind == kind
            && device.major.is_none_or(|found| found == major)
            && device.minor.is_none_or(|found| found == minor)
    };
    let mut matching = list.exceptions.iter().filter(|(device, _)| about(device));
    if list.allows_all {
        !matching.any(|(_, present)| present & access != 0)
    } else {
        matching.any(|(_, present)| access & !present == 0)
    }
}

#[test]
fn the_program_decides_as_v1_does() {
    let lists = [
        "[]",
        r#"[{"allow":true,"type":"c","major":9,"minor":1,"access":"rw"},{"allow":true,"type":"b","major":4294967295,"access":"r"}]"#,
        r#"[{"allow":true,"access":"rwm"}]"#,
        r#"[{"allow":true},{"allow":false,"type":"b","major":8,"minor":0,"access":"w"},{"allow":false,"type":"c","access":"m"}]"#,
    ];
    let numbers = [0, 1, 3, 5, 8, 9, 136, 200, u32::MAX];
    for rules in lists {
        let list = list(rules).expect(rules);
        let program = assemble(&list);
        for (kind, kernel_kind) in [(Kind::Block, 1), (Kind::Character, 2)] {
            for major in numbers {
                for minor in numbers {
                    for access in 1..=ALL {
                        let kernel_access = u32::from(access & MAKE != 0)
                            | u32::from(access & READ != 0) << 1
                            | u32::from(access & WRITE != 0) << 2;
                        let found = verdict(&program, kernel_kind, kernel_access, major, minor);
                        let expected = by_v1(&list, kind, access, major, minor);
                        assert_eq!(found == 1, expected, "{rules} {kind:?} {major}:{minor} {access:b}");
                    }
                }
            }
        }
    }
}
