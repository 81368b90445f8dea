//! Checks through their real fetch path, on recorded trees of /proc and /sys, on this machine, and on hostile input.

mod dead_mount;
mod golden;
mod hostile;
mod machine;
mod manual;
mod properties;
mod this_host;
mod variants;
