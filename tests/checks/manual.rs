//! The tables of checks, their descriptors, `docs/checks.md` and `conf/*.ini` are consistent.

use super::documents::kind;
use super::machine::{Machine, Worker, kernel_checks};
use puypuy::check::{DEVICES, Spec};
use puypuy::checks;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

fn text(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The rows of the table whose first column has this heading, as cells.
fn table(text: &str, heading: &str) -> Vec<Vec<String>> {
    let cells = |line: &str| -> Vec<String> {
        let line = line.trim_start_matches('#').trim().trim_matches('|');
        line.split(" | ").map(|cell| cell.trim().trim_matches('`').to_string()).collect()
    };
    let rows = text.lines().map(cells).skip_while(|cells| cells[0] != heading || cells.len() == 1).skip(1);
    rows.filter(|cells| !cells[0].starts_with("---")).take_while(|cells| cells.len() > 1).collect()
}

fn descriptor(spec: &Spec) -> String {
    text(&format!("checks_available/{}.ini", spec.name))
}

#[test]
fn descriptors_are_comments_and_begin_with_name_and_purpose() {
    for spec in checks::all() {
        let descriptor = descriptor(spec);
        assert!(descriptor.starts_with(&format!("# {}: ", spec.name)), "{}", spec.name);
        assert!(descriptor.lines().all(|line| line.starts_with('#')), "{}", spec.name);
        for part in ["What it tells", "What it needs", "Tested with", "Metrics"] {
            assert!(descriptor.contains(&format!("\n# {part}\n")), "{}: no {part}", spec.name);
        }
        assert!(descriptor.contains(&format!("conf/{}, section [{}]", spec.conf, spec.section)), "{}", spec.name);
    }
}

#[test]
fn descriptors_name_every_metric() {
    for spec in checks::all() {
        let told = table(&descriptor(spec), "name");
        let fields: Vec<_> = spec.fields.iter().copied().flatten().collect();
        let names: BTreeSet<_> = fields.iter().map(|field| field.metric).collect();
        let documented: Vec<_> = told.iter().map(|row| row[0].as_str()).collect();
        assert_eq!(documented.iter().copied().collect::<BTreeSet<_>>(), names, "{}", spec.name);
        assert_eq!(documented.len(), names.len(), "{}: a metric is documented twice", spec.name);
        for row in &told {
            let [name, word, unit, meaning] = row.as_slice() else { panic!("{}: {row:?}", spec.name) };
            assert!(fields.iter().any(|field| field.metric == name && kind(field.how) == word), "{name} is no {word}");
            assert!(!unit.is_empty() && !meaning.is_empty(), "{name}");
        }
    }
}

#[test]
fn the_sources_of_a_check_cover_all_its_metrics() {
    let with_sources = checks::all().filter(|spec| descriptor(spec).contains("\n# Sources\n"));
    for spec in with_sources {
        let sources = table(&descriptor(spec), "source");
        assert!(sources.iter().all(|row| row.len() == 3 && !row.iter().any(String::is_empty)), "{}", spec.name);
        let covered: BTreeSet<_> = sources.iter().flat_map(|row| row[1].split(", ")).collect();
        let metrics: BTreeSet<_> = spec.fields.iter().copied().flatten().map(|field| field.metric).collect();
        assert_eq!(covered, metrics, "{}", spec.name);
    }
}

#[test]
fn every_point_is_in_the_tables_of_its_check() {
    for spec in kernel_checks() {
        let machine = Machine::of("nvme_raid");
        let mut worker = Worker::new(spec, &[]);
        worker.tick(&machine.roots);
        machine.overlay(&super::machine::trees().join("nvme_raid/tick2"));
        for point in worker.tick(&machine.roots).points {
            let field = spec.fields.iter().copied().flatten().find(|field| field.metric == point.name);
            let field = field.unwrap_or_else(|| panic!("{} is in no table of {}", point.name, spec.name));
            assert_eq!((kind(field.how), field.reaction), (point.kind.word(), point.reaction), "{}", point.name);
        }
    }
}

#[test]
fn no_two_checks_of_different_types_have_the_same_metric() {
    let mut seen = BTreeMap::new();
    for spec in checks::all() {
        let names: BTreeSet<_> = spec.fields.iter().copied().flatten().map(|field| field.metric).collect();
        for name in names {
            let other = seen.insert(name, spec.check_type).filter(|other| *other != spec.check_type);
            assert_eq!(other, None, "{name} of {} is a metric of another check, too", spec.name);
        }
    }
}

fn sorted<'a>(words: &[&'a str]) -> BTreeSet<&'a str> {
    words.iter().copied().collect()
}

/// Key and value of each line of a check's section in `conf/`; a key directly after a `#` is a default.
fn shipped(spec: &Spec) -> Vec<(String, String)> {
    let (conf, section) = (text(&format!("conf/{}", spec.conf)), spec.section);
    let part = conf.split(&format!("[{section}]\n")).nth(1).unwrap_or_else(|| panic!("no [{section}]"));
    let lines = part.lines().take_while(|line| !line.starts_with('['));
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with("# "));
    let pair = |line: &str| {
        let (key, value) = line.trim_start_matches('#').split_once(':').unwrap_or_else(|| panic!("{line}"));
        (key.to_string(), value.trim().to_string())
    };
    lines.map(pair).collect()
}

#[test]
fn the_shipped_configuration_has_every_key() {
    for spec in checks::all().filter(|spec| !spec.has_key("*")) {
        let shipped = shipped(spec);
        let keys: Vec<_> = shipped.iter().map(|(key, _)| key.as_str()).collect();
        let own: Vec<_> = spec.keys().filter(|key| *key != DEVICES).collect();
        assert_eq!(sorted(&keys), sorted(&own), "{}", spec.name);
    }
}

#[test]
fn the_shipped_configuration_changes_nothing() {
    for spec in kernel_checks() {
        let shipped = shipped(spec);
        let lines: Vec<_> = shipped.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        assert_eq!(told(spec, &lines), told(spec, &[]), "{}: a shipped value is not the default", spec.name);
    }
}

/// Every series and health event after two ticks on machines where each default matters.
fn told(spec: &'static Spec, lines: &[(&str, &str)]) -> Vec<String> {
    let mut all = Vec::new();
    for tree in ["docker", "nvme_raid", "container"] {
        let machine = Machine::of(tree);
        machine.write("proc/loadavg", "3.81 1 1 1/1 1");
        let mut worker = Worker::new(spec, lines);
        worker.tick(&machine.roots);
        machine.overlay(&super::machine::trees().join(tree).join("tick2"));
        let told = worker.tick(&machine.roots);
        all.extend(told.points.iter().map(|point| format!("{} {:?} {:?}", point.name, point.tags, point.kind)));
        all.extend(told.events.iter().map(|event| format!("{} {:?}", event.name, event.level)));
    }
    all
}
