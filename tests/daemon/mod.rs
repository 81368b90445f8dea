//! The daemon as a process: the real binary, real signals.

mod command_line;
mod complaint;
mod events;
mod host_name;
mod log;
mod pid_file;
mod process;
mod reload;
mod restart;
mod script;
mod signals;
mod status;
mod user;
