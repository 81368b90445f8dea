//! The base of both Elasticsearch checks, which also work for OpenSearch: statistics of the node that is asked or of
//! all nodes, and from one node of the cluster its health and size (Elasticsearch documentation, "Nodes stats",
//! "Cluster health", "Index stats").

use crate::check::chart::Chart;
use crate::check::{Check, Context, Measurement, Out, Pace};
use crate::config::section::Section;
use crate::fetch::http::{Endpoint, Http};
use crate::model::error::{Error, Result};
use crate::model::origin::Origin;
use crate::model::parse::json;
use crate::model::parse::json_stream::{self, Cells};
use crate::model::point::{Level, Tags, Value};
use crate::model::table::{Field, How, Raw, Row, gauge, rate};
use serde_json::Map;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Keys of both checks besides those of HTTP.
pub const KEYS: &[&str] = &["host", "stats", "threadpoolstats", "cluster_stats", "nodes", "apikey"];

/// Metrics of a node that both checks emit.
pub const NODE: &[Field] = &[
    rate("/indices/search/query_total", "elasticsearch_search_total", "1/s"),
    rate("/indices/indexing/index_total", "elasticsearch_index_total", "1/s"),
    rate("/indices/indexing/delete_total", "elasticsearch_delete_total", "1/s"),
    rate("/indices/refresh/total", "elasticsearch_refresh_total", "1/s"),
    rate("/indices/get/total", "elasticsearch_get_total", "1/s"),
    rate("/indices/search/fetch_total", "elasticsearch_fetch_total", "1/s"),
    rate("/indices/search/fetch_time_in_millis", "elasticsearch_fetch_time", "ms/s"),
    rate("/indices/indexing/index_time_in_millis", "elasticsearch_index_time", "ms/s"),
    rate("/indices/search/query_time_in_millis", "elasticsearch_search_search_time", "ms/s"),
    rate("/indices/merges/total_time_in_millis", "elasticsearch_merge_time", "ms/s"),
    rate("/indices/merges/total_docs", "elasticsearch_merge_docs", "1/s"),
    rate("/indices/merges/total_size_in_bytes", "elasticsearch_merge_size", "bytes/s"),
    rate("/indices/refresh/total_time_in_millis", "elasticsearch_refresh_time", "ms/s"),
    rate("/indices/get/time_in_millis", "elasticsearch_get_time", "ms/s"),
    rate("/jvm/gc/collectors/old/collection_count", "elasticsearch_gc_old_count", "1/s"),
    rate("/jvm/gc/collectors/young/collection_count", "elasticsearch_gc_young_count", "1/s"),
    gauge("/jvm/mem/heap_used_in_bytes", "elasticsearch_heap_used", "bytes").int().reaction(-3),
    gauge("/jvm/mem/non_heap_used_in_bytes", "elasticsearch_non_heap_used", "bytes").int().reaction(-3),
    gauge("/process/open_file_descriptors", "elasticsearch_open_files", "files").int(),
    gauge("/http/current_open", "elasticsearch_http_connections", "connections").int(),
];

/// Charts of both checks.
pub const SEARCHES: Chart =
    Chart::new("Searches").of(&["elasticsearch_search_total", "elasticsearch_fetch_total", "elasticsearch_get_total"]);
pub const SEARCH_TIME: Chart = Chart::new("Time of searches").of(&[
    "elasticsearch_search_search_time",
    "elasticsearch_fetch_time",
    "elasticsearch_get_time",
]);
pub const INDEXING: Chart = Chart::new("Indexing").of(&["elasticsearch_index_total", "elasticsearch_delete_total"]);
pub const INDEXING_TIME: Chart = Chart::new("Time of indexing").of(&[
    "elasticsearch_index_time",
    "elasticsearch_refresh_time",
    "elasticsearch_merge_time",
]);
pub const COLLECTION_COUNT: Chart =
    Chart::new("Collections of garbage").of(&["elasticsearch_gc_young_count", "elasticsearch_gc_old_count"]);
pub const DOCUMENTS: Chart = Chart::new("Documents of the cluster").of(&["elasticsearch_cluster_docs"]);
pub const STORAGE: Chart = Chart::new("Size of the cluster").of(&["elasticsearch_cluster_storage_usage"]);
pub const OPEN_FILES: Chart = Chart::new("Open files").of(&["elasticsearch_open_files"]);
pub const CONNECTIONS: Chart = Chart::new("Connections").of(&["elasticsearch_http_connections"]);

/// Metrics of the cluster that both checks emit.
pub const SIZE: &[Field] = &[
    gauge("/_all/primaries/docs/count", "elasticsearch_cluster_docs", "documents").int(),
    gauge("/_all/total/store/size_in_bytes", "elasticsearch_cluster_storage_usage", "bytes").int(),
];
pub const SHARDS: Field = gauge("/_shards/total", "elasticsearch_cluster_shards", "shards").int();
/// Change of the number of documents per second: negative if more are deleted than added.
pub const INGEST: Field = gauge("", "elasticsearch_cluster_ingest_rate", "1/s");
pub const IS_MASTER: Field = gauge("", "elasticsearch_is_master", "0 or 1").int();

/// By thread pool. Both have the same name, and different check types, as in the original.
pub const POOLS: &[Field] = &[
    gauge("/thread_pool/*/active", "elasticsearch_thread_pool", "tasks").int().reaction(-3),
    gauge("/thread_pool/*/queue", "elasticsearch_thread_pool", "tasks").int().reaction(-3),
];
const POOL_TYPES: &[&str] = &["active", "queue"];
pub const REJECTED: Field = rate("/thread_pool/*/rejected", "elasticsearch_thread_pool_rejected", "1/s");
pub const TRIPPED: Field = rate("/breakers/*/tripped", "elasticsearch_breaker_tripped", "1/s");

/// The filter cache of versions up to 1.7. If it exists, the query cache is something else than in later versions.
pub const FILTER_CACHE: &str = "/indices/filter_cache/evictions";
const NAME: &str = "/name";
const UPTIME: &str = "/jvm/uptime_in_millis";
const FAILED: &str = "/_nodes/failed";
const REASON: &str = "/_nodes/failures/0/reason";
/// The elected master in the cluster state, of Elasticsearch and of OpenSearch.
const MASTERS: [&str; 2] = ["/master_node", "/cluster_manager_node"];

const EVENT: &str = "ElasticSearch-Health";
/// OddEye's reaction as a multiple of `[SelfConfig] error_handler`.
const ALERT: i8 = -1;

/// Default of `timeout_seconds`.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Parts of the statistics without index sizes. If one index size is invalid, Elasticsearch refuses to return all
/// statistics.
const SAFE_PARTS: &str = "jvm,process,http,thread_pool";

/// What only one of the checks emits.
#[derive(Clone, Copy)]
pub struct Own {
    /// Metrics of a node.
    pub node: &'static [&'static [Field]],
    /// Emitted if there is no filter cache.
    pub query_cache: &'static [Field],
    /// For each garbage collector, a field for the mean duration of a collection; its cell is the collector's place.
    pub collections: &'static [Field],
    pub health: &'static [Field],
    pub has_pools: bool,
}

/// Builds either check.
///
/// # Errors
/// A mistake in the section.
pub fn search(section: &Section, own: Own) -> Result<Box<dyn Check>> {
    let login = "apikey, or auth, user and pass";
    let endpoint = Endpoint::read(section, &["host"])?.with_secret(section, "apikey", "ApiKey", login)?;
    let stats = section.text("stats").filter(|stats| !stats.is_empty()).unwrap_or("/_nodes/_local/stats");
    let is_local = stats.contains("_local");
    let from = match section.text("cluster_stats").unwrap_or_default() {
        "" | "master" if is_local => From::Master,
        "" | "master" => From::Here,
        _ => match section.flag("cluster_stats", true) {
            Ok(true) => From::Here,
            Ok(false) => From::Nowhere,
            Err(_) => return Err(section.wrong("cluster_stats", "expected master, True or False")),
        },
    };
    let tables = own.node.iter().copied().chain([NODE, own.query_cache]).flatten().map(|field| field.cell.to_string());
    let mut wanted: Vec<String> = tables.chain([NAME, UPTIME, FILTER_CACHE].map(String::from)).collect();
    wanted.extend(own.collections.iter().flat_map(|field| [time_of(field), count_of(field)]));
    let has_pools = own.has_pools && section.flag("threadpoolstats", false)?;
    if has_pools {
        wanted.extend(POOLS.iter().chain([&REJECTED]).map(|field| field.cell.to_string()));
    }
    wanted.sort();
    wanted.dedup();
    let (path, more) = stats.split_once('?').unwrap_or((stats, ""));
    let query = query(&wanted, section.timeout(TIMEOUT)?, more);
    let (whole, safe) = (format!("{path}?{query}"), format!("{}/{SAFE_PARTS}?{query}", path.trim_end_matches('/')));
    let nodes = section.list("nodes").into_iter().map(String::from).collect();
    let (known, id, docs, pace) = (HashMap::new(), None, None, Pace::default());
    let http = Http::new(endpoint);
    Ok(Box::new(Search { http, own, whole, safe, is_local, wanted, has_pools, nodes, from, known, id, docs, pace }))
}

fn time_of(collector: &Field) -> String {
    format!("{}/collection_time_in_millis", collector.cell)
}

fn count_of(collector: &Field) -> String {
    format!("{}/collection_count", collector.cell)
}

/// The query string: requests only these cells, because some lists of a node have megabytes, and a timeout, after which
/// nodes that do not answer are left out.
fn query(wanted: &[String], timeout: Duration, more: &str) -> String {
    let nodes = wanted.iter().map(|cell| format!("nodes.*{}", cell.replace('/', ".")));
    let beside = ["_nodes.failed".to_string(), "_nodes.failures.reason".into()];
    let filter = beside.into_iter().chain(nodes).collect::<Vec<_>>().join(",");
    let more = if more.is_empty() { String::new() } else { format!("{more}&") };
    format!("{more}timeout={}ms&filter_path={filter}", timeout.as_millis().saturating_mul(4) / 5)
}

/// Which nodes emit the metrics of the cluster.
#[derive(Clone, Copy, PartialEq)]
enum From {
    /// Only the elected master, so that they are emitted once if every node is monitored.
    Master,
    Here,
    Nowhere,
}

struct Search {
    http: Http,
    own: Own,
    /// Path and query for all statistics, and for [`SAFE_PARTS`] only.
    whole: String,
    safe: String,
    /// The statistics are only those of the node that is asked.
    is_local: bool,
    wanted: Vec<String>,
    has_pools: bool,
    /// Names of the wanted nodes; empty: all.
    nodes: Vec<String>,
    from: From,
    /// State of the nodes, by name.
    known: HashMap<String, Node>,
    /// Id of the node that is asked.
    id: Option<String>,
    /// Number of documents in the cluster, and when it was read.
    docs: Option<(u64, Instant)>,
    /// Limits the request for the size of the cluster, which is sent to all shards.
    pace: Pace,
}

/// The state of a node from tick to tick.
#[derive(Default)]
struct Node {
    origin: Origin,
    /// For each collector: number of collections, and their total time in milliseconds.
    collected: HashMap<&'static str, (u64, u64)>,
    is_told: bool,
}

impl Check for Search {
    fn run(&mut self, cx: &Context, out: &mut Out) -> Result<()> {
        let told = self.tell_nodes(cx, out);
        match self.is_told_here(cx, out) {
            Ok(true) => {}
            Ok(false) => return told,
            Err(_) if told.is_err() => return told,
            Err(error) => {
                out.fault_of("master", error.to_string());
                return Ok(());
            }
        }
        let health = self.tell_health(cx, out);
        let size = self.tell_size(cx, out);
        match (told, health, size) {
            (Err(first), Err(_), Err(_)) => Err(first),
            (told, health, size) => {
                let parts = [("statistics", told), ("cluster health", health), ("cluster size", size)];
                for (part, error) in parts.into_iter().filter_map(|(part, told)| Some((part, told.err()?))) {
                    out.fault_of(part, error.to_string());
                }
                Ok(())
            }
        }
    }
}

impl Search {
    fn tell_nodes(&mut self, cx: &Context, out: &mut Out) -> Result<()> {
        match self.tell_nodes_of(&self.whole.clone(), cx, out) {
            Err(Error::Status { status: 400, problem, .. }) => {
                out.fault_of("statistics", format!("{problem}: asked for {SAFE_PARTS} alone"));
                self.tell_nodes_of(&self.safe.clone(), cx, out)
            }
            told => told,
        }
    }

    fn tell_nodes_of(&mut self, path: &str, cx: &Context, out: &mut Out) -> Result<()> {
        let Search { http, own, wanted, is_local, has_pools, nodes, known, id, .. } = self;
        let wanted: Vec<&str> = wanted.iter().map(String::as_str).collect();
        let mut count = 0_usize;
        let beside = cx.stream(http, path, |body| {
            let read = json_stream::each(&mut *body, ("nodes", &wanted), &[FAILED, REASON], |own_id, cells| {
                count += 1;
                let name = cells.text(NAME).unwrap_or(own_id);
                if *is_local {
                    *id = Some(own_id.into());
                } else if !nodes.is_empty() && !nodes.iter().any(|node| node == name) {
                    return;
                }
                let tags = if *is_local { Tags::default() } else { Tags::one("node", name) };
                let node = known.entry(name.to_string()).or_default();
                node.tell(cells, own, *has_pools, &tags, cx, out);
            });
            let problem = |problem| Error::Fetch { address: body.head.address.clone(), problem };
            read.map_err(|why| problem(format!("expected statistics of nodes as JSON: {why}")))
        })?;
        known.retain(|_, node| std::mem::take(&mut node.is_told));
        let failed = Row::of(beside.iter()).count(FAILED);
        if count == 0 && failed.is_none() {
            let problem = "expected statistics of nodes of Elasticsearch or OpenSearch; the answer names none".into();
            return Err(Error::Fetch { address: self.http.address(), problem });
        }
        if failed.is_some_and(|failed| failed > 0) || count == 0 {
            let why = beside.text(REASON).unwrap_or("the answer names no node");
            out.fault_of("statistics", format!("a node did not tell its own: {why}"));
        }
        Ok(())
    }

    /// Whether this node emits the metrics of the cluster. Every node knows which one is the master.
    fn is_told_here(&mut self, cx: &Context, out: &mut Out) -> Result<bool> {
        if self.from != From::Master {
            return Ok(self.from == From::Here);
        }
        let path = "/_cluster/state/master_node?local=true&filter_path=master_node,cluster_manager_node";
        let answer = cx.get(&mut self.http, path)?;
        let state = json::document(&answer.text, "the master of the cluster").map_err(|error| answer.unread(&error))?;
        let is_named = MASTERS.iter().any(|place| state.pointer(place).is_some());
        // The field may be missing while no master is elected.
        let is_empty = state.as_object().is_some_and(Map::is_empty);
        answer.must(is_named || is_empty, "the master of a cluster of Elasticsearch or OpenSearch")?;
        let master = MASTERS.iter().find_map(|place| json::text(&state, place));
        let is_master = master.is_some() && self.id.as_deref().is_none_or(|id| master == Some(id));
        out.put(&IS_MASTER, u64::from(is_master), &Tags::default());
        if !is_master {
            let text =
                "told by the elected master alone, which is another node; cluster_stats: True tells it here, too";
            out.absence_of("cluster", text);
        }
        Ok(is_master)
    }

    fn tell_health(&mut self, cx: &Context, out: &mut Out) -> Result<()> {
        let answer = cx.get(&mut self.http, "/_cluster/health")?;
        let health = json::document(&answer.text, "the health of a cluster").map_err(|error| answer.unread(&error))?;
        answer.must(json::text(&health, "/status").is_some(), "the health of a cluster")?;
        out.pick_present(&json::row(&health, self.own.health), self.own.health, &Tags::default());
        let level = match json::text(&health, "/status").unwrap_or_default() {
            "green" => Level::Ok,
            "yellow" => Level::Warning,
            _ => Level::Error,
        };
        let word = |place| json::text(&health, place).unwrap_or("?");
        let count = |place| json::count(&health, place).map_or("?".into(), |count| count.to_string());
        let words = format!(
            "Cluster: {}, Status: {}, Shards Active: {}, Relocating: {}, Initializing: {}",
            word("/cluster_name"),
            word("/status"),
            count("/active_shards"),
            count("/relocating_shards"),
            count("/initializing_shards"),
        );
        out.health(EVENT, level, words, ALERT);
        Ok(())
    }

    fn tell_size(&mut self, cx: &Context, out: &mut Out) -> Result<()> {
        if let Some(text) = self.pace.slowness("the cluster is slow to count documents and sizes") {
            out.absence_of("cluster size", text);
        }
        if !self.pace.is_due() {
            return Ok(());
        }
        let begun = Instant::now();
        let filter = "_shards.total,_shards.failed,_all.primaries.docs.count,_all.total.store.size_in_bytes";
        let answer = cx.get(&mut self.http, &format!("/_stats/docs,store?level=cluster&filter_path={filter}"));
        self.pace.took(begun.elapsed(), cx.tick.period);
        let answer = answer.map_err(|error| match error {
            Error::Status { address, status: 403, problem } => {
                let problem = format!("{problem}, which needs the index privilege monitor on *");
                Error::Status { address, status: 403, problem }
            }
            other => other,
        })?;
        let size = json::document(&answer.text, "statistics of indices").map_err(|error| answer.unread(&error))?;
        answer.must(json::count(&size, SHARDS.cell).is_some(), "statistics of indices")?;
        let at = out.read_now();
        let row = json::row(&size, SIZE);
        json::count(&size, SHARDS.cell).into_iter().for_each(|count| out.put(&SHARDS, count, &Tags::default()));
        if let Some(failed) = json::count(&size, "/_shards/failed").filter(|failed| *failed > 0) {
            self.docs = None;
            let all = json::count(&size, SHARDS.cell).unwrap_or_default();
            out.fault_of("cluster size", format!("not told: {failed} of {all} shards did not answer"));
            return Ok(());
        }
        out.pick_present(&row, SIZE, &Tags::default());
        let Some(docs) = SIZE.first().and_then(|field| row.count(field.cell)) else { return Ok(()) };
        if let Some((before, then)) = self.docs.replace((docs, at)) {
            let seconds = at.saturating_duration_since(then).as_secs_f64();
            out.put(&INGEST, (docs as f64 - before as f64) / seconds, &Tags::default());
        }
        Ok(())
    }
}

impl Node {
    fn tell(&mut self, cells: &Cells, own: &Own, has_pools: bool, tags: &Tags, cx: &Context, out: &mut Out) {
        self.is_told = true;
        // -1 means unknown.
        let row = Row::of(cells.iter().filter(|(_, raw)| !matches!(raw, Raw::Int(_))));
        if let Some(uptime) = row.count(UPTIME)
            && self.origin.is_new_by_uptime(uptime as f64 / 1000.0, cx.tick.at)
        {
            self.collected.clear();
            out.forget(std::slice::from_ref(tags));
        }
        for table in own.node.iter().copied().chain([NODE]) {
            out.pick_present(&row, table, tags);
        }
        if row.get(FILTER_CACHE).is_none() {
            out.pick_present(&row, own.query_cache, tags);
        }
        for collector in own.collections {
            let cells = row.count(&count_of(collector)).zip(row.count(&time_of(collector)));
            if let Some(mean) = cells.and_then(|now| mean(self.collected.insert(collector.cell, now)?, now)) {
                out.put(collector, mean, tags);
            }
        }
        for (breaker, count) in cells.each(TRIPPED.cell) {
            out.put(&TRIPPED, count, &tags.with("breaker", breaker));
        }
        if has_pools {
            self.tell_pools(cells, tags, out);
        }
    }

    fn tell_pools(&self, cells: &Cells, tags: &Tags, out: &mut Out) {
        for (pool, count) in cells.each(REJECTED.cell) {
            out.put(&REJECTED, count, &tags.with("pool", pool));
        }
        for (field, check_type) in POOLS.iter().zip(POOL_TYPES) {
            for (pool, count) in cells.each(field.cell) {
                let Some(count) = count.count().and_then(|count| i64::try_from(count).ok()) else { continue };
                let (name, value, how) = (field.metric, Value::Int(count), How::Gauge);
                let tags = tags.with("pool", pool);
                let told = Measurement { name, value, how, check_type, tags, time: None };
                out.tell_as_is(told, None, field.reaction);
            }
        }
    }
}

/// Mean duration of a collection between two readings, in milliseconds; 0 if there was none. `None` if the counters
/// went back.
fn mean((old_count, old_time): (u64, u64), (count, time): (u64, u64)) -> Option<f64> {
    let (count, time) = (count.checked_sub(old_count)?, time.checked_sub(old_time)?);
    Some(if count > 0 { time as f64 / count as f64 } else { 0.0 })
}
