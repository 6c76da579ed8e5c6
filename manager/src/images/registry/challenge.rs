//! `WWW-Authenticate`: what a registry wants to see before it answers (RFC 9110, 11.6.1; distribution's token
//! specification). Only read here; who we are is not known here.

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    /// A user name and a password.
    Basic,
    /// A token, which this server makes.
    Bearer {
        /// The token server's URL.
        realm: String,
        /// What the token is for.
        service: Option<String>,
        /// What it must allow.
        scope: Option<String>,
    },
}

/// A header longer than this is no challenge.
const MAX_HEADER_BYTES: usize = 8 << 10;

/// The first challenge that we know; bearer before basic, wherever it stands.
pub(super) fn choose<'a>(headers: impl Iterator<Item = &'a str>) -> Option<Challenge> {
    let mut basic = None;
    for header in headers.filter(|header| header.len() <= MAX_HEADER_BYTES) {
        for (scheme, parameters) in challenges(header) {
            let parameter = |name: &str| {
                let found = parameters.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
                found.map(|(_, value)| value.clone())
            };
            match (scheme.to_ascii_lowercase().as_str(), parameter("realm")) {
                ("bearer", Some(realm)) => {
                    let (service, scope) = (parameter("service"), parameter("scope"));
                    return Some(Challenge::Bearer { realm, service, scope });
                }
                ("basic", _) => basic = Some(Challenge::Basic),
                _ => {}
            }
        }
    }
    basic
}

/// Splits `Scheme a="b", c=d, Scheme2 …`: a word without `=` begins the next challenge.
fn challenges(header: &str) -> Vec<(String, Vec<(String, String)>)> {
    let mut found: Vec<(String, Vec<(String, String)>)> = Vec::new();
    let mut rest = header.trim_start_matches([' ', ',']);
    while !rest.is_empty() {
        let end = rest.find([' ', '=', ',']).unwrap_or(rest.len());
        let (word, tail) = rest.split_at(end);
        match (tail.strip_prefix('='), found.last_mut()) {
            (Some(value), Some((_, parameters))) => {
                let (value, tail) = parameter_value(value);
                parameters.push((word.to_owned(), value));
                rest = tail;
            }
            // A parameter of nothing.
            (Some(value), None) => rest = parameter_value(value).1,
            (None, _) => {
                found.push((word.to_owned(), Vec::new()));
                rest = tail;
            }
        }
        rest = rest.trim_start_matches([' ', ',']);
    }
    found
}

/// A token, or a quoted text with backslashes.
fn parameter_value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([' ', ',']).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut letters = quoted.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.extend(letters.next().map(|(_, escaped)| escaped)),
            other => value.push(other),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_of_real_registries_are_understood() {
        let hub = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/alpine:pull,push""#;
        let bearer = Challenge::Bearer {
            realm: "https://auth.docker.io/token".to_owned(),
            service: Some("registry.docker.io".to_owned()),
            scope: Some("repository:library/alpine:pull,push".to_owned()),
        };
        assert_eq!(choose([hub].into_iter()), Some(bearer.clone()));
        assert_eq!(choose([r#"Basic realm="x""#, hub].into_iter()), Some(bearer.clone()));
        assert_eq!(choose([format!(r#"Basic realm="a, b", {hub}"#).as_str()].into_iter()), Some(bearer));
        assert_eq!(choose(["Basic realm=Registry Realm"].into_iter()), Some(Challenge::Basic));
        assert_eq!(choose(["basic"].into_iter()), Some(Challenge::Basic));
    }

    #[test]
    fn nonsense_is_no_challenge() {
        for header in ["", "Bearer", "Bearer realm", "=,=,", r#"Negotiate, NTLM"#, "\"", "realm=\"x", "é=\\"]
        {
            assert_eq!(choose([header].into_iter()), None, "{header:?}");
        }
    }
}
