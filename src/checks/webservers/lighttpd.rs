//! lighttpd: requests, traffic and connections of lighttpd, from the text of mod_status (lighttpd documentation,
//! mod_status; letters of the scoreboard from src/connections.c).

use super::CONF;
use crate::check::chart::Chart;
use crate::check::{Runs, Spec, page};
use crate::fetch::http;
use crate::model::parse::pairs::{letters, pairs};
use crate::model::point::Tags;
use crate::model::table::{Field, Raw, gauge, rate};

pub static SPEC: Spec = Spec {
    name: "check_lighttpd",
    purpose: "requests, traffic and connections of lighttpd",
    check_type: "lighttpd",
    conf: CONF,
    section: "Lighttpd",
    keys: &[&["address", "stats"], http::KEYS],
    runs: Runs::Own,
    fields: &[COUNTERS, LEVELS, SCOREBOARD],
    charts: CHARTS,
    build: |section| {
        let mut workers = Workers::default();
        page(section, &["address", "stats"], move |page, out| {
            let row = pairs(&page.text, ": ");
            page.must(row.has_any(LEVELS), "the text of mod_status: does the path end with ?auto?")?;
            let (uptime, accesses) = (row.count("Uptime"), row.count("Total Accesses"));
            if let Some(seconds) = uptime {
                out.counted_for(seconds as f64);
            }
            out.pick(&row, LEVELS, &Tags::default());
            if workers.are_several(uptime, accesses) {
                out.absence_of("workers", SEVERAL);
            } else {
                out.pick(&row, COUNTERS, &Tags::default());
            }
            if let Some(Raw::Text(board)) = row.get("Scoreboard") {
                out.pick(&letters(board, SCOREBOARD), SCOREBOARD, &Tags::default());
            }
            Ok(())
        })
    },
};

const CHARTS: &[Chart] = &[
    Chart::new("Requests").of(&["lighttpd_accesses"]),
    Chart::new("Traffic").of(&["lighttpd_kbytes"]),
    Chart::new("Connections").of(&["lighttpd_busyservers", "lighttpd_idleservers"]).stacked(),
    Chart::new("Scoreboard: from the client")
        .of(&[
            "lighttpd_scoreboard_connect",
            "lighttpd_scoreboard_request_start",
            "lighttpd_scoreboard_read",
            "lighttpd_scoreboard_request_end",
            "lighttpd_scoreboard_read_post",
        ])
        .stacked(),
    Chart::new("Scoreboard: to the client")
        .of(&[
            "lighttpd_scoreboard_handle_request",
            "lighttpd_scoreboard_response_start",
            "lighttpd_scoreboard_write",
            "lighttpd_scoreboard_response_end",
            "lighttpd_scoreboard_keepalive",
            "lighttpd_scoreboard_close",
            "lighttpd_scoreboard_error",
        ])
        .stacked(),
    Chart::new("Scoreboard: unused").of(&["lighttpd_scoreboard_unused"]),
    Chart::new("Time since the start").of(&["lighttpd_uptime"]),
];

const COUNTERS: &[Field] =
    &[rate("Total Accesses", "lighttpd_accesses", "1/s"), rate("Total kBytes", "lighttpd_kbytes", "KiB/s")];

const LEVELS: &[Field] = &[
    gauge("BusyServers", "lighttpd_busyservers", "connections"),
    gauge("IdleServers", "lighttpd_idleservers", "connections"),
    gauge("Uptime", "lighttpd_uptime", "s").optional(),
];

const SCOREBOARD: &[Field] = &[
    gauge("_", "lighttpd_scoreboard_unused", "connections").int(),
    gauge(".", "lighttpd_scoreboard_connect", "connections").int(),
    gauge("q", "lighttpd_scoreboard_request_start", "connections").int(),
    gauge("r", "lighttpd_scoreboard_read", "connections").int(),
    gauge("Q", "lighttpd_scoreboard_request_end", "connections").int(),
    gauge("R", "lighttpd_scoreboard_read_post", "connections").int(),
    gauge("h", "lighttpd_scoreboard_handle_request", "connections").int(),
    gauge("s", "lighttpd_scoreboard_response_start", "connections").int(),
    gauge("W", "lighttpd_scoreboard_write", "connections").int(),
    gauge("S", "lighttpd_scoreboard_response_end", "connections").int(),
    gauge("k", "lighttpd_scoreboard_keepalive", "connections").int(),
    gauge("C", "lighttpd_scoreboard_close", "connections").int(),
    gauge("E", "lighttpd_scoreboard_error", "connections").int(),
];

const SEVERAL: &str = "several of them answer in turn (server.max-worker), each with counters of its own: figures are of one of \
    them, and there are no rates";

/// Whether the counters went back although the server did not restart: one bit for each of the last ticks.
#[derive(Default)]
struct Workers {
    last: Option<(u64, u64)>,
    falls: u16,
}

impl Workers {
    /// Whether the counters went back three times within ten ticks: then several workers answer in turn.
    fn are_several(&mut self, uptime: Option<u64>, accesses: Option<u64>) -> bool {
        let now = uptime.zip(accesses);
        let fell = self.last.zip(now).is_some_and(|(old, new)| new.0 >= old.0 && new.1 < old.1);
        self.last = now.or(self.last);
        self.falls = (self.falls << 1 | u16::from(fell)) & 0x3ff;
        self.falls.count_ones() >= 3
    }
}
