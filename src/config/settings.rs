//! `[SelfConfig]`, `[TSDB]` and `[WebServer]` as typed settings.

use super::ini;
use super::section::Section;
use super::spelling::hint;
use crate::model::error::{Error, Result};
use crate::model::roots::Roots;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// All settings from `config.ini`.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The folder of `config.ini`, `conf` and `checks_enabled`, and the base of all relative paths.
    pub home: PathBuf,
    /// The file that was read.
    pub file: PathBuf,
    pub own: SelfConfig,
    pub tsdb: Tsdb,
    /// `[WebServer]`; `None` if the web server is off.
    pub web: Option<Section>,
    /// Whether the daemon must not start without the web server: it is configured explicitly, or the sink needs it.
    pub web_is_needed: bool,
}

impl Settings {
    /// Whether the daemon's own metrics go to the sink: as configured; by default only with the local store. Prometheus
    /// gets them from the metrics page anyway.
    pub fn tells_itself(&self) -> bool {
        match self.tsdb.kind {
            SinkKind::Prometheus => false,
            kind => self.own.self_metrics.unwrap_or(kind == SinkKind::Local),
        }
    }
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
    /// `None` (an empty value): no pid file and no `stop`, for a read-only /run.
    pub pid_file: Option<PathBuf>,
    pub cluster_name: String,
    pub host_group: String,
    pub location: String,
    /// Replaces the system's name.
    pub hostname: Option<String>,
    pub shorthostname: bool,
    pub tmpdir: PathBuf,
    /// Most entries in the spool.
    pub max_cache: usize,
    /// The user to become when started as root.
    pub run_user: Option<String>,
    /// Whether the daemon's own metrics go to the sink; `None`: depends on the sink.
    pub self_metrics: Option<bool>,
    /// The Python for own modules: a path, or a name to look up in PATH.
    pub python: String,
    pub roots: Roots,
    /// The section that it was read from.
    pub section: Section,
}

/// The supported stores.
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

/// `[TSDB]`: which sink, the limits of delivery, and the section with the sink's own keys.
#[derive(Clone, Debug)]
pub struct Tsdb {
    pub kind: SinkKind,
    pub section: Section,
    pub spool_max_bytes: u64,
    /// `None`: kept until delivered.
    pub spool_max_age: Option<Duration>,
    pub rejected_max_bytes: u64,
    /// The unit of a health event's reaction; used for OddEye only.
    pub error_handler: u32,
}

/// The result of reading the settings, with all errors and warnings.
#[derive(Debug, Default)]
pub struct Loaded {
    /// `None` if there is any error.
    pub settings: Option<Settings>,
    /// The settings with defaults in place of mistakes, to look for further mistakes. `None` if the store is not known.
    pub draft: Option<Settings>,
    /// `[SelfConfig]` as far as it could be read, so that a daemon can be stopped whatever else is wrong. `None` if
    /// there is no file, or a reference in that section cannot be read.
    pub own: Option<SelfConfig>,
    pub errors: Vec<Error>,
    pub warnings: Vec<Error>,
}

/// The stores, each with its keys beyond those of all stores.
const TYPES: &[(&str, SinkKind, &[&[&str]])] = &[
    ("Local", SinkKind::Local, &[&["file", "retention_hours", "retention_mb"]]),
    ("OddEye", SinkKind::OddEye, &[&["url", "address", "uuid", "sandbox", "err_handler"], HTTP_KEYS, REQUEST_KEYS]),
    ("OpenTSDB", SinkKind::OpenTsdb, &[&["address", "datapoints"], HTTP_KEYS, REQUEST_KEYS]),
    ("KairosDB", SinkKind::KairosDb, &[&["address", "datapoints"], HTTP_KEYS, REQUEST_KEYS]),
    ("InfluxDB", SinkKind::InfluxDb, &[&["address", "database"], HTTP_KEYS, REQUEST_KEYS]),
    (
        "InfluxDB2",
        SinkKind::InfluxDb2,
        &[&["address", "organization", "org", "bucket", "token"], HTTP_KEYS, REQUEST_KEYS],
    ),
    ("Carbon", SinkKind::Carbon, &[&["address", "carbon_confirm"], REQUEST_KEYS]),
    ("Prometheus", SinkKind::Prometheus, &[]),
];

const HTTP_KEYS: &[&str] =
    &["ca_file", "ca_path", "insecure_skip_verify", "client_cert", "client_key", "proxy", "gzip"];
const REQUEST_KEYS: &[&str] = &["connect_timeout", "timeout", "batch_points", "batch_bytes"];

/// Keys of `[TSDB]` for every store. Those of Basic authentication are ignored by stores that do not have it.
const TSDB_KEYS: &[&str] =
    &["tsdtype", "user", "pass", "auth", "spool_max_bytes", "spool_max_age", "rejected_max_bytes"];

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
    // The key's name in the original of 2017.
    "puypuy_user",
    "error_handler",
    "self_metrics",
    "python",
    "modules_verify",
    "proc_root",
    "sys_root",
    "rootfs",
];

const WEB_KEYS: &[&str] =
    &["webserver", "webaddress", "allowedip", "allowedhost", "webuser", "webpassword", "apikey", "allow_arguments"];

/// The daemon's sections and their keys, without those of a specific store.
const SECTIONS: &[(&str, &[&str])] = &[("SelfConfig", OWN_KEYS), ("TSDB", TSDB_KEYS), ("WebServer", WEB_KEYS)];

/// Largest age in seconds.
const LONGEST: u64 = u32::MAX as u64;

/// Keys of `[TSDB]` that are shipped with a placeholder in place of a secret.
const SECRETS: &[&str] = &["uuid", "token"];

/// The path of the configuration file: the given one, else `config.ini` in the home folder, else `conf/config.ini`.
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

/// Anything but a file may have no end, or wait for a writer.
fn must_be_file(path: &Path) -> Result<()> {
    match fs::metadata(path) {
        Ok(about) if !about.is_file() => Err(Error::daemon(format!("{}: no regular file", path.display()))),
        _ => Ok(()),
    }
}

/// Reads the settings. All mistakes are found at once; with any error there are no settings.
pub fn load(home: &Path, named: Option<&Path>) -> Loaded {
    let file = file_of(home, named);
    let shown = file.strip_prefix(home).unwrap_or(&file).display().to_string();
    let mut loaded = Loaded::default();
    let read = match must_be_file(&file).and_then(|()| ini::load(&file, &shown)) {
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
    let is_of = |kind| tsdb.as_ref().is_some_and(|tsdb| tsdb.kind == kind);
    let is_asked = problems.or(web.flag("webserver", false), false);
    let web_is_needed = is_asked || is_of(SinkKind::Prometheus);
    // The local store's numbers are viewed on the page, so with that store it is on by default.
    let is_left_open = web.text("webserver").is_none_or(str::is_empty);
    let web = (web_is_needed || is_left_open && is_of(SinkKind::Local)).then_some(web);
    loaded.errors.extend(read.errors);
    let known = [Some(&own.section), tsdb.as_ref().map(|tsdb| &tsdb.section), web.as_ref()];
    for section in known.into_iter().flatten() {
        loaded.errors.extend(section.unread());
        loaded.warnings.extend(section.exposed());
    }
    loaded.own = own.section.unread().is_empty().then(|| own.clone());
    loaded.draft = tsdb.map(|tsdb| Settings { home: home.into(), file, own, tsdb, web, web_is_needed });
    loaded.settings = loaded.draft.clone().filter(|_| loaded.errors.is_empty());
    loaded
}

/// Collects errors, so that one mistake does not hide the next.
struct Problems<'a>(&'a mut Vec<Error>);

impl Problems<'_> {
    /// The value, or `stand_in` after noting the error.
    fn or<T>(&mut self, read: Result<T>, stand_in: T) -> T {
        read.unwrap_or_else(|error| {
            self.0.push(error);
            stand_in
        })
    }
}

fn read_own(home: &Path, own: &Section, problems: &mut Problems) -> SelfConfig {
    // Only checked here; `lib.commonclient` reads it itself.
    problems.or(own.flag("modules_verify", true), true);
    let path = |key: &str, default: &str| match own.text(key) {
        None | Some("") => home.join(default),
        Some(path) => home.join(path),
    };
    let text = |key: &str| own.text(key).filter(|text| !text.is_empty()).map(str::to_string);
    let roots = Roots::default();
    let root = |key: &str, default: PathBuf| text(key).map_or(default, |path| home.join(path));
    SelfConfig {
        check_period: Duration::from_secs_f64(
            problems.or(own.within("check_period_seconds", 10.0, 0.1..=86_400.0, "seconds"), 10.0),
        ),
        log_file: path("log_file", "var/puypuy.log"),
        log_rotate: match problems.or(own.within("log_rotate_seconds", 86_400u64, 0..=LONGEST, "seconds"), 0) {
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
        self_metrics: text("self_metrics").map(|_| problems.or(own.flag("self_metrics", true), true)),
        python: match text("python") {
            Some(path) if path.contains('/') => home.join(path).display().to_string(),
            name => name.unwrap_or_else(|| "python3".into()),
        },
        roots: Roots {
            proc: root("proc_root", roots.proc),
            sys: root("sys_root", roots.sys),
            root: root("rootfs", roots.root),
        },
        section: own.clone(),
    }
}

fn read_tsdb(section: Section, error_handler: u32, problems: &mut Problems) -> Option<Tsdb> {
    let kind = kind_of(&section);
    let age = problems.or(section.within("spool_max_age", 0u64, 0..=LONGEST, "seconds"), 0);
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
    if let Some(kind) = kind_named(word) {
        return Ok(kind);
    }
    if word.eq_ignore_ascii_case("BlueFlood") {
        return Err(section.wrong("tsdtype", "was named in old samples and never existed; use another back end"));
    }
    Err(section.wrong("tsdtype", &unknown_kind(word)))
}

/// The store with that name, in any case.
pub fn kind_named(word: &str) -> Option<SinkKind> {
    TYPES.iter().find(|(name, ..)| name.eq_ignore_ascii_case(word)).map(|(_, kind, _)| *kind)
}

/// The error message for a word that names no store.
pub fn unknown_kind(word: &str) -> String {
    let names = || TYPES.iter().map(|(name, ..)| *name);
    let known = names().collect::<Vec<_>>().join(", ");
    format!("unknown, expected one of {known}{}", hint(word, names()))
}

/// Warns of unknown sections and keys.
fn doubts(read: &ini::Ini, warnings: &mut Vec<Error>) {
    for section in read.sections.iter().filter(|section| section.name != ini::DEFAULT) {
        let Some((_, keys)) = SECTIONS.iter().find(|(name, _)| *name == section.name) else {
            let near = hint(&section.name, SECTIONS.iter().map(|(name, _)| *name));
            warnings.push(section.problem("", &format!("unknown section{near}")));
            continue;
        };
        let of_stores = TYPES.iter().flat_map(|(_, _, keys)| keys.concat());
        let known: Vec<&str> = match section.name.as_str() {
            "TSDB" => keys.iter().copied().chain(of_stores).collect(),
            _ => keys.to_vec(),
        };
        for entry in section.entries.iter().filter(|entry| !known.contains(&entry.key.as_str())) {
            let near = hint(&entry.key, known.iter().copied());
            warnings.push(section.problem(&entry.key, &format!("unknown key{near}")));
        }
        let is_torn = |error: &Error| matches!(error, Error::Config { section, .. } if section == "TSDB");
        if section.name == "TSDB" && !read.errors.iter().any(is_torn) {
            doubts_of_store(section, warnings);
        }
    }
}

/// Warns of keys of other stores than the configured one, and of placeholders left in its own keys.
fn doubts_of_store(section: &Section, warnings: &mut Vec<Error>) {
    let kind = kind_of(section).ok();
    let Some((name, _, own)) = TYPES.iter().find(|(_, known, _)| Some(*known) == kind) else { return };
    let own = own.concat();
    for entry in section.entries.iter().filter(|entry| !own.contains(&entry.key.as_str())) {
        let key = entry.key.as_str();
        let others = TYPES.iter().filter(|(_, _, keys)| keys.concat().contains(&key)).map(|(name, ..)| *name);
        let others = others.collect::<Vec<_>>().join(", ");
        if !others.is_empty() {
            let problem = format!("means nothing to {name}, it is a key of {others}; comment it out, or set tsdtype");
            warnings.push(section.problem(key, &problem));
        }
    }
    for key in SECRETS.iter().filter(|key| own.contains(key) && section.is_sample(key)) {
        warnings.push(section.problem(key, "is that of the sample, which no server takes; write your own"));
    }
}
