//! Where the trees of this machine begin, and whose network a tree of /proc tells of.

use std::path::{Path, PathBuf};

/// Where this machine's trees begin. Another place for tests, and for a container that sees the host's trees elsewhere.
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
    /// Whether the trees are those of another machine than this process lives in, be it the one around its container: what
    /// belongs to a process there is that of the machine's first process, never this one's.
    pub fn is_foreign(&self) -> bool {
        self.is_of_others() || self.root != Path::new("/")
    }

    /// `proc/stat` below the root of proc, `sys/block` below that of sys, anything else below that of `/`.
    pub fn resolve(&self, path: &str) -> PathBuf {
        let path = path.trim_start_matches('/');
        match path.split_once('/') {
            Some(("proc", rest)) => self.proc.join(rest),
            Some(("sys", rest)) => self.sys.join(rest),
            _ => self.root.join(Path::new(path)),
        }
    }

    /// The network of the host where /proc is that of another place: there `proc/net` is a link to the network of whoever
    /// reads it, and the host's is that of its first process. `None` for anything else.
    pub fn of_host(&self, path: &str) -> Option<PathBuf> {
        let below = path.trim_start_matches('/').strip_prefix("proc/net").filter(|_| self.is_of_others())?;
        (below.is_empty() || below.starts_with('/')).then(|| self.proc.join(format!("1/net{below}")))
    }

    /// Whether /proc is that of another place: of the host around a container.
    pub fn is_of_others(&self) -> bool {
        self.proc != Path::new("/proc")
    }
}
