//! Modes as chmod(1) takes them: `755`, `u+x,go=rX`.

/// A change of modes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Change(Vec<Clause>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Clause {
    /// The bits of those that it is about.
    mask: u32,
    operation: char,
    bits: u32,
    /// `X`: execution only of directories and of what somebody may execute.
    conditional_execution: bool,
}

const ALL: u32 = 0o7777;

impl Change {
    /// Reads it; nothing changes nothing.
    ///
    /// # Errors
    /// What is wrong with it, in one sentence.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("invalid mode {text:?}: octal up to 7777, or as u+x,go=rX");
        if text.is_empty() {
            return Ok(Self::default());
        }
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            let bits = u32::from_str_radix(text, 8).ok().filter(|bits| *bits <= ALL).ok_or_else(wrong)?;
            return Ok(Self(vec![Clause { mask: ALL, operation: '=', bits, conditional_execution: false }]));
        }
        let mut clauses = Vec::new();
        for part in text.split(',') {
            let at = part.find(['+', '-', '=']).ok_or_else(wrong)?;
            let mut mask = 0;
            for who in part[..at].chars() {
                mask |= match who {
                    'u' => 0o4700,
                    'g' => 0o2070,
                    'o' => 0o1007,
                    'a' => ALL,
                    _ => return Err(wrong()),
                };
            }
            if mask == 0 {
                mask = ALL;
            }
            let (mut bits, mut conditional_execution) = (0, false);
            for what in part[at + 1..].chars() {
                bits |= match what {
                    'r' => 0o444,
                    'w' => 0o222,
                    'x' => 0o111,
                    'X' => {
                        conditional_execution = true;
                        0
                    }
                    's' => 0o6000,
                    't' => 0o1000,
                    _ => return Err(wrong()),
                };
            }
            let operation = part[at..].chars().next().ok_or_else(wrong)?;
            clauses.push(Clause { mask, operation, bits, conditional_execution });
        }
        Ok(Self(clauses))
    }

    /// The mode of what had `mode`.
    pub(crate) fn apply(&self, mode: u32, is_directory: bool) -> u32 {
        self.0.iter().fold(mode, |mode, clause| {
            let executes = clause.conditional_execution && (is_directory || mode & 0o111 != 0);
            let bits = (clause.bits | if executes { 0o111 } else { 0 }) & clause.mask;
            match clause.operation {
                '+' => mode | bits,
                '-' => mode & !bits,
                _ => (mode & !clause.mask) | bits,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_changed_as_chmod_does() {
        for (text, before, is_directory, after) in [
            ("", 0o644, false, 0o644),
            ("755", 0o600, false, 0o755),
            ("4755", 0o600, false, 0o4755),
            ("u+x", 0o644, false, 0o744),
            ("go=rX", 0o600, true, 0o655),
            ("go=rX", 0o600, false, 0o644),
            ("a-w,u=rwX", 0o666, false, 0o644),
            ("+x", 0o644, false, 0o755),
            ("u+s", 0o755, false, 0o4755),
        ] {
            assert_eq!(Change::parse(text).expect(text).apply(before, is_directory), after, "{text}");
        }
        for text in ["8", "10000", "u", "z+x", "u+q", "u+x,"] {
            assert!(Change::parse(text).is_err(), "{text}");
        }
    }
}
