//! What several tests need: a scratch home for the real binary, and servers that misbehave on purpose.

pub mod server;
