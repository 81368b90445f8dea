//! `[SelfConfig]`, `[TSDB]` and `[WebServer]` as typed settings.

use super::section::Section;
use crate::fetch::Roots;
use std::path::PathBuf;
use std::time::Duration;

/// Everything the daemon is told by `config.ini`.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Folder of `config.ini`, `conf`, `checks_enabled` and all relative paths.
    pub home: PathBuf,
    /// The file that was read.
    pub file: PathBuf,
    pub own: SelfConfig,
    pub tsdb: Tsdb,
}

/// `[SelfConfig]`. Paths are absolute.
#[derive(Clone, Debug)]
pub struct SelfConfig {
    pub check_period: Duration,
    pub log_file: PathBuf,
    /// Age at which the log is rotated; `None`: never.
    pub log_rotate: Option<Duration>,
    pub log_rotate_backups: usize,
    pub debug_log: bool,
    /// `None` (an empty value) for a read-only /run: no pid file, no `stop`.
    pub pid_file: Option<PathBuf>,
    pub cluster_name: String,
    pub host_group: String,
    pub location: String,
    /// Overrides what the system says.
    pub hostname: Option<String>,
    pub shorthostname: bool,
    pub tmpdir: PathBuf,
    /// Most entries of the spool.
    pub max_cache: usize,
    /// User to become when started as root.
    pub run_user: Option<String>,
    /// Reaction of the daemon's own error events is minus this.
    pub error_handler: i32,
    pub roots: Roots,
}

/// The back ends that can be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SinkKind {
    Local,
    InfluxDb,
}

/// `[TSDB]`: which sink, the bounds of delivery, and the section from which the sink reads its own keys.
#[derive(Clone, Debug)]
pub struct Tsdb {
    pub kind: SinkKind,
    pub section: Section,
    pub spool_max_bytes: u64,
    /// `None`: kept until delivered.
    pub spool_max_age: Option<Duration>,
    pub rejected_max_bytes: u64,
}
