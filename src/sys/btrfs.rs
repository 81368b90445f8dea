//! Btrfs ioctls on a mounted file system (linux/btrfs.h).
#![allow(unsafe_code)]

use std::io;
use std::os::fd::AsRawFd;

/// One Btrfs ioctl. `data` is the argument, and the answer overwrites it. `is_written` says whether the kernel reads
/// it, too.
fn ask(folder: &impl AsRawFd, number: libc::c_ulong, is_written: bool, data: &mut [u64]) -> io::Result<()> {
    const READ: libc::c_ulong = 2 << 30;
    const WRITE: libc::c_ulong = 1 << 30;
    const BTRFS: libc::c_ulong = 0x94 << 8;
    let size = (size_of_val(data) as libc::c_ulong) << 16;
    let request = READ | if is_written { WRITE } else { 0 } | size | BTRFS | number;
    // SAFETY: the request says itself how many bytes the kernel may read and write there, and that is the size of `data`.
    let result = unsafe { libc::ioctl(folder.as_raw_fd(), request as _, data.as_mut_ptr()) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// What a Btrfs file system says about itself.
pub struct Info {
    pub id: [u8; 16],
    /// The highest device id.
    pub highest: u64,
}

/// Asks the Btrfs that is mounted at that folder (BTRFS_IOC_FS_INFO).
///
/// # Errors
/// There is no Btrfs at that folder.
pub fn info(folder: &impl AsRawFd) -> io::Result<Info> {
    let mut data = [0; 128];
    ask(folder, 31, false, &mut data)?;
    let [highest, _, first, second, ..] = data;
    let mut id = [0; 16];
    id.iter_mut()
        .zip([first, second].iter().flat_map(|half: &u64| half.to_ne_bytes()))
        .for_each(|(to, from)| *to = from);
    Ok(Info { id, highest })
}

/// The path of one of its devices (BTRFS_IOC_DEV_INFO); empty for a missing device.
///
/// # Errors
/// It has no device with that id.
pub fn device(folder: &impl AsRawFd, number: u64) -> io::Result<String> {
    const PATH: usize = 384;
    let mut data = [0; 512];
    data[0] = number;
    ask(folder, 30, true, &mut data)?;
    let path = data.iter().skip(PATH).flat_map(|word| word.to_ne_bytes()).take_while(|byte| *byte != 0);
    Ok(String::from_utf8_lossy(&path.collect::<Vec<u8>>()).into_owned())
}

/// The error counters of one of its devices (BTRFS_IOC_GET_DEV_STATS): write, read, flush, corruption, generation.
///
/// # Errors
/// It has no device with that id, or the process is not root.
pub fn errors(folder: &impl AsRawFd, number: u64) -> io::Result<[u64; 5]> {
    let mut data = [0; 129];
    [data[0], data[1]] = [number, 5];
    ask(folder, 52, true, &mut data)?;
    let [_, _, _, write, read, flush, corruption, generation, ..] = data;
    Ok([write, read, flush, corruption, generation])
}
