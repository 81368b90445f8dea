//! apache: requests, workers and connections of Apache httpd, from the text of mod_status (httpd documentation,
//! mod_status, "Machine Readable Status File"; format taken from modules/generators/mod_status.c, 2.4).

use super::CONF;
use crate::check::chart::Chart;
use crate::check::{Runs, Spec, page};
use crate::fetch::http;
use crate::model::parse::pairs::{letters, pairs};
use crate::model::point::Tags;
use crate::model::table::{Field, Raw, counter, gauge, rate};

pub static SPEC: Spec = Spec {
    name: "check_apache",
    purpose: "requests, workers and connections of Apache httpd",
    check_type: "apache",
    conf: CONF,
    section: "Apache",
    keys: &[&["url"], http::KEYS],
    runs: Runs::Own,
    fields: &[FIELDS, SCOREBOARD],
    charts: CHARTS,
    build: |section| {
        page(section, &["url"], |page, out| {
            let row = pairs(&page.text, ": ");
            let wanted = "the text of mod_status: does the address end with ?auto, and is mod_status on there?";
            page.must(row.has_any(FIELDS), wanted)?;
            if let Some(seconds) = row.count("ServerUptimeSeconds").or(row.count("Uptime")) {
                out.counted_for(seconds as f64);
            }
            out.pick(&row, FIELDS, &Tags::default());
            if let Some(Raw::Text(board)) = row.get("Scoreboard") {
                out.pick(&letters(board, SCOREBOARD), SCOREBOARD, &Tags::default());
            }
            Ok(())
        })
    },
};

const CHARTS: &[Chart] = &[
    Chart::new("Requests").of(&["apache_requests_rate"]),
    Chart::new("Traffic").of(&["apache_kbytes_rate"]),
    Chart::new("Workers").of(&["apache_busyworkers", "apache_idleworkers", "apache_gracefulworkers"]).stacked(),
    Chart::new("Scoreboard")
        .of(&[
            "apache_scoreboard_sending",
            "apache_scoreboard_reading",
            "apache_scoreboard_keepalive",
            "apache_scoreboard_dnslookup",
            "apache_scoreboard_closing",
            "apache_scoreboard_logging",
            "apache_scoreboard_finishing",
            "apache_scoreboard_waiting",
        ])
        .stacked(),
    Chart::new("Slots without a connection").of(&[
        "apache_scoreboard_open",
        "apache_scoreboard_starting",
        "apache_scoreboard_idlecleanup",
    ]),
    Chart::new("Connections").of(&[
        "apache_connstotal",
        "apache_connsasyncwriting",
        "apache_connsasynckeepalive",
        "apache_connsasyncclosing",
    ]),
    Chart::new("Processes").of(&["apache_processes", "apache_stopping"]),
    Chart::new("Time of a request since the start").of(&["apache_durationperreq"]),
    Chart::new("Time spent on requests").of(&["apache_totalduration"]),
    Chart::new("Processor since the start").of(&["apache_cpuload"]),
    Chart::new("Time since the start").of(&["apache_uptime"]),
    Chart::new("Requests since the start").of(&["apache_reqpersec"]),
    Chart::new("Traffic since the start").of(&["apache_bytespersec"]),
    Chart::new("Size of an answer since the start").of(&["apache_bytesperreq"]),
];

/// Most of these exist only with ExtendedStatus, or with certain MPMs or versions.
const FIELDS: &[Field] = &[
    counter("Total Accesses", "apache_totalaccesses", "requests").float().optional(),
    counter("Total kBytes", "apache_totalkbytes", "KiB").float().optional(),
    gauge("ReqPerSec", "apache_reqpersec", "1/s").optional(),
    gauge("BytesPerSec", "apache_bytespersec", "bytes/s").optional(),
    gauge("BytesPerReq", "apache_bytesperreq", "bytes").optional(),
    gauge("BusyWorkers", "apache_busyworkers", "workers"),
    gauge("IdleWorkers", "apache_idleworkers", "workers"),
    gauge("GracefulWorkers", "apache_gracefulworkers", "workers").optional(),
    rate("Total Accesses", "apache_requests_rate", "1/s").optional(),
    rate("Total kBytes", "apache_kbytes_rate", "KiB/s").optional(),
    counter("Total Duration", "apache_totalduration", "ms").float().optional(),
    gauge("DurationPerReq", "apache_durationperreq", "ms").optional(),
    gauge("CPULoad", "apache_cpuload", "%").optional(),
    gauge("Uptime", "apache_uptime", "s").optional(),
    gauge("Processes", "apache_processes", "processes").optional(),
    gauge("Stopping", "apache_stopping", "processes").optional(),
    gauge("ConnsTotal", "apache_connstotal", "connections").optional(),
    gauge("ConnsAsyncWriting", "apache_connsasyncwriting", "connections").optional(),
    gauge("ConnsAsyncKeepAlive", "apache_connsasynckeepalive", "connections").optional(),
    gauge("ConnsAsyncClosing", "apache_connsasyncclosing", "connections").optional(),
];

const SCOREBOARD: &[Field] = &[
    gauge("_", "apache_scoreboard_waiting", "slots").int(),
    gauge("S", "apache_scoreboard_starting", "slots").int(),
    gauge("R", "apache_scoreboard_reading", "slots").int(),
    gauge("W", "apache_scoreboard_sending", "slots").int(),
    gauge("K", "apache_scoreboard_keepalive", "slots").int(),
    gauge("D", "apache_scoreboard_dnslookup", "slots").int(),
    gauge("C", "apache_scoreboard_closing", "slots").int(),
    gauge("L", "apache_scoreboard_logging", "slots").int(),
    gauge("G", "apache_scoreboard_finishing", "slots").int(),
    gauge("I", "apache_scoreboard_idlecleanup", "slots").int(),
    gauge(".", "apache_scoreboard_open", "slots").int(),
];
