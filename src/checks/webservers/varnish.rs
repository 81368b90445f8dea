//! varnish: clients, cache, threads, storages and backends of Varnish, from the output of `varnishstat -j` (Varnish
//! documentation, varnishstat and varnish-counters; since 6.5 the counters are in the member `counters`).

use super::CONF;
use crate::check::chart::Chart;
use crate::check::{Check, Command, Context, Out, Runs, Spec};
use crate::config::section::Section;
use crate::model::error::{Error, Result};
use crate::model::parse::json;
use crate::model::parse::varnishstat::{backend, newest_vcl};
use crate::model::point::Tags;
use crate::model::table::{Field, Raw, Row, counter, gauge, percent, rate};
use std::collections::HashMap;
use std::mem;

pub static SPEC: Spec = Spec {
    name: "check_varnish",
    purpose: "clients, cache, threads, storages and backends of Varnish",
    check_type: "varnish",
    conf: CONF,
    section: "Varnish",
    keys: &[&["varnishstat", "varnishuser", "by_vcl"]],
    runs: Runs::Own,
    fields: &[FIELDS, STORAGE, BACKEND, &[HAPPY, HAPPY_PERCENT]],
    charts: CHARTS,
    build,
};

const CHARTS: &[Chart] = &[
    Chart::new("Requests").of(&["varnish_client_req"]),
    Chart::new("Hits and misses").of(&[
        "varnish_cache_hit",
        "varnish_cache_miss",
        "varnish_cache_hitpass",
        "varnish_cache_hit_grace",
        "varnish_cache_hitmiss",
    ]),
    Chart::new("Traffic").of(&["varnish_s_resp_bodybytes", "varnish_s_resp_hdrbytes"]).stacked(),
    Chart::new("Backends in trouble").of(&[
        "varnish_backend_fail",
        "varnish_backend_unhealthy",
        "varnish_backend_busy",
        "varnish_fetch_failed",
    ]),
    Chart::new("Connections to backends").of(&[
        "varnish_backend_conn",
        "varnish_backend_reuse",
        "varnish_backend_recycle",
        "varnish_backend_toolate",
        "varnish_backend_req",
    ]),
    Chart::new("Objects thrown out").of(&["varnish_n_lru_nuked", "varnish_n_expired"]),
    Chart::new("Objects").of(&["varnish_n_object"]),
    Chart::new("Storage in use").of(&["varnish_storage_bytes"]).each("storage"),
    Chart::new("Storage free").of(&["varnish_storage_space"]).each("storage"),
    Chart::new("Threads").of(&["varnish_threads", "varnish_thread_queue_len"]),
    Chart::new("Threads made, failed and limited").of(&[
        "varnish_threads_created",
        "varnish_threads_failed",
        "varnish_threads_limited",
    ]),
    Chart::new("New connections").of(&["varnish_sess_conn"]),
    Chart::new("Connections queued and dropped").of(&["varnish_sess_queued", "varnish_sess_dropped"]),
    Chart::new("Deaths and panics").of(&["varnish_child_died", "varnish_child_panic"]),
    Chart::new("Errors in ESI").of(&["varnish_esi_errors"]),
    Chart::new("Bans").of(&["varnish_bans"]),
    Chart::new("Backends: probes").of(&["varnish_vbe_happy_percent"]).each("backend").full(100.0),
    Chart::new("Backends: last probe").of(&["varnish_vbe_happy"]).each("backend").full(1.0),
    Chart::new("Backends: requests").of(&["varnish_vbe_req"]).each("backend"),
    Chart::new("Backends: connections").of(&["varnish_vbe_conn"]).each("backend"),
    Chart::new("Backends: failed").of(&["varnish_vbe_fail"]).each("backend"),
    Chart::new("Backends: too busy").of(&["varnish_vbe_busy"]).each("backend"),
    Chart::new("Backends: not asked because unhealthy").of(&["varnish_vbe_unhealthy"]).each("backend"),
    Chart::new("Time since the start").of(&["varnish_uptime"]),
];

const FIELDS: &[Field] = &[
    rate("MAIN.sess_conn", "varnish_sess_conn", "1/s"),
    rate("MAIN.client_req", "varnish_client_req", "1/s"),
    rate("MAIN.cache_hit", "varnish_cache_hit", "1/s"),
    rate("MAIN.cache_miss", "varnish_cache_miss", "1/s"),
    rate("MAIN.cache_hitpass", "varnish_cache_hitpass", "1/s"),
    gauge("MAIN.threads", "varnish_threads", "threads").int().optional(),
    gauge("MAIN.thread_queue_len", "varnish_thread_queue_len", "requests").int().optional(),
    counter("MAIN.threads_created", "varnish_threads_created", "threads").optional(),
    counter("MAIN.threads_failed", "varnish_threads_failed", "threads").optional(),
    counter("MAIN.threads_limited", "varnish_threads_limited", "threads").optional(),
    counter("MAIN.sess_queued", "varnish_sess_queued", "connections").optional(),
    counter("MAIN.backend_conn", "varnish_backend_conn", "connections").optional(),
    counter("MAIN.backend_recycle", "varnish_backend_recycle", "connections").optional(),
    counter("MAIN.backend_reuse", "varnish_backend_reuse", "connections").optional(),
    counter("MAIN.backend_toolate", "varnish_backend_toolate", "connections").optional(),
    counter("MAIN.backend_fail", "varnish_backend_fail", "connections").optional(),
    counter("MAIN.backend_unhealthy", "varnish_backend_unhealthy", "connections").optional(),
    counter("MAIN.backend_busy", "varnish_backend_busy", "connections").optional(),
    counter("MAIN.backend_req", "varnish_backend_req", "requests").optional(),
    counter("MAIN.n_expired", "varnish_n_expired", "objects").optional(),
    counter("MAIN.n_lru_nuked", "varnish_n_lru_nuked", "objects").optional(),
    counter("MAIN.sess_dropped", "varnish_sess_dropped", "connections").optional(),
    rate("MAIN.cache_hit_grace", "varnish_cache_hit_grace", "1/s").optional(),
    rate("MAIN.cache_hitmiss", "varnish_cache_hitmiss", "1/s").optional(),
    rate("MAIN.s_resp_hdrbytes", "varnish_s_resp_hdrbytes", "bytes/s").optional(),
    rate("MAIN.s_resp_bodybytes", "varnish_s_resp_bodybytes", "bytes/s").optional(),
    counter("MAIN.fetch_failed", "varnish_fetch_failed", "requests").optional(),
    counter("MAIN.esi_errors", "varnish_esi_errors", "errors").optional(),
    gauge("MAIN.n_object", "varnish_n_object", "objects").int().optional(),
    gauge("MAIN.bans", "varnish_bans", "bans").int().optional(),
    gauge("MAIN.uptime", "varnish_uptime", "s").int().optional(),
    counter("MGT.child_died", "varnish_child_died", "times").optional(),
    counter("MGT.child_panic", "varnish_child_panic", "times").optional(),
];

/// Metrics of each storage.
const STORAGE: &[Field] = &[
    gauge("g_bytes", "varnish_storage_bytes", "bytes").int(),
    gauge("g_space", "varnish_storage_space", "bytes").int(),
];

/// Metrics of each backend.
const BACKEND: &[Field] = &[
    gauge("conn", "varnish_vbe_conn", "connections").int(),
    rate("req", "varnish_vbe_req", "1/s"),
    rate("fail", "varnish_vbe_fail", "1/s"),
    rate("busy", "varnish_vbe_busy", "1/s"),
    rate("unhealthy", "varnish_vbe_unhealthy", "1/s"),
];

/// The result of the last probe, and of the last 64 probes.
const HAPPY: Field = gauge("", "varnish_vbe_happy", "0 or 1").int();
const HAPPY_PERCENT: Field = percent("", "varnish_vbe_happy_percent");

fn build(section: &Section) -> Result<Box<dyn Check>> {
    let command = Command::read(section, "varnishstat", &["-j"])?;
    let user = section.text("varnishuser").filter(|user| !user.is_empty());
    let command = if let Some(user) = user { command.or_as(user) } else { command };
    let by_vcl = section.flag("by_vcl", false)?;
    Ok(Box::new(Varnish { command, by_vcl, newest: String::new(), backends: HashMap::new() }))
}

struct Varnish {
    command: Command,
    /// Emit the backends of every VCL, with its name as a tag; else only those of the newest VCL.
    by_vcl: bool,
    /// The newest VCL.
    newest: String,
    /// The known backends, and whether a probe of them ever succeeded. A backend without probes looks like one whose
    /// probes all failed.
    backends: HashMap<Tags, bool>,
}

impl Check for Varnish {
    fn run(&mut self, cx: &Context, out: &mut Out) -> Result<()> {
        let text = self.command.ask(cx)?;
        let told = json::document(&text, "what varnishstat -j writes")?;
        let all = told.get("counters").unwrap_or(&told).as_object();
        let cells = all.into_iter().flatten().filter_map(|(name, told)| Some((&**name, json::cell(told, "/value")?)));
        let row = Row::of(cells.clone());
        if !row.has_any(FIELDS) {
            return Err(Error::parse("the counters of varnishstat", &text));
        }
        if row.count("MAIN.uptime").is_some_and(|seconds| out.counted_for(seconds as f64)) {
            self.backends.clear();
        }
        out.pick(&row, FIELDS, &Tags::default());
        let newest = newest_vcl(&text);
        let before = mem::take(&mut self.backends);
        if mem::replace(&mut self.newest, newest.into()) != newest && !self.by_vcl {
            out.forget(&before.keys().cloned().collect::<Vec<_>>());
        }
        for (name, number) in cells {
            if let Some(name) = name.strip_prefix("VBE.") {
                self.tell_backend(name, number, &before, out);
            } else if name.starts_with("SM") {
                tell_storage(name, number, out);
            }
        }
        Ok(())
    }
}

impl Varnish {
    fn tell_backend(&mut self, name: &str, number: Raw, before: &HashMap<Tags, bool>, out: &mut Out) {
        let parts = backend(name).filter(|(vcl, ..)| self.by_vcl || *vcl == self.newest);
        let Some((vcl, backend, counter)) = parts else { return };
        let tags = Tags::one("backend", backend);
        let tags = if self.by_vcl { tags.with("vcl", vcl) } else { tags };
        if let Some(field) = BACKEND.iter().find(|field| field.cell == counter) {
            out.put(field, number, &tags);
        }
        if let ("happy", Raw::Count(probes)) = (counter, number) {
            let is_probed = probes > 0 || before.get(&tags).copied().unwrap_or_default();
            if is_probed {
                out.put(&HAPPY, probes & 1, &tags);
                out.put(&HAPPY_PERCENT, f64::from(probes.count_ones()) * 100.0 / 64.0, &tags);
            }
            self.backends.insert(tags, is_probed);
        }
    }
}

/// Parses a name such as `SMA.s0.g_bytes`.
fn tell_storage(name: &str, number: Raw, out: &mut Out) {
    let parts = name.split_once('.').and_then(|(_, rest)| rest.rsplit_once('.'));
    if let Some((storage, counter)) = parts
        && let Some(field) = STORAGE.iter().find(|field| field.cell == counter)
    {
        out.put(field, number, &Tags::one("storage", storage));
    }
}
