//! The daemon as a process: the real binary, real signals.

mod command_line;
mod complaint;
mod doctor;
mod events;
mod explain;
mod host_name;
mod log;
mod pid_file;
mod process;
mod reload;
mod restart;
mod script;
mod signals;
mod status;
mod support_bundle;
mod user;
