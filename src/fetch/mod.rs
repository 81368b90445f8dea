//! All input and output of checks. Every call returns before the deadline of the tick.
//!
//! This code knows addresses and bytes. It does not know points, metrics or checks.

pub mod btrfs;
pub mod file;
pub mod host;
pub mod host_names;
pub mod http;
pub mod link_news;
pub mod listeners;
#[cfg(feature = "mongodb")]
pub mod mongodb;
pub mod mounts;
#[cfg(feature = "mysql")]
pub mod mysql;
#[cfg(feature = "nvidia")]
pub mod nvml;
pub mod program;
#[cfg(feature = "snmp")]
pub mod snmp;
pub mod sockets;
pub mod stacks;
pub mod statvfs;
pub mod tcp;
pub mod trace;
pub mod tree;
