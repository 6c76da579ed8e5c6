//! Bytes as a profile of a few calls, whose numbers and arguments are near each other, so that rules meet: the compiled
//! filter answers each call as the naive reading of the profile does.

use crate::security::seccomp::oracle::{self, ACTIONS, NAMES, OPERATORS};
use crate::security::seccomp::{self, simulate};
use crate::spec::seccomp::{ArgCheck, Seccomp, SyscallRule};

const ARCHITECTURES: [&str; 4] = ["X86_64", "X32", "X86", "S390X"];
const VALUES: [u64; 8] = [0, 3, 0xffff_ffff, 1 << 32, 0x7e02_0000, u64::MAX, 1 << 63, 0xffff_ffff_0000_0000];
const AUDITS: [u32; 4] = [0xc000_003e, 0x4000_0003, 0xc000_00b7, 0];
/// More would only be slow.
const RULES_MAX: u8 = 8;

/// What is left of the input; zeroes when nothing is.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn next(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[usize::from(self.next()) % all.len()]
    }

    /// Near one of the values at which something may change.
    fn value(&mut self) -> u64 {
        self.one_of(&VALUES).wrapping_add(u64::from(self.next() % 4)).wrapping_sub(1)
    }

    fn check(&mut self) -> ArgCheck {
        let op = format!("SCMP_CMP_{}", self.one_of(&OPERATORS));
        ArgCheck { index: u32::from(self.next() % 6), value: self.value(), value_two: self.value(), op }
    }

    fn rule(&mut self) -> SyscallRule {
        let action = self.one_of(&ACTIONS);
        let takes_errno = matches!(action, "ERRNO" | "TRACE");
        let names = (0..=self.next() % 3).map(|_| self.one_of(&NAMES)).collect();
        let errno_ret = Some(u32::from(self.next())).filter(|errno| takes_errno && *errno < 128);
        let args = (0..self.next() % 4).map(|_| self.check()).collect();
        SyscallRule { names, action: format!("SCMP_ACT_{action}"), errno_ret, args }
    }

    fn profile(&mut self) -> Seccomp {
        let listed = self.next();
        let architectures = ARCHITECTURES.iter().enumerate().filter(|(bit, _)| listed >> bit & 1 != 0);
        Seccomp {
            default_action: format!("SCMP_ACT_{}", self.one_of(&ACTIONS)),
            default_errno_ret: None,
            architectures: architectures.map(|(_, name)| format!("SCMP_ARCH_{name}")).collect(),
            flags: None,
            listener_path: String::new(),
            listener_metadata: String::new(),
            syscalls: (0..self.next() % RULES_MAX).map(|_| self.rule()).collect(),
        }
    }

    fn call(&mut self) -> simulate::Call {
        let number = u32::from(self.next()) | u32::from(self.next() % 4) << 8;
        let number =
            [number, number | 0x4000_0000, number | 0x8000_0000, u32::MAX][usize::from(self.next() % 4)];
        let architecture = self.one_of(&AUDITS);
        simulate::Call { number, architecture, arguments: std::array::from_fn(|_| self.value()) }
    }
}

/// One input.
pub fn seccomp(input: &[u8]) {
    let mut bytes = Bytes(input);
    let profile = bytes.profile();
    let Ok(program) = seccomp::compile(&profile) else { return };
    while !bytes.0.is_empty() {
        let call = bytes.call();
        let (got, wanted) =
            (simulate::run(program.instructions(), &call), oracle::evaluate_native(&profile, &call));
        assert_eq!(got, wanted, "{call:x?} under {profile:?}");
    }
}
