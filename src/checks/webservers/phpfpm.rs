//! phpfpm: connections and processes of a PHP-FPM pool, from its status page as text or JSON (PHP manual, "FPM Status
//! Page"; format taken from sapi/fpm/fpm/fpm_status.c).

use super::CONF;
use crate::check::chart::Chart;
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
    charts: CHARTS,
    build: |section| {
        page(section, &["address", "stats"], |page, out| {
            let pool = if page.text.starts_with('{') { Some(pool(&page.text)?) } else { None };
            let row = match pool.as_ref().and_then(Value::as_object) {
                Some(pool) => Row::of(pool.iter().filter_map(|(name, value)| Some((&**name, json::cell(value, "")?)))),
                None => pairs(page.text.split(PROCESSES).next().unwrap_or_default(), ":"),
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

const CHARTS: &[Chart] = &[
    Chart::new("Requests").of(&["phpfpm_conns_per_sec"]),
    Chart::new("Processes").of(&["phpfpm_proc_active", "phpfpm_proc_idle"]).stacked(),
    Chart::new("Most processes at a time").of(&["phpfpm_max_active", "phpfpm_proc_total"]),
    Chart::new("Waiting to be taken").of(&[
        "phpfpm_listen_queue",
        "phpfpm_max_listen_queue",
        "phpfpm_listen_queue_len",
    ]),
    Chart::new("Limit of processes reached, slow requests").of(&["phpfpm_max_children", "phpfpm_slow_request"]),
    Chart::new("Memory of the largest request").of(&["phpfpm_memory_peak"]),
    Chart::new("Time since the start").of(&["phpfpm_uptime"]),
];

const FIELDS: &[Field] = &[
    rate("accepted conn", "phpfpm_conns_per_sec", "1/s"),
    gauge("idle processes", "phpfpm_proc_idle", "processes"),
    gauge("active processes", "phpfpm_proc_active", "processes"),
    gauge("total processes", "phpfpm_proc_total", "processes"),
    gauge("max active processes", "phpfpm_max_active", "processes"),
    counter("max children reached", "phpfpm_max_children", "times").float().optional(),
    counter("slow requests", "phpfpm_slow_request", "requests").float().optional(),
    gauge("listen queue", "phpfpm_listen_queue", "connections").optional(),
    gauge("max listen queue", "phpfpm_max_listen_queue", "connections").optional(),
    gauge("listen queue len", "phpfpm_listen_queue_len", "connections").optional(),
    gauge("start since", "phpfpm_uptime", "s").optional(),
    gauge("memory peak", "phpfpm_memory_peak", "bytes").optional(),
];

/// The line before each process in the output of `full`. What follows is ignored, because it contains text from
/// clients.
const PROCESSES: &str = "\n***";

/// Parses the JSON without the processes in the output of `full`: they contain unescaped text and may be no valid JSON.
fn pool(text: &str) -> Result<Value> {
    let pool = text.split_once("\"processes\":").map(|(pool, _)| format!("{}}}", pool.trim_end_matches([',', ' '])));
    json::document(pool.as_deref().unwrap_or(text), "the status of a pool")
}
