//! The base of both Couchbase checks: the cluster, its nodes, and its buckets on each node (Couchbase documentation,
//! "Viewing Cluster Details", "Getting Bucket Information").

use crate::check::chart::Chart;
use crate::check::{Check, Context, Out};
use crate::config::section::Section;
use crate::fetch::host_names::{HostNames, short_name, without_port};
use crate::fetch::http::{Answer, Endpoint, Http, Question, percent_encode};
use crate::model::error::Result;
use crate::model::parse::json;
use crate::model::point::Tags;
use crate::model::table::{Field, gauge};
use serde_json::Value;
use std::collections::HashMap;

/// Keys of both checks besides those of HTTP.
pub const KEYS: &[&str] = &["stats", "buckets", "nodes"];

/// Metrics of a bucket in the whole cluster that both checks emit.
pub const BUCKET: &[Field] = &[
    gauge("/basicStats/quotaPercentUsed", "couchbase_clusterwide_quotapercentused", "%"),
    gauge("/basicStats/opsPerSec", "couchbase_clusterwide_opspersec", "1/s"),
    gauge("/basicStats/itemCount", "couchbase_clusterwide_itemcount", "documents"),
    gauge("/basicStats/memUsed", "couchbase_clusterwide_memused", "bytes"),
    gauge("/basicStats/diskUsed", "couchbase_clusterwide_diskused", "bytes"),
    gauge("/basicStats/dataUsed", "couchbase_clusterwide_dataused", "bytes"),
    gauge("/basicStats/diskFetches", "couchbase_clusterwide_diskfetches", "1/s"),
];

/// Metrics of the cluster.
pub const CLUSTER: &[Field] = &[
    gauge("/storageTotals/ram/quotaTotal", "couchbase_cluster_ram_quota", "bytes"),
    gauge("/storageTotals/ram/quotaUsed", "couchbase_cluster_ram_quota_used", "bytes"),
    gauge("/storageTotals/ram/usedByData", "couchbase_cluster_ram_data", "bytes"),
    gauge("/storageTotals/hdd/total", "couchbase_cluster_disk_total", "bytes"),
    gauge("/storageTotals/hdd/free", "couchbase_cluster_disk_free", "bytes"),
    gauge("/storageTotals/hdd/usedByData", "couchbase_cluster_disk_data", "bytes"),
];
pub const NODES: Field = gauge("/nodes", "couchbase_cluster_nodes", "nodes").int();
pub const HEALTHY_NODES: Field = gauge("/nodes", "couchbase_cluster_nodes_healthy", "nodes").int();
pub const REBALANCING: Field = gauge("/rebalanceStatus", "couchbase_cluster_rebalancing", "0 or 1").int();

/// Charts of both checks.
pub const OPERATIONS: Chart =
    Chart::new("Operations on a bucket").of(&["couchbase_clusterwide_opspersec"]).each("bucket");
pub const MEMORY: Chart =
    Chart::new("Memory of a bucket in use").of(&["couchbase_clusterwide_quotapercentused"]).each("bucket");
pub const DISK_READS: Chart =
    Chart::new("Documents of a bucket read from disk").of(&["couchbase_clusterwide_diskfetches"]).each("bucket");
pub const DOCUMENTS: Chart =
    Chart::new("Documents of a bucket").of(&["couchbase_clusterwide_itemcount"]).each("bucket");
pub const STATES: Chart =
    Chart::new("Nodes of the cluster").of(&["couchbase_cluster_nodes", "couchbase_cluster_nodes_healthy"]);
pub const RAM: Chart = Chart::new("Memory of the cluster").of(&[
    "couchbase_cluster_ram_quota",
    "couchbase_cluster_ram_quota_used",
    "couchbase_cluster_ram_data",
]);
pub const DISK: Chart = Chart::new("Disk of the cluster").of(&[
    "couchbase_cluster_disk_total",
    "couchbase_cluster_disk_free",
    "couchbase_cluster_disk_data",
]);
pub const REBALANCE: Chart = Chart::new("Rebalancing").of(&["couchbase_cluster_rebalancing"]).full(1.0);

/// What only one of the checks emits.
pub struct Own {
    /// Metrics of a bucket in the whole cluster.
    pub bucket: &'static [Field],
    /// Metrics of a bucket on a node; `{node}` in a name is replaced by the node.
    pub on_node: &'static [Field],
    /// Metrics of a node, independent of buckets.
    pub node: &'static [Field],
    /// Metrics of a node that are 1 if the cell has this word.
    pub state: &'static [(Field, &'static str)],
    /// The node is the host of its points; otherwise its name is part of the metric name.
    pub has_hosts: bool,
    /// The tag `bucket` exists even if a single bucket is configured.
    pub has_tag: bool,
}

/// Last part of the configured path.
const BUCKETS: &str = "/buckets";
/// Maximum number of nodes.
const MOST: usize = 200;
/// What a node that never got a name reports as its host name.
const ITSELF: &str = "$HOST";
/// Leaves out the vBucket map, which is most of an answer.
const SHORT: &str = "?skipMap=true";

/// Builds either check.
///
/// # Errors
/// A mistake in the section.
pub fn couchbase(section: &Section, own: Own) -> Result<Box<dyn Check>> {
    let stats = section.required("stats", "http://127.0.0.1:8091/pools/default/buckets")?.trim_end_matches('/');
    let pool = stats.strip_suffix(BUCKETS).ok_or_else(|| {
        section.problem("stats", "expected an address as http://127.0.0.1:8091/pools/default/buckets, which ends so")
    })?;
    let endpoint = Endpoint::read(&section.with("stats", pool), &["stats"])?;
    let is_local = match section.text("nodes").unwrap_or_default() {
        "local" => true,
        "" | "all" => false,
        _ => return Err(section.wrong("nodes", "expected all or local")),
    };
    let buckets: Vec<String> = section.list("buckets").into_iter().map(String::from).collect();
    let has_tag = own.has_tag || buckets.len() != 1;
    let mut questions = vec![Question::get("")];
    questions.extend(buckets.iter().map(|name| Question::get(&format!("{BUCKETS}/{}{SHORT}", percent_encode(name)))));
    if buckets.is_empty() {
        questions.push(Question::get(&format!("{BUCKETS}{SHORT}")));
    }
    let asked = endpoint.host_and_port().0.to_string();
    let (hosts, http) = (HostNames::new(&endpoint), Http::new(endpoint));
    Ok(Box::new(Couchbase { http, hosts, asked, own, is_local, buckets, has_tag, questions }))
}

struct Couchbase {
    http: Http,
    hosts: HostNames,
    /// The host in the configured address.
    asked: String,
    own: Own,
    /// Emit only the node that is asked.
    is_local: bool,
    /// Names of the wanted buckets; empty: all.
    buckets: Vec<String>,
    has_tag: bool,
    /// The requests: for the cluster, and then for each bucket, or for all buckets.
    questions: Vec<Question>,
}

impl Check for Couchbase {
    fn run(&mut self, cx: &Context, out: &mut Out) -> Result<()> {
        let answers = cx.answers(&mut self.http, &self.questions).into_iter();
        let mut answers: HashMap<usize, Result<Value>> =
            answers.map(|(at, answer)| (at, answer.and_then(|answer| document(at, &answer)))).collect();
        let mut errors = Vec::new();
        let cluster = answers.remove(&0).transpose().unwrap_or_else(|error| {
            errors.push(("cluster", error));
            None
        });
        let is_first = !self.is_local || cluster.as_ref().is_some_and(is_first);
        if let Some(cluster) = &cluster {
            self.tell_cluster(cluster, is_first, cx, out);
        }
        let names: Vec<String> = if self.buckets.is_empty() { vec![String::new()] } else { self.buckets.clone() };
        for (name, answer) in names.iter().enumerate().filter_map(|(at, name)| Some((name, answers.remove(&(at + 1))?)))
        {
            match answer {
                Ok(list) if list.is_array() => {
                    for bucket in json::array(&list, "") {
                        let name = json::text(bucket, "/name").unwrap_or_default();
                        self.tell_bucket(name, bucket, is_first, cx, out);
                    }
                }
                Ok(bucket) => self.tell_bucket(name, &bucket, is_first, cx, out),
                Err(error) => errors.push((if name.is_empty() { "buckets" } else { name }, error)),
            }
        }
        if errors.len() == self.questions.len()
            && let Some((_, error)) = errors.pop()
        {
            return Err(error);
        }
        errors.into_iter().for_each(|(thing, error)| out.fault_of(thing, error.to_string()));
        Ok(())
    }
}

/// Parses the answer to the request with this index.
fn document(at: usize, answer: &Answer) -> Result<Value> {
    let told = json::document(&answer.text, "statistics of Couchbase").map_err(|error| answer.unread(&error))?;
    match at {
        0 => answer.must(told.pointer("/nodes").is_some_and(Value::is_array), "the nodes of Couchbase")?,
        _ => answer.must(told.is_array() || told.get("basicStats").is_some(), "a bucket of Couchbase")?,
    }
    Ok(told)
}

/// Whether the node that is asked is the first, by name, of the healthy ones. Metrics of the whole cluster are emitted
/// only there, so that they are emitted once if every node is monitored.
fn is_first(cluster: &Value) -> bool {
    let well = json::array(cluster, "/nodes").iter().filter(|node| {
        json::text(node, "/status") == Some("healthy") && json::text(node, "/clusterMembership") == Some("active")
    });
    well.min_by_key(|node| json::text(node, "/hostname").unwrap_or_default()).is_some_and(is_asked)
}

/// Whether this is the node that is asked.
fn is_asked(node: &Value) -> bool {
    node.get("thisNode").and_then(Value::as_bool).unwrap_or_default()
}

impl Couchbase {
    fn tell_cluster(&mut self, cluster: &Value, is_first: bool, cx: &Context, out: &mut Out) {
        let nodes = json::array(cluster, "/nodes");
        if is_first {
            out.pick_present(&json::row(cluster, CLUSTER), CLUSTER, &Tags::default());
            let healthy = nodes.iter().filter(|node| json::text(node, "/status") == Some("healthy")).count();
            out.put(&NODES, nodes.len() as u64, &Tags::default());
            out.put(&HEALTHY_NODES, healthy as u64, &Tags::default());
            if let Some(status) = json::text(cluster, REBALANCING.cell) {
                out.put(&REBALANCING, u64::from(status != "none"), &Tags::default());
            }
        }
        if nodes.len() > MOST && !self.is_local {
            out.absence_of("nodes", format!("{} of them: the first {MOST} are told", nodes.len()));
        }
        for node in self.placed(nodes, &Tags::default(), cx) {
            node.tell(self.own.node, out);
            for (field, well) in self.own.state {
                if let Some(word) = json::text(node.json, field.cell) {
                    out.put(field, u64::from(word == *well), &node.tags);
                }
            }
        }
        out.set_host(None);
    }

    fn tell_bucket(&mut self, name: &str, bucket: &Value, is_first: bool, cx: &Context, out: &mut Out) {
        let tags = if self.has_tag { Tags::one("bucket", name) } else { Tags::default() };
        if is_first {
            for fields in [BUCKET, self.own.bucket] {
                out.pick_present(&json::row(bucket, fields), fields, &tags);
            }
        }
        for node in self.placed(json::array(bucket, "/nodes"), &tags, cx) {
            node.tell(self.own.on_node, out);
        }
        out.set_host(None);
    }

    /// The nodes to emit, with their hosts. Nodes on the same host get the tag `node`.
    fn placed<'a>(&mut self, nodes: &'a [Value], tags: &Tags, cx: &Context) -> Vec<Node<'a>> {
        let mut placed = Vec::new();
        for json in nodes.iter().filter(|node| !self.is_local || is_asked(node)).take(MOST) {
            let told = json::text(json, "/hostname").unwrap_or_default();
            let address = told.replace(ITSELF, &self.asked);
            let (host, name) = (without_port(told), as_part(short_name(without_port(&address))));
            let host = if self.own.has_hosts { cx.host_of(&mut self.hosts, host) } else { None };
            placed.push(Node { json, address, host, name, tags: tags.clone() });
        }
        let has_hosts = self.own.has_hosts;
        let key = |node: &Node| if has_hosts { node.host.clone() } else { Some(node.name.clone()) };
        let keys: Vec<_> = placed.iter().map(key).collect();
        for node in &mut placed {
            if keys.iter().filter(|other| **other == key(node)).count() > 1 {
                node.tags = tags.with("node", &node.address);
            }
        }
        placed
    }
}

/// A node to emit.
struct Node<'a> {
    json: &'a Value,
    /// Host and port.
    address: String,
    host: Option<String>,
    /// Its name as part of a metric name.
    name: String,
    tags: Tags,
}

impl Node<'_> {
    fn tell(&self, fields: &'static [Field], out: &mut Out) {
        out.set_host(self.host.as_deref());
        for field in fields {
            if let Some(raw) = json::cell(self.json, field.cell) {
                out.put_as(&field.metric.replace("{node}", &self.name), field, raw, &self.tags);
            }
        }
    }
}

/// Replaces characters that a metric name cannot have.
fn as_part(host: &str) -> String {
    let clean = |letter: char| if letter.is_ascii_alphanumeric() || letter == '-' { letter } else { '_' };
    host.chars().map(clean).collect::<String>().to_lowercase()
}
