//! Names of this host and of others, from the resolver.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::mem::MaybeUninit;
use std::ptr;

/// The fully qualified name of this host, found as by Python's `socket.getfqdn()`: the address of the host's own name
/// is resolved back to names. Returns the first of these with a dot, else the first, else the own name. The resolver
/// may block until its own timeouts: call this only where the wait is bounded.
pub fn fqdn() -> String {
    let own = node_name();
    let names = names_of(&own);
    names.iter().find(|name| name.contains('.')).or(names.first()).cloned().unwrap_or(own)
}

/// The resolver's name for the address of that host, as with Python's `socket.gethostbyaddr()`. Blocks like [`fqdn`].
pub fn name_of(host: &str) -> Option<String> {
    names_of(host).into_iter().next()
}

/// The name from `uname -n`; does not use the resolver.
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

/// The canonical name and aliases of the first address of `host`; empty if one of the two look-ups fails.
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
