//! Parses the mount lists of /proc (proc(5)) and finds the mounts that are not hidden by another one.

use super::procfs::{Device, device};
use std::borrow::Cow;
use std::collections::HashMap;

/// PATH_MAX of Linux, in bytes.
const LONGEST: usize = 4096;

/// A mounted file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount<'a> {
    /// The mounted thing: a device, a server's folder, or any word.
    pub source: Cow<'a, [u8]>,
    /// Mount point, as raw bytes.
    pub path: Cow<'a, [u8]>,
    /// Type of the file system: `ext4`.
    pub fs: &'a str,
    /// The file system is read-only.
    pub read_only: bool,
    /// The file system is writable, but this mount of it is read-only. Always false if read from /proc/mounts.
    pub is_closed: bool,
    /// Device number of the file system, the same for all of its mounts. `None` if read from /proc/mounts.
    pub number: Option<Device>,
}

/// The mounts of a list, and which one is mounted on which other.
#[derive(Debug, Default)]
pub struct MountTree<'a> {
    mounts: Vec<Mount<'a>>,
    /// Index of a mount by its parent (`None` for a root) and its path.
    on: HashMap<(Option<usize>, Cow<'a, [u8]>), usize>,
}

impl<'a> MountTree<'a> {
    /// Parses the format of /proc/PID/mountinfo. Lines of another format are skipped.
    pub fn of_mountinfo(text: &'a [u8]) -> MountTree<'a> {
        let (ids, mounts): (Vec<_>, Vec<_>) = lines(text).filter_map(mountinfo).unzip();
        let places: HashMap<u64, usize> = ids.iter().enumerate().map(|(place, (id, _))| (*id, place)).collect();
        let mut tree = MountTree { mounts: Vec::new(), on: HashMap::new() };
        for ((place, (_, parent)), mount) in ids.iter().enumerate().zip(mounts) {
            tree.add(mount, places.get(parent).copied().filter(|parent| *parent != place));
        }
        tree
    }

    /// Parses the format of /proc/mounts, which does not name the parents. The list is assumed to be in the order of
    /// mounting, with `/` first, because mounts made before `/` were moved onto it.
    pub fn of_mounts(text: &'a [u8]) -> MountTree<'a> {
        let mut mounts: Vec<_> = lines(text).filter_map(fstab).collect();
        mounts.sort_by_key(|mount| *mount.path != *b"/");
        let mut tree = MountTree::default();
        for mount in mounts {
            let parent = tree.place(&mount.path);
            tree.add(mount, parent);
        }
        tree
    }

    fn add(&mut self, mount: Mount<'a>, parent: Option<usize>) {
        self.on.insert((parent, mount.path.clone()), self.mounts.len());
        self.mounts.push(mount);
    }

    /// The mount in which opening this path ends. Symbolic links are not followed.
    pub fn at(&self, path: &[u8]) -> Option<&Mount<'a>> {
        self.mounts.get(self.place(path)?)
    }

    /// The mounts that no other mount hides.
    pub fn reachable(&self) -> impl Iterator<Item = &Mount<'a>> {
        let is_reached = |(place, mount): &(usize, &Mount)| self.place(&mount.path) == Some(*place);
        self.mounts.iter().enumerate().filter(is_reached).map(|(_, mount)| mount)
    }

    fn place(&self, path: &[u8]) -> Option<usize> {
        let ends = (2..=path.len()).filter(|end| path.get(*end).is_none_or(|next| *next == b'/'));
        let folders = ends.filter_map(|end| path.get(..end));
        let mut place = None;
        for folder in std::iter::once(&b"/"[..]).chain(folders) {
            while let Some(next) = self.on.get(&(place, Cow::Borrowed(folder))) {
                place = Some(*next);
            }
        }
        place
    }
}

fn lines(text: &[u8]) -> impl Iterator<Item = impl Iterator<Item = &[u8]>> {
    text.split(|byte| *byte == b'\n').map(|line| line.split(|byte| *byte == b' '))
}

/// `36 35 98:0 /root /path rw,noatime master:1 - ext3 /dev/sda1 rw,errors=continue`: mount id, parent id, and the
/// mount.
fn mountinfo<'a>(mut words: impl Iterator<Item = &'a [u8]>) -> Option<((u64, u64), Mount<'a>)> {
    let mut number = || std::str::from_utf8(words.next()?).ok()?.parse().ok();
    let ids = (number()?, number()?);
    let number = device(std::str::from_utf8(words.next()?).ok()?)?;
    let (_root, path, options) = (words.next()?, path(words.next()?)?, words.next()?);
    let mut words = words.skip_while(|word| *word != b"-").skip(1);
    let (fs, source, of_all) = (words.next()?, words.next()?, words.next()?);
    let read_only = is_read_only(of_all);
    let mount = Mount {
        source: unescape(source),
        path,
        fs: std::str::from_utf8(fs).ok()?,
        read_only,
        is_closed: !read_only && is_read_only(options),
        number: Some(number),
    };
    Some((ids, mount))
}

/// `/dev/sda1 /path ext3 rw,noatime 0 0`
fn fstab<'a>(mut words: impl Iterator<Item = &'a [u8]>) -> Option<Mount<'a>> {
    let (source, path, fs, options) = (words.next()?, path(words.next()?)?, words.next()?, words.next()?);
    Some(Mount {
        source: unescape(source),
        path,
        fs: std::str::from_utf8(fs).ok()?,
        read_only: is_read_only(options),
        is_closed: false,
        number: None,
    })
}

/// `None` if the path is too long to be opened.
fn path(word: &[u8]) -> Option<Cow<'_, [u8]>> {
    Some(unescape(word)).filter(|path| path.len() < LONGEST)
}

/// Read-only by option, or after an error: ext4 has options of its own for that since Linux 6.15.
fn is_read_only(options: &[u8]) -> bool {
    options.split(|byte| *byte == b',').any(|option| [&b"ro"[..], b"emergency_ro", b"shutdown"].contains(&option))
}

/// Undoes the kernel's escapes: blank, tab, newline, backslash and `#` are written as `\` and three octal digits.
fn unescape(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.contains(&b'\\') {
        return Cow::Borrowed(text);
    }
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        match rest {
            [b'\\', a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..] => {
                plain.push(((a - b'0') << 6) | ((b - b'0') << 3) | (c - b'0'));
                rest = after;
            }
            _ => {
                plain.push(*first);
                rest = after;
            }
        }
    }
    Cow::Owned(plain)
}
