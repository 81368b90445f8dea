//! Charts match the tables of their checks, and show series that the recorded servers have.

use puypuy::check::Spec;
use puypuy::check::chart::{Chart, Look, MEASURES, charts};
use puypuy::checks;
use puypuy::model::table::How;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Maximum metrics per chart: more lines cannot be distinguished.
const LINES: usize = 8;

/// Keys and values, in the order of the check.
type Tags = Vec<(String, String)>;

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

#[test]
fn charts_fit_their_tables() {
    let mut wrong = Vec::new();
    for spec in checks::all() {
        let descriptor = read(&format!("checks_available/{}.ini", spec.name));
        let drawn = charts([spec]);
        for (place, chart) in drawn.iter().enumerate() {
            let mut say = |what: String| wrong.push(format!("{}, {:?}: {what}", spec.name, chart.title));
            let Look { below, each, sum, stacked, events, .. } = chart.look;
            if drawn.iter().skip(place + 1).any(|other| other.title == chart.title) {
                say("another chart has that title".into());
            }
            let names: Vec<&str> = chart.metrics.iter().chain(below).copied().collect();
            for name in names.iter().filter(|name| spec.field(name).is_none()) {
                say(format!("{name} is in no table"));
            }
            if chart.metrics.is_empty() || chart.metrics.len() > LINES || below.len() > LINES {
                say(format!("{} metrics", names.len()));
            }
            if each.is_some() && (chart.metrics.len() > 1 || below.len() > 1 || sum) {
                say("a line for each value of a tag is of one metric, and no sum".into());
            }
            if stacked && !below.is_empty() {
                say("what is stacked has nothing below the axis".into());
            }
            for event in events.iter().filter(|event| {
                !descriptor.contains(&format!("{}:", event.trim_end()))
                    && !descriptor.contains(&format!("{} :", event.trim_end()))
            }) {
                say(format!("the descriptor knows no event {event}"));
            }
        }
        for chart in spec.charts.iter().filter(|chart| chart.unit(spec).is_none()) {
            wrong.push(format!("{}, {:?}: its metrics have several units", spec.name, chart.title));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A metric that had several units could not be drawn.
#[test]
fn a_metric_has_one_unit_wherever_it_is_told() {
    let mut units: BTreeMap<(&str, bool), &str> = BTreeMap::new();
    for field in checks::all().flat_map(|spec| spec.fields.iter().copied().flatten()) {
        let known = *units.entry((field.metric, field.how == How::Counter)).or_insert(field.unit);
        assert_eq!(known, field.unit, "{}", field.metric);
        let is_plural = field.unit.ends_with('s') && field.unit.chars().all(char::is_alphabetic);
        let is_known = field.unit.is_empty() || MEASURES.contains(&field.unit) || is_plural;
        assert!(
            is_known,
            "{}: {:?} is neither one of MEASURES nor the plural of what is counted",
            field.metric, field.unit
        );
    }
}

#[test]
fn units_are_found_by_metric_name() {
    let unit = |name| checks::unit(name);
    assert_eq!(
        [unit("cpu_user"), unit("bytes_rx"), unit("drive_read_await")],
        [Some("%"), Some("bytes/s"), Some("ms")]
    );
    // A counter is drawn as its change; an exact name takes precedence over a pattern.
    assert_eq!(unit("docker_bytes_rx_eth0"), Some("bytes/s"));
    assert_eq!([unit("openfiles_nginx"), unit("openfiles_used_percent")], [Some("files"), Some("%")]);
    assert_eq!(
        [unit("traefik_router_http_duration_seconds_sum"), unit("traefik_go_gc_duration_seconds_sum")],
        [Some("s/s"); 2]
    );
    assert_eq!([unit("traefik__duration_seconds_sum"), unit("traefik_a_duration_seconds_sum")], [None; 2]);
    // Names come from scripts, too: the time for a long name is linear.
    let long = "traefik_".to_string() + &"_".repeat(1 << 20);
    assert_eq!(checks::unit(&long), None);
    assert_eq!([unit("docker_bytes_rx_"), unit("snmp_in"), unit("nobody_tells_this"), unit("")], [None; 4]);
}

/// The points of a check in all recordings, of all hosts and versions.
pub fn told(spec: &Spec) -> BTreeSet<(String, Tags)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/checks");
    let folder = |path: PathBuf| fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
    let own = folder(root.join(spec.name.trim_start_matches("check_"))).map(|case| case.join("expect.txt"));
    let hosts = folder(root.join("trees")).map(|tree| tree.join(format!("expect/{}.txt", spec.name)));
    let texts = own.chain(hosts).filter_map(|path| fs::read_to_string(path).ok());
    let mut found = BTreeSet::new();
    for line in texts.flat_map(|text| text.lines().map(String::from).collect::<Vec<_>>()) {
        let (Some((name, _)), Some((_, tags))) = (line.split_once(' '), line.split_once(" {")) else { continue };
        let tags = tags.rsplit_once('}').map_or("", |(tags, _)| tags);
        let tags = tags.split("\",").filter_map(|tag| tag.split_once("=\""));
        let tags = tags.map(|(key, value)| (key.to_string(), value.trim_end_matches('"').to_string()));
        found.insert((name.into(), tags.collect()));
    }
    found
}

fn shows(chart: &Chart, spec: &Spec, name: &str, tags: &Tags) -> bool {
    let Look { only, without, each, .. } = chart.look;
    let value = |tag: &str| tags.iter().find(|(key, _)| key == tag).map(|(_, value)| value.as_str());
    let is_left_out = |own: &str, begin: &str| match begin.strip_prefix('*') {
        Some(part) => own.contains(part),
        None => own.starts_with(begin),
    };
    chart.metrics.iter().filter_map(|metric| spec.field(metric)).any(|field| field.tells(name))
        && each.is_none_or(|tag| value(tag).is_some())
        && only.is_none_or(|(tag, wanted)| value(tag) == Some(wanted))
        && without.is_none_or(|(tag, begins)| {
            value(tag).is_some_and(|own| !begins.iter().any(|begin| is_left_out(own, begin)))
        })
}

#[test]
fn every_chart_shows_what_was_recorded() {
    let mut wrong = Vec::new();
    for spec in checks::all() {
        let told = told(spec);
        let is_told = |chart: &&Chart| {
            chart
                .metrics
                .iter()
                .filter_map(|metric| spec.field(metric))
                .any(|field| told.iter().any(|(name, _)| field.tells(name)))
        };
        for chart in spec.charts.iter().filter(is_told) {
            if !told.iter().any(|(name, tags)| shows(chart, spec, name, tags)) {
                wrong.push(format!("{}, {:?}: no recorded series has the tags that it wants", spec.name, chart.title));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_overview_is_ordered_from_the_machine_to_its_services() {
    let names: Vec<String> = charts(checks::all().map(|spec| spec as &Spec))
        .into_iter()
        .filter(|chart| chart.look.first.is_some())
        .map(|chart| chart.title)
        .collect();
    let wanted = [
        "CPU",
        "Load and CPUs",
        "Memory in use",
        "File systems",
        "Disk traffic",
        "Disks busy",
        "Network",
        "Pressure: some tasks wait",
        "TCP connections",
        "CPU of containers",
        "Memory of containers",
        "CPU of slices and services",
        "Memory of slices and services",
        #[cfg(feature = "nvidia")]
        "GPU",
        #[cfg(feature = "nvidia")]
        "GPU memory in use",
        #[cfg(feature = "snmp")]
        "Answers of SNMP devices",
        "State of Nagios plugins",
    ];
    assert_eq!(names, wanted);
}

#[test]
fn the_page_reads_charts_as_json() {
    let json = |title: &str| {
        let all = charts(checks::all().map(|spec| spec as &Spec));
        all.iter().find(|chart| chart.title == title).unwrap().to_json().to_string()
    };
    assert_eq!(
        json("CPU"),
        r#"{"check":"check_cpustats","events":["CPU-Usage"],"first":true,"full":100.0,"metrics":["cpu_user","cpu_nice","cpu_system","cpu_iowait","cpu_irq","cpu_softirq","cpu_steal"],"only":{"core":"all"},"stacked":true,"title":"CPU","unit":"%"}"#
    );
    assert_eq!(
        json("Disk traffic"),
        r#"{"below":["drive_writes"],"check":"check_disks","first":true,"metrics":["drive_reads"],"sum":true,"title":"Disk traffic","unit":"bytes/s","without":{"drive":["dm-","md","drbd","bcache","zd"]}}"#
    );
    assert_eq!(
        json("Start of the machine"),
        r#"{"check":"check_cpustats","metrics":["sys_boot_time"],"tile":"uptime","title":"Start of the machine","unit":"unix s"}"#
    );
}

/// A check without charts gets them from its tables: metrics of one unit together, eight at most; metrics whose unit
/// differs from series to series are left to the page.
#[test]
fn metrics_without_a_chart_are_drawn_by_table_and_unit() {
    let varnish = checks::find("check_varnish").unwrap();
    let bare = Spec { charts: &[], name: "check_bare", ..*varnish };
    let drawn = charts([&bare]);
    let told: Vec<(&str, &str, usize)> =
        drawn.iter().map(|chart| (&*chart.title, chart.unit, chart.metrics.len())).collect();
    assert_eq!(
        told[..4],
        [
            ("Rates", "1/s", 8),
            ("varnish_threads", "threads", 1),
            ("varnish_thread_queue_len", "requests", 1),
            ("Rates 2", "1/s", 8)
        ]
    );
    let names: Vec<&str> = drawn.iter().flat_map(|chart| chart.metrics.clone()).collect();
    assert_eq!(names.len(), names.iter().collect::<BTreeSet<_>>().len(), "a metric is drawn twice");
    assert_eq!(names.len(), varnish.fields.iter().map(|table| table.len()).sum::<usize>());
    let snmp = charts(checks::find("check_nagios").map(|spec| spec as &Spec));
    assert!(snmp.iter().all(|chart| !chart.metrics.contains(&"nagios_value")), "the unit is in a tag");
}
