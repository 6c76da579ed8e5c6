//! Lists, cut into replies that every client takes: gRPC's own bound is 4 MiB a message, and what is listed adds up what
//! users, images and registries chose. So each item has a bound, and a reply ends with the item that fills it.

use std::collections::HashMap;

use prost::Message;
use tokio_stream::Stream;

/// A reply is sent when it has reached this size.
const FULL_BYTES: usize = 256 * 1024;
/// All labels of one summary.
const MAX_LABELS_BYTES: usize = 32 * 1024;
/// All texts of one kind of one summary: arguments, mounts, an error.
pub(super) const MAX_TEXTS_BYTES: usize = 4 * 1024;
/// References of one item; each is at most some hundred bytes.
pub(super) const MAX_REFERENCES: usize = 128;

/// The items of a list, as many to a piece as fit; one piece at least. Each is made when it is sent.
pub(super) fn pieces<T: Message>(items: impl Iterator<Item = T>) -> impl Iterator<Item = Vec<T>> {
    let mut items = items.peekable();
    let mut is_first = true;
    std::iter::from_fn(move || {
        let (mut piece, mut bytes) = (Vec::new(), 0);
        while bytes < FULL_BYTES
            && let Some(item) = items.next()
        {
            bytes += item.encoded_len();
            piece.push(item);
        }
        let is_over = piece.is_empty() && !std::mem::take(&mut is_first);
        (!is_over).then_some(piece)
    })
}

/// The same as replies.
pub(super) fn replies<T: Message, R>(
    items: impl Iterator<Item = T>,
    reply: impl Fn(Vec<T>) -> R,
) -> impl Stream<Item = Result<R, tonic::Status>> {
    tokio_stream::iter(pieces(items).map(move |piece| Ok(reply(piece))))
}

/// As many labels as fit, the shortest first, so that one long label hides itself and no other.
pub(super) fn labels<'a>(
    labels: impl IntoIterator<Item = (&'a String, &'a String)>,
) -> HashMap<String, String> {
    let mut labels: Vec<_> = labels.into_iter().collect();
    labels.sort_by_key(|(key, value)| (key.len() + value.len(), *key));
    let mut left = MAX_LABELS_BYTES;
    let fits = |(key, value): &(&String, &String)| {
        // What the wire adds to a short pair.
        let rest = left.checked_sub(key.len() + value.len() + 12);
        left = rest.unwrap_or(0);
        rest.is_some()
    };
    labels.into_iter().take_while(fits).map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// As many texts as fit; the last one may be cut.
pub(super) fn texts<'a>(texts: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut left = MAX_TEXTS_BYTES;
    let mut shown = Vec::new();
    for text in texts {
        if left == 0 {
            break;
        }
        let part = &text[..text.floor_char_boundary(left)];
        left = if part.len() < text.len() { 0 } else { left.saturating_sub(text.len() + 4) };
        shown.push(part.to_owned());
    }
    shown
}

/// One text, cut if it is too long.
pub(super) fn text(text: &str) -> String {
    text[..text.floor_char_boundary(MAX_TEXTS_BYTES)].to_owned()
}

#[cfg(test)]
mod tests {
    use knarr_proto::v1;

    use super::*;

    #[test]
    fn a_list_of_any_length_has_pieces_that_fit() {
        let item = |length: usize| v1::Filter { key: "k".into(), value: "x".repeat(length) };
        for lengths in [vec![], vec![0; 100_000], vec![1000; 2000], vec![64 * 1024; 50], vec![1, 1 << 18, 1]]
        {
            let items: Vec<_> = lengths.iter().map(|length| item(*length)).collect();
            let pieces: Vec<_> = pieces(items.iter().cloned()).collect();
            assert!(!pieces.is_empty());
            let largest = items.iter().map(Message::encoded_len).max().unwrap_or(0);
            for piece in &pieces {
                assert!(piece.iter().map(Message::encoded_len).sum::<usize>() < FULL_BYTES + largest);
            }
            assert_eq!(pieces.concat(), items);
        }
    }

    #[test]
    fn labels_and_texts_have_a_bound_whatever_they_are() {
        let made = |count: usize, length: usize| -> Vec<(String, String)> {
            (0..count).map(|number| (format!("{number}"), "ü".repeat(length))).collect()
        };
        for (count, length) in [(1, 1 << 20), (100_000, 0), (10, 1000), (40, 1000)] {
            let pairs = made(count, length);
            let summary = v1::ContainerSummary {
                labels: labels(pairs.iter().map(|(key, value)| (key, value))),
                args: texts(pairs.iter().map(|(_, value)| value.as_str())),
                ..v1::ContainerSummary::default()
            };
            assert!(summary.encoded_len() < 40 * 1024, "{count} of {length}");
        }
        let mut pairs = made(1, 1 << 20);
        pairs.push(("tier".into(), "front".into()));
        assert_eq!(labels(pairs.iter().map(|(key, value)| (key, value)))["tier"], "front");
    }
}
