//! What this process is to the kernel: its priority, and what signals do to it.
#![allow(unsafe_code)]

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
