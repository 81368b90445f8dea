//! The mounts of the watched machine: those that this process sees, or in a container those of the machine's process 1.

use super::file::KernelFile;
use crate::model::error::{Error, Result};
use crate::model::parse::mounts::{Mount, MountTree};
use crate::model::roots::Roots;
use nix::sys::statfs::{PROC_SUPER_MAGIC, statfs};
use std::fs;
use std::os::unix::ffi::OsStrExt;

/// The mount lists of process 1, and of this process. Kernels before 2.6.26 have only the second file of each.
const FIRST: [&str; 2] = ["proc/1/mountinfo", "proc/1/mounts"];
const OWN: [&str; 2] = ["proc/self/mountinfo", "proc/mounts"];

/// The mount list of the last read.
///
/// *Invariant:* the list of another process is not kept open, because that would keep its mounts alive after it has
/// ended.
#[derive(Default)]
pub struct Mounts {
    list: Option<(&'static str, KernelFile)>,
    /// The mounts of this process, if `list` is that of another one.
    own: Option<KernelFile>,
}

/// The mounts that are not hidden by others.
pub struct Mounted<'a> {
    pub mounts: Vec<Mount<'a>>,
    /// Mounts of the machine that are not visible below `rootfs`.
    pub unseen: Vec<Mount<'a>>,
}

impl Mounts {
    /// `None` if nothing has changed. The list is read every time, because the kernel notifies about new mounts, but
    /// not about a file system that became read-only.
    ///
    /// # Errors
    /// The list cannot be read; the next call opens it again.
    pub fn read(&mut self, roots: &Roots) -> Result<Option<Mounted<'_>>> {
        let before: Vec<Vec<u8>> = self.files().map(|file| file.bytes().to_vec()).collect();
        if let Err(error) = self.refresh(roots) {
            *self = Mounts::default();
            return Err(error);
        }
        if self.files().map(KernelFile::bytes).eq(&before) {
            return Ok(None);
        }
        let (path, text) = self.list.as_ref().map_or(("", &[][..]), |(path, file)| (*path, file.bytes()));
        let tree = if path.ends_with("mountinfo") { MountTree::of_mountinfo(text) } else { MountTree::of_mounts(text) };
        let mut mounted = Mounted { mounts: tree.reachable().cloned().collect(), unseen: Vec::new() };
        if let Some(own) = &self.own {
            mounted.leave_out_unseen(&MountTree::of_mountinfo(own.bytes()), roots);
        }
        Ok(Some(mounted))
    }

    fn files(&self) -> impl Iterator<Item = &KernelFile> {
        self.list.iter().map(|(_, file)| file).chain(&self.own)
    }

    fn refresh(&mut self, roots: &Roots) -> Result<()> {
        if let Some((_, file)) = &mut self.list {
            file.refresh(roots)?;
        } else {
            // In a recorded /proc there is no running process.
            let is_live = statfs(&roots.proc).is_ok_and(|of| of.filesystem_type() == PROC_SUPER_MAGIC);
            self.list = Some(match (roots.is_foreign(), is_live) {
                (false, _) => first_of(&OWN, roots)?,
                (true, true) => first_of(&FIRST, roots).map_err(|error| hidden(&error))?,
                (true, false) => first_of(&FIRST, roots).or_else(|_| first_of(&OWN, roots))?,
            });
            self.own = (roots.is_foreign() && is_live).then(|| KernelFile::new(OWN[0]));
        }
        if let (Some((_, list)), Some(own)) = (&mut self.list, &mut self.own) {
            list.close();
            own.refresh(&Roots::default())?;
        }
        Ok(())
    }
}

/// The first of the two lists that can be read.
fn first_of(paths: &[&'static str; 2], roots: &Roots) -> Result<(&'static str, KernelFile)> {
    let read = |path: &'static str| {
        let mut file = KernelFile::new(path);
        file.refresh(roots).map(|()| (path, file))
    };
    let [first, second] = *paths;
    read(first).or_else(|_| read(second))
}

fn hidden(error: &Error) -> Error {
    Error::daemon(format!(
        "{error}; what is mounted on the watched machine is not known: where its /proc is mounted with hidepid, the daemon needs \
         CAP_SYS_PTRACE, or the group that the option gid of that mount names"
    ))
}

impl Mounted<'_> {
    /// Moves mounts that are not visible in the container to `unseen`: one that was mounted after the container started
    /// may not be, and its path then belongs to another file system.
    fn leave_out_unseen(&mut self, own: &MountTree, roots: &Roots) {
        let root = fs::canonicalize(&roots.root).unwrap_or_else(|_| roots.root.clone());
        let root = root.as_os_str().as_bytes();
        let root = root.strip_suffix(b"/").unwrap_or(root);
        for mount in std::mem::take(&mut self.mounts) {
            let below =
                if *mount.path == *b"/" && !root.is_empty() { root.to_vec() } else { [root, &*mount.path].concat() };
            match own.at(&below) {
                Some(here) if mount.number.is_none() || here.number == mount.number => {
                    self.mounts.push(Mount { is_closed: !mount.read_only && here.is_closed, ..mount });
                }
                _ => self.unseen.push(mount),
            }
        }
    }
}
