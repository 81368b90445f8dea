//! zookeeper: requests, latency, nodes and sessions of a ZooKeeper server, from its answer to `mntr`, or from its
//! AdminServer if `mntr` is not allowed (ZooKeeper Administrator's Guide, "The Four Letter Words" and "The
//! AdminServer").

use super::CONF;
use crate::check::chart::Chart;
use crate::check::{Check, Context, Out, Runs, Spec};
use crate::config::section::Section;
use crate::fetch::http::{Endpoint, Http};
use crate::fetch::tcp::{self, Server};
use crate::model::error::{Error, Result, quote};
use crate::model::parse::json;
use crate::model::point::Tags;
use crate::model::table::{Field, Raw, Row, counter, gauge, rate};
use serde_json::Value;

pub static SPEC: Spec = Spec {
    name: "check_zookeeper",
    purpose: "requests, latency, nodes and sessions of ZooKeeper",
    check_type: "zookeeper",
    conf: CONF,
    section: "ZooKeeper",
    keys: &[tcp::KEYS, &["admin", "more", "auth", "user", "pass"]],
    runs: Runs::Own,
    fields: &[&[UP, LEADS], FIELDS, ENSEMBLE, &[MORE]],
    charts: CHARTS,
    build: |section| {
        let server = Server::read(section, PORT)?;
        let admin = if server.is_socket() { None } else { Some(admin(section)?) };
        let bare = |name: &str| name.strip_prefix("zk_").unwrap_or(name).to_string();
        let more = section.list("more").into_iter().map(bare).collect();
        Ok(Box::new(ZooKeeper { server, admin, is_forbidden: false, more }))
    },
};

const CHARTS: &[Chart] = &[
    Chart::new("Packets").mirror(&["zk_packets_received"], &["zk_packets_sent"]),
    Chart::new("Time of a request").of(&["zk_avg_latency", "zk_max_latency", "zk_min_latency"]),
    Chart::new("Time to write to disk").of(&["zk_avg_fsynctime", "zk_max_fsynctime"]),
    Chart::new("Requests that wait").of(&["zk_outstanding_requests"]),
    Chart::new("Connections").of(&["zk_num_alive_connections"]),
    Chart::new("Sessions").of(&["zk_global_sessions", "zk_local_sessions"]),
    Chart::new("Refused").of(&["zk_connection_rejected", "zk_auth_failed_count"]),
    Chart::new("Serving, leading").of(&["zk_up", "zk_is_leader"]).full(1.0),
    Chart::new("Followers in step").of(&["zk_synced_followers", "zk_followers", "zk_learners"]),
    Chart::new("Followers that wait").of(&["zk_pending_syncs"]),
    Chart::new("Nodes").of(&["zk_znode_count", "zk_ephemerals_count"]),
    Chart::new("Watches").of(&["zk_watch_count"]),
    Chart::new("Data").of(&["zk_approximate_data_size"]),
    Chart::new("Open files").of(&["zk_open_file_descriptor_count", "zk_max_file_descriptor_count"]),
    Chart::new("Time since the start").of(&["zk_uptime"]),
];

const PORT: u16 = 2181;

const UP: Field = gauge("", "zk_up", "0 or 1").int();
/// It is the leader or a standalone server.
const LEADS: Field = gauge("", "zk_is_leader", "0 or 1").int();

/// Cells have the AdminServer's names; `mntr` prefixes them with zk_.
const FIELDS: &[Field] = &[
    gauge("avg_latency", "zk_avg_latency", "ms"),
    gauge("max_latency", "zk_max_latency", "ms"),
    gauge("min_latency", "zk_min_latency", "ms"),
    rate("packets_received", "zk_packets_received", "packets/s"),
    rate("packets_sent", "zk_packets_sent", "packets/s"),
    gauge("num_alive_connections", "zk_num_alive_connections", "connections"),
    gauge("outstanding_requests", "zk_outstanding_requests", "requests"),
    gauge("znode_count", "zk_znode_count", "nodes"),
    gauge("watch_count", "zk_watch_count", "watches"),
    gauge("ephemerals_count", "zk_ephemerals_count", "nodes"),
    gauge("approximate_data_size", "zk_approximate_data_size", "bytes"),
    gauge("open_file_descriptor_count", "zk_open_file_descriptor_count", "descriptors"),
    gauge("max_file_descriptor_count", "zk_max_file_descriptor_count", "descriptors"),
    gauge("global_sessions", "zk_global_sessions", "sessions"),
    gauge("local_sessions", "zk_local_sessions", "sessions"),
    gauge("uptime", "zk_uptime", "ms"),
    gauge("avg_fsynctime", "zk_avg_fsynctime", "ms"),
    gauge("max_fsynctime", "zk_max_fsynctime", "ms"),
    counter("connection_rejected", "zk_connection_rejected", "connections").float(),
    counter("auth_failed_count", "zk_auth_failed_count", "logins").float(),
];

/// Metrics of the ensemble, from its leader.
const ENSEMBLE: &[Field] = &[
    gauge("followers", "zk_followers", "servers"),
    gauge("learners", "zk_learners", "servers"),
    gauge("synced_followers", "zk_synced_followers", "servers"),
    gauge("synced_observers", "zk_synced_observers", "servers"),
    gauge("pending_syncs", "zk_pending_syncs", "servers"),
];

/// Further metrics selected by the key `more`.
const MORE: Field = gauge("", "zk_{more}", "");

/// Part of the answer of a server that has lost its quorum.
const IDLE: &str = "not currently serving requests";
const NO_QUORUM: &str = "does not serve requests: it finds too few of the other servers, or has just started";
/// Part of the answer of a server that does not allow `mntr`: the default since 3.5.3.
const FORBIDDEN: &str = "not in the whitelist";
const REMEDY: &str = "does not answer to mntr: add 4lw.commands.whitelist=mntr,srvr to its zoo.cfg, or set admin to the address \
                      of its AdminServer";
/// Default port of the AdminServer.
const ADMIN_PORT: u16 = 8080;
const PAGE: &str = "/commands/monitor";
/// Part of the names of metrics that exist once per node below the root.
const UNBOUNDED: &str = "per_namespace";

struct ZooKeeper {
    server: Server,
    /// `None` for a server on a Unix socket.
    admin: Option<Http>,
    /// `mntr` is not allowed, so the AdminServer is asked.
    is_forbidden: bool,
    /// Metric names without zk_; a `*` at the end matches any rest.
    more: Vec<String>,
}

/// The AdminServer, from the key `admin`, with or without the path of a command, or at its default port.
fn admin(section: &Section) -> Result<Http> {
    let host = section.required("host", "127.0.0.1")?;
    let host = if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host.into() };
    let section = match section.text("admin").unwrap_or_default() {
        "" => section.with("admin", &format!("http://{host}:{ADMIN_PORT}")),
        _ => section.clone(),
    };
    Ok(Http::new(Endpoint::read(&section, &["admin"])?.above("monitor").above("commands").hearing(&[503])))
}

impl Check for ZooKeeper {
    fn run(&mut self, cx: &Context, out: &mut Out) -> Result<()> {
        let does_serve = if self.is_forbidden { self.ask_admin(cx, out) } else { self.ask(cx, out) };
        if does_serve.inspect_err(|_| self.is_forbidden = false)? {
            return Ok(());
        }
        out.put(&UP, 0_u64, &Tags::default());
        Err(Error::Fetch { address: self.server.address(), problem: NO_QUORUM.into() })
    }
}

impl ZooKeeper {
    /// Asks with `mntr` and emits the answer. Returns whether the server serves requests.
    fn ask(&mut self, cx: &Context, out: &mut Out) -> Result<bool> {
        let answer = cx.ask(&mut self.server, b"mntr", |_| false)?;
        let text = String::from_utf8_lossy(&answer);
        let address = self.server.address();
        if text.contains(FORBIDDEN) {
            let asked = self.ask_admin(cx, out);
            self.is_forbidden = asked.is_ok();
            return asked.map_err(|error| Error::Fetch { address, problem: format!("{REMEDY}; {error}") });
        }
        // The last line may be truncated in the middle of a number.
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let lines = whole.lines().filter_map(|line| line.strip_prefix("zk_")?.split_once('\t'));
        let state = lines.clone().find(|(name, _)| *name == "server_state").map(|(_, state)| state.trim());
        let cells = lines.filter_map(|(name, value)| Some((name, number(value)?))).collect();
        let is_told = self.tell(cells, state, out);
        if is_told || text.contains(IDLE) {
            return Ok(is_told);
        }
        let problem = format!("expected lines as zk_znode_count 5; answered {}", quote(text.trim()));
        Err(Error::Fetch { address, problem })
    }

    /// The same through the AdminServer.
    fn ask_admin(&mut self, cx: &Context, out: &mut Out) -> Result<bool> {
        let Some(admin) = &mut self.admin else { return Err(Error::daemon("there is none at a socket")) };
        let answer = cx.get(admin, PAGE)?;
        let document: Value = serde_json::from_str(&answer.text).unwrap_or_default();
        let cells = document.as_object().into_iter().flatten();
        let cells = cells.filter_map(|(name, value)| Some((&**name, value.as_str().map_or(value.as_f64(), number)?)));
        let is_told = self.tell(cells.collect(), json::text(&document, "/server_state"), out);
        let is_idle = json::text(&document, "/error").is_some_and(|error| error.contains(IDLE));
        answer.must(is_told || is_idle, "what the AdminServer of ZooKeeper has at /commands/monitor")?;
        Ok(is_told)
    }

    /// Returns whether these are metrics of ZooKeeper, and emits them if so.
    fn tell(&self, cells: Vec<(&str, f64)>, state: Option<&str>, out: &mut Out) -> bool {
        let (row, none) = (Row::of(cells.iter().copied()), Tags::default());
        if !row.has_any(FIELDS) {
            return false;
        }
        if let Some(Raw::Float(milliseconds)) = row.get("uptime") {
            out.counted_for(milliseconds / 1000.0);
        }
        out.put(&UP, 1_u64, &none);
        out.pick_present(&row, FIELDS, &none);
        if let Some(state) = state {
            out.put(&LEADS, u64::from(["leader", "standalone"].contains(&state)), &none);
        }
        if state == Some("leader") {
            out.pick_present(&row, ENSEMBLE, &none);
        }
        for (name, value) in cells.into_iter().filter(|(name, _)| self.is_wanted(name)) {
            out.put_as(&format!("zk_{name}"), &MORE, value, &none);
        }
        true
    }

    /// Whether the key `more` selects this metric and no table has it. Metrics with labels are never selected.
    fn is_wanted(&self, name: &str) -> bool {
        let is = |own: &String| own.strip_suffix('*').map_or(own == name, |begin| name.starts_with(begin));
        let is_known = || FIELDS.iter().chain(ENSEMBLE).any(|field| field.cell == name);
        !name.contains('{') && !name.contains(UNBOUNDED) && self.more.iter().any(is) && !is_known()
    }
}

/// A number as Java prints it; `None` for NaN.
fn number(text: &str) -> Option<f64> {
    text.trim().parse().ok().filter(|number: &f64| number.is_finite())
}
