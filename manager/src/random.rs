//! Names that nobody can guess, and that no two things share.

use rustix::rand::{GetRandomFlags, getrandom};

/// 64 hexadecimal digits, as docker names what has no name of its own.
pub(crate) fn hex() -> String {
    bytes::<32>().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Bytes from the kernel.
pub(crate) fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    let mut filled = 0;
    while filled < N {
        // It fails for nothing but a signal, and only before the machine has any randomness.
        filled += getrandom(&mut bytes[filled..], GetRandomFlags::empty()).unwrap_or(0);
    }
    bytes
}
