//! One comparison of one argument: its meaning in the profile and its instructions.

use super::architecture::Width;
use super::assembler::{Assembler, Jump, Target};

/// Where seccomp_data has the first argument; each takes eight bytes, the lower half first.
const OFFSET_ARGUMENTS: u32 = 16;

/// How an argument is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    MaskedEqual,
}

/// One comparison of one argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Check {
    /// 0 to 5.
    pub(super) index: u32,
    pub(super) operator: Operator,
    /// All ones but for [`Operator::MaskedEqual`].
    pub(super) mask: u64,
    pub(super) value: u64,
}

/// Where to go on.
#[derive(Clone, Copy)]
struct Exits {
    yes: Target,
    no: Target,
}

impl Check {
    /// Writes the comparison; the result is where it starts.
    pub(super) fn emit(self, assembler: &mut Assembler, width: Width, yes: Target, no: Target) -> Target {
        let exits = Exits { yes, no };
        let inverted = Exits { yes: no, no: yes };
        match self.operator {
            Operator::Equal | Operator::MaskedEqual => self.equal(assembler, width, exits),
            Operator::NotEqual => self.equal(assembler, width, inverted),
            Operator::Greater => self.ordered(assembler, width, Jump::Greater, exits),
            Operator::GreaterOrEqual => self.ordered(assembler, width, Jump::GreaterOrEqual, exits),
            Operator::Less => self.ordered(assembler, width, Jump::GreaterOrEqual, inverted),
            Operator::LessOrEqual => self.ordered(assembler, width, Jump::Greater, inverted),
        }
    }

    fn equal(self, assembler: &mut Assembler, width: Width, exits: Exits) -> Target {
        let lower = self.half_equal(assembler, 0, exits);
        match width {
            Width::Bits32 => lower,
            Width::Bits64 => self.half_equal(assembler, 1, Exits { yes: lower, no: exits.no }),
        }
    }

    /// `half` is 0 for the lower 32 bits, 1 for the upper.
    fn half_equal(self, assembler: &mut Assembler, half: u32, exits: Exits) -> Target {
        let (mask, value) = (bits(self.mask, half), bits(self.value, half));
        if mask == 0 {
            return if value == 0 { exits.yes } else { exits.no };
        }
        if exits.yes == exits.no {
            return exits.yes;
        }
        let compare = if mask == u32::MAX {
            assembler.branch(Jump::Equal, value, exits.yes, exits.no)
        } else if value == 0 {
            assembler.branch(Jump::AnyBit, mask, exits.no, exits.yes)
        } else {
            let compare = assembler.branch(Jump::Equal, value, exits.yes, exits.no);
            assembler.and(mask, compare)
        };
        assembler.load(self.offset(half), compare)
    }

    /// The upper halves decide unless they are equal.
    fn ordered(self, assembler: &mut Assembler, width: Width, jump: Jump, exits: Exits) -> Target {
        if exits.yes == exits.no {
            return exits.yes;
        }
        let lower = assembler.branch(jump, bits(self.value, 0), exits.yes, exits.no);
        let lower = assembler.load(self.offset(0), lower);
        if width == Width::Bits32 {
            return lower;
        }
        let upper = bits(self.value, 1);
        let equal = assembler.branch(Jump::Equal, upper, lower, exits.no);
        let greater = assembler.branch(Jump::Greater, upper, exits.yes, equal);
        assembler.load(self.offset(1), greater)
    }

    fn offset(self, half: u32) -> u32 {
        OFFSET_ARGUMENTS + 8 * self.index + 4 * half
    }
}

fn bits(value: u64, half: u32) -> u32 {
    (value >> (32 * half)) as u32
}
