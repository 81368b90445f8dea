//! memcached: hits, traffic and sizes of memcached, from its `stats` command (memcached, doc/protocol.txt,
//! "General-purpose statistics").

use super::CONF;
use crate::check::chart::Chart;
use crate::check::{Check, Context, Out, Runs, Spec};
use crate::fetch::tcp::{self, Server};
use crate::model::error::{Error, Result, quote_without};
use crate::model::parse::pairs::pairs;
use crate::model::point::Tags;
use crate::model::table::{Field, Raw, counter, gauge, rate};

pub static SPEC: Spec = Spec {
    name: "check_memcached",
    purpose: "hits, traffic and sizes of memcached",
    check_type: "memcached",
    conf: CONF,
    section: "Memcached",
    keys: &[tcp::KEYS, &["user", "pass"]],
    runs: Runs::Own,
    fields: &[FIELDS, MORE],
    charts: CHARTS,
    build: |section| {
        let login = match section.text("user").filter(|user| !user.is_empty()) {
            Some(user) => format!("{user} {}", section.required("pass", "secret")?),
            None => String::new(),
        };
        Ok(Box::new(Memcached { server: Server::read(section, 11211)?, login }))
    },
};

const CHARTS: &[Chart] = &[
    Chart::new("Gets and sets").of(&[
        "memcached_cmd_get",
        "memcached_cmd_set",
        "memcached_cmd_touch",
        "memcached_cmd_flush",
    ]),
    Chart::new("Hits and misses").of(&[
        "memcached_get_hits",
        "memcached_get_misses",
        "memcached_get_expired",
        "memcached_get_flushed",
    ]),
    Chart::new("Memory").of(&["memcached_bytes_used", "memcached_limit_maxbytes"]),
    Chart::new("Items thrown out").of(&[
        "memcached_evictions",
        "memcached_evicted_unfetched",
        "memcached_expired_unfetched",
        "memcached_reclaimed",
    ]),
    Chart::new("Items").of(&["memcached_curr_items"]),
    Chart::new("Items stored").of(&["memcached_total_items"]),
    Chart::new("Connections").of(&["memcached_curr_connections", "memcached_max_connections"]),
    Chart::new("New connections").of(&["memcached_total_connections"]),
    Chart::new("Connections refused or held back").of(&[
        "memcached_rejected_connections",
        "memcached_listen_disabled_num",
        "memcached_conn_yields",
    ]),
    Chart::new("Traffic").mirror(&["memcached_bytes_read"], &["memcached_bytes_written"]),
    Chart::new("Growth of the memory in use").of(&["memcached_bytes"]),
    Chart::new("Deletes, touches").of(&[
        "memcached_delete_hits",
        "memcached_delete_misses",
        "memcached_touch_hits",
        "memcached_touch_misses",
    ]),
    Chart::new("Increments, decrements, compare and swap").of(&[
        "memcached_incr_hits",
        "memcached_incr_misses",
        "memcached_decr_hits",
        "memcached_decr_misses",
        "memcached_cas_hits",
        "memcached_cas_misses",
        "memcached_cas_badval",
    ]),
    Chart::new("Processor time").of(&["memcached_rusage_user", "memcached_rusage_system"]).stacked(),
    Chart::new("Threads").of(&["memcached_threads"]),
    Chart::new("Time since the start").of(&["memcached_uptime"]),
];

/// Every memcached has these.
const FIELDS: &[Field] = &[
    gauge("curr_connections", "memcached_curr_connections", "connections"),
    gauge("curr_items", "memcached_curr_items", "items"),
    counter("rusage_user", "memcached_rusage_user", "s").float(),
    counter("rusage_system", "memcached_rusage_system", "s").float(),
    counter("get_misses", "memcached_get_misses", "gets").float(),
    counter("incr_misses", "memcached_incr_misses", "incrs").float(),
    counter("evictions", "memcached_evictions", "items").float(),
    gauge("limit_maxbytes", "memcached_limit_maxbytes", "bytes"),
    rate("cmd_get", "memcached_cmd_get", "1/s"),
    rate("cmd_set", "memcached_cmd_set", "1/s"),
    rate("get_hits", "memcached_get_hits", "1/s"),
    rate("delete_misses", "memcached_delete_misses", "1/s"),
    rate("delete_hits", "memcached_delete_hits", "1/s"),
    rate("bytes", "memcached_bytes", "bytes/s"),
    gauge("bytes", "memcached_bytes_used", "bytes").int(),
    rate("bytes_read", "memcached_bytes_read", "bytes/s"),
    rate("bytes_written", "memcached_bytes_written", "bytes/s"),
];

/// Some versions have these.
const MORE: &[Field] = &[
    gauge("uptime", "memcached_uptime", "s").int(),
    gauge("threads", "memcached_threads", "threads").int(),
    gauge("max_connections", "memcached_max_connections", "connections").int(),
    rate("total_connections", "memcached_total_connections", "1/s"),
    rate("rejected_connections", "memcached_rejected_connections", "1/s"),
    rate("listen_disabled_num", "memcached_listen_disabled_num", "1/s"),
    rate("conn_yields", "memcached_conn_yields", "1/s"),
    rate("total_items", "memcached_total_items", "1/s"),
    rate("expired_unfetched", "memcached_expired_unfetched", "1/s"),
    rate("evicted_unfetched", "memcached_evicted_unfetched", "1/s"),
    rate("reclaimed", "memcached_reclaimed", "1/s"),
    rate("get_expired", "memcached_get_expired", "1/s"),
    rate("get_flushed", "memcached_get_flushed", "1/s"),
    rate("cmd_touch", "memcached_cmd_touch", "1/s"),
    rate("touch_hits", "memcached_touch_hits", "1/s"),
    rate("touch_misses", "memcached_touch_misses", "1/s"),
    rate("cmd_flush", "memcached_cmd_flush", "1/s"),
    rate("incr_hits", "memcached_incr_hits", "1/s"),
    rate("decr_hits", "memcached_decr_hits", "1/s"),
    rate("decr_misses", "memcached_decr_misses", "1/s"),
    rate("cas_hits", "memcached_cas_hits", "1/s"),
    rate("cas_misses", "memcached_cas_misses", "1/s"),
    rate("cas_badval", "memcached_cas_badval", "1/s"),
];

const QUESTION: &str = "stats\r\n";
/// The answer of a server that requires a login (option -Y).
const LOCKED: &str = "CLIENT_ERROR unauthenticated";

struct Memcached {
    server: Server,
    /// `user password`; empty if no login is configured.
    login: String,
}

impl Check for Memcached {
    fn run(&mut self, cx: &Context, out: &mut Out) -> Result<()> {
        let mut answer = self.ask(cx, QUESTION)?;
        if answer.starts_with(LOCKED) && !self.login.is_empty() {
            // Only sent to a server that requires a login: any other would store it as an item.
            answer = self.ask(cx, &format!("set login 0 0 {}\r\n{}\r\n{QUESTION}", self.login.len(), self.login))?;
        }
        let stats = answer.lines().take_while(|line| *line != "END").filter_map(|line| line.strip_prefix("STAT "));
        let stats = stats.collect::<Vec<_>>().join("\n");
        let row = pairs(&stats, " ");
        if !row.has_any(FIELDS) {
            return Err(Error::Fetch { address: self.server.address(), problem: self.problem(&answer) });
        }
        if let Some(Raw::Text(pid)) = row.get("pid") {
            out.counted_by(pid);
        }
        if let Some(seconds) = row.count("uptime") {
            out.counted_for(seconds as f64);
        }
        out.pick(&row, FIELDS, &Tags::default());
        out.pick_present(&row, MORE, &Tags::default());
        Ok(())
    }
}

impl Memcached {
    fn ask(&mut self, cx: &Context, question: &str) -> Result<String> {
        let answer = cx.ask(&mut self.server, question.as_bytes(), is_whole)?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }

    fn problem(&self, answer: &str) -> String {
        let shown = quote_without(answer.trim_ascii_end(), &self.login);
        match answer.starts_with("CLIENT_ERROR") {
            true if self.login.is_empty() => format!("refused: {shown}; set user and pass if it has option -Y"),
            true => format!("refused: {shown}; check user and pass"),
            false => format!("expected lines as STAT uptime 3600; answered {shown}"),
        }
    }
}

/// Statistics end with the line END; any other answer ends with its first line.
fn is_whole(answer: &[u8]) -> bool {
    let is_begun = ["STAT ", "STORED"].iter().any(|begin| answer.starts_with(begin.as_bytes()));
    let mut lines = answer.split(|byte| *byte == b'\n');
    lines.any(|line| line == b"END\r") || !is_begun && answer.contains(&b'\n')
}
