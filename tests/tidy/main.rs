//! The layout's rules, held by tests.
#![forbid(unsafe_code)]
