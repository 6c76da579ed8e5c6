//! Names that nobody can guess, and that no two things share.

/// 64 hexadecimal digits, as docker names what has no name of its own.
pub(crate) fn hex() -> String {
    bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// As many bytes from the kernel as no two calls have in common.
pub(crate) fn bytes() -> [u8; 32] {
    let mut bytes = [0; 32];
    let mut filled = 0;
    while filled < bytes.len() {
        // Fails only when interrupted, before the pool is ready.
        let flags = rustix::rand::GetRandomFlags::empty();
        filled += rustix::rand::getrandom(&mut bytes[filled..], flags).unwrap_or(0);
    }
    bytes
}
