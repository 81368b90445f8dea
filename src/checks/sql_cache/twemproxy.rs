//! twemproxy: requests and queues of each server behind Twemproxy, from its statistics (nutcracker,
//! notes/recommendation.md, "Observability"). It writes a JSON document to every connection and closes it.

use super::CONF;
use crate::check::chart::Chart;
use crate::check::{Check, Context, Out, Runs, Spec};
use crate::fetch::tcp::{self, Server};
use crate::model::error::{Error, Result};
use crate::model::parse::json;
use crate::model::point::Tags;
use crate::model::table::{Field, gauge, rate};
use serde_json::Value;

pub static SPEC: Spec = Spec {
    name: "check_twemproxy",
    purpose: "requests, queues and errors of the servers behind Twemproxy",
    check_type: "twemproxy",
    conf: CONF,
    section: "Twemproxy",
    keys: &[tcp::KEYS],
    runs: Runs::Own,
    fields: &[PROXY, &[CLIENTS], POOLS, SERVERS],
    charts: CHARTS,
    build: |section| Ok(Box::new(Twemproxy { server: Server::read(section, 22222)? })),
};

const CHARTS: &[Chart] = &[
    Chart::new("Requests by server").of(&["twemproxy_requests"]).each("backend"),
    Chart::new("Answers by server").of(&["twemproxy_responses"]).each("backend"),
    Chart::new("Traffic by server").mirror(&["twemproxy_response_bytes"], &["twemproxy_request_bytes"]).each("backend"),
    Chart::new("Requests waiting to be sent").of(&["twemproxy_in_queue"]).each("backend"),
    Chart::new("Requests waiting for an answer").of(&["twemproxy_out_queue"]).each("backend"),
    Chart::new("Bytes waiting to be sent").of(&["twemproxy_in_queue_bytes"]).each("backend"),
    Chart::new("Bytes waiting for an answer").of(&["twemproxy_out_queue_bytes"]).each("backend"),
    Chart::new("Errors of servers").of(&["twemproxy_server_err"]).each("backend"),
    Chart::new("Servers that took too long").of(&["twemproxy_server_timedout"]).each("backend"),
    Chart::new("Connections that servers closed").of(&["twemproxy_server_eof"]).each("backend"),
    Chart::new("Connections to servers").of(&["twemproxy_server_connections"]).each("backend"),
    Chart::new("Servers taken out").of(&["twemproxy_server_ejects"]).each("pool"),
    Chart::new("Requests not passed on").of(&["twemproxy_forward_error"]).each("pool"),
    Chart::new("Broken connections of clients").of(&["twemproxy_client_err"]).each("pool"),
    Chart::new("Connections that clients closed").of(&["twemproxy_client_eof"]).each("pool"),
    Chart::new("Parts of requests").of(&["twemproxy_fragments"]).each("pool"),
    Chart::new("Connections").of(&["twemproxy_current_connections", "twemproxy_client_connections"]),
    Chart::new("New connections").of(&["twemproxy_connections"]),
    Chart::new("Time since the start").of(&["twemproxy_uptime"]),
];

const PROXY: &[Field] = &[
    gauge("/curr_connections", "twemproxy_current_connections", "connections").int().optional(),
    rate("/total_connections", "twemproxy_connections", "1/s").optional(),
    gauge("/uptime", "twemproxy_uptime", "s").int().optional(),
];
/// Summed over all pools.
const CLIENTS: Field = gauge("/client_connections", "twemproxy_client_connections", "connections").int();
const POOLS: &[Field] = &[
    rate("/client_err", "twemproxy_client_err", "1/s").optional(),
    rate("/client_eof", "twemproxy_client_eof", "1/s").optional(),
    rate("/forward_error", "twemproxy_forward_error", "1/s").optional(),
    rate("/fragments", "twemproxy_fragments", "1/s").optional(),
    rate("/server_ejects", "twemproxy_server_ejects", "1/s").optional(),
];
const SERVERS: &[Field] = &[
    rate("/requests", "twemproxy_requests", "1/s").optional(),
    rate("/request_bytes", "twemproxy_request_bytes", "bytes/s").optional(),
    rate("/responses", "twemproxy_responses", "1/s").optional(),
    rate("/response_bytes", "twemproxy_response_bytes", "bytes/s").optional(),
    gauge("/in_queue", "twemproxy_in_queue", "requests").int().optional(),
    gauge("/in_queue_bytes", "twemproxy_in_queue_bytes", "bytes").int().optional(),
    gauge("/server_connections", "twemproxy_server_connections", "connections").int().optional(),
    gauge("/out_queue", "twemproxy_out_queue", "requests").int().optional(),
    gauge("/out_queue_bytes", "twemproxy_out_queue_bytes", "bytes").int().optional(),
    rate("/server_err", "twemproxy_server_err", "1/s").optional(),
    rate("/server_timedout", "twemproxy_server_timedout", "1/s").optional(),
    rate("/server_eof", "twemproxy_server_eof", "1/s").optional(),
    gauge("/server_ejected_at", "twemproxy_server_ejected_at", "unix us").int().optional(),
];

const WANTED: &str = "the statistics of Twemproxy (is this its stats port?)";

struct Twemproxy {
    server: Server,
}

impl Check for Twemproxy {
    fn run(&mut self, cx: &Context, out: &mut Out) -> Result<()> {
        let answer = cx.ask(&mut self.server, b"", |_| false)?;
        let text = String::from_utf8_lossy(&answer);
        let told = json::document(&text, WANTED)?;
        if json::count(&told, "/curr_connections").is_none() {
            return Err(Error::parse(WANTED, &text));
        }
        if let Some(seconds) = json::count(&told, "/uptime") {
            out.counted_for(seconds as f64);
        }
        out.pick(&json::row(&told, PROXY), PROXY, &Tags::default());
        let mut clients = None;
        for (pool, of_pool) in objects(&told) {
            let count = json::count(of_pool, CLIENTS.cell);
            clients = count.map(|count| clients.unwrap_or(0_u64).saturating_add(count)).or(clients);
            out.pick(&json::row(of_pool, POOLS), POOLS, &Tags::one("pool", pool));
            for (server, of_server) in objects(of_pool) {
                let tags = Tags::one("backend", server).with("pool", pool);
                out.pick(&json::row(of_server, SERVERS), SERVERS, &tags);
            }
        }
        clients.into_iter().for_each(|clients: u64| out.put(&CLIENTS, clients, &Tags::default()));
        Ok(())
    }
}

/// The members that are objects: the pools of the proxy, or the servers of a pool. Other members are numbers.
fn objects(of: &Value) -> impl Iterator<Item = (&String, &Value)> {
    of.as_object().into_iter().flatten().filter(|(_, one)| one.is_object())
}
