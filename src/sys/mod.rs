//! The system below: users, folders, clocks, signals, memory, the log. `unsafe` code, calls of the C library that no crate
//! in the tree wraps, is here and nowhere else.

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
