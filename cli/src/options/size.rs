//! Amounts of memory and of processors.

use super::BadOption;

const EXPECTED: &str =
    "a size such as 512m, 1.5g or 65536 (units are b, k, m, g and t, each 1024 of the one before)";

/// Bytes: a number with a unit of powers of 1024, as docker's `-m`.
pub(crate) fn parse(text: &str) -> Result<i64, BadOption> {
    let lower = text.to_ascii_lowercase();
    let end = lower.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(lower.len());
    let (digits, unit) = lower.split_at(end);
    let shift = match unit.trim_start() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        "p" | "pb" | "pib" => 50,
        _ => return Err(BadOption::form(text, EXPECTED)),
    };
    let bytes = scale(digits, 1 << shift).ok_or_else(|| BadOption::form(text, EXPECTED))?;
    Ok(bytes)
}

/// As [`parse`], and -1 for no limit.
pub(crate) fn parse_swap(text: &str) -> Result<i64, BadOption> {
    match text {
        "-1" => Ok(-1),
        _ => parse(text),
    }
}

/// `1.5` processors, in billionths.
pub(crate) fn parse_cpus(text: &str) -> Result<i64, BadOption> {
    scale(text, 1_000_000_000)
        .ok_or_else(|| BadOption::form(text, "a number of CPUs such as 2 or 0.5, in steps of a billionth"))
}

/// `digits`, which may have a fraction, times `unit`, in whole numbers. None when it is no number or too large.
fn scale(digits: &str, unit: i64) -> Option<i64> {
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() && fraction.is_empty() || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let whole: i64 = if whole.is_empty() { 0 } else { whole.parse().ok().filter(|whole| *whole >= 0)? };
    // Digits beyond these are less than one byte or billionth of any unit that we have.
    let fraction = &fraction[..fraction.len().min(18)];
    let part = match fraction {
        "" => 0,
        _ => {
            let numerator: i128 = fraction.parse().ok()?;
            let denominator = 10_i128.pow(u32::try_from(fraction.len()).ok()?);
            i64::try_from(numerator * i128::from(unit) / denominator).ok()?
        }
    };
    whole.checked_mul(unit)?.checked_add(part)
}

/// `--memory-swappiness`; -1 is the parent's.
pub(crate) fn parse_swappiness(text: &str) -> Result<i64, BadOption> {
    let number = text.parse().ok().filter(|number| (-1..=100).contains(number));
    number.ok_or_else(|| BadOption::form(text, "a number of 0 to 100, or -1 for the default"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_powers_of_1024() {
        for (text, bytes) in [
            ("0", 0),
            ("65536", 65536),
            ("1b", 1),
            ("512m", 512 << 20),
            ("512M", 512 << 20),
            ("512 MiB", 512 << 20),
            ("1.5g", 3 << 29),
            ("1kb", 1024),
            ("2T", 2 << 40),
        ] {
            assert_eq!(parse(text).expect(text), bytes);
        }
        for text in ["", "m", "-1", "1x", "1.2.3", "zz", "99999999999999999999", "9999999p", "１k"] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert_eq!(parse_swap("-1").expect("no limit"), -1);
        assert!(parse_swap("-2").is_err());
    }

    #[test]
    fn processors_are_counted_in_billionths() {
        for (text, nano) in
            [("1", 1_000_000_000), ("0.5", 500_000_000), (".25", 250_000_000), ("1.000000001", 1_000_000_001)]
        {
            assert_eq!(parse_cpus(text).expect(text), nano);
        }
        for text in ["", ".", "-1", "1e3", "two", "+1.-1"] {
            assert!(parse_cpus(text).is_err(), "{text}");
        }
    }
}
