//! The only `unsafe` code: a few calls of the C library that no crate in the tree wraps.
#![allow(unsafe_code)]
