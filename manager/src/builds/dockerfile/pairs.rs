//! `name=value` words, as ENV, LABEL and ARG have them. Quotes stay: they count when variables are expanded.

/// Splits a line into words; quotes and escapes hold one together, and stay in it.
pub(super) fn words(line: &str, escape: char) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match (quote, letter) {
            (None, letter) if letter.is_whitespace() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                continue;
            }
            (None, '\'' | '"') => quote = Some(letter),
            (Some(open), letter) if letter == open => quote = None,
            (open, letter) if letter == escape && open != Some('\'') => {
                word.push(letter);
                word.extend(letters.next());
                continue;
            }
            _ => {}
        }
        word.push(letter);
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// The pairs of ENV and LABEL: `k=v k2=v2`, or the old `k the rest`.
pub(super) fn pairs(line: &str, escape: char, instruction: &str) -> Result<Vec<(String, String)>, String> {
    let words = words(line, escape);
    let Some(first) = words.first() else {
        return Err(format!("{instruction} requires at least one argument"));
    };
    if !first.contains('=') {
        let Some((name, value)) = line.trim().split_once(char::is_whitespace) else {
            return Err(format!("{instruction} must have two arguments"));
        };
        return Ok(vec![(name.to_owned(), value.trim_start().to_owned())]);
    }
    let pair = |word: &String| match word.split_once('=') {
        Some(("", _)) => Err(format!("{instruction} names can not be blank")),
        Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
        None => Err(format!("Syntax error - can't find = in {word:?}. Must be of the form: name=value")),
    };
    words.iter().map(pair).collect()
}
