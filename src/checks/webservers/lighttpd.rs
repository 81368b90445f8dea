//! lighttpd: requests, traffic and connections, from the text of mod_status (lighttpd documentation, mod_status; the letters
//! as in src/connections.c).

use super::CONF;
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

const COUNTERS: &[Field] = &[rate("Total Accesses", "lighttpd_accesses"), rate("Total kBytes", "lighttpd_kbytes")];

const LEVELS: &[Field] = &[
    gauge("BusyServers", "lighttpd_busyservers"),
    gauge("IdleServers", "lighttpd_idleservers"),
    gauge("Uptime", "lighttpd_uptime").optional(),
];

const SCOREBOARD: &[Field] = &[
    gauge("_", "lighttpd_scoreboard_unused").int(),
    gauge(".", "lighttpd_scoreboard_connect").int(),
    gauge("q", "lighttpd_scoreboard_request_start").int(),
    gauge("r", "lighttpd_scoreboard_read").int(),
    gauge("Q", "lighttpd_scoreboard_request_end").int(),
    gauge("R", "lighttpd_scoreboard_read_post").int(),
    gauge("h", "lighttpd_scoreboard_handle_request").int(),
    gauge("s", "lighttpd_scoreboard_response_start").int(),
    gauge("W", "lighttpd_scoreboard_write").int(),
    gauge("S", "lighttpd_scoreboard_response_end").int(),
    gauge("k", "lighttpd_scoreboard_keepalive").int(),
    gauge("C", "lighttpd_scoreboard_close").int(),
    gauge("E", "lighttpd_scoreboard_error").int(),
];

const SEVERAL: &str = "several of them answer in turn (server.max-worker), each with counters of its own: figures are of one of \
    them, and there are no rates";

/// Falls of the counters within a run of the server, as a bit for each of the last ticks.
#[derive(Default)]
struct Workers {
    last: Option<(u64, u64)>,
    falls: u16,
}

impl Workers {
    /// Whether the counters have fallen three times within ten ticks.
    fn are_several(&mut self, uptime: Option<u64>, accesses: Option<u64>) -> bool {
        let now = uptime.zip(accesses);
        let fell = self.last.zip(now).is_some_and(|(old, new)| new.0 >= old.0 && new.1 < old.1);
        self.last = now.or(self.last);
        self.falls = (self.falls << 1 | u16::from(fell)) & 0x3ff;
        self.falls.count_ones() >= 3
    }
}
