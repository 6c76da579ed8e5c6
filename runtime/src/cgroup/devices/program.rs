//! The v2 device filter: a BPF program that the kernel asks at each mknod and open. Pure: from a list to instructions.

use crate::cgroup::devices::{ALL, Device, DeviceList, Kind, MAKE, READ, WRITE};
use crate::sys::bpf::Instruction;

// Registers: the context is in R1; R2 to R5 hold what it says; R0 is the verdict.
const VERDICT: u8 = 0;
const CONTEXT: u8 = 1;
const KIND: u8 = 2;
const ACCESS: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;
const SCRATCH: u8 = 6;

// <linux/bpf.h> and <linux/bpf_common.h>.
const LOAD_WORD: u8 = 0x61;
const AND: u8 = 0x54;
const SHIFT_RIGHT: u8 = 0x74;
const MOVE: u8 = 0xb4;
const MOVE_REGISTER: u8 = 0xbc;
const JUMP_IF_NOT_EQUAL: u8 = 0x56;
const JUMP_IF_EQUAL: u8 = 0x16;
const EXIT: u8 = 0x95;

// <linux/bpf.h>, BPF_DEVCG_*.
const KERNEL_BLOCK: i32 = 1;
const KERNEL_CHARACTER: i32 = 2;
const KERNEL_MAKE: i32 = 1;
const KERNEL_READ: i32 = 2;
const KERNEL_WRITE: i32 = 4;

const fn instruction(code: u8, to: u8, from: u8, offset: i16, value: i32) -> Instruction {
    Instruction { code, registers: to | from << 4, offset, value }
}

/// The program for a list.
pub(super) fn assemble(list: &DeviceList) -> Vec<Instruction> {
    // struct bpf_cgroup_dev_ctx: u32 access_type (the access above 16 bits of kind), u32 major, u32 minor.
    let mut program = vec![
        instruction(LOAD_WORD, KIND, CONTEXT, 0, 0),
        instruction(AND, KIND, 0, 0, 0xffff),
        instruction(LOAD_WORD, ACCESS, CONTEXT, 0, 0),
        instruction(SHIFT_RIGHT, ACCESS, 0, 0, 16),
        instruction(LOAD_WORD, MAJOR, CONTEXT, 4, 0),
        instruction(LOAD_WORD, MINOR, CONTEXT, 8, 0),
    ];
    for (device, access) in &list.exceptions {
        program.extend(block(*device, *access, list.allows_all));
    }
    program.push(instruction(MOVE, VERDICT, 0, 0, i32::from(list.allows_all)));
    program.push(instruction(EXIT, 0, 0, 0, 0));
    program
}

/// One exception: jumps past itself when it is about another device. An allowed one must allow all of what is asked, a
/// denied one denies when it has any of it, as in v1.
fn block(device: Device, access: u8, allows_all: bool) -> Vec<Instruction> {
    let mut block = vec![(JUMP_IF_NOT_EQUAL, KIND, kernel_kind(device.kind))];
    if let Some(major) = device.major {
        block.push((JUMP_IF_NOT_EQUAL, MAJOR, major.cast_signed()));
    }
    if let Some(minor) = device.minor {
        block.push((JUMP_IF_NOT_EQUAL, MINOR, minor.cast_signed()));
    }
    if access != ALL {
        block.push((MOVE_REGISTER, SCRATCH, 0));
        if allows_all {
            block.push((AND, SCRATCH, kernel_access(access)));
            block.push((JUMP_IF_EQUAL, SCRATCH, 0));
        } else {
            block.push((AND, SCRATCH, !kernel_access(access)));
            block.push((JUMP_IF_NOT_EQUAL, SCRATCH, 0));
        }
    }
    block.push((MOVE, VERDICT, i32::from(!allows_all)));
    block.push((EXIT, 0, 0));
    let length = block.len();
    let place = |(index, (code, register, value)): (usize, (u8, u8, i32))| match code {
        JUMP_IF_NOT_EQUAL | JUMP_IF_EQUAL => {
            let past = i16::try_from(length - index - 1).expect("a block has at most ten instructions");
            instruction(code, register, 0, past, value)
        }
        MOVE_REGISTER => instruction(code, register, ACCESS, 0, 0),
        _ => instruction(code, register, 0, 0, value),
    };
    block.into_iter().enumerate().map(place).collect()
}

fn kernel_kind(kind: Kind) -> i32 {
    match kind {
        Kind::Block => KERNEL_BLOCK,
        Kind::Character => KERNEL_CHARACTER,
    }
}

fn kernel_access(access: u8) -> i32 {
    [(MAKE, KERNEL_MAKE), (READ, KERNEL_READ), (WRITE, KERNEL_WRITE)]
        .into_iter()
        .filter(|(bit, _)| access & bit != 0)
        .fold(0, |bits, (_, kernel)| bits | kernel)
}
