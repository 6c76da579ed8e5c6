//! Classic BPF, written from its last instruction to its first: every jump goes forward, so that its target and with
//! it the distance are known when the jump is written. Conditional jumps reach 255 instructions; what is farther is
//! reached over a jump, or by a copy of the return.

use crate::sys::seccomp::Instruction;

/// BPF_MAXINSNS.
pub(super) const INSTRUCTIONS_MAX: usize = 4096;

const LOAD: u16 = 0x20;
const AND: u16 = 0x54;
const JUMP: u16 = 0x05;
const RETURN: u16 = 0x06;

/// A conditional jump's comparison of the accumulator with a constant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Jump {
    Equal = 0x15,
    Greater = 0x25,
    GreaterOrEqual = 0x35,
    AnyBit = 0x45,
}

/// An instruction, by its distance from the program's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Target(usize);

/// Far beyond what the kernel takes, so that the caller can count, and near enough that a monstrous profile ends.
const LENGTH_MAX: usize = 4 * INSTRUCTIONS_MAX;

/// A program that grows at its front.
#[derive(Default)]
pub(super) struct Assembler {
    reversed: Vec<Instruction>,
    /// The latest copy of each return.
    returns: Vec<(u32, Target)>,
}

impl Assembler {
    /// Whether there is no sense in going on.
    pub(super) fn is_full(&self) -> bool {
        self.reversed.len() > LENGTH_MAX
    }

    /// Ends the program with `value`; an instruction that does so already is taken again.
    pub(super) fn returns(&mut self, value: u32) -> Target {
        match self.returns.iter().find(|(known, _)| *known == value) {
            Some(&(_, target)) => target,
            None => self.new_return(value),
        }
    }

    /// Compares the accumulator and goes on at one of two places, which may be the same or far away.
    pub(super) fn branch(&mut self, jump: Jump, operand: u32, yes: Target, no: Target) -> Target {
        if yes == no {
            return yes;
        }
        let no = self.bring_near(no);
        let yes = self.bring_near(yes);
        let (jt, jf) = (self.distance(yes), self.distance(no));
        let near = |distance: usize| u8::try_from(distance).expect("both targets were brought within 255");
        self.emit(Instruction { code: jump as u16, jt: near(jt), jf: near(jf), k: operand })
    }

    /// Loads the 32-bit word at `offset` of seccomp_data, then goes on at `next`.
    pub(super) fn load(&mut self, offset: u32, next: Target) -> Target {
        self.straight(LOAD, offset, next)
    }

    /// Masks the accumulator, then goes on at `next`.
    pub(super) fn and(&mut self, mask: u32, next: Target) -> Target {
        self.straight(AND, mask, next)
    }

    /// The program in the kernel's order.
    pub(super) fn finish(mut self) -> Vec<Instruction> {
        self.reversed.reverse();
        self.reversed
    }

    fn straight(&mut self, code: u16, operand: u32, next: Target) -> Target {
        if next.0 + 1 != self.reversed.len() {
            self.jump_to(next);
        }
        self.emit(Instruction { code, jt: 0, jf: 0, k: operand })
    }

    /// A target that a conditional jump reaches even if one more instruction comes between.
    fn bring_near(&mut self, target: Target) -> Target {
        if self.reversed.len() - target.0 <= usize::from(u8::MAX) { target } else { self.jump_to(target) }
    }

    /// One instruction that leads to the target: a jump, or what a jump would lead to anyway.
    fn jump_to(&mut self, target: Target) -> Target {
        let there = self.reversed[target.0];
        if there.code == RETURN {
            return self.new_return(there.k);
        }
        let distance = u32::try_from(self.distance(target)).expect("programs are bounded");
        self.emit(Instruction { code: JUMP, jt: 0, jf: 0, k: distance })
    }

    fn new_return(&mut self, value: u32) -> Target {
        let target = self.emit(Instruction { code: RETURN, jt: 0, jf: 0, k: value });
        self.returns.retain(|(known, _)| *known != value);
        self.returns.push((value, target));
        target
    }

    /// How many instructions the next one would have to skip.
    fn distance(&self, target: Target) -> usize {
        self.reversed.len() - target.0 - 1
    }

    fn emit(&mut self, instruction: Instruction) -> Target {
        self.reversed.push(instruction);
        Target(self.reversed.len() - 1)
    }
}
