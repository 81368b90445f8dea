//! A machine made of files, and a check running on it tick by tick.

use puypuy::check::{Check, Context, DEFAULT_MAX_SERIES, Out, Spec};
use puypuy::config::section::Entry;
use puypuy::config::section::Section;
use puypuy::fetch::program::Programs;
use puypuy::model::error::Error;
use puypuy::model::point::{HealthEvent, Identity, Point, Tick, Value};
use puypuy::model::roots::Roots;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Rates that the Python daemon sent as integers, which databases keep as integers; those of check_couchdb_1x are
/// floats.
const INT_RATES: &[&str] = &[
    "couchdb_bulk_requests",
    "couchdb_database_reads",
    "couchdb_database_writes",
    "couchdb_document_inserts",
    "couchdb_document_writes",
    "couchdb_requests",
    "couchdb_requests_methods",
    "couchdb_status_codes",
    "couchdb_temporary_view_reads",
    "couchdb_view_reads",
    "jetty_requests_rate",
    "scylla_cache_row_hits",
    "scylla_cache_row_misses",
    "scylla_cql_batches",
    "scylla_cql_deletes",
    "scylla_cql_inserts",
    "scylla_cql_reads",
    "scylla_cql_updates",
    "scylla_transport_requests_served",
];

/// Types of points in addition to that of their check.
const OTHER_TYPES: &[(&str, &[&str])] = &[
    ("elasticsearch", &["active", "queue"]),
    ("storm_topology", &["storm_spout", "storm_bolt", "storm_cluster", "storm_supervisor"]),
];

/// The checks that read kernel files of this machine.
pub fn kernel_checks() -> impl Iterator<Item = &'static Spec> {
    puypuy::checks::all().filter(|spec| spec.check_type == "system")
}

pub fn spec(name: &str) -> &'static Spec {
    puypuy::checks::find(name).unwrap_or_else(|| panic!("{name} is not registered"))
}

/// A section as a user would write it.
pub fn section(spec: &Spec, lines: &[(&str, &str)]) -> Section {
    let entry = |(at, (key, value)): (usize, &(&str, &str))| Entry {
        key: key.to_string(),
        value: value.to_string(),
        line: at + 2,
    };
    Section {
        file: format!("conf/{}", spec.conf),
        name: spec.section.into(),
        line: 1,
        entries: lines.iter().enumerate().map(entry).collect(),
        ..Section::default()
    }
}

pub fn trees() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/checks/trees")
}

/// A temporary folder that stands for `/` of a machine.
pub struct Machine {
    dir: tempfile::TempDir,
    pub roots: Roots,
}

impl Machine {
    pub fn empty() -> Machine {
        let dir = tempfile::tempdir().unwrap();
        let at = |name| dir.path().join(name);
        fs::create_dir(at("proc")).unwrap();
        let roots = Roots { proc: at("proc"), sys: at("sys"), root: dir.path().into() };
        Machine { dir, roots }
    }

    /// A copy of a recorded tree in its first state.
    pub fn of(tree: &str) -> Machine {
        let machine = Machine::empty();
        machine.overlay(&trees().join(tree));
        machine
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Copies the content of the folder into the existing files, because a check may hold them open.
    pub fn overlay(&self, folder: &Path) {
        copy(folder, self.path());
    }

    pub fn write(&self, file: &str, content: impl AsRef<[u8]>) {
        let path = self.path().join(OsStr::from_bytes(file.trim_start_matches('/').as_bytes()));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    pub fn read(&self, file: &str) -> Vec<u8> {
        fs::read(self.path().join(file)).unwrap()
    }
}

/// The folders `tick2` and so on are later states of the tree, `expect` is the expected output.
fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name();
        let shown = name.to_string_lossy();
        if shown.starts_with("tick") || shown == "expect" {
            continue;
        }
        let target = to.join(&name);
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir_all(&target).unwrap();
            copy(&entry.path(), &target);
        } else {
            fs::write(&target, fs::read(entry.path()).unwrap()).unwrap();
        }
    }
}

/// The point as a line of an expect file, with this text in place of its value.
pub fn line(point: &Point, value: Option<&str>) -> String {
    let tags: Vec<_> = point.tags.iter().map(|(key, value)| format!("{key}={value:?}")).collect();
    let (own, form) = match point.value {
        Value::Int(n) => (n.to_string(), "int"),
        Value::Float(n) => (n.to_string(), "float"),
    };
    let (name, kind, reaction) = (&point.name, point.kind.word(), point.reaction);
    let host = point.host.as_ref().map(|host| format!(" of {host}")).unwrap_or_default();
    format!("{name} {} {kind} {form} {{{}}} {reaction}{host}\n", value.unwrap_or(&own), tags.join(","))
}

/// The output of a check in one tick.
pub struct Measurement {
    pub points: Vec<Point>,
    pub events: Vec<HealthEvent>,
    /// Soft faults, and the error that ended the run.
    pub faults: Vec<String>,
}

impl Measurement {
    /// The number of this metric whose tags have this value; `""` for a metric without tags.
    pub fn number(&self, metric: &str, tag: &str) -> Option<f64> {
        let tagged = |point: &&Point| match point.tags.iter().next() {
            Some((_, value)) => value == tag,
            None => tag.is_empty(),
        };
        self.points.iter().filter(|point| point.name == metric).find(tagged).map(|point| point.value.as_f64())
    }

    pub fn event(&self, name: &str) -> Option<&HealthEvent> {
        self.events.iter().find(|event| event.name == name)
    }

    /// The values of the first tag of this metric, sorted.
    pub fn tags(&self, metric: &str) -> Vec<String> {
        let of = |point: &Point| point.tags.iter().map(|(_, value)| value.to_string()).next().unwrap_or_default();
        let mut tags: Vec<_> = self.points.iter().filter(|point| point.name == metric).map(of).collect();
        tags.sort();
        tags
    }

    /// Checks what must hold for every point of this machine, whatever the input.
    pub fn assert_sound(&self, what: &str) {
        self.assert_sound_as("system", what);
    }

    /// Checks what must hold for every point of a check of this type, whatever the input.
    pub fn assert_sound_as(&self, check_type: &str, what: &str) {
        for point in &self.points {
            let number = point.value.as_f64();
            assert!(number.is_finite(), "{what}: {point:?}");
            if matches!(point.kind, puypuy::model::point::Kind::Rate | puypuy::model::point::Kind::Percent) {
                assert!(number >= 0.0, "{what}: {point:?}");
                let is_float = matches!(point.value, Value::Float(_));
                assert!(is_float || INT_RATES.contains(&&*point.name), "{what}: {point:?}");
            }
            let mut others = OTHER_TYPES.iter().filter(|(own, _)| *own == check_type).flat_map(|(_, types)| *types);
            let is_known = point.check_type == check_type || others.any(|other| *other == point.check_type);
            assert!(is_known, "{what}: {point:?}");
        }
    }
}

/// The programs that a check may run, in the root folder.
pub fn programs() -> Programs {
    let none = String::new;
    let identity = Identity { host: "web1".into(), cluster: none(), group: none(), location: none() };
    let programs = Programs::new("/".into(), identity);
    match option_env!("CARGO_BIN_EXE_puypuy") {
        Some(puypuy) => programs.guarded_by(puypuy),
        None => programs,
    }
}

/// A check in its worker, driven like by the scheduler.
pub struct Worker {
    check: Box<dyn Check>,
    out: Out,
    programs: Programs,
    start: Instant,
    seconds: u64,
}

impl Worker {
    pub fn new(spec: &Spec, lines: &[(&str, &str)]) -> Worker {
        Worker::of(spec, &section(spec, lines))
    }

    pub fn of(spec: &Spec, section: &Section) -> Worker {
        let check = (spec.build)(section).unwrap();
        // So far in the future that no tick has passed when its run begins: a read then counts as made at the tick.
        let start = Instant::now() + Duration::from_secs(3600);
        let first = Tick { wall: 0, at: start, deadline: start, period: Duration::from_secs(10) };
        Worker {
            check,
            out: Out::new(spec.check_type, DEFAULT_MAX_SERIES, first),
            programs: programs(),
            start,
            seconds: 0,
        }
    }

    /// One tick; then the clock advances by ten seconds.
    pub fn tick(&mut self, roots: &Roots) -> Measurement {
        self.tick_of(roots, 10)
    }

    /// One tick; then the clock advances by this many seconds.
    pub fn tick_of(&mut self, roots: &Roots, seconds: u64) -> Measurement {
        let period = Duration::from_secs(seconds);
        let tick = Tick {
            wall: 1_800_000_000 + self.seconds as i64,
            at: self.start + Duration::from_secs(self.seconds),
            deadline: Instant::now() + period,
            period,
        };
        self.seconds += seconds;
        self.out.begin(tick);
        let result = self.check.run(&Context { tick, roots, programs: &self.programs }, &mut self.out);
        let (batch, faults) = self.out.finish();
        let mut faults: Vec<_> = faults.iter().map(ToString::to_string).collect();
        faults.extend(result.err().map(|error| match error {
            Error::Absent(_) => format!("absent: {error}"),
            _ => format!("error: {error}"),
        }));
        Measurement { points: batch.points, events: batch.events, faults }
    }
}
