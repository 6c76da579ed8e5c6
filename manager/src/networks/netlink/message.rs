//! Netlink messages: a head, a fixed part, and attributes, each padded to four bytes.

/// Flags of a message.
pub(crate) const REQUEST: u16 = 0x001;
pub(crate) const ACK: u16 = 0x004;
pub(crate) const DUMP: u16 = 0x300;
pub(crate) const EXCLUSIVE: u16 = 0x200;
pub(crate) const CREATE: u16 = 0x400;

/// Of an attribute that has others in it.
const NESTED: u16 = 0x8000;
const HEAD_BYTES: usize = 16;

/// Messages that are sent together.
#[derive(Debug, Default)]
pub(crate) struct Messages {
    bytes: Vec<u8>,
    /// How many there are; each has its number as its sequence.
    count: u32,
}

impl Messages {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Adds a message of a kind, with a fixed part and whatever `fill` puts behind it.
    pub(crate) fn add(&mut self, kind: u16, flags: u16, fixed: &[u8], fill: impl FnOnce(&mut Self)) {
        self.count += 1;
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 4]);
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(&flags.to_ne_bytes());
        self.bytes.extend_from_slice(&self.count.to_ne_bytes());
        self.bytes.extend_from_slice(&[0; 4]);
        self.bytes.extend_from_slice(fixed);
        self.pad();
        fill(self);
        let length = u32::try_from(self.bytes.len() - start).expect("messages are small");
        self.bytes[start..start + 4].copy_from_slice(&length.to_ne_bytes());
    }

    /// Asks for an answer to the last message.
    pub(crate) fn acknowledge_last(&mut self) {
        let mut at = 0;
        while let Some(head) = self.bytes.get(at..at + HEAD_BYTES) {
            let length = u32::from_ne_bytes([head[0], head[1], head[2], head[3]]) as usize;
            let next = at + length.next_multiple_of(4);
            if next >= self.bytes.len() {
                let flags = u16::from_ne_bytes([self.bytes[at + 6], self.bytes[at + 7]]) | ACK;
                self.bytes[at + 6..at + 8].copy_from_slice(&flags.to_ne_bytes());
            }
            at = next;
        }
    }

    /// An attribute.
    pub(crate) fn put(&mut self, kind: u16, value: &[u8]) {
        let length = u16::try_from(value.len() + 4).expect("attributes are small");
        self.bytes.extend_from_slice(&length.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(value);
        self.pad();
    }

    /// An attribute that is text, with the byte that ends it.
    pub(crate) fn put_text(&mut self, kind: u16, text: &str) {
        self.put(kind, &[text.as_bytes(), &[0]].concat());
    }

    /// A number of the host's byte order, as links have it.
    pub(crate) fn put_u32(&mut self, kind: u16, number: u32) {
        self.put(kind, &number.to_ne_bytes());
    }

    /// A number of the network's byte order, as the firewall has it.
    pub(crate) fn put_be32(&mut self, kind: u16, number: u32) {
        self.put(kind, &number.to_be_bytes());
    }

    /// An attribute with others in it; `prefix` comes before those.
    pub(crate) fn nest(&mut self, kind: u16, prefix: &[u8], fill: impl FnOnce(&mut Self)) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 2]);
        self.bytes.extend_from_slice(&(kind | NESTED).to_ne_bytes());
        self.bytes.extend_from_slice(prefix);
        self.pad();
        fill(self);
        let length = u16::try_from(self.bytes.len() - start).expect("attributes are small");
        self.bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes());
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

/// The attributes in `bytes`, with their kinds; what is cut short ends the list.
pub(crate) fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let head = bytes.get(..4)?;
        let length = usize::from(u16::from_ne_bytes([head[0], head[1]]));
        let kind = u16::from_ne_bytes([head[2], head[3]]) & !NESTED;
        let value = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_have_lengths_and_padding() {
        let mut messages = Messages::default();
        messages.add(16, REQUEST, &[1, 2], |message| {
            message.put_text(3, "eth0");
            message.nest(18, &[], |inner| inner.put(1, &[9]));
        });
        messages.add(17, REQUEST, &[], |_| {});
        messages.acknowledge_last();
        let bytes = messages.bytes();
        assert_eq!(u32::from_ne_bytes(bytes[..4].try_into().expect("four")), 16 + 4 + 12 + 12);
        let inner: Vec<_> = attributes(&bytes[20..44]).collect();
        assert_eq!(inner[0], (3, &b"eth0\0"[..]));
        assert_eq!((inner[1].0, attributes(inner[1].1).next()), (18, Some((1, &[9][..]))));
        assert_eq!(bytes[44 + 6], 5, "only the last one asks for an answer");
        assert_eq!(bytes[6], 1);
        assert_eq!(attributes(&[9, 0, 1, 0, 1]).next(), None);
    }
}
