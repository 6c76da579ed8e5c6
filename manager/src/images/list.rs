//! Listing images, with docker's filters: different keys must all match, values of one key are alternatives.

use super::error::ImageError;
use super::handle::{Image, Images};
use super::records::{self, Record};
use super::reference::Reference;
use crate::content::Digest;
use crate::error::Chain;
use crate::filters::{FilterKeys, Filters, Values, label_matches};

/// An image in a list.
#[derive(Clone, Debug)]
pub(crate) enum Listed {
    /// All of its record can be read.
    Whole(Box<Image>),
    /// Its configuration is damaged or gone: it can be removed, and pulled again.
    Damaged(DamagedImage),
}

/// What is known of an image without its configuration.
#[derive(Clone, Debug)]
pub(crate) struct DamagedImage {
    /// Digest of the configuration.
    pub(crate) id: Digest,
    /// Full references, sorted.
    pub(crate) references: Vec<String>,
    /// `name@digest`, of what was pulled.
    pub(crate) repo_digests: Vec<String>,
    /// Bytes on disk, unpacked.
    pub(crate) size_bytes: u64,
    /// Bytes as blobs.
    pub(crate) compressed_bytes: u64,
    /// What is wrong with it, in one sentence.
    pub(crate) reason: String,
}

impl Listed {
    /// Digest of its configuration.
    pub(crate) fn id(&self) -> &Digest {
        match self {
            Self::Whole(image) => &image.id,
            Self::Damaged(image) => &image.id,
        }
    }

    /// Its full references, sorted.
    pub(crate) fn references(&self) -> &[String] {
        match self {
            Self::Whole(image) => &image.references,
            Self::Damaged(image) => &image.references,
        }
    }

    fn references_mut(&mut self) -> &mut Vec<String> {
        match self {
            Self::Whole(image) => &mut image.references,
            Self::Damaged(image) => &mut image.references,
        }
    }
}

/// What images can be filtered by.
pub(crate) const FILTER_KEYS: FilterKeys = FilterKeys {
    things: "images",
    keys: &[
        ("reference", Values::Any),
        ("label", Values::Any),
        ("dangling", Values::OneOf(&["true", "false"])),
    ],
};

fn matches(image: &Listed, key: &str, value: &str) -> bool {
    match (key, image) {
        ("reference", image) => image.references().iter().any(|reference| names(value, reference)),
        ("dangling", image) => image.references().is_empty() == (value == "true"),
        ("label", Listed::Whole(image)) => {
            let labels = image.config.config().as_ref().and_then(|config| config.labels().as_ref());
            label_matches(value, |name| labels?.get(name).map(String::as_str))
        }
        _ => false,
    }
}

/// Docker: the pattern may be about the name alone or about name and tag, with or without docker's own domain.
fn names(pattern: &str, reference: &str) -> bool {
    let Ok(parsed) = reference.parse::<Reference>() else { return false };
    let full_name = parsed.name();
    let short = |text: &str| {
        let text = text.strip_prefix("docker.io/").unwrap_or(text);
        text.strip_prefix("library/").unwrap_or(text).to_owned()
    };
    [short(reference), short(&full_name), reference.to_owned(), full_name]
        .iter()
        .any(|name| glob(pattern.as_bytes(), name.as_bytes()))
}

/// `*` is any number of characters and `?` is one, neither a slash. A star is retried only from the last one on, so a
/// pattern of many stars costs no more than one of few.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                retry = Some((p, t));
                p += 1;
            }
            Some(b'?') if text[t] != b'/' => (p, t) = (p + 1, t + 1),
            Some(letter) if *letter == text[t] => {
                if *letter == b'/' {
                    // No earlier star reaches over a slash.
                    retry = None;
                }
                (p, t) = (p + 1, t + 1);
            }
            _ => match retry {
                Some((star, from)) if text[from] != b'/' => {
                    retry = Some((star, from + 1));
                    (p, t) = (star + 1, from + 1);
                }
                _ => return false,
            },
        }
    }
    pattern[p..].iter().all(|letter| *letter == b'*')
}

impl Images {
    /// The images that match, the one that was here last first. A damaged one is in the list, and keeps no other out.
    ///
    /// # Errors
    /// [`ImageError::Store`], [`ImageError::Task`].
    pub(crate) async fn list(&self, filters: &Filters) -> Result<Vec<Listed>, ImageError> {
        let mut records = self.shared.store.read("list images", records::list).await?;
        records.sort_by_key(|record| std::cmp::Reverse(record.pulled_at));
        let mut images = Vec::with_capacity(records.len());
        for record in records {
            let mut image = self.listed(record).await?;
            if !filters.all_match(|key, value| matches(&image, key, value)) {
                continue;
            }
            // Those of its references that were asked for.
            if let Some(patterns) = filters.values("reference") {
                let is_asked_for = |reference: &str| patterns.iter().any(|pattern| names(pattern, reference));
                image.references_mut().retain(|reference| is_asked_for(reference));
            }
            images.push(image);
        }
        Ok(images)
    }

    async fn listed(&self, record: Record) -> Result<Listed, ImageError> {
        match self.image(record.clone()).await {
            Ok(image) => Ok(Listed::Whole(Box::new(image))),
            Err(error @ ImageError::Task(_)) => Err(error),
            Err(error) => Ok(Listed::Damaged(DamagedImage {
                id: record.id,
                references: record.references,
                repo_digests: record.repo_digests,
                size_bytes: record.size_bytes,
                compressed_bytes: record.compressed_bytes,
                reason: Chain(&error).to_string(),
            })),
        }
    }

    /// How many images are here.
    ///
    /// # Errors
    /// [`ImageError::Store`].
    pub(crate) async fn count(&self) -> Result<u32, ImageError> {
        Ok(self.shared.store.read("count images", records::count).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_about_the_name_or_the_name_and_the_tag() {
        let reference = "docker.io/library/alpine:3.20";
        for pattern in
            ["alpine", "alp*", "alpine:3.*", "*:3.20", "a?pine", "docker.io/library/alpine:3.20", "*"]
        {
            assert!(names(pattern, reference), "{pattern}");
        }
        for pattern in ["", "alpin", "alpine:3.21", "*/alpine", "alpine:", "?", "library/alpine"] {
            assert!(!names(pattern, reference), "{pattern}");
        }
        assert!(names("*/*/app*", "localhost:5000/team/app:1"));
        assert!(!names("*/app*", "localhost:5000/team/app:1"));
        assert!(names("*a*b*c", "xxaxxbxxbxc:1"));
        assert!(!glob(&[b'*', b'a'].repeat(200), &[b'a'; 150]));
    }
}
