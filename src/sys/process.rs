//! What a process is to the kernel: its name, its priority, how many files and how much memory it may have, its end, and what signals do to it.
#![allow(unsafe_code)]

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::Pid;
use std::fs;
use std::io;
use std::sync::OnceLock;

/// How many files this process might have open before [`raise_descriptors`].
static INHERITED: OnceLock<u64> = OnceLock::new();

/// Sets the priority of this process, and so of all that it starts: -20 is the highest, 19 the lowest. See nice(2).
pub fn set_nice(level: i8) -> io::Result<()> {
    // SAFETY: only numbers go in, and only one comes out.
    let result = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, level.into()) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Lets this process have as many files open as it may allow itself (getrlimit(2)): many interfaces, scripts or connections
/// need more than the 1024 that are usual.
///
/// # Errors
/// The kernel refuses; it stays as it was.
pub fn raise_descriptors() -> nix::Result<()> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    INHERITED.get_or_init(|| soft);
    if soft < hard { setrlimit(Resource::RLIMIT_NOFILE, hard, hard) } else { Ok(()) }
}

/// What programs of others get back: some of them do not work with more than 1024. `None`: nothing was raised.
pub fn inherited_descriptors() -> Option<u64> {
    INHERITED.get().copied()
}

/// Sets how many files this process, and all that it starts, may have open from now on.
///
/// # Errors
/// The kernel refuses; it stays as it was.
pub fn set_descriptors(soft: u64) -> nix::Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, soft.min(hard), hard)
}

/// Sets how much memory this process, and each that it starts, may have of the kernel from now on.
///
/// # Errors
/// The kernel refuses; it stays as it was.
pub fn set_memory(most: u64) -> nix::Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_AS)?;
    setrlimit(Resource::RLIMIT_AS, most.min(hard), most.min(hard))
}

/// Lets a write beyond the size that a file may have fail, as on a full disk, instead of ending the process (setrlimit(2)).
pub fn ignore_file_size_signal() {
    // SAFETY: no handler of ours is replaced, and ignoring a signal runs no code.
    unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
    }
}

/// A second process that goes on here as this one does, and gets `None`. Only the thread that calls lives on in it: to be called
/// while there is no other.
pub fn fork() -> io::Result<Option<Pid>> {
    // SAFETY: with one thread, nothing can be held by another that is not there in the new process.
    match unsafe { libc::fork() } {
        0 => Ok(None),
        child if child > 0 => Ok(Some(Pid::from_raw(child))),
        _ => Err(io::Error::last_os_error()),
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
