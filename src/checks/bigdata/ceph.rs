//! ceph: health, space, traffic, recovery, placement groups, daemons, pools and OSDs of a cluster, from the command
//! `ceph` (Ceph documentation, "Monitoring a Cluster"; names from Luminous to Tentacle).

use super::CONF;
use crate::check::chart::Chart;
use crate::check::{Check, Command, Context, Out, Runs, Spec};
use crate::config::section::Section;
use crate::model::error::{Error, Result};
use crate::model::parse::json;
use crate::model::point::{Level, Tags};
use crate::model::table::{Field, Raw, gauge, percent};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

pub static SPEC: Spec = Spec {
    name: "check_ceph",
    purpose: "health, space, traffic, recovery, OSDs and pools of a Ceph cluster",
    check_type: "ceph",
    conf: CONF,
    section: "Ceph",
    keys: &[&["client", "keyring", "ceph", "cluster_stats"]],
    runs: Runs::Own,
    fields: &[
        PERCENT,
        RATIO,
        SPACE,
        TRAFFIC,
        &[IO],
        OBJECTS,
        DAEMONS,
        &[QUORUM, STATE, IS_ACTIVE],
        OSD,
        &[OSD_UP],
        POOL,
        &[POOL_STORED, POOL_USED],
    ],
    charts: CHARTS,
    build,
};

const CHARTS: &[Chart] = &[
    Chart::new("Objects that are degraded and misplaced")
        .of(&["ceph_degraded_percent", "ceph_misplaced_percent"])
        .events(&["Ceph-Health"]),
    Chart::new("Space").of(&["ceph_bytes_used", "ceph_bytes_avail"]).stacked(),
    Chart::new("Size of the data").of(&["ceph_data_bytes", "ceph_bytes_total"]),
    Chart::new("Operations of clients").of(&["ceph_read_op_per_sec", "ceph_write_op_per_sec", "ceph_io_sec"]),
    Chart::new("Traffic of clients").mirror(&["ceph_read_bytes_sec"], &["ceph_write_bytes_sec"]),
    Chart::new("Recovery").of(&["ceph_recovering_bytes_per_sec"]),
    Chart::new("Recovery of objects and keys").of(&["ceph_recovering_objects_per_sec", "ceph_recovering_keys_per_sec"]),
    Chart::new("OSDs").of(&["ceph_num_osds", "ceph_num_up_osds", "ceph_num_in_osds"]),
    Chart::new("Monitors").of(&["ceph_num_mons", "ceph_num_mons_in_quorum"]),
    Chart::new("Placement groups by state").of(&["ceph_pgs_by_state"]).each("state"),
    Chart::new("OSDs: space in use").of(&["ceph_osd_utilization"]).each("osd_name").full(100.0),
    Chart::new("OSDs: up").of(&["ceph_osd_up"]).each("osd_name").full(1.0),
    Chart::new("OSDs: placement groups").of(&["ceph_osd_pgs"]).each("osd_name"),
    Chart::new("Pools: space in use").of(&["ceph_pool_used_percent"]).each("pool").full(100.0),
    Chart::new("Pools: data").of(&["ceph_pool_stored"]).each("pool"),
    Chart::new("Pools: objects").of(&["ceph_pool_objects"]).each("pool"),
    Chart::new("Objects").of(&["ceph_num_objects", "ceph_degraded_objects", "ceph_misplaced_objects"]),
];

/// Computed from counts, so that no text of the health status has to be parsed. More than 100% is possible for
/// misplaced objects.
const PERCENT: &[Field] = &[
    percent("degraded", "ceph_degraded_percent").unbounded(),
    percent("misplaced", "ceph_misplaced_percent").unbounded(),
];
const RATIO: &[Field] =
    &[gauge("degraded", "ceph_degraded_ratio", "ratio"), gauge("misplaced", "ceph_misplaced_ratio", "ratio")];

const SPACE: &[Field] = &[
    gauge("/bytes_avail", "ceph_bytes_avail", "bytes").int(),
    gauge("/bytes_total", "ceph_bytes_total", "bytes").int(),
    gauge("/bytes_used", "ceph_bytes_used", "bytes").int(),
    gauge("/data_bytes", "ceph_data_bytes", "bytes").int(),
    gauge("/num_pgs", "ceph_num_pgs", "groups").int(),
    gauge("/num_pools", "ceph_num_pools", "pools").int().optional(),
    gauge("/num_objects", "ceph_num_objects", "objects").int().optional(),
];

/// Ceph leaves these out if they are 0.
const TRAFFIC: &[Field] = &[
    gauge("/read_bytes_sec", "ceph_read_bytes_sec", "bytes/s").int(),
    gauge("/write_bytes_sec", "ceph_write_bytes_sec", "bytes/s").int(),
    gauge("/read_op_per_sec", "ceph_read_op_per_sec", "1/s").int(),
    gauge("/write_op_per_sec", "ceph_write_op_per_sec", "1/s").int(),
    gauge("/recovering_bytes_per_sec", "ceph_recovering_bytes_per_sec", "bytes/s").int(),
    gauge("/recovering_keys_per_sec", "ceph_recovering_keys_per_sec", "1/s").int(),
    gauge("/recovering_objects_per_sec", "ceph_recovering_objects_per_sec", "1/s").int(),
    gauge("/num_objects_recovered", "ceph_num_objects_recovered", "objects").int(),
    gauge("/inactive_pgs_ratio", "ceph_inactive_pgs_ratio", "ratio"),
    gauge("/unknown_pgs_ratio", "ceph_unknown_pgs_ratio", "ratio"),
];
/// Operations of clients, reads and writes together.
const IO: Field = gauge("", "ceph_io_sec", "1/s").int();
/// The cell in old releases.
const ALL_OPERATIONS: &str = "/op_per_sec";

/// Also left out if 0; negative values are treated as 0.
const OBJECTS: &[Field] = &[
    gauge("/degraded_objects", "ceph_degraded_objects", "objects").int(),
    gauge("/degraded_total", "ceph_degraded_total", "objects").int(),
    gauge("/misplaced_objects", "ceph_misplaced_objects", "objects").int(),
    gauge("/misplaced_total", "ceph_misplaced_total", "objects").int(),
];

const DAEMONS: &[Field] = &[
    gauge("/num_osds", "ceph_num_osds", "OSDs").int(),
    gauge("/num_up_osds", "ceph_num_up_osds", "OSDs").int(),
    gauge("/num_in_osds", "ceph_num_in_osds", "OSDs").int(),
    gauge("/num_mons", "ceph_num_mons", "monitors").int(),
];
const QUORUM: Field = gauge("/quorum", "ceph_num_mons_in_quorum", "monitors").int();
/// By state. A state that no group has any more is emitted as 0 as long as the daemon runs.
const STATE: Field = gauge("/count", "ceph_pgs_by_state", "groups").int();
const IS_ACTIVE: Field = gauge("", "ceph_is_active_manager", "0 or 1").int();

/// Metrics of each OSD.
const OSD: &[Field] = &[
    percent("/utilization", "ceph_osd_utilization"),
    gauge("/kb_avail", "ceph_osd_space_avail", "KiB").int(),
    gauge("/kb_used", "ceph_osd_space_used", "KiB").int(),
    gauge("/pgs", "ceph_osd_pgs", "groups").int(),
];
const OSD_UP: Field = gauge("/status", "ceph_osd_up", "0 or 1").int();

/// Metrics of each pool.
const POOL: &[Field] = &[
    gauge("/stats/max_avail", "ceph_pool_max_avail", "bytes").int(),
    gauge("/stats/objects", "ceph_pool_objects", "objects").int(),
];
const POOL_STORED: Field = gauge("/stats/stored", "ceph_pool_stored", "bytes").int();
/// The cell before Nautilus; since then it has the bytes of all copies.
const POOL_BYTES: &str = "/stats/bytes_used";
/// Computed, because Ceph's own value is a ratio in one release and a percentage in another.
const POOL_USED: Field = percent("", "ceph_pool_used_percent");

/// Error messages of the command if access is denied, or if the key or the cluster is not found.
const REFUSED: &[&str] = &["errno 13", "errno 2]", "PermissionDenied", "ObjectNotFound", "PermissionError"];

const EVENT: &str = "Ceph-Health";
/// OddEye's reaction as a multiple of `[SelfConfig] error_handler`.
const ALERT: i8 = -1;
/// Maximum number of health checks that an event names.
const MOST_NAMED: usize = 8;

fn build(section: &Section) -> Result<Box<dyn Check>> {
    let written = |key, default| section.text(key).unwrap_or(default);
    let program = Some(written("ceph", "")).filter(|path| !path.is_empty()).unwrap_or("/usr/bin/ceph");
    let client = Some(written("client", "")).filter(|client| !client.is_empty()).unwrap_or("client.admin");
    let keyring = written("keyring", "/etc/ceph/ceph.client.admin.keyring");
    let keyring = if keyring.is_empty() { None } else { Some(format!("--keyring={keyring}")) };
    let mut words = vec!["-n", client];
    words.extend(keyring.as_deref());
    words.extend(["--connect-timeout", "5", "-f", "json"]);
    let command = Command::read(&section.with("ceph", program), "ceph", &words)?;
    let is_shared = match section.text("cluster_stats").unwrap_or_default() {
        "manager" => true,
        _ if section.flag("cluster_stats", true).unwrap_or_default() => false,
        _ => return Err(section.wrong("cluster_stats", "expected manager or True")),
    };
    Ok(Box::new(Ceph { command, is_shared, place: None, states: BTreeSet::new() }))
}

struct Ceph {
    command: Command,
    /// All nodes of the cluster may run this check; the one with the active manager emits the cluster's metrics.
    is_shared: bool,
    place: Option<Place>,
    /// States of placement groups that were emitted.
    states: BTreeSet<String>,
}

/// The role of this host in the cluster, while `manager` is the active manager.
struct Place {
    manager: String,
    is_node: bool,
    is_active: bool,
}

impl Check for Ceph {
    fn run(&mut self, cx: &Context, out: &mut Out) -> Result<()> {
        if self.is_shared && !self.is_told_here(cx, out)? {
            let text = "told by the node where the active manager runs; cluster_stats: True tells it here, too";
            out.absence_of("cluster", text);
            return Ok(());
        }
        let status = self.ask(&["-s"], cx)?;
        if status.get("health").is_none() {
            return Err(Error::parse("the status of a Ceph cluster", &status.to_string()));
        }
        tell_health(&status, out);
        tell_daemons(&status, out);
        // The other commands need an active manager; without one they would wait forever.
        if status.pointer("/mgrmap/available").and_then(Value::as_bool) == Some(false) {
            out.fault_of("manager", "none is active: no space, traffic, placement groups, OSDs and pools are known");
            return Ok(());
        }
        self.tell_groups(&status, out);
        match self.ask(&["osd", "df"], cx) {
            Ok(list) => json::array(&list, "/nodes").iter().for_each(|osd| tell_osd(osd, out)),
            // If the manager hangs, it would not answer the request for pools either.
            Err(error) => {
                out.fault_of("OSDs and pools", error.to_string());
                return Ok(());
            }
        }
        match self.ask(&["df"], cx) {
            Ok(list) => json::array(&list, "/pools").iter().for_each(|pool| tell_pool(pool, out)),
            Err(error) => out.fault_of("pools", error.to_string()),
        }
        Ok(())
    }
}

impl Ceph {
    fn ask(&self, words: &[&str], cx: &Context) -> Result<Value> {
        let text = self.command.ask_as(None, words, cx).map_err(|error| match error {
            Error::Fetch { address, problem } if REFUSED.iter().any(|words| problem.contains(words)) => {
                let remedy = "check client and keyring, which the daemon's user must be able to read, and ceph.conf";
                Error::Fetch { address, problem: format!("{problem}; {remedy}") }
            }
            other => other,
        })?;
        json::tolerant(&text, "what ceph writes")
    }

    /// Whether this host emits the cluster's metrics: it has the active manager, or it is no node of the cluster.
    fn is_told_here(&mut self, cx: &Context, out: &mut Out) -> Result<bool> {
        let stat = self.ask(&["mgr", "stat"], cx)?;
        let Some(manager) = json::text(&stat, "/active_name") else {
            return Err(Error::parse("the name of the active manager", &stat.to_string()));
        };
        // There is no active manager, so every node reports that.
        if manager.is_empty() {
            return Ok(true);
        }
        if self.place.as_ref().is_none_or(|place| place.manager != manager) {
            let nodes = self.ask(&["node", "ls"], cx)?;
            let own =
                [cx.text("proc/sys/kernel/hostname").unwrap_or_default(), cx.programs.identity().host.to_string()];
            let of_this_host = |kind: &str| {
                let hosts = nodes.get(kind).and_then(Value::as_object).into_iter().flatten();
                hosts.filter(|(host, _)| own.iter().any(|own| own.trim() == *host)).map(|(_, daemons)| daemons)
            };
            let is_active =
                |daemons: &Value| json::array(daemons, "").iter().any(|name| name.as_str() == Some(manager));
            let kinds: Vec<&String> = nodes.as_object().into_iter().flat_map(serde_json::Map::keys).collect();
            self.place = Some(Place {
                manager: manager.into(),
                is_node: kinds.iter().any(|kind| of_this_host(kind).next().is_some()),
                is_active: of_this_host("mgr").any(is_active),
            });
        }
        let Some(place) = &self.place else { return Ok(true) };
        if place.is_node {
            out.put(&IS_ACTIVE, u64::from(place.is_active), &Tags::default());
        }
        Ok(place.is_active || !place.is_node)
    }

    /// Emits placement groups, space and traffic.
    fn tell_groups(&mut self, status: &Value, out: &mut Out) {
        let Some(map) = status.get("pgmap") else { return out.fault_of("pgmap", "is not in what ceph -s writes") };
        out.pick(&json::row(map, SPACE), SPACE, &Tags::default());
        for field in TRAFFIC.iter().chain(OBJECTS) {
            let raw = json::cell(map, field.cell).filter(|raw| !matches!(raw, Raw::Int(_))).unwrap_or(Raw::Count(0));
            out.put(field, raw, &Tags::default());
        }
        let operations = ["/read_op_per_sec", "/write_op_per_sec", ALL_OPERATIONS].map(|cell| json::count(map, cell));
        let all = operations.iter().flatten().fold(0_u64, |all, some| all.saturating_add(*some));
        out.put(&IO, all, &Tags::default());
        for (percent, ratio) in PERCENT.iter().zip(RATIO) {
            let share = share(map, ratio.cell);
            out.put(ratio, share, &Tags::default());
            out.put(percent, share * 100.0, &Tags::default());
        }
        let told = json::array(map, "/pgs_by_state").iter();
        let mut counts: BTreeMap<&str, u64> = told
            .filter_map(|state| Some((json::text(state, "/state_name")?, json::count(state, STATE.cell)?)))
            .collect();
        for gone in &self.states {
            counts.entry(gone).or_default();
        }
        for (state, count) in &counts {
            out.put(&STATE, *count, &Tags::one("state", state));
        }
        if !out.is_full() {
            let states = counts.into_keys().map(String::from).collect();
            self.states = states;
        }
    }
}

/// The share of object copies in this state. Computed, because the ratio is a percentage as text in some releases. 0 if
/// Ceph leaves it out.
fn share(map: &Value, kind: &str) -> f64 {
    let number = |place: String| json::float(map, &place);
    let counts = number(format!("/{kind}_objects")).zip(number(format!("/{kind}_total")));
    let reckoned = counts.filter(|(_, all)| *all > 0.0).map(|(some, all)| some / all);
    // Negative while objects are being deleted.
    reckoned.or_else(|| number(format!("/{kind}_ratio"))).unwrap_or_default().max(0.0)
}

fn tell_health(status: &Value, out: &mut Out) {
    // Since Luminous, `overall_status` has another value if it exists.
    let word = ["/health/status", "/health/overall_status"].iter().find_map(|place| json::text(status, place));
    let Some(word) = word else { return out.fault_of("health", "has no status") };
    let level = match word {
        "HEALTH_OK" => Level::Ok,
        "HEALTH_WARN" => Level::Warning,
        _ => Level::Error,
    };
    // The checks that cause this status.
    let checks = status.pointer("/health/checks").and_then(Value::as_object).into_iter().flatten();
    let checks = checks.filter(|(_, check)| {
        json::text(check, "/severity") == Some(word) && check.get("muted").and_then(Value::as_bool) != Some(true)
    });
    let names: Vec<&str> = checks.map(|(name, _)| name.as_str()).take(MOST_NAMED).collect();
    let names = if names.is_empty() { String::new() } else { format!(": {}", names.join(", ")) };
    out.health(EVENT, level, format!("{word}{names}"), ALERT);
}

fn tell_daemons(status: &Value, out: &mut Out) {
    // Before Pacific, the OSD map is nested in itself.
    for place in ["/osdmap", "/osdmap/osdmap", "/monmap"] {
        if let Some(map) = status.pointer(place) {
            out.pick_present(&json::row(map, DAEMONS), DAEMONS, &Tags::default());
        }
    }
    // Before Octopus there is a list of monitors instead of their number.
    for (place, field) in [("/monmap/mons", DAEMONS.last()), (QUORUM.cell, Some(&QUORUM))] {
        if let Some((field, list)) = field.zip(status.pointer(place).and_then(Value::as_array)) {
            out.put(field, list.len() as u64, &Tags::default());
        }
    }
}

fn tell_osd(osd: &Value, out: &mut Out) {
    let Some(name) = json::text(osd, "/name") else { return };
    let tags = Tags::one("osd_name", name);
    out.pick_present(&json::row(osd, OSD), OSD, &tags);
    if let Some(status) = json::text(osd, OSD_UP.cell) {
        out.put(&OSD_UP, u64::from(status == "up"), &tags);
    }
}

fn tell_pool(pool: &Value, out: &mut Out) {
    let Some(name) = json::text(pool, "/name") else { return };
    let tags = Tags::one("pool", name);
    out.pick_present(&json::row(pool, POOL), POOL, &tags);
    let stored = json::count(pool, POOL_STORED.cell).or_else(|| json::count(pool, POOL_BYTES));
    let Some(stored) = stored else { return };
    out.put(&POOL_STORED, stored, &tags);
    let all = json::count(pool, "/stats/max_avail").map(|left| left.saturating_add(stored));
    let share = out.share(POOL_USED.metric, Some(stored), all);
    share.into_iter().for_each(|share| out.put(&POOL_USED, share.percent(), &tags));
}
