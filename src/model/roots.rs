//! The paths of /proc, /sys and / of the watched machine, and where its network is found in /proc.

use std::path::{Path, PathBuf};

/// The file trees of the watched machine. They differ from the defaults in tests, and in a container where the trees of
/// the host are mounted elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roots {
    pub proc: PathBuf,
    pub sys: PathBuf,
    pub root: PathBuf,
}

impl Default for Roots {
    fn default() -> Roots {
        Roots { proc: "/proc".into(), sys: "/sys".into(), root: "/".into() }
    }
}

impl Roots {
    /// Whether the trees belong to another machine than the one that this process sees, for example the host around its
    /// container. Per-process files must then be read from that machine's process 1, not from this process.
    pub fn is_foreign(&self) -> bool {
        self.has_other_proc() || self.root != Path::new("/")
    }

    /// Maps `proc/stat` into the root of /proc, `sys/block` into that of /sys, and any other path into that of /.
    pub fn resolve(&self, path: &str) -> PathBuf {
        let path = path.trim_start_matches('/');
        match path.split_once('/') {
            Some(("proc", rest)) => self.proc.join(rest),
            Some(("sys", rest)) => self.sys.join(rest),
            _ => self.root.join(Path::new(path)),
        }
    }

    /// For a path in `proc/net`, if /proc is that of another place: `proc/net` is a link to the network of the reading
    /// process, so the host's network is read from its process 1. `None` for any other path.
    pub fn of_host(&self, path: &str) -> Option<PathBuf> {
        let below = path.trim_start_matches('/').strip_prefix("proc/net").filter(|_| self.has_other_proc())?;
        (below.is_empty() || below.starts_with('/')).then(|| self.proc.join(format!("1/net{below}")))
    }

    /// Whether /proc is mounted elsewhere: it is that of the host around the container.
    pub fn has_other_proc(&self) -> bool {
        self.proc != Path::new("/proc")
    }
}
