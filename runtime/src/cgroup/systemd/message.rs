//! D-Bus messages as bytes: as much of the format as calls to systemd need. Bytes in our own order, which is systemd's.
//! What comes in is never trusted: lengths are looked at before they are followed.

/// A value with the type that systemd wants.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    /// `s`
    Text(String),
    /// `b`
    Boolean(bool),
    /// `i`
    Int32(i32),
    /// `x`
    Int64(i64),
    /// `u`
    Uint32(u32),
    /// `t`
    Uint64(u64),
    /// `d`
    Double(f64),
    /// `ay`
    Bytes(Vec<u8>),
    /// `au`
    Uint32s(Vec<u32>),
    /// `as`
    Texts(Vec<String>),
    /// `a(ss)`
    Pairs(Vec<(String, String)>),
}

/// A property of a unit.
pub(super) type Property = (String, Value);

/// Kinds of messages.
pub(super) const CALL: u8 = 1;
pub(super) const REPLY: u8 = 2;
pub(super) const ERROR: u8 = 3;
pub(super) const SIGNAL: u8 = 4;

const PATH: u8 = 1;
const INTERFACE: u8 = 2;
const MEMBER: u8 = 3;
const ERROR_NAME: u8 = 4;
const REPLY_SERIAL: u8 = 5;
const DESTINATION: u8 = 6;
const SIGNATURE: u8 = 8;

const ENDIAN: u8 = if cfg!(target_endian = "little") { b'l' } else { b'B' };

/// The fixed part of a header, up to the length of its fields.
pub(super) const FIXED_BYTES: usize = 16;

/// Messages of systemd are a few kilobytes; the protocol's own bound is 128 MiB.
pub(super) const MAX_BYTES: usize = 1 << 20;

/// Bytes in the making; alignment counts from their beginning.
#[derive(Debug, Default)]
pub(super) struct Writer(Vec<u8>);

impl Writer {
    fn align(&mut self, to: usize) {
        self.0.resize(self.0.len().next_multiple_of(to), 0);
    }

    fn number32(&mut self, value: u32) {
        self.align(4);
        self.0.extend(value.to_ne_bytes());
    }

    fn number64(&mut self, value: u64) {
        self.align(8);
        self.0.extend(value.to_ne_bytes());
    }

    /// A text: length, bytes, NUL.
    pub(super) fn text(&mut self, text: &str) {
        self.number32(length(text.len()));
        self.0.extend(text.as_bytes());
        self.0.push(0);
    }

    pub(super) fn boolean(&mut self, value: bool) {
        self.number32(u32::from(value));
    }

    fn signature(&mut self, text: &str) {
        self.0.push(u8::try_from(text.len()).expect("our signatures are short"));
        self.0.extend(text.as_bytes());
        self.0.push(0);
    }

    /// An array of what `fill` writes, whose elements are aligned to `to`.
    fn array(&mut self, to: usize, fill: impl FnOnce(&mut Self)) {
        self.number32(0);
        let at = self.0.len() - 4;
        self.align(to);
        let begin = self.0.len();
        fill(self);
        let filled = length(self.0.len() - begin);
        self.0[at..at + 4].copy_from_slice(&filled.to_ne_bytes());
    }

    /// `a(sv)`.
    pub(super) fn properties(&mut self, properties: &[Property]) {
        self.array(8, |writer| {
            for (name, value) in properties {
                writer.align(8);
                writer.text(name);
                writer.variant(value);
            }
        });
    }

    /// An empty array of structures.
    pub(super) fn no_structures(&mut self) {
        self.array(8, |_| {});
    }

    /// `au`.
    pub(super) fn numbers(&mut self, numbers: &[u32]) {
        self.array(4, |writer| numbers.iter().for_each(|number| writer.number32(*number)));
    }

    fn variant(&mut self, value: &Value) {
        self.signature(match value {
            Value::Text(_) => "s",
            Value::Boolean(_) => "b",
            Value::Int32(_) => "i",
            Value::Int64(_) => "x",
            Value::Uint32(_) => "u",
            Value::Uint64(_) => "t",
            Value::Double(_) => "d",
            Value::Bytes(_) => "ay",
            Value::Uint32s(_) => "au",
            Value::Texts(_) => "as",
            Value::Pairs(_) => "a(ss)",
        });
        match value {
            Value::Text(text) => self.text(text),
            Value::Boolean(value) => self.boolean(*value),
            Value::Int32(value) => self.number32(value.cast_unsigned()),
            Value::Int64(value) => self.number64(value.cast_unsigned()),
            Value::Uint32(value) => self.number32(*value),
            Value::Uint64(value) => self.number64(*value),
            Value::Double(value) => self.number64(value.to_bits()),
            Value::Bytes(bytes) => self.array(1, |writer| writer.0.extend(bytes)),
            Value::Uint32s(numbers) => self.numbers(numbers),
            Value::Texts(texts) => self.array(4, |writer| texts.iter().for_each(|text| writer.text(text))),
            Value::Pairs(pairs) => self.array(8, |writer| {
                for (first, second) in pairs {
                    writer.align(8);
                    writer.text(first);
                    writer.text(second);
                }
            }),
        }
    }
}

fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("our messages are far below 4 GiB")
}

/// The receiver of a call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target<'a> {
    /// `None` where the other end of the socket is systemd itself.
    pub(super) destination: Option<&'a str>,
    pub(super) path: &'a str,
    pub(super) interface: &'a str,
    pub(super) member: &'a str,
}

/// A whole method call.
pub(super) fn call(serial: u32, target: Target<'_>, signature: &str, body: Writer) -> Vec<u8> {
    let mut writer = Writer(vec![ENDIAN, CALL, 0, 1]);
    writer.number32(length(body.0.len()));
    writer.number32(serial);
    writer.array(8, |writer| {
        let mut field = |code: u8, kind: &str, text: &str| {
            writer.align(8);
            writer.0.push(code);
            writer.signature(kind);
            if kind == "g" { writer.signature(text) } else { writer.text(text) }
        };
        field(PATH, "o", target.path);
        field(INTERFACE, "s", target.interface);
        field(MEMBER, "s", target.member);
        if let Some(destination) = target.destination {
            field(DESTINATION, "s", destination);
        }
        if !signature.is_empty() {
            field(SIGNATURE, "g", signature);
        }
    });
    writer.align(8);
    writer.0.extend(body.0);
    writer.0
}

/// What came in.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Incoming {
    pub(super) kind: u8,
    pub(super) reply_serial: u32,
    pub(super) member: String,
    pub(super) error_name: String,
    pub(super) body: Vec<u8>,
}

/// How long a message is whose first [`FIXED_BYTES`] these are. `None` when it is not one that we take.
pub(super) fn whole_length(fixed: &[u8; FIXED_BYTES]) -> Option<usize> {
    if fixed[0] != ENDIAN || fixed[3] != 1 {
        return None;
    }
    let number = |at: usize| usize::try_from(u32::from_ne_bytes(fixed[at..at + 4].try_into().ok()?)).ok();
    let (body, fields) = (number(4)?, number(12)?);
    let whole = FIXED_BYTES.checked_add(fields)?.checked_next_multiple_of(8)?.checked_add(body)?;
    (whole <= MAX_BYTES).then_some(whole)
}

/// Takes a whole message apart.
pub(super) fn parse(bytes: &[u8]) -> Option<Incoming> {
    let mut reader = Reader { bytes, at: 4 };
    let body_length = usize::try_from(reader.number32()?).ok()?;
    let mut incoming = Incoming { kind: *bytes.get(1)?, ..Incoming::default() };
    reader.number32()?;
    let end = usize::try_from(reader.number32()?).ok()?.checked_add(FIXED_BYTES)?;
    while reader.at < end {
        reader.align(8);
        let code = reader.byte()?;
        match reader.signature()?.as_str() {
            "s" | "o" => {
                let text = reader.text()?;
                match code {
                    MEMBER => incoming.member = text,
                    ERROR_NAME => incoming.error_name = text,
                    _ => {}
                }
            }
            "g" => drop(reader.signature()?),
            "u" => {
                let number = reader.number32()?;
                if code == REPLY_SERIAL {
                    incoming.reply_serial = number;
                }
            }
            _ => return None,
        }
    }
    let begin = bytes.len().checked_sub(body_length)?;
    incoming.body = bytes[begin..].to_vec();
    Some(incoming)
}

impl Incoming {
    /// The body's first values, as far as they are texts, variants of one, or 32-bit numbers; `signature` says which.
    pub(super) fn texts(&self, signature: &str) -> Option<Vec<String>> {
        let mut reader = Reader { bytes: &self.body, at: 0 };
        let value = |kind: char| match kind {
            's' | 'o' => reader.text(),
            'v' => reader.signature().and_then(|_| reader.text()),
            _ => reader.number32().map(|number| number.to_string()),
        };
        signature.chars().map(value).collect()
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn align(&mut self, to: usize) {
        self.at = self.at.next_multiple_of(to);
    }

    fn byte(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    fn number32(&mut self) -> Option<u32> {
        self.align(4);
        let bytes = self.bytes.get(self.at..self.at.checked_add(4)?)?;
        self.at += 4;
        Some(u32::from_ne_bytes(bytes.try_into().ok()?))
    }

    fn text(&mut self) -> Option<String> {
        let length = usize::try_from(self.number32()?).ok()?;
        self.take(length)
    }

    fn signature(&mut self) -> Option<String> {
        let length = usize::from(self.byte()?);
        self.take(length)
    }

    /// Bytes and the NUL after them.
    fn take(&mut self, length: usize) -> Option<String> {
        let end = self.at.checked_add(length)?;
        let text = String::from_utf8(self.bytes.get(self.at..end)?.to_vec()).ok()?;
        self.at = end.checked_add(1)?;
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: Target<'_> = Target {
        destination: Some("org.example"),
        path: "/org/example",
        interface: "org.example.Thing",
        member: "Do",
    };

    #[test]
    fn what_was_written_is_read() {
        let mut body = Writer::default();
        body.text("first");
        body.number32(7);
        body.text("second");
        let bytes = call(9, TARGET, "sus", body);
        let fixed = bytes[..FIXED_BYTES].try_into().expect("long enough");
        assert_eq!(whole_length(fixed), Some(bytes.len()));
        let incoming = parse(&bytes).expect("a message");
        assert_eq!((incoming.kind, incoming.member.as_str()), (CALL, "Do"));
        assert_eq!(incoming.texts("sus").expect("three values"), ["first", "7", "second"]);
    }

    /// Laid out by hand from the D-Bus specification.
    #[test]
    fn properties_are_laid_out_as_the_specification_says() {
        let mut body = Writer::default();
        body.properties(&[("A".to_owned(), Value::Uint64(5)), ("B".to_owned(), Value::Boolean(true))]);
        let expected: Vec<u8> = [
            [44, 0, 0, 0, 0, 0, 0, 0].as_slice(),
            &[1, 0, 0, 0, b'A', 0, 1, b't', 0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0],
            &[1, 0, 0, 0, b'B', 0, 1, b'b', 0, 0, 0, 0, 1, 0, 0, 0],
        ]
        .concat();
        // The fields of the first structure: text at 8, signature at 14, number at 24.
        assert_eq!(body.0.len(), 48);
        assert_eq!(body.0[8..32], expected[8..32]);
        assert_eq!(body.0[32..], expected[32..]);
        assert_eq!(body.0[0], 40);
    }

    #[test]
    fn no_bytes_are_followed_out_of_bounds() {
        let mut body = Writer::default();
        body.text("x");
        let bytes = call(1, TARGET, "s", body);
        for at in 0..bytes.len() {
            for value in [0, 1, 0x7f, 0xff] {
                let mut broken = bytes.clone();
                broken[at] = value;
                if let Some(incoming) = parse(&broken) {
                    incoming.texts("ssss");
                }
                parse(&broken[..at]);
            }
        }
    }
}
