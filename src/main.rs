//! The `puypuy` program: arguments in, exit code out.

fn main() {}
