//! Reads flags the way runc's callers write them: one or two dashes, `--name value` or `--name=value`, flags before or
//! after the operands. Knows nothing of what a flag means, and never splits a value on commas.

use super::error::UsageError;

/// What a flag takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Takes {
    /// Nothing, or `=true` and `=false`.
    Nothing,
    /// One text.
    Value,
}

/// One flag of a command; `usage` is its line of help, empty for a flag that is not shown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flag {
    /// The long name, without dashes.
    pub(crate) name: &'static str,
    /// The one-letter name.
    pub(crate) short: Option<&'static str>,
    /// What follows it.
    pub(crate) takes: Takes,
    /// The line of help.
    pub(crate) usage: &'static str,
}

/// A flag without a value.
pub(crate) const fn switch(name: &'static str, usage: &'static str) -> Flag {
    Flag { name, short: None, takes: Takes::Nothing, usage }
}

/// A flag with a value.
pub(crate) const fn value(name: &'static str, usage: &'static str) -> Flag {
    Flag { name, short: None, takes: Takes::Value, usage }
}

impl Flag {
    /// The same flag with a one-letter name too.
    pub(crate) const fn or(self, short: &'static str) -> Self {
        Self { short: Some(short), ..self }
    }

    fn is_called(&self, name: &str) -> bool {
        self.name == name || self.short == Some(name)
    }
}

/// Where flags end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// At the first operand: the rest is another program's command line, or the name of a command.
    FlagsFirst,
    /// At `--`: flags may follow operands.
    Mixed,
}

/// What was found on a command line.
#[derive(Debug, Default)]
pub(crate) struct Matches {
    given: Vec<(&'static str, String)>,
    /// What is no flag, in order.
    pub(crate) operands: Vec<String>,
}

/// Reads `arguments` against the flags of one command.
///
/// # Errors
/// [`UsageError`] for a flag that is not in `flags`, or without its value.
pub(crate) fn read(
    mut arguments: impl Iterator<Item = String>,
    flags: &[Flag],
    order: Order,
) -> Result<Matches, UsageError> {
    let mut matches = Matches::default();
    while let Some(argument) = arguments.next() {
        if argument == "--" {
            matches.operands.extend(arguments);
            break;
        }
        let Some(named) = argument.strip_prefix('-').filter(|rest| !rest.is_empty()) else {
            matches.operands.push(argument);
            if order == Order::FlagsFirst {
                matches.operands.extend(arguments);
                break;
            }
            continue;
        };
        let named = named.strip_prefix('-').unwrap_or(named);
        let (name, inline) = match named.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (named, None),
        };
        let flag = flags.iter().find(|flag| flag.is_called(name));
        let flag = flag.ok_or_else(|| UsageError::UnknownFlag(name.to_owned()))?;
        let value = match (flag.takes, inline) {
            (Takes::Nothing, None) => "true".to_owned(),
            (_, Some(value)) => value,
            (Takes::Value, None) => arguments.next().ok_or_else(|| UsageError::NoValue(name.to_owned()))?,
        };
        if flag.takes == Takes::Nothing {
            truth(flag.name, &value)?;
        }
        matches.given.push((flag.name, value));
    }
    Ok(matches)
}

impl Matches {
    /// The last value given for `name`.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.given.iter().rev().find(|(given, _)| *given == name).map(|(_, value)| value.as_str())
    }

    /// Every value given for `name`, in order.
    pub(crate) fn texts(&self, name: &str) -> Vec<String> {
        self.given.iter().filter(|(given, _)| *given == name).map(|(_, value)| value.clone()).collect()
    }

    /// Whether the switch `name` is on.
    ///
    /// # Errors
    /// [`UsageError::BadBoolean`] for `--name=perhaps`.
    pub(crate) fn is_on(&self, name: &'static str) -> Result<bool, UsageError> {
        self.text(name).map_or(Ok(false), |value| truth(name, value))
    }

    /// The last value given for `name` as a number or whatever else can be read from text.
    ///
    /// # Errors
    /// [`UsageError::BadValue`] when it cannot be read.
    pub(crate) fn parsed<T: std::str::FromStr>(&self, name: &'static str) -> Result<Option<T>, UsageError> {
        let read = |value: &str| value.parse().map_err(|_| UsageError::bad_value(name, value));
        self.text(name).map(read).transpose()
    }
}

/// Go's `strconv.ParseBool`, which callers of runc may rely on.
fn truth(name: &str, value: &str) -> Result<bool, UsageError> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(UsageError::BadBoolean { name: name.to_owned(), value: value.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLAGS: &[Flag] = &[value("bundle", "").or("b"), switch("detach", "").or("d")];

    fn read_line(line: &str, order: Order) -> Result<Matches, UsageError> {
        read(line.split_whitespace().map(str::to_owned), FLAGS, order)
    }

    #[test]
    fn every_way_to_write_a_flag_is_understood() {
        for line in
            ["--bundle /x -d id", "-bundle=/x --detach=1 id", "id -b /x -d", "-b=/x id --d", "-d -b /x -- id"]
        {
            let matches = read_line(line, Order::Mixed).expect(line);
            assert_eq!(matches.text("bundle"), Some("/x"), "{line}");
            assert!(matches.is_on("detach").expect(line), "{line}");
            assert_eq!(matches.operands, ["id"], "{line}");
        }
    }

    #[test]
    fn flags_of_the_program_in_the_container_are_left_alone() {
        let matches = read_line("-d id sh -c --bundle -x", Order::FlagsFirst).expect("flags come first");
        assert_eq!(matches.operands, ["id", "sh", "-c", "--bundle", "-x"]);
    }

    #[test]
    fn values_are_not_split_and_the_last_one_counts() {
        let matches = read_line("-b /a,b -b /c", Order::Mixed).expect("two values");
        assert_eq!(matches.texts("bundle"), ["/a,b", "/c"]);
        assert_eq!(matches.text("bundle"), Some("/c"));
    }

    #[test]
    fn what_is_no_flag_is_refused_in_go_s_words() {
        for (line, message) in [
            ("--bogus id", "flag provided but not defined: -bogus"),
            ("-db id", "flag provided but not defined: -db"),
            ("--bundle", "flag needs an argument: -bundle"),
            ("--detach=maybe", "invalid boolean value \"maybe\" for -detach: parse error"),
        ] {
            let error = read_line(line, Order::Mixed).expect_err(line);
            assert_eq!(error.to_string(), message);
        }
    }

    #[test]
    fn a_lone_dash_is_an_operand() {
        assert_eq!(read_line("-", Order::Mixed).expect("stdin").operands, ["-"]);
    }
}
