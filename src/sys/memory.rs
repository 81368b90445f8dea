//! What the C library and the kernel keep of memory that is not needed.
#![allow(unsafe_code)]

use std::ptr;

/// Lets all threads share two heaps. By default each thread gets its own, which holds on to what it once used: with a
/// thread per check that is the larger part of the memory. To be called before the first thread.
pub fn limit_arenas() {
    #[cfg(target_env = "gnu")]
    // SAFETY: mallopt only sets a number of the allocator, and may be called at any time.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 2);
    }
}

/// Gives back what only the start needed: freed memory, and pages of the program itself, which the kernel maps by 64 KiB and
/// reads again from the file where they are needed.
pub fn trim() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim takes the allocator's own locks and may be called from any thread.
    unsafe {
        libc::malloc_trim(0);
    }
    for (start, length) in untouched(&std::fs::read_to_string("/proc/self/smaps").unwrap_or_default()) {
        // SAFETY: the range is a mapping of this process as the kernel just told it, backed by a file, never written to
        // and not writable, so that every page of it comes back from the file when it is next used. No such mapping is
        // ever taken away in this process: it loads no library at run time but through the C library's name service, which
        // keeps them.
        unsafe {
            libc::madvise(ptr::without_provenance_mut(start), length, libc::MADV_DONTNEED);
        }
    }
}

/// Start and length of the mappings of `/proc/self/smaps` that are code or constants as they are in a file: what was changed
/// when it was loaded has anonymous pages.
fn untouched(smaps: &str) -> Vec<(usize, usize)> {
    let (mut found, mut last) = (Vec::new(), None);
    for line in smaps.lines() {
        if let Some(range) = range(line) {
            last = range.1.then_some(range.0);
        } else if line.strip_prefix("Anonymous:").is_some_and(|size| size.trim() == "0 kB") {
            found.extend(last.take());
        }
    }
    found
}

/// Start and length of the mapping whose first line this is, and whether it is of a file and cannot be written to.
fn range(line: &str) -> Option<((usize, usize), bool)> {
    let mut words = line.split_ascii_whitespace();
    let (start, end) = words.next()?.split_once('-')?;
    let (start, end) = (usize::from_str_radix(start, 16).ok()?, usize::from_str_radix(end, 16).ok()?);
    let is_constant = matches!(words.next()?, "r-xp" | "r--p");
    let is_file = words.nth(3).is_some_and(|path| path.starts_with('/'));
    Some(((start, end.checked_sub(start)?), is_constant && is_file))
}
