//! Twemproxy: requests and queues of each server behind it, from its statistics (nutcracker, notes/recommendation.md,
//! "Observability"): it writes a JSON document to whoever connects, and closes.

use super::CONF;
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
    build: |section| Ok(Box::new(Twemproxy { server: Server::read(section, 22222)? })),
};

const PROXY: &[Field] = &[
    gauge("/curr_connections", "twemproxy_current_connections").int().optional(),
    rate("/total_connections", "twemproxy_connections").optional(),
    gauge("/uptime", "twemproxy_uptime").int().optional(),
];
/// Of all pools together.
const CLIENTS: Field = gauge("/client_connections", "twemproxy_client_connections").int();
const POOLS: &[Field] = &[
    rate("/client_err", "twemproxy_client_err").optional(),
    rate("/client_eof", "twemproxy_client_eof").optional(),
    rate("/forward_error", "twemproxy_forward_error").optional(),
    rate("/fragments", "twemproxy_fragments").optional(),
    rate("/server_ejects", "twemproxy_server_ejects").optional(),
];
const SERVERS: &[Field] = &[
    rate("/requests", "twemproxy_requests").optional(),
    rate("/request_bytes", "twemproxy_request_bytes").optional(),
    rate("/responses", "twemproxy_responses").optional(),
    rate("/response_bytes", "twemproxy_response_bytes").optional(),
    gauge("/in_queue", "twemproxy_in_queue").int().optional(),
    gauge("/in_queue_bytes", "twemproxy_in_queue_bytes").int().optional(),
    gauge("/server_connections", "twemproxy_server_connections").int().optional(),
    gauge("/out_queue", "twemproxy_out_queue").int().optional(),
    gauge("/out_queue_bytes", "twemproxy_out_queue_bytes").int().optional(),
    rate("/server_err", "twemproxy_server_err").optional(),
    rate("/server_timedout", "twemproxy_server_timedout").optional(),
    rate("/server_eof", "twemproxy_server_eof").optional(),
    gauge("/server_ejected_at", "twemproxy_server_ejected_at").int().optional(),
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

/// Pools among the numbers of the proxy, servers among those of a pool.
fn objects(of: &Value) -> impl Iterator<Item = (&String, &Value)> {
    of.as_object().into_iter().flatten().filter(|(_, one)| one.is_object())
}
