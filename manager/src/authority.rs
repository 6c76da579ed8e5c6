//! Makes every client's `:authority` one that the HTTP/2 library takes. On a unix socket it means nothing, but gRPC's C
//! core (Python, C++, Ruby, PHP) sends the socket's path there, percent-encoded, which is no authority by RFC 3986; h2
//! resets such a call before any code of ours sees it, and has no setting for that.
//!
//! So the bytes that a client sends pass through here. Only header blocks are touched, and in them only the value of
//! `:authority`, which is replaced by as many letters as it had: the client's compression table (RFC 7541, section 4)
//! and the server's stay the same size, entry by entry.
//!
//! ```text
//! preface(24) │ head(9) payload │ head(9) payload …     head: length(3) type(1) flags(1) stream(4)
//! ```

/// "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
const PREFACE_BYTES: usize = 24;
const HEAD_BYTES: usize = 9;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;
/// What HTTP/2 allows in a frame unless the server said otherwise; ours says nothing.
const MAX_FRAME_BYTES: usize = 16_384;
/// The server refuses a header block of this length anyway, whatever its authority.
const MAX_BLOCK_BYTES: usize = 64 * 1024;

/// One connection's incoming bytes.
#[derive(Debug)]
pub(crate) struct AuthorityFilter {
    state: State,
    /// The frames of a header block, as far as they have come, or a part of another frame's head.
    held: Vec<u8>,
    /// Where in `held` the frame begins that is being read.
    frame_at: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// So many bytes are nothing to us.
    Passing(usize),
    /// Held back until there are so many: a frame's head, then its payload.
    Holding(usize),
    /// This is not HTTP/2 as we know it: the server is to say so.
    GivenUp,
}

impl Default for AuthorityFilter {
    fn default() -> Self {
        Self { state: State::Passing(PREFACE_BYTES), held: Vec::new(), frame_at: 0 }
    }
}

impl AuthorityFilter {
    /// For a protocol without authorities: everything passes.
    pub(crate) fn none() -> Self {
        Self { state: State::GivenUp, held: Vec::new(), frame_at: 0 }
    }

    /// Returns whether the next `length` bytes can be used as they are; [`Self::take`] need not see them then.
    pub(crate) fn passes(&mut self, length: usize) -> bool {
        match self.state {
            State::GivenUp => true,
            State::Passing(left) if left > length => {
                self.state = State::Passing(left - length);
                true
            }
            State::Passing(_) | State::Holding(_) => false,
        }
    }

    /// Takes what has been read, and appends to `out` what the server is to read.
    pub(crate) fn take(&mut self, mut data: &[u8], out: &mut Vec<u8>) {
        while !data.is_empty() {
            match self.state {
                State::GivenUp => {
                    out.extend_from_slice(data);
                    return;
                }
                State::Passing(left) => {
                    let (now, rest) = data.split_at(left.min(data.len()));
                    out.extend_from_slice(now);
                    data = rest;
                    self.state = passing(left - now.len());
                }
                State::Holding(needed) => {
                    let (now, rest) = data.split_at((needed - self.held.len()).min(data.len()));
                    self.held.extend_from_slice(now);
                    data = rest;
                    if self.held.len() == needed {
                        self.state = self.next(out);
                    }
                }
            }
        }
    }

    /// Appends what is still held back: the client sends nothing more.
    pub(crate) fn end(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.held);
        self.state = State::GivenUp;
    }

    /// What is held is a frame's head, or a whole frame.
    fn next(&mut self, out: &mut Vec<u8>) -> State {
        let frame = &self.held[self.frame_at..];
        let (length, kind, flags) = (length(frame), frame[3], frame[4]);
        let is_first = self.frame_at == 0;
        if frame.len() == HEAD_BYTES {
            if is_first && kind != HEADERS {
                out.append(&mut self.held);
                return passing(length);
            }
            let is_next = is_first || kind == CONTINUATION;
            if !is_next || self.held.len() + length > MAX_BLOCK_BYTES {
                self.end(out);
                return State::GivenUp;
            }
            if length > 0 {
                return State::Holding(self.held.len() + length);
            }
        }
        if flags & END_HEADERS == 0 {
            self.frame_at = self.held.len();
            return State::Holding(self.frame_at + HEAD_BYTES);
        }
        match rewritten(&self.held) {
            Some(frames) => out.extend_from_slice(&frames),
            None => out.extend_from_slice(&self.held),
        }
        self.held.clear();
        self.frame_at = 0;
        passing(0)
    }
}

fn passing(left: usize) -> State {
    if left == 0 { State::Holding(HEAD_BYTES) } else { State::Passing(left) }
}

fn length(frame: &[u8]) -> usize {
    usize::from(frame[0]) << 16 | usize::from(frame[1]) << 8 | usize::from(frame[2])
}

/// The frames of one header block with another authority; `None` when it has none, or cannot be understood.
fn rewritten(frames: &[u8]) -> Option<Vec<u8>> {
    let (flags, stream) = (frames[4], &frames[5..HEAD_BYTES]);
    let mut block = Vec::with_capacity(frames.len());
    let mut rest = frames;
    while !rest.is_empty() {
        let (head, payload) = rest.split_at_checked(HEAD_BYTES)?;
        let (payload, next) = payload.split_at_checked(length(head))?;
        block.extend_from_slice(if head[3] == HEADERS { fragment(head[4], payload)? } else { payload });
        rest = next;
    }
    let block = with_plain_authority(&block)?;
    let mut out = Vec::with_capacity(block.len() + HEAD_BYTES);
    let mut pieces = block.chunks(MAX_FRAME_BYTES).enumerate().peekable();
    while let Some((number, piece)) = pieces.next() {
        let (kind, mut flags) = if number == 0 { (HEADERS, flags & END_STREAM) } else { (CONTINUATION, 0) };
        if pieces.peek().is_none() {
            flags |= END_HEADERS;
        }
        let [.., a, b, c] = piece.len().to_be_bytes();
        out.extend_from_slice(&[a, b, c, kind, flags]);
        out.extend_from_slice(stream);
        out.extend_from_slice(piece);
    }
    Some(out)
}

/// A HEADERS frame's payload without padding and priority (RFC 9113, section 6.2; a server may ignore both).
fn fragment(flags: u8, payload: &[u8]) -> Option<&[u8]> {
    let (padding, rest) = match flags & PADDED {
        0 => (0, payload),
        _ => payload.split_first().map(|(padding, rest)| (usize::from(*padding), rest))?,
    };
    let rest = if flags & PRIORITY == 0 { rest } else { rest.get(5..)? };
    rest.get(..rest.len().checked_sub(padding)?)
}

/// A header block with another value of `:authority`.
fn with_plain_authority(block: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(block.len() + 16);
    let mut reader = Reader { block, at: 0 };
    let mut is_changed = false;
    while let Some(first) = block.get(reader.at) {
        let begin = reader.at;
        // RFC 7541, section 6: indexed, literal that is remembered, size of the table, other literals.
        let name = match first {
            0x80.. => reader.integer(7).map(|_| None)?,
            0x40.. => reader.name(6).map(Some)?,
            0x20.. => reader.integer(5).map(|_| None)?,
            _ => reader.name(4).map(Some)?,
        };
        let before_value = reader.at;
        let letters = match name {
            Some(is_authority) => Some(reader.string()?.letters()).filter(|_| is_authority),
            None => None,
        };
        match letters {
            None | Some(0) => out.extend_from_slice(&block[begin..reader.at]),
            Some(letters) => {
                out.extend_from_slice(&block[begin..before_value]);
                put_letters(&mut out, letters);
                is_changed = true;
            }
        }
    }
    is_changed.then_some(out)
}

/// RFC 7541, section 5.2, not compressed.
fn put_letters(out: &mut Vec<u8>, count: usize) {
    match u8::try_from(count) {
        Ok(short) if short < 0x7f => out.push(short),
        _ => {
            out.push(0x7f);
            let mut left = count - 0x7f;
            while left >= 0x80 {
                out.push((left & 0x7f) as u8 | 0x80);
                left >>= 7;
            }
            out.push(left as u8);
        }
    }
    out.resize(out.len() + count, b'k');
}

struct Reader<'a> {
    block: &'a [u8],
    at: usize,
}

/// A string as it is on the wire.
struct Text<'a> {
    is_huffman: bool,
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Section 5.1.
    fn integer(&mut self, prefix_bits: u8) -> Option<usize> {
        let mask = (1_usize << prefix_bits) - 1;
        let mut value = usize::from(self.byte()?) & mask;
        if value < mask {
            return Some(value);
        }
        for shift in [0, 7, 14, 21] {
            let byte = usize::from(self.byte()?);
            value += (byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    /// Reads a literal's name, and returns whether it is `:authority`: the first of the static table, or spelled.
    fn name(&mut self, prefix_bits: u8) -> Option<bool> {
        match self.integer(prefix_bits)? {
            0 => self.string().map(|name| name.is_authority()),
            index => Some(index == 1),
        }
    }

    fn string(&mut self) -> Option<Text<'a>> {
        let is_huffman = self.block.get(self.at)? & 0x80 != 0;
        let length = self.integer(7)?;
        let bytes = self.block.get(self.at..self.at.checked_add(length)?)?;
        self.at += length;
        Some(Text { is_huffman, bytes })
    }

    fn byte(&mut self) -> Option<u8> {
        let byte = *self.block.get(self.at)?;
        self.at += 1;
        Some(byte)
    }
}

/// How many letters have a code of so many bits (RFC 7541, appendix B). The code is canonical: nothing else is needed to
/// see where one ends.
const CODES: [(u32, u32); 21] = [
    (5, 10),
    (6, 26),
    (7, 32),
    (8, 6),
    (10, 5),
    (11, 3),
    (12, 2),
    (13, 6),
    (14, 2),
    (15, 3),
    (19, 3),
    (20, 8),
    (21, 13),
    (22, 26),
    (23, 29),
    (24, 12),
    (25, 4),
    (26, 15),
    (27, 19),
    (28, 29),
    (30, 4),
];

impl Text<'_> {
    fn is_authority(&self) -> bool {
        /// `:authority` in the Huffman code.
        const HUFFMAN: [u8; 8] = [0xb8, 0x3b, 0x53, 0x39, 0xec, 0x32, 0x7d, 0x7f];
        self.bytes == if self.is_huffman { &HUFFMAN[..] } else { b":authority" }
    }

    /// How many letters this is when it is not compressed.
    fn letters(&self) -> usize {
        if !self.is_huffman {
            return self.bytes.len();
        }
        let bits = self.bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| u32::from(byte >> bit & 1)));
        let (mut count, mut code, mut length) = (0, 0, 0);
        for bit in bits {
            code = code << 1 | bit;
            length += 1;
            if ends(code, length) {
                (count, code, length) = (count + 1, 0, 0);
            }
        }
        // What is left is padding.
        count
    }
}

/// Whether `code`, of `length` bits, is a letter's.
fn ends(code: u32, length: u32) -> bool {
    let (mut first, mut bits) = (0, 0);
    for (code_bits, count) in CODES {
        first <<= code_bits - bits;
        bits = code_bits;
        if bits == length {
            return code < first + count;
        }
        first += count;
    }
    // Longer than any: no letter, and not ours to refuse.
    length >= 30
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7541, C.4.1: `www.example.com`.
    const EXAMPLE: [u8; 12] = [0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff];

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let [.., a, b, c] = payload.len().to_be_bytes();
        [&[a, b, c, kind, flags, 0, 0, 0, 1], payload].concat()
    }

    fn literal(first: &[u8], value: &[u8]) -> Vec<u8> {
        let length = u8::try_from(value.len()).expect("a short value");
        [first, &[length], value].concat()
    }

    fn spelled(first: u8, name: &[u8], value: &[u8]) -> Vec<u8> {
        literal(&literal(&[first], name), value)
    }

    /// What comes out for frames behind the preface, read in pieces of this size.
    fn filtered(frames: &[u8], piece: usize) -> Vec<u8> {
        let sent = [&[b'P'; PREFACE_BYTES], frames].concat();
        let (mut filter, mut out) = (AuthorityFilter::default(), Vec::new());
        for piece in sent.chunks(piece) {
            if filter.passes(piece.len()) {
                out.extend_from_slice(piece);
            } else {
                filter.take(piece, &mut out);
            }
        }
        filter.end(&mut out);
        out.split_off(PREFACE_BYTES)
    }

    #[track_caller]
    fn assert_filtered(frames: &[u8], expected: &[u8]) {
        for piece in [1, 2, 7, 9, 10, 64, 100_000] {
            assert_eq!(filtered(frames, piece), expected, "in pieces of {piece}");
        }
    }

    #[test]
    fn an_authority_is_replaced_by_as_many_letters_however_it_is_written() {
        let k = |count: usize| vec![b'k'; count];
        let huffman = |first: &[u8]| [first, &[0x80 | 12], &EXAMPLE[..]].concat();
        for (block, expected) in [
            (literal(&[0x41], b"tmp%2Fx.sock"), literal(&[0x41], &k(12))),
            (literal(&[0x01], b"a b"), literal(&[0x01], &k(3))),
            (literal(&[0x11], b"\xff\0"), literal(&[0x11], &k(2))),
            (huffman(&[0x41]), literal(&[0x41], &k(15))),
            (spelled(0x40, b":authority", b"run%2Fk"), spelled(0x40, b":authority", &k(7))),
            (
                [&[0x40, 0x88, 0xb8, 0x3b, 0x53, 0x39, 0xec, 0x32, 0x7d, 0x7f][..], &literal(&[], b"x%")]
                    .concat(),
                [&[0x40, 0x88, 0xb8, 0x3b, 0x53, 0x39, 0xec, 0x32, 0x7d, 0x7f][..], &literal(&[], b"kk")]
                    .concat(),
            ),
        ] {
            let around = |block: &[u8]| {
                let path = literal(&[0x44], b"/a.B/C");
                let block =
                    [&[0x3f, 0xe1, 0x1f, 0x83, 0x86][..], &path, block, &spelled(0, b"te", b"trailers")];
                frame(HEADERS, END_HEADERS, &block.concat())
            };
            assert_filtered(&around(&block), &around(&expected));
        }
    }

    #[test]
    fn a_long_authority_keeps_its_length() {
        let long = "%2F".repeat(300);
        let block = [&[0x41, 0x7f, 0x85, 0x06], long.as_bytes()].concat();
        let expected = [&[0x41, 0x7f, 0x85, 0x06], &vec![b'k'; 900][..]].concat();
        assert_filtered(&frame(HEADERS, END_HEADERS, &block), &frame(HEADERS, END_HEADERS, &expected));
    }

    #[test]
    fn a_block_in_several_frames_becomes_one_and_padding_goes() {
        let block = literal(&[0x41], b"tmp%2Fx.sock");
        let padded = [&[3][..], &[0, 0, 0, 0, 16], &block[..4], &[0, 0, 0]].concat();
        let frames = [
            frame(HEADERS, PADDED | PRIORITY | END_STREAM, &padded),
            frame(CONTINUATION, 0, &[]),
            frame(CONTINUATION, END_HEADERS, &block[4..]),
        ]
        .concat();
        let expected = literal(&[0x41], &[b'k'; 12]);
        assert_filtered(&frames, &frame(HEADERS, END_HEADERS | END_STREAM, &expected));
    }

    #[test]
    fn everything_else_passes_as_it_is() {
        let settings = frame(4, 0, &[0, 3, 0, 0, 0, 9]);
        let data = frame(0, 1, &[b'd'; 20_000]);
        let plain = frame(HEADERS, END_HEADERS, &spelled(0x40, b"x", b":authority"));
        let all =
            [&settings[..], &frame(4, 1, &[]), &plain, &data, &frame(6, 0, &[0; 8]), &plain[..5]].concat();
        assert_filtered(&all, &all);
    }

    #[test]
    fn what_cannot_be_understood_is_the_servers_to_refuse() {
        for broken in [
            frame(HEADERS, END_HEADERS, &[0x41, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff]),
            frame(HEADERS, END_HEADERS, &[0x41, 0x20, b'a']),
            frame(HEADERS, END_HEADERS | PADDED, &[200, 0x41]),
            frame(HEADERS, END_HEADERS | PRIORITY, &[1, 2]),
            [frame(HEADERS, 0, &literal(&[0x41], b"a%")), frame(0, 0, b"data")].concat(),
            [frame(HEADERS, 0, &[b'x'; 40_000]), frame(CONTINUATION, END_HEADERS, &[b'x'; 40_000])].concat(),
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
        ] {
            assert_filtered(&broken, &broken);
        }
    }

    #[test]
    fn every_letter_of_the_huffman_code_is_counted() {
        // '0' is 00000, ' ' 010100, ':' 1011100, '&' 11111000, '!' 1111111000, each followed by padding.
        for (bytes, letters) in [
            (&[0b0000_0111][..], 1),
            (&[0b0000_0000, 0b0011_1111], 2),
            // Here the last six bits are no padding but "9".
            (&[0b0000_0000, 0b0001_1111], 3),
            (&[0b0101_0011], 1),
            (&[0b1011_1001], 1),
            (&[0b1111_1000], 1),
            (&[0b1111_1110, 0b0011_1111], 1),
            (&EXAMPLE, 15),
            (&[], 0),
        ] {
            assert_eq!(Text { is_huffman: true, bytes }.letters(), letters, "{bytes:?}");
        }
        let total: u32 = CODES.iter().map(|(_, count)| count).sum();
        assert_eq!(total, 257);
    }
}
