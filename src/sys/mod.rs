//! The operating system: users, folders, clocks, signals, memory, the log.
//!
//! All `unsafe` code is here: calls of the C library for which no crate in the dependency tree has a safe function.

pub mod btrfs;
pub mod clock;
pub mod descent;
pub mod descriptors;
pub mod folder;
pub mod host_names;
pub mod locks;
pub mod logging;
pub mod memory;
pub mod process;
pub mod record;
pub mod rewrite;
pub mod tcp;
pub mod terminal;
pub mod usage;
pub mod users;
pub mod zone;
