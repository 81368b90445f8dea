//! Returns memory to the system that the C library and the kernel keep without need.
#![allow(unsafe_code)]

use std::ptr;

/// Allocations of this size and more, such as the points of a large batch, get pages of their own, which go back to the
/// system when they are freed.
#[cfg(target_env = "gnu")]
const OWN_PAGES: libc::c_int = 128 << 10;

/// Makes all threads share two heaps. By default each thread gets its own, which keeps the memory that it once used;
/// with a thread per check that would be most of the daemon's memory. Also fixes [`OWN_PAGES`]: by default it grows with
/// each such allocation that is freed, and the heaps keep what a few large batches once needed. Call this before the
/// first thread.
pub fn limit_heaps() {
    #[cfg(target_env = "gnu")]
    // SAFETY: mallopt only sets a number of the allocator, and may be called at any time.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 2);
        libc::mallopt(libc::M_MMAP_THRESHOLD, OWN_PAGES);
    }
}

/// Gives back memory that is no longer needed, for example after the start: freed heap, and pages of the program file, which the kernel maps in
/// pieces of 64 KiB and reads again from the file when they are needed.
pub fn trim() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim takes the allocator's own locks and may be called from any thread.
    unsafe {
        libc::malloc_trim(0);
    }
    for (start, length) in unmodified_mappings(&std::fs::read_to_string("/proc/self/smaps").unwrap_or_default()) {
        // SAFETY: the range is a mapping of this process as the kernel just told it, backed by a file, never written to
        // and not writable, so that every page of it comes back from the file when it is next used. No such mapping is
        // ever taken away in this process: it loads no library at run time but through the C library's name service, which
        // keeps them.
        unsafe {
            libc::madvise(ptr::without_provenance_mut(start), length, libc::MADV_DONTNEED);
        }
    }
}

/// Start and length of the mappings in `/proc/self/smaps` that are unchanged code or constants of a file. Mappings that
/// were changed at load time have anonymous pages and are left out.
fn unmodified_mappings(smaps: &str) -> Vec<(usize, usize)> {
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

/// Parses the first line of a mapping: its start and length, and whether it maps a file and cannot be written.
fn range(line: &str) -> Option<((usize, usize), bool)> {
    let mut words = line.split_ascii_whitespace();
    let (start, end) = words.next()?.split_once('-')?;
    let (start, end) = (usize::from_str_radix(start, 16).ok()?, usize::from_str_radix(end, 16).ok()?);
    let is_constant = matches!(words.next()?, "r-xp" | "r--p");
    let is_file = words.nth(3).is_some_and(|path| path.starts_with('/'));
    Some(((start, end.checked_sub(start)?), is_constant && is_file))
}
