//! What is mounted, as /proc lists it (proc(5)), and which mounts no other one hides.

use super::procfs::{Device, device};
use std::borrow::Cow;
use std::collections::HashMap;

/// PATH_MAX of Linux.
const LONGEST: usize = 4096;

/// A mounted file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount<'a> {
    /// What was mounted: a device, a server's folder, or any word.
    pub source: Cow<'a, [u8]>,
    /// In whatever encoding it was made.
    pub path: Cow<'a, [u8]>,
    /// Type of the file system: `ext4`.
    pub fs: &'a str,
    /// The file system takes no writes.
    pub read_only: bool,
    /// The file system takes writes, but not by this mount. Not known from /proc/mounts.
    pub is_closed: bool,
    /// The same for all mounts of a file system. Not known from /proc/mounts.
    pub number: Option<Device>,
}

/// All mounts of a list, and which lies on which.
#[derive(Debug, Default)]
pub struct MountTree<'a> {
    mounts: Vec<Mount<'a>>,
    /// The mount that lies on that one, or on none, at that path.
    on: HashMap<(Option<usize>, Cow<'a, [u8]>), usize>,
}

impl<'a> MountTree<'a> {
    /// A list in the form of /proc/PID/mountinfo. Lines of another form are passed over.
    pub fn of_mountinfo(text: &'a [u8]) -> MountTree<'a> {
        let (ids, mounts): (Vec<_>, Vec<_>) = lines(text).filter_map(mountinfo).unzip();
        let places: HashMap<u64, usize> = ids.iter().enumerate().map(|(place, (id, _))| (*id, place)).collect();
        let mut tree = MountTree { mounts: Vec::new(), on: HashMap::new() };
        for ((place, (_, parent)), mount) in ids.iter().enumerate().zip(mounts) {
            tree.add(mount, places.get(parent).copied().filter(|parent| *parent != place));
        }
        tree
    }

    /// A list in the form of /proc/mounts, which does not say which lies on which: it is taken for one in the order of
    /// mounting. What was mounted before `/` was moved with it.
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

    /// The mount that whoever opens that path comes to. Symbolic links are not followed.
    pub fn at(&self, path: &[u8]) -> Option<&Mount<'a>> {
        self.mounts.get(self.place(path)?)
    }

    /// The mounts that no other one hides.
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

/// `36 35 98:0 /root /path rw,noatime master:1 - ext3 /dev/sda1 rw,errors=continue`: its own number, that of the mount below
/// it, and the mount.
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

/// `None` for one that is so long that nobody can open it by its name.
fn path(word: &[u8]) -> Option<Cow<'_, [u8]>> {
    Some(unescape(word)).filter(|path| path.len() < LONGEST)
}

/// By option, or after an error: ext4 says so in words of its own since Linux 6.15.
fn is_read_only(options: &[u8]) -> bool {
    options.split(|byte| *byte == b',').any(|option| [&b"ro"[..], b"emergency_ro", b"shutdown"].contains(&option))
}

/// The kernel writes blank, tab, newline, backslash and `#` as `\` and three octal digits.
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
