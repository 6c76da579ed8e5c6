//! Digests: `sha256:<64 hex>` and `sha512:<128 hex>`, lower case, nothing else. The only way to own one is to parse or
//! compute it, so that a path made from it cannot leave its directory.

use std::fmt;
use std::str::FromStr;

use sha2::Digest as _;

/// The digest algorithms that the OCI image-spec registers and registries use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Algorithm {
    /// 64 hexadecimal digits.
    Sha256,
    /// 128 hexadecimal digits.
    Sha512,
}

/// A content digest, as in the OCI image-spec's "descriptor".
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Digest {
    text: String,
    algorithm: Algorithm,
}

/// Why a text is no digest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidDigest {
    /// There is no `algorithm:` before the digits.
    #[error("digest {0:?} has no algorithm: it is written sha256:<64 hexadecimal digits>")]
    NoAlgorithm(String),
    /// The algorithm is not one of ours.
    #[error("digest {0:?} has an unsupported algorithm: sha256 and sha512 are known")]
    Algorithm(String),
    /// Too short, too long, upper case or not hexadecimal.
    #[error("digest {text:?} must have {expected} lower-case hexadecimal digits")]
    Digits {
        /// The beginning of what was given.
        text: String,
        /// How many digits the algorithm has.
        expected: usize,
    },
}

/// Enough of a wrong text to recognise it in a message.
const MAX_QUOTED_CHARS: usize = 100;

impl Algorithm {
    /// The name before the colon, which is also the directory of its blobs.
    #[must_use]
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    fn digits(self) -> usize {
        match self {
            Self::Sha256 => 64,
            Self::Sha512 => 128,
        }
    }
}

impl Digest {
    /// The whole digest as text, `sha256:…`.
    #[must_use]
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// Which algorithm made it.
    #[must_use]
    pub(crate) fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The digits alone.
    #[must_use]
    pub(crate) fn hex(&self) -> &str {
        &self.text[self.algorithm.name().len() + 1..]
    }

    /// The sha256 digest of `bytes`.
    #[must_use]
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let mut hasher = Hasher::new(Algorithm::Sha256);
        hasher.update(bytes);
        hasher.finish()
    }
}

impl FromStr for Digest {
    type Err = InvalidDigest;

    fn from_str(text: &str) -> Result<Self, InvalidDigest> {
        let quoted = || text.chars().take(MAX_QUOTED_CHARS).collect::<String>();
        let Some((name, digits)) = text.split_once(':') else {
            return Err(InvalidDigest::NoAlgorithm(quoted()));
        };
        let algorithm = match name {
            "sha256" => Algorithm::Sha256,
            "sha512" => Algorithm::Sha512,
            _ => return Err(InvalidDigest::Algorithm(quoted())),
        };
        let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if digits.len() != algorithm.digits() || !digits.bytes().all(is_hex) {
            return Err(InvalidDigest::Digits { text: quoted(), expected: algorithm.digits() });
        }
        Ok(Self { text: text.to_owned(), algorithm })
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl rusqlite::types::FromSql for Digest {
    fn column_result(value: rusqlite::types::ValueRef<'_>) -> rusqlite::types::FromSqlResult<Self> {
        value.as_str()?.parse().map_err(|error| rusqlite::types::FromSqlError::Other(Box::new(error)))
    }
}

impl rusqlite::types::ToSql for Digest {
    fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
        self.text.to_sql()
    }
}

/// Computes a digest piece by piece.
#[derive(Clone)]
pub(crate) enum Hasher {
    /// For [`Algorithm::Sha256`].
    Sha256(sha2::Sha256),
    /// For [`Algorithm::Sha512`].
    Sha512(Box<sha2::Sha512>),
}

impl Hasher {
    /// Nothing hashed yet.
    #[must_use]
    pub(crate) fn new(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Sha256 => Self::Sha256(sha2::Sha256::new()),
            Algorithm::Sha512 => Self::Sha512(Box::new(sha2::Sha512::new())),
        }
    }

    /// Takes in the next bytes.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hasher) => hasher.update(bytes),
            Self::Sha512(hasher) => hasher.update(bytes),
        }
    }

    /// The digest of everything taken in.
    #[must_use]
    pub(crate) fn finish(self) -> Digest {
        let (algorithm, bytes) = match self {
            Self::Sha256(hasher) => (Algorithm::Sha256, hasher.finalize().to_vec()),
            Self::Sha512(hasher) => (Algorithm::Sha512, hasher.finalize().to_vec()),
        };
        let mut text = String::with_capacity(algorithm.name().len() + 1 + bytes.len() * 2);
        text.push_str(algorithm.name());
        text.push(':');
        for byte in bytes {
            for nibble in [byte >> 4, byte & 15] {
                text.push(char::from_digit(u32::from(nibble), 16).expect("a nibble is below 16"));
            }
        }
        Digest { text, algorithm }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn the_digest_of_nothing_is_the_well_known_one() {
        assert_eq!(Digest::of(b"").as_str(), EMPTY);
        assert_eq!(EMPTY.parse::<Digest>().expect("a digest").hex().len(), 64);
    }

    #[test]
    fn texts_that_are_no_digest_are_refused() {
        let hex = &EMPTY[7..];
        for text in [
            "",
            hex,
            "sha256:",
            "sha256:../../x",
            &EMPTY.to_uppercase(),
            &EMPTY[..EMPTY.len() - 1],
            &format!("{EMPTY}0"),
            &format!("md5:{}", &hex[..32]),
            &format!("sha512:{hex}"),
            &format!("sha256:{}g", &hex[..63]),
            &format!("sha256:{}/", &hex[..63]),
            &format!("SHA256:{hex}"),
            &format!(" sha256:{hex}"),
            &format!("sha256:{hex}\n"),
        ] {
            assert!(text.parse::<Digest>().is_err(), "{text:?}");
        }
    }
}
