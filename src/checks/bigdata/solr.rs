//! solr: requests by method and status, cores, and JVM of Solr (Solr documentation, "Metrics Reporting"). The page is
//! JSON in 6.4 to 9, and Prometheus text in 10; the metric names are the same.

use super::CONF;
use crate::check::chart::Chart;
use crate::check::samples::samples;
use crate::check::{Check, Context, Counters, Out, Runs, Spec, jvm};
use crate::config::section::Section;
use crate::fetch::http::{self, Answer, Endpoint, Http};
use crate::model::error::{Error, Result};
use crate::model::parse::json;
use crate::model::parse::prometheus::Sample;
use crate::model::point::Tags;
use crate::model::table::{Field, counter, gauge, rate};
use serde_json::{Map, Value, json};
use std::collections::HashMap;

pub static SPEC: Spec = Spec {
    name: "check_solr",
    purpose: "requests, cores and virtual machine of Solr",
    check_type: "solr",
    conf: CONF,
    section: "Solr",
    keys: &[&["stats"], http::KEYS],
    runs: Runs::Own,
    fields: &[JETTY, &[NODE], JVM, &[GC_COUNT, GC_TIME], CORE],
    charts: CHARTS,
    build,
};

const CHARTS: &[Chart] = &[
    Chart::new("Requests").of(&["solr_requests_all", "solr_node_requests"]),
    Chart::new("Answers by class")
        .of(&[
            "solr_1xx_responses",
            "solr_2xx_responses",
            "solr_3xx_responses",
            "solr_4xx_responses",
            "solr_5xx_responses",
        ])
        .stacked(),
    Chart::new("Requests by method").of(&[
        "solr_get_requests",
        "solr_post_requests",
        "solr_put_requests",
        "solr_delete_requests",
        "solr_head_requests",
        "solr_other_requests",
    ]),
    Chart::new("Requests by rare methods").of(&[
        "solr_options_requests",
        "solr_move_requests",
        "solr_trace_requests",
        "solr_connect_requests",
    ]),
    Chart::new("Queries").of(&["solr_core_queries"]).each("core"),
    Chart::new("Time of queries").of(&["solr_core_query_time"]).each("core"),
    Chart::new("Time of the slowest hundredth of queries").of(&["solr_core_query_time_p99"]).each("core"),
    Chart::new("Queries that failed").of(&["solr_core_query_errors", "solr_core_query_timeouts"]),
    Chart::new("Updates").of(&["solr_core_updates"]).each("core"),
    Chart::new("Updates that failed").of(&["solr_core_update_errors"]).each("core"),
    Chart::new("Documents").of(&["solr_core_documents"]).each("core"),
    Chart::new("Size of indexes").of(&["solr_core_index_size"]).each("core"),
    Chart::new("Heap").of(&["solr_heap_used", "solr_heap_committed", "solr_heap_max", "solr_heap_init"]),
    Chart::new("Beside the heap").of(&[
        "solr_non_heap_used",
        "solr_non_heap_committed",
        "solr_non_heap_max",
        "solr_non_heap_init",
    ]),
    Chart::new("Threads").of(&["solr_threads", "solr_threads_daemon"]),
    Chart::new("Time in garbage collection").of(&["solr_gc_{gc}_time"]),
    Chart::new("Garbage collections").of(&["solr_gc_{gc}_count"]),
];

const JETTY: &[Field] = &[
    rate("/org.eclipse.jetty.server.handler.DefaultHandler.delete-requests/count", "solr_delete_requests", "1/s"),
    rate("/org.eclipse.jetty.server.handler.DefaultHandler.get-requests/count", "solr_get_requests", "1/s"),
    rate("/org.eclipse.jetty.server.handler.DefaultHandler.head-requests/count", "solr_head_requests", "1/s"),
    rate("/org.eclipse.jetty.server.handler.DefaultHandler.move-requests/count", "solr_move_requests", "1/s"),
    rate("/org.eclipse.jetty.server.handler.DefaultHandler.options-requests/count", "solr_options_requests", "1/s"),
    rate("/org.eclipse.jetty.server.handler.DefaultHandler.other-requests/count", "solr_other_requests", "1/s"),
    rate("/org.eclipse.jetty.server.handler.DefaultHandler.put-requests/count", "solr_put_requests", "1/s"),
    rate("/org.eclipse.jetty.server.handler.DefaultHandler.trace-requests/count", "solr_trace_requests", "1/s"),
    rate("/org.eclipse.jetty.server.handler.DefaultHandler.post-requests/count", "solr_post_requests", "1/s"),
    rate("/org.eclipse.jetty.server.handler.DefaultHandler.connect-requests/count", "solr_connect_requests", "1/s"),
    rate("/org.eclipse.jetty.server.handler.DefaultHandler.requests/count", "solr_requests_all", "1/s"),
    rate("/org.eclipse.jetty.server.handler.DefaultHandler.1xx-responses/count", "solr_1xx_responses", "1/s"),
    rate("/org.eclipse.jetty.server.handler.DefaultHandler.2xx-responses/count", "solr_2xx_responses", "1/s"),
    rate("/org.eclipse.jetty.server.handler.DefaultHandler.3xx-responses/count", "solr_3xx_responses", "1/s"),
    rate("/org.eclipse.jetty.server.handler.DefaultHandler.4xx-responses/count", "solr_4xx_responses", "1/s"),
    rate("/org.eclipse.jetty.server.handler.DefaultHandler.5xx-responses/count", "solr_5xx_responses", "1/s"),
];

/// All requests to the node, as counted by Solr 10.
const NODE: Field = rate("solr_node_requests_total", "solr_node_requests", "1/s");

const JVM: &[Field] = &[
    gauge("/memory.heap.committed", "solr_heap_committed", "bytes").int(),
    gauge("/memory.heap.init", "solr_heap_init", "bytes").int(),
    gauge("/memory.heap.max", "solr_heap_max", "bytes").int(),
    gauge("/memory.heap.used", "solr_heap_used", "bytes").int(),
    gauge("/memory.non-heap.committed", "solr_non_heap_committed", "bytes").int(),
    gauge("/memory.non-heap.init", "solr_non_heap_init", "bytes").int(),
    gauge("/memory.non-heap.max", "solr_non_heap_max", "bytes").int(),
    gauge("/memory.non-heap.used", "solr_non_heap_used", "bytes").int(),
    gauge("/threads.count", "solr_threads", "threads").int(),
    gauge("/threads.daemon.count", "solr_threads_daemon", "threads").int(),
];

/// For each garbage collector: `{gc}` is `g1-young-generation` for `gc.G1-Young-Generation.count`.
const GC_COUNT: Field = counter(".count", "solr_gc_{gc}_count", "runs");
const GC_TIME: Field = counter(".time", "solr_gc_{gc}_time", "ms");

/// Metrics of each core, with the tag `core`.
const CORE: &[Field] = &[
    rate("/QUERY.~1select.requestTimes/count", "solr_core_queries", "1/s"),
    rate("/QUERY.~1select.errors/count", "solr_core_query_errors", "1/s"),
    rate("/QUERY.~1select.timeouts/count", "solr_core_query_timeouts", "1/s"),
    gauge("/QUERY.~1select.requestTimes/mean_ms", "solr_core_query_time", "ms"),
    gauge("/QUERY.~1select.requestTimes/p99_ms", "solr_core_query_time_p99", "ms"),
    rate("/UPDATE.~1update.requestTimes/count", "solr_core_updates", "1/s"),
    rate("/UPDATE.~1update.errors/count", "solr_core_update_errors", "1/s"),
    gauge("/SEARCHER.searcher.numDocs", "solr_core_documents", "documents").int(),
    gauge("/INDEX.sizeInBytes", "solr_core_index_size", "bytes").int(),
];

/// HTTP status with which Solr 10 answers `wt=json`.
const NO_JSON: u16 = 400;

fn build(section: &Section) -> Result<Box<dyn Check>> {
    let address = section.required("stats", "http://127.0.0.1:8983/solr/admin/metrics?group=all&wt=json")?;
    let text = format!("{}?wt=prometheus", address.split('?').next().unwrap_or_default());
    let http = Http::new(Endpoint::read(section, &["stats"])?);
    let text = Http::new(Endpoint::read(&section.with("stats", &text), &["stats"])?);
    Ok(Box::new(Solr { http, text, has_json: true }))
}

struct Solr {
    http: Http,
    /// The same page as Prometheus text.
    text: Http,
    /// `false` after the server has refused JSON; `true` again after a failure.
    has_json: bool,
}

impl Check for Solr {
    fn run(&mut self, cx: &Context, out: &mut Out) -> Result<()> {
        let answer = match self.ask(cx) {
            Err(error) => {
                self.has_json = true;
                return Err(error);
            }
            Ok(answer) => answer,
        };
        let told = if answer.text.trim_start().starts_with('{') { tell(&answer, out) } else { tell_text(&answer, out) };
        told.map_err(|error| answer.unread(&error))
    }
}

impl Solr {
    fn ask(&mut self, cx: &Context) -> Result<Answer> {
        if self.has_json {
            match cx.get(&mut self.http, "") {
                Err(Error::Status { status: NO_JSON, .. }) => self.has_json = false,
                answer => return answer,
            }
        }
        cx.get(&mut self.text, "")
    }
}

fn tell(answer: &Answer, out: &mut Out) -> Result<()> {
    let mut page = json::document(&answer.text, "the metrics of Solr as JSON")?;
    let groups = groups(page.get_mut("metrics").map(Value::take).unwrap_or_default());
    let (jetty, machine) = (groups.get("solr.jetty"), groups.get("solr.jvm"));
    answer.must(jetty.or(machine).is_some(), "the groups solr.jvm and solr.jetty of the metrics of Solr")?;
    match jetty {
        Some(jetty) => jvm::tell_known(jetty, JETTY, &Tags::default(), out),
        None => out.absence_of("solr.jetty", "Solr does not count requests here: does stats ask for the group jetty?"),
    }
    if let Some(machine) = machine {
        tell_machine(machine, out);
    }
    for (group, core) in &groups {
        if let Some(name) = group.strip_prefix("solr.core.") {
            tell_core(name, core, out);
        }
    }
    Ok(())
}

/// A core that was reloaded starts to count again, so its start time identifies its counters.
fn tell_core(name: &str, core: &Value, out: &mut Out) {
    let (tags, start) = (Tags::one("core", name), json::text(core, "/CORE.startTime").unwrap_or_default());
    for field in CORE {
        if let Some(raw) = json::cell(core, field.cell) {
            out.of(start).put(field, raw, &tags);
        }
    }
}

/// The groups as an object. In some versions they are an array that alternates names and objects.
fn groups(metrics: Value) -> Map<String, Value> {
    match metrics {
        Value::Object(groups) => groups,
        Value::Array(turns) => turns
            .chunks_exact(2)
            .filter_map(|pair| Some((pair.first()?.as_str()?.to_string(), pair.get(1)?.clone())))
            .collect(),
        _ => Map::new(),
    }
}

fn tell_machine(machine: &Value, out: &mut Out) {
    jvm::tell_known(machine, JVM, &Tags::default(), out);
    for (name, number) in machine.as_object().into_iter().flatten() {
        for field in [&GC_COUNT, &GC_TIME] {
            let gc = name.strip_prefix("gc.").and_then(|name| name.strip_suffix(field.cell));
            if let (Some(gc), Some(raw)) = (gc, json::cell(number, "")) {
                let gc = gc.replace("ConcurrentMarkSweep", "cms").replace('.', "_").to_lowercase();
                out.put_as(&field.metric.replace("{gc}", &gc), field, raw, &Tags::default());
            }
        }
    }
}

/// The page of Solr 10. Only metrics that other versions have are emitted, summed over memory pools and kinds of
/// threads.
fn tell_text(answer: &Answer, out: &mut Out) -> Result<()> {
    let (mut sums, mut requests) = (HashMap::<String, f64>::new(), Counters::default());
    let is_wanted = |name: &str| name == NODE.cell || TEXT.contains(&name);
    samples(answer, "Solr 10", is_wanted, out, |sample, _| {
        if sample.name == NODE.cell {
            requests.insert(sample.labels.fingerprint(), sample.value);
        }
        for (name, value) in as_before(&sample) {
            *sums.entry(name).or_default() += value;
        }
    })?;
    let machine = sums.into_iter().map(|(name, sum)| (name, json!(sum.round() as u64))).collect();
    tell_machine(&Value::Object(machine), out);
    if !requests.is_empty() {
        out.put_sum(&NODE, &requests, &Tags::default());
    }
    Ok(())
}

/// The samples of the JVM (OpenTelemetry documentation, "Semantic conventions for JVM metrics").
const TEXT: &[&str] = &[
    "jvm_memory_used_bytes",
    "jvm_memory_committed_bytes",
    "jvm_memory_init_bytes",
    "jvm_memory_limit_bytes",
    "jvm_thread_count",
    "jvm_gc_duration_seconds_count",
    "jvm_gc_duration_seconds_sum",
];

/// The names that older versions use for this sample, and its value in their unit.
fn as_before(sample: &Sample) -> Vec<(String, f64)> {
    let label = |name: &str| sample.labels.get(name).unwrap_or_default();
    let memory =
        |cell: &str| vec![(format!("memory.{}.{cell}", label("jvm_memory_type").replace('_', "-")), sample.value)];
    let collector = |cell: &str, unit: f64| {
        vec![(format!("gc.{}.{cell}", label("jvm_gc_name").replace(' ', "-")), sample.value * unit)]
    };
    match &*sample.name {
        "jvm_memory_used_bytes" => memory("used"),
        "jvm_memory_committed_bytes" => memory("committed"),
        "jvm_memory_init_bytes" => memory("init"),
        "jvm_memory_limit_bytes" => memory("max"),
        "jvm_gc_duration_seconds_count" => collector("count", 1.0),
        "jvm_gc_duration_seconds_sum" => collector("time", 1000.0),
        "jvm_thread_count" if label("jvm_thread_daemon") == "true" => {
            vec![("threads.count".into(), sample.value), ("threads.daemon.count".into(), sample.value)]
        }
        "jvm_thread_count" => vec![("threads.count".into(), sample.value)],
        _ => Vec::new(),
    }
}
