//! What a program answers to a call, as the kernel would compute it: for tests and fuzz targets, which compare programs
//! without loading them. Knows only the instructions that the compiler writes.

use crate::sys::seccomp::Instruction;

/// The kernel's `struct seccomp_data`, without the instruction pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    /// The system call's number, with the bit of x32.
    pub(crate) number: u32,
    /// `AUDIT_ARCH_*`.
    pub(crate) architecture: u32,
    /// Its arguments.
    pub(crate) arguments: [u64; 6],
}

impl Call {
    fn word(&self, offset: u32) -> u32 {
        match offset {
            0 => self.number,
            4 => self.architecture,
            16..64 if offset.is_multiple_of(4) => {
                let argument = self.arguments[(offset as usize - 16) / 8];
                (argument >> (8 * (offset % 8))) as u32
            }
            _ => panic!("the program loads from offset {offset}"),
        }
    }
}

/// Runs the program.
///
/// # Panics
/// On an instruction that the compiler never writes, and where the kernel would refuse the program.
#[must_use]
pub(crate) fn run(program: &[Instruction], call: &Call) -> u32 {
    let (mut accumulator, mut at) = (0, 0);
    loop {
        let Instruction { code, jt, jf, k } = program[at];
        at += 1;
        let holds = match code {
            0x20 => {
                accumulator = call.word(k);
                continue;
            }
            0x54 => {
                accumulator &= k;
                continue;
            }
            0x05 => {
                at += k as usize;
                continue;
            }
            0x06 => return k,
            0x15 => accumulator == k,
            0x25 => accumulator > k,
            0x35 => accumulator >= k,
            0x45 => accumulator & k != 0,
            _ => panic!("the program has instruction {code:#x}"),
        };
        at += usize::from(if holds { jt } else { jf });
    }
}
