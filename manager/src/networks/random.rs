//! Bytes that nobody can guess: ids, hardware addresses, names of interfaces.

use rustix::rand::{GetRandomFlags, getrandom};

use super::model::Mac;

pub(super) fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    let mut filled = 0;
    while filled < N {
        // It fails for nothing but a signal, and only before the machine has any randomness.
        filled += getrandom(&mut bytes[filled..], GetRandomFlags::empty()).unwrap_or(0);
    }
    bytes
}

/// One of nobody's but ours to give.
pub(super) fn random_mac() -> Mac {
    let mut bytes = random_bytes::<6>();
    bytes[0] = bytes[0] & 0xfc | 0x02;
    Mac(bytes)
}

/// 64 hexadecimal digits.
pub(super) fn new_id() -> String {
    super::link::hex(&random_bytes::<32>())
}
