//! Checks through their real input path, on recorded trees of /proc and /sys, on this machine, and on hostile input.

mod btrfs;
mod cgroups;
pub mod charts;
mod clusters;
pub mod dead_mount;
mod docker;
mod documents;
#[cfg(all(feature = "mongodb", feature = "mysql"))]
mod failing;
pub mod golden;
mod hadoop;
mod host;
mod hostile;
mod http;
mod instances;
mod jmx;
mod machine;
mod manual;
#[cfg(feature = "mongodb")]
mod mongodb;
mod mounts;
mod mutations;
#[cfg(feature = "mysql")]
mod mysql;
mod nvidia;
mod oddeye;
mod openfiles;
mod original;
mod properties;
mod recorded;
mod replay;
mod samples;
mod servers;
#[cfg(feature = "snmp")]
mod snmp;
#[cfg(feature = "snmp")]
mod snmp_agent;
mod sockets;
mod streams;
mod this_host;
mod true_numbers;
mod variants;
mod webservers;
