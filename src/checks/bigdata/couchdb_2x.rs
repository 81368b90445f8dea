//! couchdb_2x: requests, reads, writes, memory and queues of each node of CouchDB 2 and 3, all requested from one node
//! (CouchDB documentation, "/_node/{node-name}/_stats", "/_node/{node-name}/_system", "/_membership").

use super::CONF;
use crate::check::chart::Chart;
use crate::check::{Check, Context, Out, Runs, Spec};
use crate::config::section::Section;
use crate::fetch::host_names::HostNames;
use crate::fetch::http::{self, Answer, Endpoint, Http, Question, percent_encode};
use crate::model::error::{Error, Result};
use crate::model::origin::Origin;
use crate::model::parse::json;
use crate::model::point::Tags;
use crate::model::table::{Field, gauge, rate};
use serde_json::Value;
use std::collections::HashMap;

pub static SPEC: Spec = Spec {
    name: "check_couchdb_2x",
    purpose: "requests, reads, writes, memory and queues of the nodes of CouchDB 2 and 3",
    check_type: "couchdb",
    conf: CONF,
    section: "CouchDB2",
    keys: &[&["stats", "nodes", "detailed"], http::KEYS],
    runs: Runs::Own,
    fields: &[COUNTS, LEVELS, &[TIME_P99], DETAILS, SYSTEM, &[QUEUE, IS_UP]],
    charts: CHARTS,
    build,
};

const CHARTS: &[Chart] = &[
    Chart::new("Requests").of(&[
        "couchdb_requests",
        "couchdb_bulk_requests",
        "couchdb_view_reads",
        "couchdb_temporary_view_reads",
    ]),
    Chart::new("Time of a request").of(&["couchdb_request_time_mean", "couchdb_request_time_p99"]),
    Chart::new("Reads and writes of databases").of(&["couchdb_database_reads", "couchdb_database_writes"]),
    Chart::new("Writes of documents").of(&["couchdb_document_writes", "couchdb_document_inserts"]),
    Chart::new("Nodes that are up").of(&["couchdb_node_up"]).full(1.0),
    Chart::new("Memory").of(&[
        "couchdb_memory_processes",
        "couchdb_memory_binary",
        "couchdb_memory_ets",
        "couchdb_memory_code",
        "couchdb_memory_other",
    ]),
    Chart::new("Processes that wait for a processor").of(&["couchdb_run_queue"]),
    Chart::new("Longest queue of messages").of(&["couchdb_message_queue"]),
    Chart::new("Replication within the cluster that waits").of(&["couchdb_internal_replication_jobs"]),
    Chart::new("Open databases and files").of(&["couchdb_open_databases_current", "couchdb_open_os_files_current"]),
    Chart::new("Clients that wait for changes").of(&["couchdb_clients_requesting_changes_current"]),
    Chart::new("Processes of Erlang").of(&["couchdb_process_count", "couchdb_process_limit"]),
    Chart::new("Requests by method").of(&["couchdb_requests_methods"]).each("method"),
    Chart::new("Answers by status").of(&["couchdb_status_codes"]).each("method"),
    Chart::new("Time since the start").of(&["couchdb_uptime"]),
];

/// Rounded, because stores have them as integers already.
const COUNTS: &[Field] = &[
    rate("/couchdb/database_writes/value", "couchdb_database_writes", "1/s").int(),
    rate("/couchdb/database_reads/value", "couchdb_database_reads", "1/s").int(),
    rate("/couchdb/document_inserts/value", "couchdb_document_inserts", "1/s").int(),
    rate("/couchdb/document_writes/value", "couchdb_document_writes", "1/s").int(),
    rate("/couchdb/httpd/bulk_requests/value", "couchdb_bulk_requests", "1/s").int(),
    rate("/couchdb/httpd/requests/value", "couchdb_requests", "1/s").int(),
    rate("/couchdb/httpd/temporary_view_reads/value", "couchdb_temporary_view_reads", "1/s").int(),
    rate("/couchdb/httpd/view_reads/value", "couchdb_view_reads", "1/s").int(),
];

const LEVELS: &[Field] = &[
    gauge("/couchdb/open_databases/value", "couchdb_open_databases_current", "databases").int(),
    gauge("/couchdb/open_os_files/value", "couchdb_open_os_files_current", "files").int(),
    gauge("/couchdb/httpd/clients_requesting_changes/value", "couchdb_clients_requesting_changes_current", "clients")
        .int(),
    gauge("/couchdb/request_time/value/arithmetic_mean", "couchdb_request_time_mean", "ms"),
];
/// Looked up in a list of pairs of percentile and value.
const TIME_P99: Field = gauge("/couchdb/request_time/value/percentile", "couchdb_request_time_p99", "ms");
const NINETY_NINE: u64 = 99;

/// By method and by status; both have the tag `method`, as in the original.
const DETAILS: &[Field] = &[
    rate("/couchdb/httpd_request_methods", "couchdb_requests_methods", "1/s").int(),
    rate("/couchdb/httpd_status_codes", "couchdb_status_codes", "1/s").int(),
];

const SYSTEM: &[Field] = &[
    gauge("/uptime", "couchdb_uptime", "s").int(),
    gauge("/memory/processes", "couchdb_memory_processes", "bytes").int(),
    gauge("/memory/binary", "couchdb_memory_binary", "bytes").int(),
    gauge("/memory/ets", "couchdb_memory_ets", "bytes").int(),
    gauge("/memory/code", "couchdb_memory_code", "bytes").int(),
    gauge("/memory/other", "couchdb_memory_other", "bytes").int(),
    gauge("/run_queue", "couchdb_run_queue", "processes").int(),
    gauge("/process_count", "couchdb_process_count", "processes").int(),
    gauge("/process_limit", "couchdb_process_limit", "processes").int(),
    gauge("/internal_replication_jobs", "couchdb_internal_replication_jobs", "jobs").int(),
];
/// The longest queue. For queues that several processes have, CouchDB reports the maximum.
const QUEUE: Field = gauge("/message_queues", "couchdb_message_queue", "messages").int();
const IS_UP: Field = gauge("", "couchdb_node_up", "0 or 1").int();

/// The name of the node that is asked.
const LOCAL: &str = "_local";
/// HTTP statuses for a node that is down or unknown.
const DOWN: &[u16] = &[404, 412];
/// Maximum number of nodes.
const MOST: usize = 64;

fn build(section: &Section) -> Result<Box<dyn Check>> {
    let section = section.with_demanded_login("stats");
    let endpoint = Endpoint::read(&section, &["stats"])?.hearing(DOWN);
    let is_local = match section.text("nodes").unwrap_or_default() {
        "local" => true,
        "" | "all" => false,
        _ => return Err(section.wrong("nodes", "expected all or local")),
    };
    let has_details = section.flag("detailed", false)?;
    let (hosts, http) = (HostNames::new(&endpoint), Http::new(endpoint));
    Ok(Box::new(CouchDb { http, hosts, is_local, has_details, origins: HashMap::new() }))
}

struct CouchDb {
    http: Http,
    hosts: HostNames,
    /// Emit only the node that is asked.
    is_local: bool,
    has_details: bool,
    /// To detect restarts, by node.
    origins: HashMap<String, Origin>,
}

impl Check for CouchDb {
    fn run(&mut self, cx: &Context, out: &mut Out) -> Result<()> {
        let names = self.names(cx, out)?;
        self.origins.retain(|name, _| names.contains(name));
        let question = |name: &String| {
            let node = if name == LOCAL { LOCAL.into() } else { percent_encode(name) };
            ["_stats", "_system"].map(|page| Question::get(&format!("/_node/{node}/{page}")))
        };
        let questions: Vec<Question> = names.iter().flat_map(question).collect();
        let mut answers = cx.answers(&mut self.http, &questions);
        out.read_now();
        let hosts: Vec<Option<String>> = names.iter().map(|name| self.host(name, cx)).collect();
        let mut errors = Vec::new();
        for (at, (name, host)) in names.iter().zip(&hosts).enumerate() {
            let (stats, system) = (answers.remove(&(2 * at)), answers.remove(&(2 * at + 1)));
            let Some((stats, system)) = stats.zip(system) else { continue };
            // Several nodes on one host get a tag.
            let is_alone = hosts.iter().filter(|other| *other == host).count() == 1;
            let tags = if is_alone { Tags::default() } else { Tags::one("node", name) };
            out.set_host(host.as_deref());
            let told = stats.and_then(|stats| self.tell(name, &stats, system, &tags, out));
            errors.extend(told.err().map(|error| (name, refused(error))));
        }
        if errors.len() == names.len()
            && let Some((_, error)) = errors.pop()
        {
            return Err(error);
        }
        errors.into_iter().for_each(|(name, error)| out.fault_of(name, error.to_string()));
        Ok(())
    }
}

impl CouchDb {
    /// The names of the nodes to emit.
    fn names(&mut self, cx: &Context, out: &mut Out) -> Result<Vec<String>> {
        if self.is_local {
            return Ok(vec![LOCAL.into()]);
        }
        let answer = cx.get(&mut self.http, "/_membership").map_err(refused)?;
        answer.must(!DOWN.contains(&answer.status), "the nodes of a cluster of CouchDB 2 or later")?;
        let list = json::document(&answer.text, "the nodes of a cluster").map_err(|error| answer.unread(&error))?;
        let all = json::array(&list, "/all_nodes");
        answer.must(!all.is_empty(), "the nodes of a cluster of CouchDB 2 or later")?;
        if all.len() > MOST {
            out.absence_of("nodes", format!("{} of them: the first {MOST} are told", all.len()));
        }
        Ok(all.iter().filter_map(Value::as_str).take(MOST).map(String::from).collect())
    }

    /// The host of a node such as `couchdb@10.0.0.5`; `None` if it is the daemon's host.
    fn host(&mut self, name: &str, cx: &Context) -> Option<String> {
        let host = if name == LOCAL { "" } else { name.split_once('@').map_or(name, |(_, host)| host) };
        cx.host_of(&mut self.hosts, host)
    }

    fn tell(&mut self, name: &str, stats: &Answer, system: Result<Answer>, tags: &Tags, out: &mut Out) -> Result<()> {
        if DOWN.contains(&stats.status) {
            let hint = "the statistics of this node, which older ones do not tell as _local: nodes: all asks by names";
            stats.must(name != LOCAL, hint)?;
            out.put(&IS_UP, 0_u64, tags);
            out.absence_of(name, "is down, or was removed from the cluster and is still among its nodes");
            return Ok(());
        }
        let told = json::document(&stats.text, "statistics of CouchDB").map_err(|error| stats.unread(&error))?;
        // The node is still starting.
        if told.is_array() {
            return Ok(());
        }
        stats.must(told.get("couchdb").is_some(), "statistics of CouchDB 2 or later")?;
        out.put(&IS_UP, 1_u64, tags);
        let system = system.and_then(|answer| {
            answer.must(!DOWN.contains(&answer.status), "the state of Erlang")?;
            json::document(&answer.text, "the state of Erlang").map_err(|error| answer.unread(&error))
        });
        match system {
            Ok(system) => self.tell_system(name, &system, tags, out),
            Err(error) => out.fault_of(&format!("{name} system"), error.to_string()),
        }
        for fields in [COUNTS, LEVELS] {
            out.pick_present(&json::row(&told, fields), fields, tags);
        }
        let pairs = json::array(&told, TIME_P99.cell).iter();
        if let Some(time) =
            pairs.filter(|pair| json::count(pair, "/0") == Some(NINETY_NINE)).find_map(|pair| json::cell(pair, "/1"))
        {
            out.put(&TIME_P99, time, tags);
        }
        for field in DETAILS.iter().filter(|_| self.has_details) {
            for (word, count) in told.pointer(field.cell).and_then(Value::as_object).into_iter().flatten() {
                if let Some(count) = json::cell(count, "/value") {
                    out.put(field, count, &tags.with("method", &word.to_lowercase()));
                }
            }
        }
        Ok(())
    }

    /// Emits the state of the Erlang VM. Called before the counters are emitted, because it detects restarts.
    fn tell_system(&mut self, name: &str, system: &Value, tags: &Tags, out: &mut Out) {
        if let Some(uptime) = json::count(system, "/uptime") {
            let at = out.when_read();
            if self.origins.entry(name.into()).or_default().is_new_by_uptime(uptime as f64, at) {
                out.begin_anew();
            }
        }
        out.pick_present(&json::row(system, SYSTEM), SYSTEM, tags);
        let queues = system.pointer(QUEUE.cell).and_then(Value::as_object).into_iter().flatten();
        let longest =
            queues.filter_map(|(_, queue)| json::count(queue, "").or_else(|| json::count(queue, "/max"))).max();
        longest.into_iter().for_each(|longest| out.put(&QUEUE, longest, tags));
    }
}

/// Adds to an error what rights the user needs.
fn refused(error: Error) -> Error {
    match error {
        Error::Status { address, status: status @ (401 | 403), problem } => {
            let problem = format!("{problem}: since CouchDB 3.0 a server admin alone may see statistics");
            Error::Status { address, status, problem }
        }
        other => other,
    }
}
