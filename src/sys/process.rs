//! What a process is to the kernel: its name, its priority, its end, and what signals do to it.
#![allow(unsafe_code)]

use std::fs;
use std::io;

/// Sets the priority of this process, and so of all that it starts: -20 is the highest, 19 the lowest. See nice(2).
pub fn set_nice(level: i8) -> io::Result<()> {
    // SAFETY: only numbers go in, and only one comes out.
    let result = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, level.into()) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Lets a write beyond the size that a file may have fail, as on a full disk, instead of ending the process (setrlimit(2)).
pub fn ignore_file_size_signal() {
    // SAFETY: no handler of ours is replaced, and ignoring a signal runs no code.
    unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
    }
}

/// Gives up whatever was inherited of ignored signals. SIGPIPE stays as it is: it is the language's, which gives it up
/// itself where it starts a program.
pub fn heed_signals() {
    for signal in (1..=libc::SIGRTMAX()).filter(|signal| *signal != libc::SIGPIPE) {
        // SAFETY: no handler of ours is replaced, as none is set yet; for signals that cannot be set the call only fails.
        unsafe {
            libc::signal(signal, libc::SIG_DFL);
        }
    }
}

/// Ends this process without anything of what is done at its end otherwise: a thread that hangs in that holds up nothing.
pub fn exit_at_once(code: i32) -> ! {
    // SAFETY: takes a number and does not return; the kernel frees whatever we held.
    unsafe { libc::_exit(code) }
}

/// The first 15 letters of what runs there; empty when nothing does.
pub fn command_name(pid: i32) -> String {
    fs::read_to_string(format!("/proc/{pid}/comm")).map(|name| name.trim_end().into()).unwrap_or_default()
}
