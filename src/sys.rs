//! The only `unsafe` code: a few calls of the C library that no crate in the tree wraps.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;
use std::ptr;

/// Seconds since 1970 as local time in a strftime format. Follows daylight saving, because the offset is asked each time.
/// Empty for a time that the C library cannot show.
pub fn local_time(seconds: i64, format: &CStr) -> String {
    let seconds = seconds as libc::time_t;
    let mut parts = MaybeUninit::<libc::tm>::zeroed();
    let mut text = [0u8; 64];
    // SAFETY: both pointers are valid for the call, and localtime_r is the variant without shared state. A `tm` of zeros
    // is a valid value, so it may be read even after a failure. strftime writes at most `text.len()` bytes and says how
    // many; `format` ends in NUL by its type.
    let length = unsafe {
        if libc::localtime_r(&seconds, parts.as_mut_ptr()).is_null() {
            return String::new();
        }
        libc::strftime(text.as_mut_ptr().cast(), text.len(), format.as_ptr(), parts.as_ptr())
    };
    String::from_utf8_lossy(text.get(..length).unwrap_or_default()).into_owned()
}

/// The full name of this host, as Python's `socket.getfqdn()` finds it: the address of the host's own name is looked up
/// backwards, and of the names found there the first with a dot is taken, else the first; without an answer the own
/// name. Asks the resolver, which can take as long as its timeouts allow: call it where waiting is bounded.
pub fn fqdn() -> String {
    let own = node_name();
    let names = names_of(&own);
    names.iter().find(|name| name.contains('.')).or(names.first()).cloned().unwrap_or(own)
}

/// What `uname -n` says; never asks the resolver.
pub fn node_name() -> String {
    nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

unsafe extern "C" {
    // In glibc and musl; the libc crate does not declare it.
    fn gethostbyaddr_r(
        address: *const c_void,
        length: libc::socklen_t,
        family: c_int,
        entry: *mut libc::hostent,
        buffer: *mut c_char,
        buffer_length: libc::size_t,
        result: *mut *mut libc::hostent,
        error: *mut c_int,
    ) -> c_int;
}

/// The canonical name and the aliases of the first address of `host`; empty when one of the two look-ups fails.
fn names_of(host: &str) -> Vec<String> {
    let Ok(host) = CString::new(host) else { return Vec::new() };
    let mut found: *mut libc::addrinfo = ptr::null_mut();
    // SAFETY: `host` ends in NUL, no hints and no service are allowed, and `found` receives a list that is ours.
    if unsafe { libc::getaddrinfo(host.as_ptr(), ptr::null(), ptr::null(), &mut found) } != 0 || found.is_null() {
        return Vec::new();
    }
    let mut entry = MaybeUninit::<libc::hostent>::zeroed();
    let mut buffer = vec![0 as c_char; 16 * 1024];
    let mut result: *mut libc::hostent = ptr::null_mut();
    let mut error = 0;
    // SAFETY: `found` is a non-empty list of getaddrinfo. Its `ai_addr` is a socket address of the type that `ai_family`
    // says, so the address inside is read at its place and with its length; other families are left alone. All out
    // pointers outlive the call, and `result` is null or points to `entry`, whose strings lie in `buffer`. The strings
    // end in NUL and the list of aliases in a null pointer, and they are copied before `buffer` goes. The list is freed
    // once, after its last use.
    unsafe {
        let family = (*found).ai_family;
        let address: (*const c_void, usize) = match family {
            libc::AF_INET => (ptr::from_ref(&(*(*found).ai_addr.cast::<libc::sockaddr_in>()).sin_addr).cast(), 4),
            libc::AF_INET6 => (ptr::from_ref(&(*(*found).ai_addr.cast::<libc::sockaddr_in6>()).sin6_addr).cast(), 16),
            _ => (ptr::null(), 0),
        };
        if !address.0.is_null() {
            gethostbyaddr_r(
                address.0,
                address.1 as libc::socklen_t,
                family,
                entry.as_mut_ptr(),
                buffer.as_mut_ptr(),
                buffer.len(),
                &mut result,
                &mut error,
            );
        }
        libc::freeaddrinfo(found);
        if result.is_null() || (*result).h_name.is_null() || (*result).h_addrtype != family {
            return Vec::new();
        }
        let text = |name: *const c_char| CStr::from_ptr(name).to_string_lossy().into_owned();
        let mut names = vec![text((*result).h_name)];
        let mut alias = (*result).h_aliases;
        while !alias.is_null() && !(*alias).is_null() {
            names.push(text(*alias));
            alias = alias.add(1);
        }
        names
    }
}

/// Lets all threads share two heaps. By default each thread gets its own, which holds on to what it once used: with a
/// thread per check that is the larger part of the memory. To be called before the first thread.
pub fn limit_arenas() {
    #[cfg(target_env = "gnu")]
    // SAFETY: mallopt only sets a number of the allocator, and may be called at any time.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 2);
    }
}

/// Gives back what only the start needed: freed memory, and pages of program code, which the kernel maps by 64 KiB and
/// reads again from the file where they are needed. Measured: 3.5 MiB instead of 4.3.
pub fn trim() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim takes the allocator's own locks and may be called from any thread.
    unsafe {
        libc::malloc_trim(0);
    }
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    for (start, length) in maps.lines().filter_map(code) {
        // SAFETY: the range is a mapping of this process as the kernel just told it, backed by a file and never written to
        // (`r-xp`: code here needs no relocation), so that every page of it comes back from the file when it is next used.
        // No mapping of code is ever taken away in this process: it loads no library at run time but through the C
        // library's name service, which keeps them.
        unsafe {
            libc::madvise(ptr::without_provenance_mut(start), length, libc::MADV_DONTNEED);
        }
    }
}

/// Start and length of a line of `/proc/self/maps` that is code from a file.
fn code(line: &str) -> Option<(usize, usize)> {
    let mut words = line.split_ascii_whitespace();
    let (start, end) = words.next()?.split_once('-')?;
    let is_code = words.next()? == "r-xp" && words.nth(3)?.starts_with('/');
    let (start, end) = (usize::from_str_radix(start, 16).ok()?, usize::from_str_radix(end, 16).ok()?);
    is_code.then_some((start, end.checked_sub(start)?))
}

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

/// A request of Btrfs (linux/btrfs.h) about a mounted file system: the answer takes the place of the question.
fn ask_btrfs(folder: &impl AsRawFd, number: libc::c_ulong, is_written: bool, data: &mut [u64]) -> io::Result<()> {
    const READ: libc::c_ulong = 2 << 30;
    const WRITE: libc::c_ulong = 1 << 30;
    const BTRFS: libc::c_ulong = 0x94 << 8;
    let size = (size_of_val(data) as libc::c_ulong) << 16;
    let request = READ | if is_written { WRITE } else { 0 } | size | BTRFS | number;
    // SAFETY: the request says itself how many bytes the kernel may read and write there, and that is the size of `data`.
    let result = unsafe { libc::ioctl(folder.as_raw_fd(), request as _, data.as_mut_ptr()) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The identity of the Btrfs that is mounted there (BTRFS_IOC_FS_INFO).
///
/// # Errors
/// It is none.
pub fn btrfs_id(folder: &impl AsRawFd) -> io::Result<[u8; 16]> {
    let mut data = [0; 128];
    ask_btrfs(folder, 31, false, &mut data)?;
    let [_, _, first, second, ..] = data;
    let mut id = [0; 16];
    id.iter_mut()
        .zip([first, second].iter().flat_map(|half: &u64| half.to_ne_bytes()))
        .for_each(|(to, from)| *to = from);
    Ok(id)
}

/// The path of a device of it (BTRFS_IOC_DEV_INFO).
///
/// # Errors
/// There is no device of that number.
pub fn btrfs_device(folder: &impl AsRawFd, number: u64) -> io::Result<String> {
    const PATH: usize = 384;
    let mut data = [0; 512];
    data[0] = number;
    ask_btrfs(folder, 30, true, &mut data)?;
    let path = data.iter().skip(PATH).flat_map(|word| word.to_ne_bytes()).take_while(|byte| *byte != 0);
    Ok(String::from_utf8_lossy(&path.collect::<Vec<u8>>()).into_owned())
}

/// The errors of a device of it (BTRFS_IOC_GET_DEV_STATS): writing, reading, flushing, corruption, generation.
///
/// # Errors
/// There is no device of that number, or the process is not root's.
pub fn btrfs_errors(folder: &impl AsRawFd, number: u64) -> io::Result<[u64; 5]> {
    let mut data = [0; 129];
    [data[0], data[1]] = [number, 5];
    ask_btrfs(folder, 52, true, &mut data)?;
    let [_, _, _, write, read, flush, corruption, generation, ..] = data;
    Ok([write, read, flush, corruption, generation])
}

/// Bytes written to a connection that the other side's kernel has not taken yet, the end of the stream counted as one.
/// See tcp(7), SIOCOUTQ.
pub fn unacknowledged(stream: &impl AsRawFd) -> io::Result<usize> {
    let mut bytes: c_int = 0;
    // SAFETY: the request writes one int to the place given, which lives for the whole call.
    let result = unsafe { libc::ioctl(stream.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
    if result == 0 { Ok(usize::try_from(bytes).unwrap_or(0)) } else { Err(io::Error::last_os_error()) }
}
