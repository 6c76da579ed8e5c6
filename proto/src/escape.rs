//! Text from outside (names, labels, errors, what a registry sent), made safe for a terminal or a log: what would move the
//! cursor, change colours, reverse the direction of reading or vanish is shown as an escape instead.

use std::borrow::Cow;

/// How an escape is spelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `\u{1b}`, for people.
    Text,
    /// `\u001b`, inside the strings of a JSON text, which then means the same as before.
    Json,
}

/// Whether a terminal would not simply show this letter: controls (C0, DEL and C1), overrides of the direction of
/// reading ("Trojan Source", CVE-2021-42574), line separators, and letters without width that hide in a name.
#[must_use]
pub fn is_unsafe(letter: char) -> bool {
    letter.is_control()
        || matches!(
            letter,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'
                ..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

/// One line: newlines and tabs are escaped, too.
#[must_use]
pub fn line(text: &str) -> Cow<'_, str> {
    escaped(text, Form::Text, |_| false)
}

/// Several lines, as a program lays them out: newlines and tabs stay.
#[must_use]
pub fn lines(text: &str) -> Cow<'_, str> {
    escaped(text, Form::Text, |letter| matches!(letter, '\n' | '\t'))
}

/// A JSON text: its own layout stays, and so does its meaning. (Below U+0020, JSON's writers escape by themselves.)
#[must_use]
pub fn json(text: &str) -> Cow<'_, str> {
    escaped(text, Form::Json, |letter| matches!(letter, '\n' | '\t'))
}

fn escaped(text: &str, form: Form, stays: impl Fn(char) -> bool) -> Cow<'_, str> {
    let hidden = |letter: char| is_unsafe(letter) && !stays(letter);
    if !text.contains(hidden) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for letter in text.chars() {
        match (hidden(letter), form) {
            (false, _) => out.push(letter),
            (true, Form::Text) => out.push_str(&named(letter)),
            (true, Form::Json) => {
                for unit in letter.encode_utf16(&mut [0; 2]) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
    }
    Cow::Owned(out)
}

/// `\n`, `\t` and `\r` by name, all others by number.
fn named(letter: char) -> String {
    match letter {
        '\n' => "\\n".to_owned(),
        '\t' => "\\t".to_owned(),
        '\r' => "\\r".to_owned(),
        other => other.escape_unicode().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_shown() {
        for (text, shown) in [
            ("\x1b]0;title\x07", "\\u{1b}]0;title\\u{7}"),
            ("a\r\nb\tc\0", "a\\r\\nb\\tc\\u{0}"),
            ("\u{9b}31m\u{7f}", "\\u{9b}31m\\u{7f}"),
            ("if \u{202e}}\u{2066}", "if \\u{202e}}\\u{2066}"),
            ("zero\u{200b}width\u{feff}\u{e0041}", "zero\\u{200b}width\\u{feff}\\u{e0041}"),
            ("\u{2028}next", "\\u{2028}next"),
        ] {
            assert_eq!(line(text), shown, "{text:?}");
        }
        assert_eq!(lines("a\tb\n\x1b[2J\r"), "a\tb\n\\u{1b}[2J\\r");
    }

    #[test]
    fn what_people_write_stays() {
        for text in ["", "plain", "Grüße, 東京, שלום, 👩\u{200d}💻", "C:\\temp \"quoted\"", "a\u{301}"]
        {
            assert!(matches!(line(text), Cow::Borrowed(same) if same == text), "{text:?}");
        }
    }

    #[test]
    fn json_means_the_same_afterwards() {
        let value = serde_json::json!({ "a\u{9b}": ["\u{202e}x", "\u{e0041}", "\x1b", "tab\there"] });
        let text = serde_json::to_string_pretty(&value).expect("a value is JSON");
        let safe = json(&text);
        assert!(!safe.contains(|letter| is_unsafe(letter) && letter != '\n'), "{safe}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&safe).expect("JSON still"), value);
    }
}
