//! Where the trees of this machine begin.

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
    /// `proc/stat` below the root of proc, `sys/block` below that of sys, anything else below that of `/`.
    pub fn resolve(&self, path: &str) -> PathBuf {
        let path = path.trim_start_matches('/');
        match path.split_once('/') {
            Some(("proc", rest)) => self.proc.join(rest),
            Some(("sys", rest)) => self.sys.join(rest),
            _ => self.root.join(Path::new(path)),
        }
    }
}
