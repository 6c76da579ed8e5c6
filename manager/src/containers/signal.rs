//! Signals by name or number, as docker takes them: `TERM`, `SIGTERM`, `sigterm`, `15`, `SIGRTMIN+3`.

/// Linux on every architecture that knarr runs on (x86, arm, riscv): the numbers of asm-generic.
const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE",
    "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ",
    "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];

/// The first real-time signal that a program may use: glibc and musl keep 32 and 33 for themselves.
const RTMIN: i32 = 34;
/// The last signal of all.
const RTMAX: i32 = 64;

/// SIGKILL.
pub(crate) const KILL: i32 = 9;
/// SIGTERM.
pub(crate) const TERM: i32 = 15;

/// No such signal.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid signal {text:?}: give a name such as SIGTERM, or a number from 1 to 64")]
pub(crate) struct InvalidSignal {
    text: String,
}

/// Reads a signal's name or number.
///
/// # Errors
/// [`InvalidSignal`] for anything else.
pub(crate) fn parse(text: &str) -> Result<i32, InvalidSignal> {
    number(text).ok_or_else(|| InvalidSignal { text: text.chars().take(40).collect() })
}

fn number(text: &str) -> Option<i32> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().ok().filter(|number| (1..=RTMAX).contains(number));
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some(index) = NAMES.iter().position(|known| *known == name) {
        return i32::try_from(index + 1).ok();
    }
    match name {
        "IOT" => return Some(6),
        "CLD" => return Some(17),
        "POLL" => return Some(29),
        _ => {}
    }
    let real_time = match (name.strip_prefix("RTMIN"), name.strip_prefix("RTMAX")) {
        (Some(""), _) => Some(RTMIN),
        (Some(offset), _) => {
            offset.strip_prefix('+')?.parse::<u8>().ok().map(|offset| RTMIN + i32::from(offset))
        }
        (_, Some("")) => Some(RTMAX),
        (_, Some(offset)) => {
            offset.strip_prefix('-')?.parse::<u8>().ok().map(|offset| RTMAX - i32::from(offset))
        }
        _ => None,
    };
    real_time.filter(|number| (RTMIN..=RTMAX).contains(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_understood() {
        for (text, number) in [
            ("TERM", TERM),
            ("SIGKILL", KILL),
            ("sigusr2", 12),
            ("1", 1),
            ("64", 64),
            ("SIGSYS", 31),
            ("RTMIN+3", 37),
            ("SIGRTMAX-1", 63),
            ("SIGRTMIN", 34),
        ] {
            assert_eq!(parse(text), Ok(number), "{text}");
        }
    }

    #[test]
    fn what_is_no_signal_is_refused() {
        for text in
            ["", "0", "65", "-9", "+9", "SIG", "SIGFOO", "RTMIN+31", "RTMAX-99", "RTMIN-1", "99999999999"]
        {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
