//! Attributes of processes: name, priority, limits of open files and memory, exit, and signal dispositions.
#![allow(unsafe_code)]

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::Pid;
use std::fs;
use std::io;
use std::sync::OnceLock;

/// The limit of open files before [`raise_descriptors`].
static INHERITED: OnceLock<u64> = OnceLock::new();

/// Sets the priority of this process and of its future children: -20 is the highest, 19 the lowest. See nice(2).
pub fn set_nice(level: i8) -> io::Result<()> {
    // SAFETY: only numbers go in, and only one comes out.
    let result = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, level.into()) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Raises the limit of open files to the hard limit (getrlimit(2)): many interfaces, scripts or connections need more
/// than the usual 1024.
///
/// # Errors
/// The kernel refuses; the limit is unchanged.
pub fn raise_descriptors() -> nix::Result<()> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    INHERITED.get_or_init(|| soft);
    if soft < hard { setrlimit(Resource::RLIMIT_NOFILE, hard, hard) } else { Ok(()) }
}

/// The limit for programs that we start: some do not work with more than 1024. `None` if it was not raised.
pub fn inherited_descriptors() -> Option<u64> {
    INHERITED.get().copied()
}

/// Sets the limit of open files of this process and its future children.
///
/// # Errors
/// The kernel refuses; the limit is unchanged.
pub fn set_descriptors(soft: u64) -> nix::Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, soft.min(hard), hard)
}

/// Sets the limit of address space, in bytes, of this process and of each future child.
///
/// # Errors
/// The kernel refuses; the limit is unchanged.
pub fn set_memory(most: u64) -> nix::Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_AS)?;
    setrlimit(Resource::RLIMIT_AS, most.min(hard), most.min(hard))
}

/// Ignores SIGXFSZ: a write beyond the limit of file sizes then fails as on a full disk, instead of ending the process
/// (setrlimit(2)).
pub fn ignore_file_size_signal() {
    // SAFETY: no handler of ours is replaced, and ignoring a signal runs no code.
    unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
    }
}

/// Forks. Returns `None` in the child. Only the calling thread exists in the child: call this only while there is no
/// other thread.
pub fn fork() -> io::Result<Option<Pid>> {
    // SAFETY: with one thread, nothing can be held by another that is not there in the new process.
    match unsafe { libc::fork() } {
        0 => Ok(None),
        child if child > 0 => Ok(Some(Pid::from_raw(child))),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Resets signals that were inherited as ignored. SIGPIPE is left out: Rust's runtime ignores it, and resets it itself
/// in programs that it starts.
pub fn heed_signals() {
    for signal in (1..=libc::SIGRTMAX()).filter(|signal| *signal != libc::SIGPIPE) {
        // SAFETY: no handler of ours is replaced, as none is set yet; for signals that cannot be set the call only fails.
        unsafe {
            libc::signal(signal, libc::SIG_DFL);
        }
    }
}

/// Ends this process without running any exit handlers, so that a thread that hangs in one cannot block it.
pub fn exit_at_once(code: i32) -> ! {
    // SAFETY: takes a number and does not return; the kernel frees whatever we held.
    unsafe { libc::_exit(code) }
}

/// The first 15 bytes of the name of that process; empty if there is none.
pub fn command_name(pid: i32) -> String {
    fs::read_to_string(format!("/proc/{pid}/comm")).map(|name| name.trim_end().into()).unwrap_or_default()
}
