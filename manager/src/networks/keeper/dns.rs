//! Questions and answers of DNS, as bytes. Pure; of a question only what is needed is read.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const NO_ERROR: u8 = 0;
pub(super) const SERVER_FAILURE: u8 = 2;
const NOT_IMPLEMENTED: u8 = 4;
pub(super) const REFUSED: u8 = 5;
const FORMAT_ERROR: u8 = 1;

const HEAD_BYTES: usize = 12;
const INTERNET: u16 = 1;
/// Without an extension, by UDP.
const MAX_UDP_BYTES: usize = 512;
/// For how long an answer may be remembered. A container that starts again may have another address.
const TIME_TO_LIVE: u32 = 60;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Address,
    Address6,
    Pointer,
    Other,
}

/// A question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Question {
    /// In lower case, without a dot at its end.
    pub(super) name: String,
    pub(super) kind: Kind,
    /// Where the question's bytes end.
    pub(super) end: usize,
}

/// Reads a query; an error is the code to answer with.
pub(super) fn question(message: &[u8]) -> Result<Question, u8> {
    let head = message.get(..HEAD_BYTES).ok_or(FORMAT_ERROR)?;
    let (is_answer, operation) = (head[2] & 0x80 != 0, head[2] >> 3 & 0xf);
    if is_answer {
        return Err(FORMAT_ERROR);
    }
    if operation != 0 {
        return Err(NOT_IMPLEMENTED);
    }
    if head[4..6] != [0, 1] {
        return Err(FORMAT_ERROR);
    }
    let mut at = HEAD_BYTES;
    let mut labels: Vec<String> = Vec::new();
    loop {
        let length = usize::from(*message.get(at).ok_or(FORMAT_ERROR)?);
        at += 1;
        match length {
            0 => break,
            // A question points nowhere.
            64.. => return Err(FORMAT_ERROR),
            _ => {}
        }
        let label = message.get(at..at + length).ok_or(FORMAT_ERROR)?;
        labels.push(label.iter().map(|byte| char::from(byte.to_ascii_lowercase())).collect());
        at += length;
        if at - HEAD_BYTES > 255 {
            return Err(FORMAT_ERROR);
        }
    }
    let rest = message.get(at..at + 4).ok_or(FORMAT_ERROR)?;
    let (kind, class) = (u16::from_be_bytes([rest[0], rest[1]]), u16::from_be_bytes([rest[2], rest[3]]));
    let kind = match (kind, class) {
        (1, INTERNET) => Kind::Address,
        (28, INTERNET) => Kind::Address6,
        (12, INTERNET) => Kind::Pointer,
        _ => Kind::Other,
    };
    Ok(Question { name: labels.join("."), kind, end: at + 4 })
}

/// The address that a question for a pointer is about.
pub(super) fn pointed_address(name: &str) -> Option<IpAddr> {
    if let Some(digits) = name.strip_suffix(".in-addr.arpa") {
        let mut parts = digits.split('.').rev().map(str::parse::<u8>);
        let mut octets = [0; 4];
        for octet in &mut octets {
            *octet = parts.next()?.ok()?;
        }
        return parts.next().is_none().then(|| IpAddr::V4(Ipv4Addr::from(octets)));
    }
    let digits = name.strip_suffix(".ip6.arpa")?;
    let mut number: u128 = 0;
    let mut count = 0;
    for part in digits.split('.').rev() {
        let digit = part.chars().next().filter(|_| part.len() == 1)?.to_digit(16)?;
        number = number << 4 | u128::from(digit);
        count += 1;
    }
    (count == 32).then(|| IpAddr::V6(Ipv6Addr::from(number)))
}

/// What is answered from memory.
pub(super) enum Answer {
    Addresses(Vec<IpAddr>),
    Name(String),
}

/// An answer to `query`, whose question this is.
pub(super) fn answer(query: &[u8], question: &Question, answer: &Answer, is_udp: bool) -> Vec<u8> {
    const POINTER_TO_QUESTION: [u8; 2] = [0xc0, 0x0c];
    let mut reply = begin(query, question.end, NO_ERROR);
    let mut count: u16 = 0;
    let mut add = |kind: u16, data: &[u8]| {
        let length = u16::try_from(data.len()).unwrap_or(0);
        let record = [
            &POINTER_TO_QUESTION[..],
            &kind.to_be_bytes(),
            &INTERNET.to_be_bytes(),
            &TIME_TO_LIVE.to_be_bytes(),
            &length.to_be_bytes(),
            data,
        ]
        .concat();
        if is_udp && reply.len() + record.len() > MAX_UDP_BYTES {
            // It is cut, and the client asks again by TCP.
            reply[2] |= 0x02;
            return;
        }
        reply.extend_from_slice(&record);
        count += 1;
    };
    match answer {
        Answer::Addresses(addresses) => {
            for address in addresses {
                match address {
                    IpAddr::V4(address) => add(1, &address.octets()),
                    IpAddr::V6(address) => add(28, &address.octets()),
                }
            }
        }
        Answer::Name(name) => add(12, &encoded(name)),
    }
    reply[6..8].copy_from_slice(&count.to_be_bytes());
    reply
}

/// An answer that says only this.
pub(super) fn refusal(query: &[u8], code: u8) -> Vec<u8> {
    let end = question(query).map_or(HEAD_BYTES, |question| question.end);
    let mut reply = begin(query, end, code);
    if end == HEAD_BYTES {
        reply[4..6].copy_from_slice(&[0, 0]);
    }
    reply
}

/// The head and the question of an answer.
fn begin(query: &[u8], end: usize, code: u8) -> Vec<u8> {
    let mut reply = query.get(..end).unwrap_or_default().to_vec();
    reply.resize(reply.len().max(HEAD_BYTES), 0);
    // An answer, of an authority, to one who wished for recursion or not, which there is.
    reply[2] = 0x84 | (reply[2] & 0x79);
    reply[3] = 0x80 | code;
    reply[6..HEAD_BYTES].copy_from_slice(&[0; 6]);
    reply
}

fn encoded(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        let label = &label.as_bytes()[..label.len().min(63)];
        bytes.push(u8::try_from(label.len()).unwrap_or(63));
        bytes.extend_from_slice(label);
    }
    bytes.push(0);
    bytes
}

/// Whether `reply` answers `query`: the same number and the same question.
pub(super) fn is_answer(query: &[u8], reply: &[u8]) -> bool {
    let Ok(question) = question(query) else { return false };
    let same_question = reply
        .get(HEAD_BYTES..question.end)
        .is_some_and(|bytes| bytes.eq_ignore_ascii_case(&query[HEAD_BYTES..question.end]));
    reply.len() >= HEAD_BYTES && reply[..2] == query[..2] && reply[2] & 0x80 != 0 && same_question
}

/// Whether another server may know better.
pub(super) fn is_failure(reply: &[u8]) -> bool {
    reply.get(3).is_some_and(|byte| matches!(byte & 0xf, SERVER_FAILURE | REFUSED | NOT_IMPLEMENTED))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(name: &str, kind: u16) -> Vec<u8> {
        let head = [0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        [&head[..], &encoded(name), &kind.to_be_bytes(), &[0, 1]].concat()
    }

    #[test]
    fn a_question_is_read_and_answered() {
        let asked = query("Web.App", 1);
        let read = question(&asked).expect("a question");
        assert_eq!((read.name.as_str(), read.kind), ("web.app", Kind::Address));
        let addresses = vec!["10.0.0.2".parse().expect("one"), "10.0.0.3".parse().expect("one")];
        let reply = answer(&asked, &read, &Answer::Addresses(addresses), true);
        assert!(is_answer(&asked, &reply) && !is_failure(&reply));
        assert_eq!(reply[6..8], [0, 2]);
        assert!(reply.ends_with(&[0, 4, 10, 0, 0, 3]));
        let many = vec![IpAddr::from([10, 0, 0, 1]); 100];
        let cut = answer(&asked, &read, &Answer::Addresses(many.clone()), true);
        assert!(cut.len() <= 512 && cut[2] & 2 == 2);
        assert_eq!(answer(&asked, &read, &Answer::Addresses(many), false)[6..8], [0, 100]);
    }

    #[test]
    fn what_is_no_question_is_refused() {
        let mut answer = query("a", 1);
        answer[2] |= 0x80;
        let mut other = query("a", 1);
        other[2] = 0x28;
        let mut two = query("a", 1);
        two[5] = 2;
        let mut pointing = query("a", 1);
        pointing[12] = 0xc0;
        for wrong in [&[][..], &[0; 11], &answer, &other, &two, &pointing, &query("a", 1)[..15]] {
            let code = question(wrong).expect_err("wrong");
            let reply = refusal(wrong, code);
            assert!(reply.len() >= HEAD_BYTES && reply[3] & 0xf == code);
        }
        // Whatever bytes there are.
        for length in 0..64 {
            let bytes: Vec<u8> = (0..length).map(|index: u8| index.wrapping_mul(37)).collect();
            drop(
                question(&bytes)
                    .map(|question| super::answer(&bytes, &question, &Answer::Addresses(vec![]), true)),
            );
        }
    }

    #[test]
    fn a_pointer_names_an_address() {
        assert_eq!(pointed_address("2.0.17.172.in-addr.arpa"), "172.17.0.2".parse().ok());
        let six = "2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa";
        assert_eq!(pointed_address(six), "fd00::2".parse().ok());
        for wrong in
            ["a", "1.2.in-addr.arpa", "1.2.3.4.5.in-addr.arpa", "x.ip6.arpa", "256.1.1.1.in-addr.arpa"]
        {
            assert_eq!(pointed_address(wrong), None, "{wrong}");
        }
    }
}
