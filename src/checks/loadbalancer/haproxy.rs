//! haproxy: frontends, backends and servers of HAProxy, from its statistics page as CSV (HAProxy Management Guide, "CSV
//! format").

use super::CONF;
use crate::check::chart::Chart;
use crate::check::{Out, Runs, Spec, page};
use crate::fetch::http::{self, Answer};
use crate::model::error::Result;
use crate::model::parse::csv::Csv;
use crate::model::point::Tags;
use crate::model::table::{Field, Raw, counter, gauge, percent, rate};
use std::collections::HashSet;

pub static SPEC: Spec = Spec {
    name: "check_haproxy",
    purpose: "traffic, errors and states of frontends, backends and servers of HAProxy",
    check_type: "haproxy",
    conf: CONF,
    section: "HAProxy",
    keys: &[&["url", "upstream"], http::KEYS],
    runs: Runs::Own,
    fields: &[SESSIONS, QUEUES, SERVERS, STATES, TRAFFIC, BACKENDS, BALANCED, REQUESTS, &[FULL]],
    charts: CHARTS,
    build: |section| {
        let url = section.required("url", "http://127.0.0.1:8888/haproxy?stats;csv")?;
        let notes: Vec<_> = NOTES.iter().filter(|(word, is_there, _)| url.contains(word) == *is_there).collect();
        let whole = if url.contains(CSV) { url.into() } else { format!("{url}{CSV}") };
        let (mut process, mut told) = (String::new(), HashSet::new());
        page(&section.with("url", &whole), &["url"], move |page, out| {
            notes.iter().for_each(|(_, _, note)| out.absence_of("url", *note));
            tell(page, &mut process, &mut told, out)
        })
    },
};

const CHARTS: &[Chart] = &[
    Chart::new("Requests").of(&["haproxy_req_rate", "haproxy_req_rate_max"]),
    Chart::new("Frontends: sessions").of(&["haproxy_sessions"]).each("frontend"),
    Chart::new("Frontends: of the limit of sessions").of(&["haproxy_sessions_percent"]).each("frontend").full(100.0),
    Chart::new("Frontends: new sessions").of(&["haproxy_connrate"]).each("frontend"),
    Chart::new("Frontends: traffic").mirror(&["haproxy_bin"], &["haproxy_bout"]).each("frontend"),
    Chart::new("Frontends: answers 5xx").of(&["haproxy_hrsp_5xx"]).each("frontend"),
    Chart::new("Frontends: answers 4xx").of(&["haproxy_hrsp_4xx"]).each("frontend"),
    Chart::new("Backends: servers in use").of(&["haproxy_act"]).each("backend"),
    Chart::new("Backends: spare servers").of(&["haproxy_bck"]).each("backend"),
    Chart::new("Backends: time in the queue").of(&["haproxy_qtime"]).each("backend"),
    Chart::new("Backends: time to connect").of(&["haproxy_ctime"]).each("backend"),
    Chart::new("Backends: time in all").of(&["haproxy_ttime"]).each("backend"),
    Chart::new("Queues").of(&["haproxy_queue"]),
    Chart::new("Servers: state").of(&["haproxy_status"]).each("upstream"),
    Chart::new("Servers: health checks").of(&["haproxy_check_status"]).each("upstream").full(1.0),
    Chart::new("Servers: sessions").of(&["haproxy_sessions"]).each("upstream"),
    Chart::new("Servers: time to answer").of(&["haproxy_rtime"]).each("upstream"),
    Chart::new("Servers: answers 5xx").of(&["haproxy_hrsp_5xx"]).each("upstream"),
    Chart::new("Servers: not connected").of(&["haproxy_econ"]).each("upstream"),
    Chart::new("Servers: failed answers").of(&["haproxy_eresp"]).each("upstream"),
    Chart::new("Servers: tried again").of(&["haproxy_wretr"]).each("upstream"),
    Chart::new("Connections").of(&["haproxy_conn_rate", "haproxy_conn_rate_max"]),
    Chart::new("Sessions of the process").of(&["haproxy_rate", "haproxy_rate_max"]),
    Chart::new("Cache").of(&["haproxy_cache_lookups", "haproxy_cache_hits"]),
    Chart::new("Connections made and used again").of(&["haproxy_conn_tot", "haproxy_reuse"]),
];

/// The suffix with which the page is CSV.
const CSV: &str = ";csv";
/// Notes, reported once, if the address contains a word (`true`) or lacks it (`false`).
const NOTES: &[(&str, bool, &str)] = &[
    (CSV, false, ";csv is missing at its end, and was added"),
    (";up", true, "with ;up in it, servers that are down are not told"),
    (";no-maint", true, "with ;no-maint in it, servers in maintenance are not told"),
];

/// Metrics of frontends, with the tag `appname`.
const REQUESTS: &[Field] = &[
    gauge("req_rate", "haproxy_req_rate", "requests").optional(),
    gauge("req_rate_max", "haproxy_req_rate_max", "requests").optional(),
    gauge("conn_rate", "haproxy_conn_rate", "connections").optional(),
    gauge("conn_rate_max", "haproxy_conn_rate_max", "connections").optional(),
    counter("conn_tot", "haproxy_conn_tot", "connections").float().optional(),
];
/// Metrics of frontends, backends and servers.
const SESSIONS: &[Field] = &[
    gauge("rate", "haproxy_connrate", "sessions").optional(),
    gauge("scur", "haproxy_sessions", "sessions").optional(),
    rate("hrsp_5xx", "haproxy_hrsp_5xx", "1/s").optional(),
];
/// Metrics of backends and servers.
const QUEUES: &[Field] = &[gauge("qcur", "haproxy_queue", "requests").optional()];
/// Metrics of frontends and backends.
const TRAFFIC: &[Field] = &[
    rate("bin", "haproxy_bin", "bytes/s").optional(),
    rate("bout", "haproxy_bout", "bytes/s").optional(),
    rate("hrsp_4xx", "haproxy_hrsp_4xx", "1/s").optional(),
];
/// Metric of frontends.
const FULL: Field = percent("scur", "haproxy_sessions_percent");
/// Metrics of backends, with the tag `appname`.
const BALANCED: &[Field] = &[
    gauge("rate", "haproxy_rate", "sessions").optional(),
    gauge("rate_max", "haproxy_rate_max", "sessions").optional(),
    counter("reuse", "haproxy_reuse", "connections").float().optional(),
    counter("cache_lookups", "haproxy_cache_lookups", "requests").float().optional(),
    counter("cache_hits", "haproxy_cache_hits", "requests").float().optional(),
];
const BACKENDS: &[Field] = &[
    gauge("act", "haproxy_act", "servers").int().optional(),
    gauge("bck", "haproxy_bck", "servers").int().optional(),
    gauge("qtime", "haproxy_qtime", "ms").optional(),
    gauge("ctime", "haproxy_ctime", "ms").optional(),
    gauge("ttime", "haproxy_ttime", "ms").optional(),
];
/// Metrics of servers and backends.
const SERVERS: &[Field] = &[
    rate("econ", "haproxy_econ", "1/s").optional(),
    rate("eresp", "haproxy_eresp", "1/s").optional(),
    rate("wretr", "haproxy_wretr", "1/s").optional(),
    gauge("rtime", "haproxy_rtime", "ms").optional(),
];
const STATES: &[Field] =
    &[gauge("status", "haproxy_status", "state").int(), gauge("check_status", "haproxy_check_status", "0 or 1").int()];

/// Columns that identify a row, or are used other than as a value.
const ABOUT: &[&str] = &["# pxname", "svname", "type", "pid", "slim"];

/// `process` is the pid in the last answer, `known` are the rows that were emitted then.
fn tell(page: &Answer, process: &mut String, known: &mut HashSet<String>, out: &mut Out) -> Result<()> {
    let csv = Csv::read(&page.text)?;
    let is_right = ABOUT.iter().all(|column| csv.has(column));
    page.must(is_right, "the statistics of HAProxy as CSV: is this its stats uri, and are user and pass right?")?;
    let cells = SPEC.fields.iter().copied().flatten().map(|field| field.cell);
    let columns: Vec<_> = ABOUT.iter().copied().chain(cells).collect();
    let (mut told, mut refused) = (HashSet::new(), 0);
    csv.rows(&columns, |row| {
        let text = |column| match row.get(column) {
            Some(Raw::Text(text)) => text,
            _ => "",
        };
        let (proxy, server, pid) = (text("# pxname"), text("svname"), text("pid"));
        let name = [proxy, "/", server].concat();
        if out.is_full() && !known.contains(&name) {
            refused += 1;
            return;
        }
        told.insert(name);
        if pid != process {
            // Until HAProxy 2.4 there may be several processes, each with counters of its own.
            out.counted_by(pid);
            if !process.is_empty() {
                out.absence_of(
                    "pid",
                    "several processes answer in turn (nbproc): no rates where another one did before",
                );
            }
            *process = pid.into();
        }
        let (tags, tables, by_name): (_, &[_], &[_]) = match text("type") {
            "0" => (Tags::one("frontend", proxy), &[SESSIONS, TRAFFIC], REQUESTS),
            "1" => (Tags::one("backend", proxy), &[SESSIONS, QUEUES, SERVERS, TRAFFIC, BACKENDS], BALANCED),
            "2" => (Tags::one("upstream", server).with("backend", proxy), &[SESSIONS, QUEUES, SERVERS], &[]),
            _ => return,
        };
        tables.iter().for_each(|fields| out.pick(row, fields, &tags));
        out.pick(row, by_name, &Tags::one("appname", proxy));
        if server == "FRONTEND"
            && let Some(share) = out.share(FULL.metric, row.count("scur"), row.count("slim"))
        {
            out.put(&FULL, share.percent(), &tags);
        }
        for (field, number) in STATES.iter().zip([status(text("status")), check(text("check_status"))]) {
            number.into_iter().for_each(|number| out.put(field, number, &tags));
        }
    });
    *known = told;
    if refused > 0 {
        out.fault_of("rows", format!("{refused} that are new are refused, max_series is reached"));
    }
    Ok(())
}

/// A server's state as a number, as in HAProxy's own Prometheus page. `None` for "no check" and for OPEN, the state of
/// a frontend.
fn status(text: &str) -> Option<u64> {
    const STATES: &[&str] = &["DOWN", "UP", "MAINT", "DRAIN", "NOLB"];
    let word = text.split(' ').next()?;
    STATES.iter().position(|state| *state == word).map(|number| number as u64)
}

/// Whether the last health check succeeded; `None` if there was none. A star means that the next one is in progress.
fn check(text: &str) -> Option<u64> {
    let text = text.trim_start_matches("* ");
    (!["", "UNK", "INI", "HANA"].contains(&text)).then_some(u64::from(text.contains("OK")))
}
