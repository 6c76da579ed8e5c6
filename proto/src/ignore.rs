//! `.dockerignore`, to the letter: which paths of a build's context are left out. The client applies it before it sends a
//! context, knarrd to what came.

/// The patterns of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ignore {
    patterns: Vec<(bool, Pattern)>,
}

/// One pattern, over a whole path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(Vec<Token>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    /// `**`: directories, whole, or part of a name.
    Directories,
    /// `**` at the end: all that follows.
    Rest,
    /// `*`.
    Name,
    /// `?`.
    One,
    /// `[a-z]`, or `[^a-z]`.
    Class {
        negated: bool,
        ranges: Vec<(u8, u8)>,
    },
    Byte(u8),
}

impl Ignore {
    /// Reads the lines of a file: `#` in the first column is a comment, `!` takes back.
    ///
    /// # Errors
    /// What is wrong with a line, in one sentence.
    pub fn read(text: &str) -> Result<Self, String> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let lines: Vec<String> =
            text.lines().filter(|line| !line.starts_with('#')).map(|line| line.trim().to_owned()).collect();
        Self::new(&lines)
    }

    /// As [`Ignore::read`], of lines that are none of a file's.
    ///
    /// # Errors
    /// What is wrong with a pattern, in one sentence.
    pub fn new(lines: &[String]) -> Result<Self, String> {
        let mut patterns = Vec::new();
        for line in lines.iter().filter(|line| !line.is_empty()) {
            let (takes_back, rest) = match line.strip_prefix('!') {
                Some(rest) => (true, rest.trim()),
                None => (false, line.as_str()),
            };
            if takes_back && rest.is_empty() {
                return Err("illegal exclusion pattern: \"!\"".to_owned());
            }
            let cleaned = clean(rest);
            if !cleaned.is_empty() {
                patterns.push((takes_back, Pattern::parse(&cleaned)?));
            }
        }
        Ok(Self { patterns })
    }

    /// Whether a path, from the context's root, is left out. The last pattern that matches it, or a directory above it,
    /// decides.
    #[must_use]
    pub fn excludes(&self, path: &[u8]) -> bool {
        let mut is_excluded = false;
        for (takes_back, pattern) in &self.patterns {
            if is_excluded == *takes_back && pattern.matches_or_above(path) {
                is_excluded = !takes_back;
            }
        }
        is_excluded
    }

    /// Whether anything below an excluded directory might be taken back.
    #[must_use]
    pub fn may_include_below(&self, _directory: &[u8]) -> bool {
        self.patterns.iter().any(|(takes_back, _)| *takes_back)
    }

    /// Whether nothing is left out.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }
}

/// Go's path.Clean, from the context's root.
fn clean(pattern: &str) -> String {
    let mut names: Vec<&str> = Vec::new();
    for name in pattern.split('/') {
        match name {
            "" | "." => {}
            ".." => drop(names.pop()),
            name => names.push(name),
        }
    }
    names.join("/")
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// What is wrong with it, in one sentence.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("syntax error in pattern {text:?}");
        let mut bytes = text.bytes().peekable();
        let mut tokens = Vec::new();
        while let Some(byte) = bytes.next() {
            tokens.push(match byte {
                b'*' if bytes.peek() == Some(&b'*') => {
                    while bytes.peek() == Some(&b'*') {
                        bytes.next();
                    }
                    if bytes.peek() == Some(&b'/') {
                        bytes.next();
                    }
                    if bytes.peek().is_none() { Token::Rest } else { Token::Directories }
                }
                b'*' => Token::Name,
                b'?' => Token::One,
                b'\\' => Token::Byte(bytes.next().ok_or_else(wrong)?),
                b'[' => {
                    let negated = bytes.next_if_eq(&b'^').is_some();
                    let mut ranges = Vec::new();
                    loop {
                        let first = match bytes.next().ok_or_else(wrong)? {
                            b']' if !ranges.is_empty() => break,
                            b']' | b'-' => return Err(wrong()),
                            b'\\' => bytes.next().ok_or_else(wrong)?,
                            first => first,
                        };
                        let last = match bytes.next_if_eq(&b'-') {
                            None => first,
                            Some(_) => match bytes.next().ok_or_else(wrong)? {
                                b'\\' => bytes.next().ok_or_else(wrong)?,
                                b']' | b'-' => return Err(wrong()),
                                last => last,
                            },
                        };
                        ranges.push((first, last));
                    }
                    Token::Class { negated, ranges }
                }
                byte => Token::Byte(byte),
            });
        }
        Ok(Self(tokens))
    }

    /// Whether the path is matched, whole.
    #[must_use]
    pub fn matches(&self, path: &[u8]) -> bool {
        self.ends(path)[path.len()]
    }

    /// Whether the path or a directory above it is matched.
    fn matches_or_above(&self, path: &[u8]) -> bool {
        let ends = self.ends(path);
        ends[path.len()] || path.iter().enumerate().any(|(at, byte)| *byte == b'/' && ends[at])
    }

    /// Where a match that begins at the path's beginning can end. Each token is one pass, so that no pattern takes long.
    fn ends(&self, path: &[u8]) -> Vec<bool> {
        let count = path.len();
        let mut reached = vec![false; count + 1];
        reached[0] = true;
        for token in &self.0 {
            let mut next = vec![false; count + 1];
            match token {
                Token::Rest => {
                    let first = reached.iter().position(|is_reached| *is_reached).unwrap_or(count + 1);
                    next.iter_mut().skip(first).for_each(|end| *end = true);
                }
                Token::Directories => {
                    // Part of a name, or anything that ends in a slash.
                    let (mut in_name, mut anywhere) = (false, false);
                    for at in 0..=count {
                        let after_slash = at > 0 && path[at - 1] == b'/';
                        in_name = reached[at] || (in_name && !after_slash);
                        next[at] = in_name || (after_slash && anywhere);
                        anywhere |= reached[at];
                    }
                }
                Token::Name => {
                    let mut is_open = false;
                    for at in 0..=count {
                        is_open = reached[at] || (is_open && path[at - 1] != b'/');
                        next[at] = is_open;
                    }
                }
                one => {
                    for at in 0..count {
                        next[at + 1] = reached[at] && one.is(path[at]);
                    }
                }
            }
            reached = next;
        }
        reached
    }
}

impl Token {
    fn is(&self, byte: u8) -> bool {
        match self {
            Self::One => byte != b'/',
            Self::Byte(wanted) => byte == *wanted,
            Self::Class { negated, ranges } => {
                byte != b'/'
                    && ranges.iter().any(|(first, last)| (*first..=*last).contains(&byte)) != *negated
            }
            Self::Directories | Self::Rest | Self::Name => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_docker_s_do() {
        for (pattern, path, is_matched) in [
            ("**", "file", true),
            ("**", "dir/file", true),
            ("**/", "file", true),
            ("**/**", "dir/file", true),
            ("dir/**", "dir/file", true),
            ("dir/**", "dir/dir2/file", true),
            ("dir/**", "other", false),
            ("**/dir", "dir", true),
            ("**/dir", "a/b/dir", true),
            ("**/dir2/*", "dir/dir2/file", true),
            ("**/dir2/*", "dir/dir2/dir2/dir2/file", true),
            ("**file", "file", true),
            ("**file", "dir/file", true),
            ("**/file", "dir/dir/file", true),
            ("**file", "dir/dir/file.txt", false),
            ("**/file*", "dir/dir/file.txt", true),
            ("**/file*txt", "dir/dir/file.txt", true),
            ("a**/*.txt", "a/file.txt", true),
            ("a[b-d]e", "ace", true),
            ("a[b-d]e", "aae", false),
            ("a[^b-d]e", "aze", true),
            ("a[^b-d]e", "a/e", false),
            ("a\\*b", "a*b", true),
            ("a\\*b", "axb", false),
            ("a?", "ab", true),
            ("a?", "a", false),
            ("a?", "a/", false),
            (".*", ".foo", true),
            (".*", "foo", false),
            ("*", "a/b", false),
            ("abc.def", "abcdef", false),
            ("**/foo/bar", "foo/bar", true),
            ("**/foo/bar", "dir/foo/bar", true),
            ("abc/**", "abc/def/ghi", true),
            ("**/.foo", "bar/.foo", true),
            ("a(b)c/def", "a(b)c/def", true),
            ("", "", true),
        ] {
            let parsed = Pattern::parse(pattern).expect(pattern);
            assert_eq!(parsed.matches(path.as_bytes()), is_matched, "{pattern} {path}");
        }
        for pattern in ["a[", "a[]a]", "[-]", "[x-]", "[a-b-c", "[", "[^", "[^bc", "a\\"] {
            assert!(Pattern::parse(pattern).is_err(), "{pattern}");
        }
    }

    #[test]
    fn the_last_match_decides_also_of_directories_above() {
        for (file, path, is_excluded) in [
            ("a", "a/b/c", true),
            ("/a", "a", true),
            ("./a/../b/", "b/x", true),
            ("*\n!keep", "keep/x", false),
            ("*\n!keep\nkeep/x", "keep/x", true),
            ("a\n!a/b", "a/b", false),
            ("a\n!a/b", "a/c", true),
            ("!a\na", "a", true),
            ("# a", "# a", false),
            ("  # a", "# a", true),
            ("*.md\n!README*.md\nREADME-secret.md", "README-secret.md", true),
            ("A", "a", false),
            ("", "a", false),
            (".", "a", false),
        ] {
            let ignore = Ignore::read(file).expect(file);
            assert_eq!(ignore.excludes(path.as_bytes()), is_excluded, "{file:?} {path}");
        }
        assert!(Ignore::read("a\n!\n").expect_err("refused").contains("illegal exclusion pattern"));
    }

    #[test]
    fn no_pattern_takes_long() {
        let pattern = Pattern::parse(&"**a*".repeat(200)).expect("a pattern");
        assert!(!pattern.matches("a/".repeat(2000).as_bytes()));
    }
}
