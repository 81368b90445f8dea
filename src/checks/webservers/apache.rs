//! Apache httpd: requests, workers and connections, from the text of mod_status (httpd documentation, mod_status,
//! "Machine Readable Status File"; the lines as in modules/generators/mod_status.c of 2.4).

use super::CONF;
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

/// Most lines come with ExtendedStatus, and with an MPM or a version that has them.
const FIELDS: &[Field] = &[
    counter("Total Accesses", "apache_totalaccesses").float().optional(),
    counter("Total kBytes", "apache_totalkbytes").float().optional(),
    gauge("ReqPerSec", "apache_reqpersec").optional(),
    gauge("BytesPerSec", "apache_bytespersec").optional(),
    gauge("BytesPerReq", "apache_bytesperreq").optional(),
    gauge("BusyWorkers", "apache_busyworkers"),
    gauge("IdleWorkers", "apache_idleworkers"),
    gauge("GracefulWorkers", "apache_gracefulworkers").optional(),
    rate("Total Accesses", "apache_requests_rate").optional(),
    rate("Total kBytes", "apache_kbytes_rate").optional(),
    counter("Total Duration", "apache_totalduration").float().optional(),
    gauge("DurationPerReq", "apache_durationperreq").optional(),
    gauge("CPULoad", "apache_cpuload").optional(),
    gauge("Uptime", "apache_uptime").optional(),
    gauge("Processes", "apache_processes").optional(),
    gauge("Stopping", "apache_stopping").optional(),
    gauge("ConnsTotal", "apache_connstotal").optional(),
    gauge("ConnsAsyncWriting", "apache_connsasyncwriting").optional(),
    gauge("ConnsAsyncKeepAlive", "apache_connsasynckeepalive").optional(),
    gauge("ConnsAsyncClosing", "apache_connsasyncclosing").optional(),
];

const SCOREBOARD: &[Field] = &[
    gauge("_", "apache_scoreboard_waiting").int(),
    gauge("S", "apache_scoreboard_starting").int(),
    gauge("R", "apache_scoreboard_reading").int(),
    gauge("W", "apache_scoreboard_sending").int(),
    gauge("K", "apache_scoreboard_keepalive").int(),
    gauge("D", "apache_scoreboard_dnslookup").int(),
    gauge("C", "apache_scoreboard_closing").int(),
    gauge("L", "apache_scoreboard_logging").int(),
    gauge("G", "apache_scoreboard_finishing").int(),
    gauge("I", "apache_scoreboard_idlecleanup").int(),
    gauge(".", "apache_scoreboard_open").int(),
];
