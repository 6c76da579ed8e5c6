//! `--ulimit nofile=1024:2048`

use knarr_proto::v1::Ulimit;

use super::BadOption;

/// The resources of getrlimit(2), without `RLIMIT_`.
const NAMES: [&str; 16] = [
    "as",
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

/// `NAME=SOFT[:HARD]`; -1 is unlimited, and hard is soft when it is left out.
pub(crate) fn parse(text: &str) -> Result<Ulimit, BadOption> {
    let (name, limits) =
        text.split_once('=').ok_or_else(|| BadOption::form(text, "NAME=SOFT[:HARD], as nofile=1024:2048"))?;
    if !NAMES.contains(&name) {
        return Err(BadOption::part(name, text, "is no resource that can be limited"));
    }
    let (soft, hard) = limits.split_once(':').unwrap_or((limits, limits));
    let (soft, hard) = (limit(soft, text)?, limit(hard, text)?);
    if soft > hard {
        return Err(BadOption::part(limits, text, "has a soft limit above the hard one"));
    }
    Ok(Ulimit { name: name.to_owned(), soft, hard })
}

fn limit(digits: &str, text: &str) -> Result<u64, BadOption> {
    match digits {
        "-1" => Ok(u64::MAX),
        _ => digits.parse().map_err(|_| BadOption::part(digits, text, "is neither a number nor -1")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_soft_and_hard() {
        for (text, soft, hard) in [
            ("nofile=1024", 1024, 1024),
            ("nofile=1024:2048", 1024, 2048),
            ("core=-1", u64::MAX, u64::MAX),
            ("core=0:-1", 0, u64::MAX),
        ] {
            let limit = parse(text).expect(text);
            assert_eq!((limit.soft, limit.hard), (soft, hard), "{text}");
        }
        for text in ["nofile", "nofile=", "nofile=a", "nofile=2:1", "files=1", "=1", "nofile=-1:1"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
