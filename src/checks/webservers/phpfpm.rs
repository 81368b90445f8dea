//! PHP-FPM: connections and processes of a pool, from its status page as text or as JSON (PHP manual, "FPM Status Page";
//! the lines as in sapi/fpm/fpm/fpm_status.c).

use super::CONF;
use crate::check::{Runs, Spec, page};
use crate::fetch::http;
use crate::model::error::Result;
use crate::model::parse::json;
use crate::model::parse::pairs::pairs;
use crate::model::point::Tags;
use crate::model::table::{Field, Row, counter, gauge, rate};
use serde_json::Value;

pub static SPEC: Spec = Spec {
    name: "check_phpfpm",
    purpose: "connections and processes of a pool of PHP-FPM",
    check_type: "php-fpm",
    conf: CONF,
    section: "PhpFPM",
    keys: &[&["address", "stats"], http::KEYS],
    runs: Runs::Own,
    fields: &[FIELDS],
    build: |section| {
        page(section, &["address", "stats"], |page, out| {
            let pool = if page.text.starts_with('{') { Some(pool(&page.text)?) } else { None };
            let row = match pool.as_ref().and_then(Value::as_object) {
                Some(pool) => Row::of(pool.iter().filter_map(|(name, value)| Some((&**name, json::cell(value, "")?)))),
                None => pairs(&page.text, ":"),
            };
            page.must(row.has_any(FIELDS), "the status of a pool: is its pm.status_path this one?")?;
            if let Some(seconds) = row.count("start since") {
                out.counted_for(seconds as f64);
            }
            out.pick(&row, FIELDS, &Tags::default());
            Ok(())
        })
    },
};

const FIELDS: &[Field] = &[
    rate("accepted conn", "phpfpm_conns_per_sec"),
    gauge("idle processes", "phpfpm_proc_idle"),
    gauge("active processes", "phpfpm_proc_active"),
    gauge("total processes", "phpfpm_proc_total"),
    gauge("max active processes", "phpfpm_max_active"),
    counter("max children reached", "phpfpm_max_children").float().optional(),
    counter("slow requests", "phpfpm_slow_request").float().optional(),
    gauge("listen queue", "phpfpm_listen_queue").optional(),
    gauge("max listen queue", "phpfpm_max_listen_queue").optional(),
    gauge("listen queue len", "phpfpm_listen_queue_len").optional(),
    gauge("start since", "phpfpm_uptime").optional(),
    gauge("memory peak", "phpfpm_memory_peak").optional(),
];

/// Without its processes, which `full` adds: what is in them is written without escaping, and may be no JSON.
fn pool(text: &str) -> Result<Value> {
    let pool = text.split_once(",\"processes\"").map(|(pool, _)| format!("{pool}}}"));
    json::document(pool.as_deref().unwrap_or(text), "the status of a pool")
}
