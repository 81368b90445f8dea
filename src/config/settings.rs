//! `[SelfConfig]`, `[TSDB]` and `[WebServer]` as typed settings.

use super::ini;
use super::section::Section;
use super::spelling::hint;
use crate::model::error::{Error, Result};
use crate::model::roots::Roots;
use std::path::{Path, PathBuf};
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
    /// `[WebServer]` where it is to listen.
    pub web: Option<Section>,
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
    pub roots: Roots,
}

/// The back ends that can be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SinkKind {
    Local,
    OddEye,
    OpenTsdb,
    KairosDb,
    InfluxDb,
    InfluxDb2,
    Carbon,
    Prometheus,
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
    /// What the reaction of a health event is counted in; only OddEye is told.
    pub error_handler: u32,
}

/// What reading brought: settings where nothing stood in the way, and everything there is to say.
#[derive(Debug, Default)]
pub struct Loaded {
    /// `None` with any error.
    pub settings: Option<Settings>,
    /// What could be read of `[SelfConfig]`, so that a daemon can be stopped whatever else is wrong; `None` without a file.
    pub own: Option<SelfConfig>,
    pub errors: Vec<Error>,
    pub warnings: Vec<Error>,
}

const TYPES: &[(&str, SinkKind)] = &[
    ("Local", SinkKind::Local),
    ("OddEye", SinkKind::OddEye),
    ("OpenTSDB", SinkKind::OpenTsdb),
    ("KairosDB", SinkKind::KairosDb),
    ("InfluxDB", SinkKind::InfluxDb),
    ("InfluxDB2", SinkKind::InfluxDb2),
    ("Carbon", SinkKind::Carbon),
    ("Prometheus", SinkKind::Prometheus),
];

const OWN_KEYS: &[&str] = &[
    "check_period_seconds",
    "log_file",
    "log_rotate_seconds",
    "log_rotate_backups",
    "debug_log",
    "pid_file",
    "cluster_name",
    "host_group",
    "location",
    "hostname",
    "shorthostname",
    "tmpdir",
    "max_cache",
    "run_user",
    // The name of the 2017 original.
    "puypuy_user",
    "error_handler",
    "proc_root",
    "sys_root",
    "rootfs",
];

/// Keys of all back ends: those of another one are placeholders that do no harm.
const TSDB_KEYS: &[&str] = &[
    "tsdtype",
    "url",
    "uuid",
    "sandbox",
    "err_handler",
    "address",
    "datapoints",
    "user",
    "pass",
    "auth",
    "database",
    "organization",
    "org",
    "bucket",
    "token",
    "carbon_confirm",
    "file",
    "retention_hours",
    "retention_mb",
    "connect_timeout",
    "timeout",
    "ca_file",
    "ca_path",
    "insecure_skip_verify",
    "client_cert",
    "client_key",
    "proxy",
    "gzip",
    "batch_points",
    "batch_bytes",
    "spool_max_bytes",
    "spool_max_age",
    "rejected_max_bytes",
];

const WEB_KEYS: &[&str] = &["webserver", "webaddress", "apikey", "allow_arguments", "allowedip"];

/// The daemon's sections and the keys they take.
const SECTIONS: &[(&str, &[&str])] = &[("SelfConfig", OWN_KEYS), ("TSDB", TSDB_KEYS), ("WebServer", WEB_KEYS)];

/// The configuration file: the one named, else `config.ini` in the home folder, else `conf/config.ini`.
pub fn file_of(home: &Path, named: Option<&Path>) -> PathBuf {
    match named {
        Some(named) => named.into(),
        None => ["config.ini", "conf/config.ini"]
            .iter()
            .map(|name| home.join(name))
            .find(|path| path.exists())
            .unwrap_or_else(|| home.join("config.ini")),
    }
}

/// Reads the settings. All mistakes are found at once; with any error there are no settings.
pub fn load(home: &Path, named: Option<&Path>) -> Loaded {
    let file = file_of(home, named);
    let shown = file.strip_prefix(home).unwrap_or(&file).display().to_string();
    let mut loaded = Loaded::default();
    let read = match ini::load(&file, &shown) {
        Ok(read) => read,
        Err(error) => {
            loaded.errors.push(error);
            return loaded;
        }
    };
    let section = |name: &str| read.section(name).cloned().unwrap_or_else(|| Section::missing(&shown, name));
    let (own, tsdb) = (section("SelfConfig"), section("TSDB"));
    doubts(&read, &mut loaded.warnings);
    if own.text("error_handler").is_some_and(|one| tsdb.text("err_handler").is_some_and(|other| one != other)) {
        loaded.warnings.push(tsdb.problem("err_handler", "differs from [SelfConfig] error_handler, which wins"));
    }
    let mut problems = Problems(&mut loaded.errors);
    let error_handler = match own.text("error_handler") {
        Some(_) => own.number("error_handler", 2),
        None => tsdb.number("err_handler", 2),
    };
    let error_handler = problems.or(error_handler, 2);
    let own = read_own(home, &own, &mut problems);
    let tsdb = read_tsdb(tsdb, error_handler, &mut problems);
    let web = section("WebServer");
    let is_asked = problems.or(web.flag("webserver", false), false);
    let is_needed = tsdb.as_ref().is_some_and(|tsdb| tsdb.kind == SinkKind::Prometheus);
    let web = (is_asked || is_needed).then_some(web);
    loaded.errors.extend(read.errors);
    loaded.own = Some(own.clone());
    if let (Some(tsdb), true) = (tsdb, loaded.errors.is_empty()) {
        loaded.settings = Some(Settings { home: home.into(), file, own, tsdb, web });
    }
    loaded
}

/// Collects errors, so that one mistake does not hide the next.
struct Problems<'a>(&'a mut Vec<Error>);

impl Problems<'_> {
    /// The value, or its stand-in after noting the error.
    fn or<T>(&mut self, read: Result<T>, stand_in: T) -> T {
        read.unwrap_or_else(|error| {
            self.0.push(error);
            stand_in
        })
    }
}

fn read_own(home: &Path, own: &Section, problems: &mut Problems) -> SelfConfig {
    let path = |key: &str, default: &str| match own.text(key) {
        None | Some("") => home.join(default),
        Some(path) => home.join(path),
    };
    let text = |key: &str| own.text(key).filter(|text| !text.is_empty()).map(str::to_string);
    let roots = Roots::default();
    let root = |key: &str, default: PathBuf| text(key).map_or(default, |path| home.join(path));
    SelfConfig {
        check_period: problems.or(seconds(own, "check_period_seconds", 10.0), Duration::from_secs(10)),
        log_file: path("log_file", "var/puypuy.log"),
        log_rotate: match problems.or(own.number("log_rotate_seconds", 86_400u64), 0) {
            0 => None,
            seconds => Some(Duration::from_secs(seconds)),
        },
        log_rotate_backups: problems.or(own.number("log_rotate_backups", 7), 7),
        debug_log: problems.or(own.flag("debug_log", false), false),
        pid_file: (own.text("pid_file") != Some("")).then(|| path("pid_file", "var/puypuy.pid")),
        cluster_name: text("cluster_name").unwrap_or_default(),
        host_group: text("host_group").unwrap_or_default(),
        location: text("location").unwrap_or_default(),
        hostname: text("hostname"),
        shorthostname: problems.or(own.flag("shorthostname", false), false),
        tmpdir: path("tmpdir", "var/tmp"),
        max_cache: problems.or(own.number("max_cache", 50_000), 50_000),
        run_user: text("run_user").or_else(|| text("puypuy_user")),
        roots: Roots {
            proc: root("proc_root", roots.proc),
            sys: root("sys_root", roots.sys),
            root: root("rootfs", roots.root),
        },
    }
}

fn seconds(section: &Section, key: &str, default: f64) -> Result<Duration> {
    match section.number(key, default)? {
        n if (0.1..=86_400.0).contains(&n) => Ok(Duration::from_secs_f64(n)),
        _ => Err(section.wrong(key, "expected seconds, from 0.1 to 86400")),
    }
}

fn read_tsdb(section: Section, error_handler: u32, problems: &mut Problems) -> Option<Tsdb> {
    let kind = kind_of(&section);
    let age = problems.or(section.number("spool_max_age", 0u64), 0);
    let spool_max_bytes = problems.or(section.number("spool_max_bytes", 256 << 20), 256 << 20);
    let rejected_max_bytes = problems.or(section.number("rejected_max_bytes", 16 << 20), 16 << 20);
    let spool_max_age = (age > 0).then(|| Duration::from_secs(age));
    match kind {
        Ok(kind) => Some(Tsdb { kind, section, spool_max_bytes, spool_max_age, rejected_max_bytes, error_handler }),
        Err(error) => {
            problems.0.push(error);
            None
        }
    }
}

fn kind_of(section: &Section) -> Result<SinkKind> {
    let Some(word) = section.text("tsdtype") else { return Ok(SinkKind::Local) };
    if let Some((_, kind)) = TYPES.iter().find(|(name, _)| name.eq_ignore_ascii_case(word)) {
        return Ok(*kind);
    }
    if word.eq_ignore_ascii_case("BlueFlood") {
        return Err(section.wrong("tsdtype", "was named in old samples and never existed; use another back end"));
    }
    let names = || TYPES.iter().map(|(name, _)| *name);
    let known = names().collect::<Vec<_>>().join(", ");
    Err(section.wrong("tsdtype", &format!("unknown, expected one of {known}{}", hint(word, names()))))
}

/// Sections and keys that mean nothing.
fn doubts(read: &ini::Ini, warnings: &mut Vec<Error>) {
    for section in read.sections.iter().filter(|section| section.name != ini::DEFAULT) {
        let Some((_, keys)) = SECTIONS.iter().find(|(name, _)| *name == section.name) else {
            let near = hint(&section.name, SECTIONS.iter().map(|(name, _)| *name));
            warnings.push(section.problem("", &format!("unknown section{near}")));
            continue;
        };
        for entry in section.entries.iter().filter(|entry| !keys.contains(&entry.key.as_str())) {
            let near = hint(&entry.key, keys.iter().copied());
            warnings.push(section.problem(&entry.key, &format!("unknown key{near}")));
        }
    }
}
