//! How the program begins and ends. Rust's own beginning (a stack and handlers for overflows, a dozen system calls,
//! half as many pages) is left out: a command that enters a container begins twice (see `sealed`), and most of what any
//! command costs is its beginning. What of it matters is here.

use std::ffi::{CStr, c_char, c_int};

use rustix::fs::{Mode, OFlags};

use crate::sys::{descriptor, signal};

/// What the program was called with, where the kernel laid it: the arguments, the first of them the program's name, and
/// the environment. Valid as long as the process.
#[derive(Clone, Copy)]
pub struct Arguments {
    /// With the null pointer that ends it.
    argv: &'static [*const c_char],
    /// Ends with a null pointer, too.
    environment: *const *const c_char,
}

impl Arguments {
    /// Each argument.
    pub fn iter(self) -> impl Iterator<Item = &'static CStr> {
        let strings = self.argv.iter().take_while(|argument| !argument.is_null());
        // SAFETY: the kernel ends each argument with NUL, and nothing of ours writes there.
        strings.map(|argument| unsafe { CStr::from_ptr(*argument) })
    }

    /// As execve takes them: the arguments, then the environment.
    pub(super) fn pointers(self) -> (*const *const c_char, *const *const c_char) {
        (self.argv.as_ptr(), self.environment)
    }
}

/// Declares the function which the program consists of, `fn(Arguments) -> u8`, as what the C library calls.
#[macro_export]
macro_rules! program {
    ($main:path) => {
        #[unsafe(no_mangle)]
        extern "C" fn main(
            count: std::ffi::c_int,
            argv: *const *const std::ffi::c_char,
            environment: *const *const std::ffi::c_char,
        ) -> std::ffi::c_int {
            // SAFETY: the C library calls `main` with these.
            unsafe { $crate::begin(count, argv, environment, $main) }
        }
    };
}

/// What [`program!`](crate::program) calls with what the C library gave it: calls `main` and ends the process with its
/// exit code.
///
/// # Safety
/// `argv` holds `count` strings and a null pointer, `environment` strings and a null pointer, all as long as the
/// process.
pub unsafe fn begin(
    count: c_int,
    argv: *const *const c_char,
    environment: *const *const c_char,
    main: fn(Arguments) -> u8,
) -> ! {
    let count = usize::try_from(count).expect("the C library counts no fewer than no arguments");
    // SAFETY: by our caller's contract.
    let argv = unsafe { std::slice::from_raw_parts(argv, count + 1) };
    open_standard_streams();
    signal::begin();
    keep_own_rights();
    let code = main(Arguments { argv, environment });
    // Which writes what standard output still holds.
    std::process::exit(code.into())
}

/// The caller's file mode mask is kept, but what we make must stay open to ourselves: a directory that a mask of 0777
/// closed to its own maker is of use to root alone.
fn keep_own_rights() {
    let inherited = rustix::process::umask(Mode::RWXG | Mode::RWXO);
    rustix::process::umask(inherited - Mode::RWXU);
}

/// Puts /dev/null where a standard stream is closed: a file that we open must not become one.
fn open_standard_streams() {
    for number in 0..=2 {
        if !descriptor::is_open(number) {
            match rustix::fs::open(c"/dev/null", OFlags::RDWR, Mode::empty()) {
                // The kernel takes the lowest number that is free.
                Ok(null) => std::mem::forget(null),
                Err(_) => std::process::abort(),
            }
        }
    }
}
