//! Attacks, run for real by code inside containers and images; each must fail.
#![forbid(unsafe_code)]
