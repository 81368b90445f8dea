//! The daemon as a process: the real binary, real signals.

mod command_line;
mod complaint;
mod host_name;
mod log;
mod pid_file;
mod process;
mod restart;
mod script;
mod signals;
mod user;
