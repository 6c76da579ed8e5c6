//! Which ABIs a kernel offers, how a filter tells them apart, and which of their calls are multiplexers to many others.

use super::table::Table;
use crate::security::seccomp::table;

/// Every name that the specification has; a profile may list those that this kernel cannot run, and they add nothing.
pub(crate) const ARCHITECTURES: [&str; 23] = [
    "SCMP_ARCH_AARCH64",
    "SCMP_ARCH_ARM",
    "SCMP_ARCH_LOONGARCH64",
    "SCMP_ARCH_M68K",
    "SCMP_ARCH_MIPS",
    "SCMP_ARCH_MIPS64",
    "SCMP_ARCH_MIPS64N32",
    "SCMP_ARCH_MIPSEL",
    "SCMP_ARCH_MIPSEL64",
    "SCMP_ARCH_MIPSEL64N32",
    "SCMP_ARCH_PARISC",
    "SCMP_ARCH_PARISC64",
    "SCMP_ARCH_PPC",
    "SCMP_ARCH_PPC64",
    "SCMP_ARCH_PPC64LE",
    "SCMP_ARCH_RISCV64",
    "SCMP_ARCH_S390",
    "SCMP_ARCH_S390X",
    "SCMP_ARCH_SH",
    "SCMP_ARCH_SHEB",
    "SCMP_ARCH_X32",
    "SCMP_ARCH_X86",
    "SCMP_ARCH_X86_64",
];

/// The kernel's bit in the number of an x32 call.
pub(super) const X32_BIT: u32 = 0x4000_0000;

/// How much of an argument the kernel looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Width {
    /// The lower half only, of the argument and of what it is compared with (as libseccomp does, x32 included).
    Bits32,
    Bits64,
}

/// One way to call the kernel.
#[derive(Debug)]
pub(super) struct Abi {
    /// Its name in profiles.
    pub(super) name: &'static str,
    /// `AUDIT_ARCH_*`, which two ABIs may share.
    pub(super) audit: u32,
    /// Added to the table's numbers.
    pub(super) base: u32,
    /// Its column in the table.
    pub(super) column: usize,
    pub(super) width: Width,
    /// Calls that reach others by their first argument.
    pub(super) multiplexers: &'static [Multiplexer],
}

/// A call whose first argument says which call is meant, and whose other arguments are in memory, out of reach.
#[derive(Debug)]
pub(super) struct Multiplexer {
    pub(super) name: &'static str,
    /// The bits of the first argument that the kernel looks at.
    pub(super) mask: u32,
    /// The calls behind it, with their value.
    pub(super) calls: &'static [(&'static str, u32)],
}

/// The ABIs of one kernel, the native one first.
pub(super) struct Family {
    pub(super) table: &'static Table,
    pub(super) abis: &'static [Abi],
}

/// An x86-64 kernel.
#[cfg(any(test, target_arch = "x86_64"))]
pub(super) static X86: Family = Family {
    table: &table::X86,
    abis: &[
        Abi {
            name: "SCMP_ARCH_X86_64",
            audit: 0xc000_003e,
            base: 0,
            column: 0,
            width: Width::Bits64,
            multiplexers: &[],
        },
        Abi {
            name: "SCMP_ARCH_X32",
            audit: 0xc000_003e,
            base: X32_BIT,
            column: 1,
            width: Width::Bits32,
            multiplexers: &[],
        },
        Abi {
            name: "SCMP_ARCH_X86",
            audit: 0x4000_0003,
            base: 0,
            column: 2,
            width: Width::Bits32,
            multiplexers: I386_MULTIPLEXERS,
        },
    ],
};

/// A little-endian AArch64 kernel.
#[cfg(any(test, target_arch = "aarch64"))]
pub(super) static ARM: Family = Family {
    table: &table::ARM,
    abis: &[
        Abi {
            name: "SCMP_ARCH_AARCH64",
            audit: 0xc000_00b7,
            base: 0,
            column: 0,
            width: Width::Bits64,
            multiplexers: &[],
        },
        Abi {
            name: "SCMP_ARCH_ARM",
            audit: 0x4000_0028,
            base: 0,
            column: 1,
            width: Width::Bits32,
            multiplexers: &[],
        },
    ],
};

/// The kernel that this program is built for.
#[cfg(target_arch = "x86_64")]
pub(super) static NATIVE: &Family = &X86;
#[cfg(target_arch = "aarch64")]
pub(super) static NATIVE: &Family = &ARM;
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
compile_error!("security/seccomp has system call tables for x86-64 and AArch64 kernels only");

/// include/uapi/linux/net.h and ipc.h. `ipc` carries a version in its upper half, which does not select the call.
#[cfg(any(test, target_arch = "x86_64"))]
static I386_MULTIPLEXERS: &[Multiplexer] = &[
    Multiplexer {
        name: "socketcall",
        mask: u32::MAX,
        calls: &[
            ("socket", 1),
            ("bind", 2),
            ("connect", 3),
            ("listen", 4),
            ("accept", 5),
            ("getsockname", 6),
            ("getpeername", 7),
            ("socketpair", 8),
            ("send", 9),
            ("recv", 10),
            ("sendto", 11),
            ("recvfrom", 12),
            ("shutdown", 13),
            ("setsockopt", 14),
            ("getsockopt", 15),
            ("sendmsg", 16),
            ("recvmsg", 17),
            ("accept4", 18),
            ("recvmmsg", 19),
            ("sendmmsg", 20),
        ],
    },
    Multiplexer {
        name: "ipc",
        mask: 0xffff,
        calls: &[
            ("semop", 1),
            ("semget", 2),
            ("semctl", 3),
            ("semtimedop", 4),
            ("msgsnd", 11),
            ("msgrcv", 12),
            ("msgget", 13),
            ("msgctl", 14),
            ("shmat", 21),
            ("shmdt", 22),
            ("shmget", 23),
            ("shmctl", 24),
        ],
    },
];
