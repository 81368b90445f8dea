//! The base of both RabbitMQ checks: overview, nodes and queues from the management API, which returns queues page by
//! page (RabbitMQ documentation, "Management HTTP API").

use crate::check::chart::Chart;
use crate::check::{Check, Context, Out, Pace};
use crate::config::section::Section;
use crate::fetch::http::{Answer, Endpoint, Http, percent_encode};
use crate::model::error::{Error, Result};
use crate::model::parse::json;
use crate::model::point::Tags;
use crate::model::table::{Field, gauge};
use serde_json::Value;
use std::collections::HashMap;
use std::time::Instant;

/// Metrics of the overview that both checks emit; each adds its own.
pub const OVERVIEW: &[Field] = &[
    gauge("/message_stats/confirm_details/rate", "rabbitmq_confirm_rate", "1/s"),
    gauge("/message_stats/return_unroutable_details/rate", "rabbitmq_return_unroutable_rate", "1/s"),
    gauge("/message_stats/drop_unroutable_details/rate", "rabbitmq_drop_unroutable_rate", "1/s"),
    gauge("/message_stats/get_empty_details/rate", "rabbitmq_get_empty_rate", "1/s"),
    gauge("/churn_rates/connection_created_details/rate", "rabbitmq_connection_created_rate", "1/s"),
    gauge("/churn_rates/connection_closed_details/rate", "rabbitmq_connection_closed_rate", "1/s"),
    gauge("/churn_rates/channel_created_details/rate", "rabbitmq_channel_created_rate", "1/s"),
    gauge("/churn_rates/channel_closed_details/rate", "rabbitmq_channel_closed_rate", "1/s"),
    gauge("/object_totals/connections", "rabbitmq_connections", "connections").int(),
    gauge("/object_totals/channels", "rabbitmq_channels", "channels").int(),
    gauge("/object_totals/consumers", "rabbitmq_consumers", "consumers").int(),
    gauge("/object_totals/queues", "rabbitmq_queues", "queues").int(),
    gauge("/object_totals/exchanges", "rabbitmq_exchanges", "exchanges").int(),
];

/// Metrics of each node in both checks. A node that is down has only its state, and there are no numbers if statistics
/// are disabled.
pub const NODE: &[Field] = &[
    gauge("/mem_used", "rabbitmq_node_mem_used", "bytes").int(),
    gauge("/mem_limit", "rabbitmq_node_mem_limit", "bytes").int(),
    gauge("/disk_free", "rabbitmq_node_disk_free", "bytes").int(),
    gauge("/disk_free_limit", "rabbitmq_node_disk_free_limit", "bytes").int(),
    gauge("/fd_used", "rabbitmq_node_fd_used", "files").int(),
    gauge("/fd_total", "rabbitmq_node_fd_total", "files").int(),
    gauge("/sockets_used", "rabbitmq_node_sockets_used", "sockets").int(),
    gauge("/sockets_total", "rabbitmq_node_sockets_total", "sockets").int(),
    gauge("/proc_used", "rabbitmq_node_proc_used", "processes").int(),
    gauge("/proc_total", "rabbitmq_node_proc_total", "processes").int(),
    gauge("/run_queue", "rabbitmq_node_run_queue", "processes").int(),
    gauge("/uptime", "rabbitmq_node_uptime", "s").scale(0.001),
];
/// States, emitted as 1 or 0.
pub const NODE_STATE: &[Field] = &[
    gauge("/running", "rabbitmq_node_running", "0 or 1").int(),
    gauge("/mem_alarm", "rabbitmq_node_mem_alarm", "0 or 1").int(),
    gauge("/disk_free_alarm", "rabbitmq_node_disk_free_alarm", "0 or 1").int(),
    gauge("/being_drained", "rabbitmq_node_being_drained", "0 or 1").int(),
];
/// The number of nodes that it has lost contact with.
pub const NODE_PARTITIONS: &[Field] = &[gauge("/partitions", "rabbitmq_node_partitions", "nodes").int()];

/// Charts of both checks.
pub const UNROUTABLE: Chart =
    Chart::new("Messages without a queue").of(&["rabbitmq_return_unroutable_rate", "rabbitmq_drop_unroutable_rate"]);
pub const CHURN: Chart = Chart::new("Connections and channels opened and closed").of(&[
    "rabbitmq_connection_created_rate",
    "rabbitmq_connection_closed_rate",
    "rabbitmq_channel_created_rate",
    "rabbitmq_channel_closed_rate",
]);
pub const EMPTY_GETS: Chart = Chart::new("Gets that found nothing").of(&["rabbitmq_get_empty_rate"]);
pub const MEMORY: Chart = Chart::new("Nodes: memory").of(&["rabbitmq_node_mem_used"]).each("node");
pub const DISK: Chart = Chart::new("Nodes: free disk").of(&["rabbitmq_node_disk_free"]).each("node");
pub const FILES: Chart = Chart::new("Nodes: open files").of(&["rabbitmq_node_fd_used"]).each("node");
pub const ALARMS: Chart =
    Chart::new("Nodes: alarms").of(&["rabbitmq_node_mem_alarm", "rabbitmq_node_disk_free_alarm"]).sum();
pub const PARTITIONS: Chart = Chart::new("Nodes: lost sight of").of(&["rabbitmq_node_partitions"]).each("node");

/// Maximum number of queues on a page of the API.
const PAGE: usize = 500;
/// Maximum length of the pattern with queue names. If it is longer, all queues are requested.
const MOST_NAMES: usize = 1000;
/// The virtual host for which there is no tag.
const USUAL_VHOST: &str = "/";

/// A check of a broker. It emits `totals` and [`OVERVIEW`] with these tags, the nodes, and calls `tell` for each queue,
/// whose cells are those of the tables `queues`. `names` selects queues; empty: all.
///
/// # Errors
/// A mistake in the section.
pub fn broker<T>(
    section: &Section,
    totals: (&'static [Field], Tags),
    queues: &[&[Field]],
    names: Vec<String>,
    tell: T,
) -> Result<Box<dyn Check>>
where
    T: FnMut(&Queue, &mut Out) + Send + 'static,
{
    let http = Http::new(Endpoint::read(&section.with_login(), &["stats"])?);
    let list = match section.flag("queue_details", false)? {
        true => Some(List { query: query(queues, &names), names, pace: Pace::default() }),
        false => None,
    };
    let nodes = format!("/api/nodes?columns={}", columns(&["name"], &[NODE, NODE_STATE, NODE_PARTITIONS]));
    Ok(Box::new(Broker { http, totals, nodes, list, tell }))
}

struct Broker<T> {
    http: Http,
    totals: (&'static [Field], Tags),
    nodes: String,
    list: Option<List>,
    tell: T,
}

impl<T: FnMut(&Queue, &mut Out) + Send> Check for Broker<T> {
    fn run(&mut self, cx: &Context, out: &mut Out) -> Result<()> {
        let answer = cx.get(&mut self.http, "/api/overview")?;
        let may_see_all = tell_overview(&answer, &self.totals, out).map_err(|error| answer.unread(&error))?;
        if let Some(list) = &mut self.list {
            let listed = list.run(cx, &mut self.http, |queue| (self.tell)(queue, out));
            match listed {
                Err(error) => out.fault_of("queues", error.to_string()),
                Ok(Some(meeting)) => out.absence_of("names of queues", meeting),
                Ok(None) => {}
            }
            if let Some(text) = list.pace.slowness("the broker is slow to list them") {
                out.absence_of("list of queues", text);
            }
        }
        // Last, because the server asks each node of the cluster: if a node hangs, only this part is missing.
        if may_see_all {
            let told = cx.get(&mut self.http, &self.nodes).and_then(|answer| tell_nodes(&answer, out));
            told.unwrap_or_else(|error| out.fault_of("nodes", error.to_string()));
        }
        Ok(())
    }
}

/// Emits the overview. Returns whether the user may see objects that belong to no virtual host.
fn tell_overview(answer: &Answer, (fields, tags): &(&'static [Field], Tags), out: &mut Out) -> Result<bool> {
    let overview = json::document(&answer.text, "the overview of RabbitMQ's management plugin")?;
    answer.must(overview.get("management_version").is_some(), "the overview of RabbitMQ's management plugin")?;
    let may_see_all = ["node", "listeners", "contexts"].iter().any(|key| overview.get(key).is_some());
    if !may_see_all {
        let text =
            "needs the tag monitoring in RabbitMQ: what is told is of its own virtual hosts alone, and of no node";
        out.absence_of("user", text);
    }
    if overview.get("disable_stats") == Some(&Value::Bool(true)) {
        out.absence_of(
            "statistics",
            "are switched off in RabbitMQ: what is missing is on its Prometheus page, port 15692",
        );
    }
    for fields in [*fields, OVERVIEW] {
        out.pick_present(&json::row(&overview, fields), fields, tags);
    }
    Ok(may_see_all)
}

fn tell_nodes(answer: &Answer, out: &mut Out) -> Result<()> {
    let list = json::document(&answer.text, "a list of nodes").map_err(|error| answer.unread(&error))?;
    answer.must(list.is_array(), "a list of nodes")?;
    for node in json::array(&list, "") {
        let Some(name) = json::text(node, "/name") else { continue };
        let tags = Tags::one("node", name);
        // Values that the operating system does not provide are texts.
        out.pick_present(&json::numbers(node, NODE), NODE, &tags);
        for field in NODE_STATE {
            if let Some(is_so) = node.pointer(field.cell).and_then(Value::as_bool) {
                out.put(field, u64::from(is_so), &tags);
            }
        }
        for field in NODE_PARTITIONS {
            if let Some(others) = node.pointer(field.cell).and_then(Value::as_array) {
                out.put(field, others.len() as u64, &tags);
            }
        }
    }
    Ok(())
}

/// A queue in the list of the API.
pub struct Queue<'a> {
    pub name: &'a str,
    vhost: &'a str,
    json: &'a Value,
}

impl Queue<'_> {
    /// Emits the fields that it has, with this tag `queue`.
    pub fn tell(&self, fields: &'static [Field], text: &str, out: &mut Out) {
        let tags = Tags::one("queue", &cleaned(text));
        let tags = if self.is_usual() { tags } else { tags.with("vhost", self.vhost) };
        out.pick_present(&json::row(self.json, fields), fields, &tags);
    }

    /// Whether it is in the virtual host for which there is no tag.
    pub fn is_usual(&self) -> bool {
        self.vhost == USUAL_VHOST
    }
}

fn cleaned(text: &str) -> String {
    text.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '_' }).collect()
}

/// The list of queues.
struct List {
    query: String,
    names: Vec<String>,
    pace: Pace,
}

impl List {
    /// Emits each queue once. Returns a note about the first two queues whose names become the same tag.
    fn run(&mut self, cx: &Context, http: &mut Http, tell: impl FnMut(&Queue)) -> Result<Option<String>> {
        if !self.pace.is_due() {
            return Ok(None);
        }
        let begun = Instant::now();
        let listed = self.pages(cx, http, tell);
        self.pace.took(begun.elapsed(), cx.tick.period);
        listed
    }

    fn pages(&self, cx: &Context, http: &mut Http, mut tell: impl FnMut(&Queue)) -> Result<Option<String>> {
        let (mut told, mut meeting) = (HashMap::new(), None);
        for page in 1.. {
            let answer = match cx.get(http, &format!("/api/queues?page={page}{}", self.query)) {
                // There are fewer pages than a moment ago.
                Err(Error::Status { status: 400, .. }) if page > 1 => break,
                answer => answer?,
            };
            let list = json::document(&answer.text, "a list of queues").map_err(|error| answer.unread(&error))?;
            // Before 3.6 the API has no pages.
            let items = list.as_array().map_or_else(|| json::array(&list, "/items"), Vec::as_slice);
            for item in items {
                let (Some(name), Some(vhost)) = (json::text(item, "/name"), json::text(item, "/vhost")) else {
                    continue;
                };
                if !self.names.is_empty() && !self.names.iter().any(|wanted| wanted == name) {
                    continue;
                }
                let other = told.entry((vhost.to_string(), cleaned(name))).or_insert_with(|| {
                    tell(&Queue { name, vhost, json: item });
                    name.to_string()
                });
                if other != name && meeting.is_none() {
                    meeting = Some(format!("{name} and {other} are the same as a tag: only {other} is told"));
                }
            }
            if json::count(&list, "/page_count").is_none_or(|pages| page >= pages) {
                break;
            }
        }
        Ok(meeting)
    }
}

/// A query for these cells only, and for these queues only, if the names are short enough.
fn query(tables: &[&[Field]], names: &[String]) -> String {
    let columns = columns(&["name", "vhost"], tables);
    let pattern = format!("^({})$", names.iter().map(|name| escaped(name)).collect::<Vec<_>>().join("|"));
    let only = match names {
        [_, ..] if pattern.len() <= MOST_NAMES => format!("&use_regex=true&name={}", percent_encode(&pattern)),
        _ => String::new(),
    };
    format!("&page_size={PAGE}&enable_queue_totals=true&columns={columns}{only}")
}

/// These names and the cells of the tables, in the form of the API's parameter `columns`.
fn columns(names: &[&str], tables: &[&[Field]]) -> String {
    let cells = tables.iter().copied().flatten().map(|field| field.cell.trim_start_matches('/').replace('/', "."));
    names.iter().map(|name| name.to_string()).chain(cells).collect::<Vec<_>>().join(",")
}

/// Escapes text for a regular expression.
fn escaped(text: &str) -> String {
    let plain = |letter: char| letter.is_alphanumeric() || letter == '_';
    text.chars().flat_map(|letter| [Some('\\').filter(|_| !plain(letter)), Some(letter)]).flatten().collect()
}
