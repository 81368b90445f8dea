//! storm_api: topologies with their spouts and bolts, cluster and supervisors of Storm, from the REST API of its UI
//! (Storm documentation, "Storm UI REST API", 1.x and 2.x). Metric names come from the answers: `requestedCpu` is
//! `storm_requested_cpu`.

use super::CONF;
use crate::check::chart::Chart;
use crate::check::{Check, Context, Out, Pace, Runs, Spec};
use crate::config::section::Section;
use crate::fetch::http::{self, Answer, Endpoint, Http, Question, percent_encode};
use crate::model::error::Result;
use crate::model::parse::json;
use crate::model::point::Tags;
use crate::model::table::{Field, Raw, Row, counter, gauge, percent};
use serde_json::Value;
use std::time::Instant;

pub static SPEC: Spec = Spec {
    name: "check_storm_api",
    purpose: "topologies, spouts, bolts and supervisors of Storm",
    check_type: TOPOLOGY,
    conf: CONF,
    section: "Storm-API",
    keys: &[&["host", "port", "perspout", "perbolt"], http::KEYS],
    runs: Runs::Own,
    fields: &[COUNTED, SIZE, &[ACTIVE], RESOURCES, SPOUT, BOLT, CLUSTER, SUPERVISOR],
    charts: CHARTS,
    build,
};

/// Check types, because several levels have the same metric names.
const TOPOLOGY: &str = "storm_topology";
const SPOUTS: &str = "storm_spout";
const BOLTS: &str = "storm_bolt";
const OF_CLUSTER: &str = "storm_cluster";
const SUPERVISORS: &str = "storm_supervisor";

const CHARTS: &[Chart] = &[
    Chart::new("Tuples acknowledged").of(&["storm_acked"]).each("name"),
    Chart::new("Tuples that failed").of(&["storm_failed"]).each("name"),
    Chart::new("Tuples emitted").of(&["storm_emitted"]).each("name"),
    Chart::new("Tuples transferred").of(&["storm_transferred"]).each("name"),
    Chart::new("Bolts: tuples executed").of(&["storm_executed"]).each("name"),
    Chart::new("Bolts: share of the time at work").of(&["storm_capacity"]).each("name"),
    Chart::new("Bolts: time of a tuple").of(&["storm_execute_latency", "storm_process_latency"]),
    Chart::new("Spouts: time until all is acknowledged").of(&["storm_complete_latency"]).each("name"),
    Chart::new("Slots of the cluster").of(&["storm_slots_used", "storm_slots_free", "storm_slots_total"]),
    Chart::new("Supervisors, topologies and workers").of(&[
        "storm_supervisors",
        "storm_topologies",
        "storm_workers_total",
    ]),
    Chart::new("Executors and tasks").of(&["storm_executors_total", "storm_tasks_total"]),
    Chart::new("Active topologies").of(&["storm_active"]).each("name").full(1.0),
    Chart::new("Assigned of the cluster")
        .of(&["storm_mem_assigned_percent_util", "storm_cpu_assigned_percent_util"])
        .full(100.0),
    Chart::new("Supervisors: memory").of(&["storm_used_mem", "storm_total_mem"]),
    Chart::new("Requested memory").of(&["storm_requested_mem_on_heap", "storm_requested_mem_off_heap"]),
    Chart::new("Time since the start").of(&["storm_uptime_seconds"]).each("name"),
];

/// Metrics of a topology, a spout and a bolt, counted since the topology was submitted.
const COUNTED: &[Field] = &[
    counter("/emitted", "storm_emitted", "tuples"),
    counter("/transferred", "storm_transferred", "tuples"),
    counter("/acked", "storm_acked", "tuples"),
    counter("/failed", "storm_failed", "tuples"),
];
const SIZE: &[Field] = &[
    gauge("/workersTotal", "storm_workers_total", "workers").int(),
    gauge("/executorsTotal", "storm_executors_total", "executors").int(),
    gauge("/tasksTotal", "storm_tasks_total", "tasks").int(),
    gauge("/uptimeSeconds", "storm_uptime_seconds", "s").int(),
];
const ACTIVE: Field = gauge("/status", "storm_active", "0 or 1").int();

/// Metrics of a spout and a bolt, besides those of a topology.
const RESOURCES: &[Field] = &[
    gauge("/requestedMemOnHeap", "storm_requested_mem_on_heap", "MiB"),
    gauge("/requestedMemOffHeap", "storm_requested_mem_off_heap", "MiB"),
    gauge("/requestedCpu", "storm_requested_cpu", "%"),
];
const SPOUT: &[Field] = &[gauge("/completeLatency", "storm_complete_latency", "ms")];
const BOLT: &[Field] = &[
    counter("/executed", "storm_executed", "tuples"),
    gauge("/processLatency", "storm_process_latency", "ms"),
    gauge("/executeLatency", "storm_execute_latency", "ms"),
    gauge("/capacity", "storm_capacity", "ratio"),
];

const CLUSTER: &[Field] = &[
    gauge("/supervisors", "storm_supervisors", "supervisors").int(),
    gauge("/topologies", "storm_topologies", "topologies").int(),
    gauge("/slotsTotal", "storm_slots_total", "slots").int(),
    gauge("/slotsUsed", "storm_slots_used", "slots").int(),
    gauge("/slotsFree", "storm_slots_free", "slots").int(),
    gauge("/executorsTotal", "storm_executors_total", "executors").int(),
    gauge("/tasksTotal", "storm_tasks_total", "tasks").int(),
    percent("/memAssignedPercentUtil", "storm_mem_assigned_percent_util"),
    percent("/cpuAssignedPercentUtil", "storm_cpu_assigned_percent_util"),
];
const SUPERVISOR: &[Field] = &[
    gauge("/slotsTotal", "storm_slots_total", "slots").int(),
    gauge("/slotsUsed", "storm_slots_used", "slots").int(),
    gauge("/totalMem", "storm_total_mem", "MiB"),
    gauge("/usedMem", "storm_used_mem", "MiB"),
    gauge("/totalCpu", "storm_total_cpu", "%"),
    gauge("/usedCpu", "storm_used_cpu", "%"),
    gauge("/uptimeSeconds", "storm_uptime_seconds", "s").int(),
];

const TOPOLOGIES: &str = "/api/v1/topology/summary";
/// The window with all values since the topology was submitted.
const ALL_TIME: &str = ":all-time";

/// The address from the key `host` with this port. A host without a scheme gets `http://`.
///
/// # Errors
/// The port is invalid, or there is no host.
pub fn address(section: &Section, port: &str) -> Result<String> {
    let host = section.required("host", "127.0.0.1")?.trim_end_matches('/');
    if port.parse::<u16>().is_err() {
        return Err(section.wrong("port", "expected a port from 1 to 65535"));
    }
    let (scheme, host) = host.split_once("://").unwrap_or(("http", host));
    let is_bare = host.contains(':') && !host.starts_with('[') && !host.contains('@');
    Ok(if is_bare { format!("{scheme}://[{host}]:{port}") } else { format!("{scheme}://{host}:{port}") })
}

fn build(section: &Section) -> Result<Box<dyn Check>> {
    let address = address(section, section.required("port", "8080")?)?;
    let http = Http::new(Endpoint::read(&section.with("host", &address), &["host"])?);
    let parts = [("perspout", true), ("perbolt", true)];
    let [has_spouts, has_bolts] = parts.map(|(key, default)| section.flag(key, default));
    Ok(Box::new(Storm { http, has_spouts: has_spouts?, has_bolts: has_bolts?, pace: Pace::default() }))
}

struct Storm {
    http: Http,
    has_spouts: bool,
    has_bolts: bool,
    /// Limits the requests for topologies, which Nimbus sums up again for every request.
    pace: Pace,
}

impl Check for Storm {
    fn run(&mut self, cx: &Context, out: &mut Out) -> Result<()> {
        let answer = cx.get(&mut self.http, TOPOLOGIES)?;
        let summary = read(&answer, "/topologies")?;
        self.tell_cluster(cx, out);
        if let Some(text) = self.pace.slowness("Storm is slow to add up its topologies") {
            out.absence_of("topologies", text);
        }
        let all = json::array(&summary, "/topologies").iter();
        let topologies: Vec<&Value> = all.filter(|topology| !name(topology).is_empty()).collect();
        for topology in &topologies {
            let tags = Tags::one("name", name(topology));
            out.pick_present_as(TOPOLOGY, &row(topology, SIZE), SIZE, &tags);
            if let Some(status) = json::text(topology, ACTIVE.cell) {
                out.put(&ACTIVE, u64::from(status == "ACTIVE"), &tags);
            }
        }
        if self.pace.is_due() {
            let begun = Instant::now();
            self.tell_topologies(&topologies, cx, out);
            self.pace.took(begun.elapsed(), cx.tick.period);
        }
        Ok(())
    }
}

impl Storm {
    fn tell_cluster(&mut self, cx: &Context, out: &mut Out) {
        let paths = ["/api/v1/cluster/summary", "/api/v1/supervisor/summary"];
        cx.ask_all(&mut self.http, &paths.map(Question::get), |at, answer| {
            let told = answer.and_then(|answer| {
                if at == 0 {
                    let cluster = read(&answer, "/slotsTotal")?;
                    out.pick_present_as(OF_CLUSTER, &row(&cluster, CLUSTER), CLUSTER, &Tags::default());
                    return Ok(());
                }
                for supervisor in json::array(&read(&answer, "/supervisors")?, "/supervisors") {
                    let [host, id] = ["/host", "/id"].map(|place| json::text(supervisor, place).unwrap_or_default());
                    let tags = [("name", host), ("id", id)].into_iter().collect();
                    out.pick_present_as(SUPERVISORS, &row(supervisor, SUPERVISOR), SUPERVISOR, &tags);
                }
                Ok(())
            });
            if let (Err(error), Some(path)) = (told, paths.get(at)) {
                out.fault_of(path, error.to_string());
            }
        });
    }

    fn tell_topologies(&mut self, topologies: &[&Value], cx: &Context, out: &mut Out) {
        let id = |topology| json::text(topology, "/id").unwrap_or_default();
        let page = |topology| Question::get(&format!("/api/v1/topology/{}", percent_encode(id(topology))));
        let questions: Vec<_> = topologies.iter().copied().map(page).collect();
        let Storm { http, has_spouts, has_bolts, .. } = self;
        cx.ask_all(http, &questions, |at, answer| {
            let Some(name) = topologies.get(at).map(|topology| name(topology)) else { return };
            match answer.and_then(|answer| read(&answer, "/topologyStats")) {
                Ok(topology) => tell(&topology, name, *has_spouts, *has_bolts, out),
                Err(error) => out.fault_of(name, error.to_string()),
            }
        });
    }
}

/// Parses the document and checks that it has this place.
fn read(answer: &Answer, place: &str) -> Result<Value> {
    let document: Value = serde_json::from_str(&answer.text).unwrap_or_default();
    answer.must(document.pointer(place).is_some(), "what the UI of Storm answers, as JSON")?;
    Ok(document)
}

fn name(topology: &Value) -> &str {
    json::text(topology, "/name").unwrap_or_default()
}

fn tell(topology: &Value, name: &str, has_spouts: bool, has_bolts: bool, out: &mut Out) {
    let of_all_time = |stats: &&Value| json::text(stats, "/window") == Some(ALL_TIME);
    if let Some(stats) = json::array(topology, "/topologyStats").iter().find(of_all_time) {
        out.pick_present_as(TOPOLOGY, &row(stats, COUNTED), COUNTED, &Tags::one("name", name));
    }
    let mut tell_each = |place, id, check_type, own| {
        for part in json::array(topology, place) {
            let Some(id) = json::text(part, id).filter(|id| !id.is_empty()) else { continue };
            let tags = [("topology", name), ("name", id)].into_iter().collect();
            for fields in [COUNTED, RESOURCES, own] {
                out.pick_present_as(check_type, &row(part, fields), fields, &tags);
            }
        }
    };
    if has_spouts {
        tell_each("/spouts", "/spoutId", SPOUTS, SPOUT);
    }
    if has_bolts {
        tell_each("/bolts", "/boltId", BOLTS, BOLT);
    }
}

/// The values of these cells. In texts, the decimal separator is that of the server's locale: `3,120`.
fn row<'a>(part: &'a Value, fields: &[Field]) -> Row<'a> {
    let number = |raw| match raw {
        Raw::Text(text) => text.replacen(',', ".", 1).parse().ok().map(Raw::Float),
        raw => Some(raw),
    };
    Row::of(fields.iter().filter_map(|field| Some((field.cell, json::cell(part, field.cell).and_then(number)?))))
}
