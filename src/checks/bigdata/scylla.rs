//! scylla: statements, cache, files and latencies of a ScyllaDB node from its Prometheus page, and the nodes that it
//! sees from its REST API (ScyllaDB documentation, "ScyllaDB Metrics Reference", 3.x to 2025.x). Each shard has its own
//! samples; newer versions have samples per scheduling group, too, or for all shards together.

use super::CONF;
use crate::check::chart::Chart;
use crate::check::samples::{Sums, streamed};
use crate::check::{Check, Context, Out, Runs, Spec};
use crate::config::section::Section;
use crate::fetch::http::{self, Answer, Endpoint, Http, Question};
use crate::model::error::Result;
use crate::model::parse::prometheus::Sample;
use crate::model::point::Tags;
use crate::model::table::{Field, counter, gauge, rate};
use serde_json::Value;
use std::collections::HashMap;

pub static SPEC: Spec = Spec {
    name: "check_scylla",
    purpose: "statements, cache, files and times of a node of ScyllaDB",
    check_type: "scylladb",
    conf: CONF,
    section: "Scilla",
    keys: &[&["stats", "api"], http::KEYS],
    runs: Runs::Own,
    fields: &[
        RATES,
        NEW_RATES,
        GROUP_RATES,
        LEVELS,
        &[MODE, UTILIZATION, MEAN_UTILIZATION],
        TOTALS,
        MEANS,
        QUANTILES,
        API,
    ],
    charts: CHARTS,
    build,
};

const CHARTS: &[Chart] = &[
    Chart::new("Statements").of(&[
        "scylla_cql_reads",
        "scylla_cql_inserts",
        "scylla_cql_updates",
        "scylla_cql_deletes",
        "scylla_cql_batches",
    ]),
    Chart::new("Requests served").of(&["scylla_transport_requests_served"]),
    Chart::new("Mean time of reads").of(&["scylla_storage_proxy_coordinator_read_latency"]).each("scheduling_group"),
    Chart::new("Mean time of writes").of(&["scylla_storage_proxy_coordinator_write_latency"]).each("scheduling_group"),
    Chart::new("Time of reads, of the slowest shard")
        .of(&["scylla_storage_proxy_coordinator_read_latency_summary"])
        .each("quantile"),
    Chart::new("Time of writes, of the slowest shard")
        .of(&["scylla_storage_proxy_coordinator_write_latency_summary"])
        .each("quantile"),
    Chart::new("Requests that timed out").of(&[
        "scylla_storage_proxy_coordinator_read_timeouts_rate",
        "scylla_storage_proxy_coordinator_write_timeouts_rate",
    ]),
    Chart::new("Requests without enough replicas").of(&[
        "scylla_storage_proxy_coordinator_read_unavailable_rate",
        "scylla_storage_proxy_coordinator_write_unavailable_rate",
    ]),
    Chart::new("Writes that failed, and hints sent")
        .of(&["scylla_database_total_writes_failed", "scylla_hints_manager_sent"]),
    Chart::new("Busy, mean of the shards").of(&["scylla_reactor_utilization_avg"]).full(100.0),
    Chart::new("Compactions that wait").of(&["scylla_compaction_manager_pending_compactions"]),
    Chart::new("Rows found in the cache").of(&["scylla_cache_row_hits", "scylla_cache_row_misses"]),
    Chart::new("Cache").of(&["scylla_cache_bytes_used", "scylla_cache_bytes_total"]),
    Chart::new("Connections").of(&["scylla_transport_current_connections"]),
    Chart::new("Nodes that this one sees").of(&["scylla_nodes_live", "scylla_nodes_down"]),
    Chart::new("Data of the node").of(&["scylla_load"]),
    Chart::new("State of the node").of(&["scylla_node_operation_mode"]),
    Chart::new("Busy, all shards").of(&["scylla_reactor_utilization"]),
];

/// Summed over all samples.
const RATES: &[Field] = &[
    rate("scylla_cql_inserts", "scylla_cql_inserts", "1/s").int(),
    rate("scylla_cql_reads", "scylla_cql_reads", "1/s").int(),
    rate("scylla_cql_deletes", "scylla_cql_deletes", "1/s").int(),
    rate("scylla_cql_updates", "scylla_cql_updates", "1/s").int(),
    rate("scylla_cql_batches", "scylla_cql_batches", "1/s").int(),
    rate("scylla_cache_row_hits", "scylla_cache_row_hits", "1/s").int(),
    rate("scylla_cache_row_misses", "scylla_cache_row_misses", "1/s").int(),
    rate("scylla_transport_requests_served", "scylla_transport_requests_served", "1/s").int(),
];
/// Metrics that were renamed have two lines.
const NEW_RATES: &[Field] = &[
    rate("scylla_database_total_writes_failed", "scylla_database_total_writes_failed", "1/s"),
    rate("scylla_hints_manager_sent", "scylla_hints_manager_sent", "1/s"),
    rate("scylla_hints_manager_sent_total", "scylla_hints_manager_sent", "1/s"),
];
/// With the tag `scheduling_group` if the samples have it.
const GROUP_RATES: &[Field] = &[
    rate(
        "scylla_storage_proxy_coordinator_read_timeouts",
        "scylla_storage_proxy_coordinator_read_timeouts_rate",
        "1/s",
    ),
    rate(
        "scylla_storage_proxy_coordinator_write_timeouts",
        "scylla_storage_proxy_coordinator_write_timeouts_rate",
        "1/s",
    ),
    rate(
        "scylla_storage_proxy_coordinator_read_unavailable",
        "scylla_storage_proxy_coordinator_read_unavailable_rate",
        "1/s",
    ),
    rate(
        "scylla_storage_proxy_coordinator_write_unavailable",
        "scylla_storage_proxy_coordinator_write_unavailable_rate",
        "1/s",
    ),
];

/// Summed over samples without a scheduling group, as are the totals.
const LEVELS: &[Field] = &[
    gauge("scylla_cache_bytes_total", "scylla_cache_bytes_total", "bytes"),
    gauge("scylla_cache_bytes_used", "scylla_cache_bytes_used", "bytes"),
    gauge("scylla_transport_current_connections", "scylla_transport_current_connections", "connections"),
    gauge(
        "scylla_compaction_manager_pending_compactions",
        "scylla_compaction_manager_pending_compactions",
        "compactions",
    ),
];
/// The state of the node; several shards may report it. 3 is NORMAL.
const MODE: Field = gauge("scylla_node_operation_mode", "scylla_node_operation_mode", "state");
const UTILIZATION: Field = gauge("scylla_reactor_utilization", "scylla_reactor_utilization", "%");
const MEAN_UTILIZATION: Field = gauge("", "scylla_reactor_utilization_avg", "%");

const TOTALS: &[Field] = &[
    counter(
        "scylla_storage_proxy_coordinator_read_timeouts",
        "scylla_storage_proxy_coordinator_read_timeouts",
        "requests",
    )
    .float(),
    counter(
        "scylla_storage_proxy_coordinator_write_timeouts",
        "scylla_storage_proxy_coordinator_write_timeouts",
        "requests",
    )
    .float(),
    counter("scylla_cache_concurrent_misses_same_key", "scylla_cache_concurrent_misses_same_key", "misses").float(),
    counter("scylla_sstables_row_reads", "scylla_sstables_row_reads", "rows").float(),
    counter("scylla_sstables_row_writes", "scylla_sstables_row_writes", "rows").float(),
    counter("scylla_sstables_range_partition_reads", "scylla_sstables_range_partition_reads", "reads").float(),
    counter("scylla_sstables_single_partition_reads", "scylla_sstables_single_partition_reads", "reads").float(),
    counter("scylla_sstables_sstable_partition_reads", "scylla_sstables_sstable_partition_reads", "reads").float(),
    counter("scylla_sstables_range_tombstone_writes", "scylla_sstables_range_tombstone_writes", "tombstones").float(),
    counter("scylla_sstables_tombstone_writes", "scylla_sstables_tombstone_writes", "tombstones").float(),
    counter("scylla_sstables_static_row_writes", "scylla_sstables_static_row_writes", "rows").float(),
    counter("scylla_cql_statements_in_batches", "scylla_cql_statements_in_batches", "statements").float(),
    counter(
        "scylla_storage_proxy_coordinator_read_latency_count",
        "scylla_storage_proxy_coordinator_read_latency_count",
        "requests",
    )
    .float(),
    counter(
        "scylla_storage_proxy_coordinator_write_latency_count",
        "scylla_storage_proxy_coordinator_write_latency_count",
        "requests",
    )
    .float(),
    counter(
        "scylla_storage_proxy_coordinator_read_latency_sum",
        "scylla_storage_proxy_coordinator_read_latency_sum",
        "us",
    )
    .float(),
    counter(
        "scylla_storage_proxy_coordinator_write_latency_sum",
        "scylla_storage_proxy_coordinator_write_latency_sum",
        "us",
    )
    .float(),
];

/// Mean since the previous tick, for each scheduling group. `_sum` and `_count` are appended to the cell.
const MEANS: &[Field] = &[
    gauge("scylla_storage_proxy_coordinator_read_latency", "scylla_storage_proxy_coordinator_read_latency", "us"),
    gauge("scylla_storage_proxy_coordinator_write_latency", "scylla_storage_proxy_coordinator_write_latency", "us"),
];

/// The maximum over all shards.
const QUANTILES: &[Field] = &[
    gauge(
        "scylla_storage_proxy_coordinator_read_latency_summary",
        "scylla_storage_proxy_coordinator_read_latency_summary",
        "us",
    ),
    gauge(
        "scylla_storage_proxy_coordinator_write_latency_summary",
        "scylla_storage_proxy_coordinator_write_latency_summary",
        "us",
    ),
];

/// Paths of the REST API: two return lists, whose lengths are emitted; one returns a number.
const API: &[Field] = &[
    gauge("/gossiper/endpoint/live", "scylla_nodes_live", "nodes").int(),
    gauge("/gossiper/endpoint/down", "scylla_nodes_down", "nodes").int(),
    gauge("/storage_service/load", "scylla_load", "bytes"),
];

/// CPU time of a shard since its start. Used to detect restarts, because the page has no start time.
const WORKED: &str = "scylla_reactor_cpu_busy_ms";
const GROUP_LABEL: &str = "scheduling_group_name";
const GROUP: &str = "scheduling_group";
const QUANTILE: &str = "quantile";

fn build(section: &Section) -> Result<Box<dyn Check>> {
    let page = Http::new(Endpoint::read(section, &["stats"])?);
    let has_api = section.text("api").is_some_and(|text| !text.is_empty());
    // The API is another server, for which the page's credentials are not meant.
    let strange = section.without("auth");
    let api = if has_api { Some(Http::new(Endpoint::read(&strange, &["api"])?)) } else { None };
    Ok(Box::new(Scylla { page, api, counted: HashMap::new(), worked: 0.0, run: 0 }))
}

struct Scylla {
    page: Http,
    api: Option<Http>,
    /// Total latency in microseconds and number of requests in the previous tick.
    counted: Counted,
    /// CPU time of all shards in the previous tick. If it went back, the process was restarted.
    worked: f64,
    /// Number of restarts; identifies the process.
    run: u64,
}

/// By metric of the mean, and scheduling group.
type Counted = HashMap<(&'static str, String), (f64, f64)>;

impl Check for Scylla {
    fn run(&mut self, cx: &Context, out: &mut Out) -> Result<()> {
        let told = self.tell_page(cx, out);
        let Some(api) = &mut self.api else { return told };
        let has_answered = tell_api(api, cx, out);
        match told {
            Err(error) if has_answered => out.fault_of("stats", error.to_string()),
            told => return told,
        }
        Ok(())
    }
}

impl Scylla {
    fn tell_page(&mut self, cx: &Context, out: &mut Out) -> Result<()> {
        let mut page = Page::default();
        let told = cx.stream(&mut self.page, "", |body| {
            let read = streamed(body, "ScyllaDB", is_wanted, out, |sample, _| page.take(&sample));
            read.map_err(|error| body.head.unread(&error))
        });
        // Half a page gives wrong sums, and a mean across the gap would mix two intervals.
        let before = std::mem::take(&mut self.counted);
        told?;
        self.run += u64::from(page.worked < self.worked);
        self.worked = page.worked;
        out.counted_by(&self.run.to_string());
        page.tell(&before, out);
        self.counted = page.counted;
        Ok(())
    }
}

/// The values collected from one page.
#[derive(Default)]
struct Page {
    sums: Sums,
    counted: Counted,
    /// Maximum of each of these metrics.
    levels: HashMap<(&'static str, Tags), (&'static Field, f64)>,
    /// Sum of the utilizations of all shards, and number of shards.
    utilization: (f64, u32),
    /// CPU time of all shards in milliseconds.
    worked: f64,
}

impl Page {
    fn take(&mut self, sample: &Sample) {
        let Sample { name, labels, value, .. } = sample;
        let label = |wanted: &str| labels.get(wanted);
        let group = label(GROUP_LABEL);
        let of = |fields: &'static [Field]| fields.iter().find(|field| field.cell == name);
        let groups = group.map(|group| Tags::one(GROUP, group)).unwrap_or_default();
        if let Some(field) = of(RATES).or_else(|| of(NEW_RATES)) {
            self.sums.add(field, Tags::default(), labels, *value);
        }
        if let Some(field) = of(GROUP_RATES) {
            self.sums.add(field, groups.clone(), labels, *value);
        }
        if let Some(field) = of(LEVELS).or_else(|| of(TOTALS)).filter(|_| group.is_none()) {
            self.sums.add(field, Tags::default(), labels, *value);
        }
        if name == UTILIZATION.cell {
            self.utilization = (self.utilization.0 + value, self.utilization.1.saturating_add(1));
        }
        if name == WORKED {
            self.worked += value;
        }
        if name == MODE.cell {
            self.raise(&MODE, Tags::default(), *value);
        }
        if let (Some(field), Some(quantile)) = (of(QUANTILES), label(QUANTILE)) {
            self.raise(field, groups.with(QUANTILE, quantile), *value);
        }
        for field in MEANS {
            let part = name.strip_prefix(field.cell).unwrap_or_default();
            if let (Some(group), "_sum" | "_count") = (group, part) {
                let (sum, count) = self.counted.entry((field.metric, group.into())).or_default();
                match part {
                    "_sum" => *sum += value,
                    _ => *count += value,
                }
            }
        }
    }

    fn raise(&mut self, field: &'static Field, tags: Tags, value: f64) {
        let (_, most) = self.levels.entry((field.metric, tags)).or_insert((field, value));
        *most = most.max(value);
    }

    fn tell(&mut self, before: &Counted, out: &mut Out) {
        std::mem::take(&mut self.sums).put(out);
        for ((_, tags), (field, value)) in self.levels.drain() {
            out.put(field, value, &tags);
        }
        let (busy, shards) = self.utilization;
        if shards > 0 {
            out.put(&UTILIZATION, busy, &Tags::default());
            out.put(&MEAN_UTILIZATION, busy / f64::from(shards), &Tags::default());
        }
        for field in MEANS {
            for ((_, group), (sum, count)) in self.counted.iter().filter(|((metric, _), _)| *metric == field.metric) {
                let Some((old_sum, old_count)) = before.get(&(field.metric, group.clone())) else { continue };
                // If the sum went back, the process was restarted.
                if count > old_count && sum >= old_sum {
                    out.put(field, (sum - old_sum) / (count - old_count), &Tags::one(GROUP, group));
                }
            }
        }
    }
}

fn is_wanted(name: &str) -> bool {
    let tables = [RATES, NEW_RATES, GROUP_RATES, LEVELS, &[MODE, UTILIZATION], TOTALS, QUANTILES];
    name == WORKED || tables.into_iter().flatten().any(|field| field.cell == name)
}

/// Emits the values of the REST API. Returns whether any request was answered.
fn tell_api(api: &mut Http, cx: &Context, out: &mut Out) -> bool {
    let questions: Vec<_> = API.iter().map(|field| Question::get(field.cell)).collect();
    let mut has_answered = false;
    cx.ask_all(api, &questions, |at, answer| {
        let Some(field) = API.get(at) else { return };
        match answer.and_then(|answer| api_number(&answer)) {
            Ok(number) => {
                has_answered = true;
                out.put(field, number, &Tags::default());
            }
            Err(error) => out.fault_of(field.cell, error.to_string()),
        }
    });
    has_answered
}

/// The length of a list, or a number.
fn api_number(answer: &Answer) -> Result<f64> {
    let document: Value = serde_json::from_str(&answer.text).unwrap_or_default();
    let number = document.as_array().map(|list| list.len() as f64).or_else(|| document.as_f64());
    answer.must(number.is_some(), "a list or a number of the REST API of ScyllaDB")?;
    Ok(number.unwrap_or_default())
}
