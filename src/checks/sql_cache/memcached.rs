//! memcached: hits, traffic and sizes, from the answer to `stats` (memcached, doc/protocol.txt, "General-purpose statistics").

use super::CONF;
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
    build: |section| {
        let login = match section.text("user").filter(|user| !user.is_empty()) {
            Some(user) => format!("{user} {}", section.required("pass", "secret")?),
            None => String::new(),
        };
        Ok(Box::new(Memcached { server: Server::read(section, 11211)?, login }))
    },
};

/// Every memcached has them.
const FIELDS: &[Field] = &[
    gauge("curr_connections", "memcached_curr_connections"),
    gauge("curr_items", "memcached_curr_items"),
    counter("rusage_user", "memcached_rusage_user").float(),
    counter("rusage_system", "memcached_rusage_system").float(),
    counter("get_misses", "memcached_get_misses").float(),
    counter("incr_misses", "memcached_incr_misses").float(),
    counter("evictions", "memcached_evictions").float(),
    gauge("limit_maxbytes", "memcached_limit_maxbytes"),
    rate("cmd_get", "memcached_cmd_get"),
    rate("cmd_set", "memcached_cmd_set"),
    rate("get_hits", "memcached_get_hits"),
    rate("delete_misses", "memcached_delete_misses"),
    rate("delete_hits", "memcached_delete_hits"),
    rate("bytes", "memcached_bytes"),
    gauge("bytes", "memcached_bytes_used").int(),
    rate("bytes_read", "memcached_bytes_read"),
    rate("bytes_written", "memcached_bytes_written"),
];

/// Some have them.
const MORE: &[Field] = &[
    gauge("uptime", "memcached_uptime").int(),
    gauge("threads", "memcached_threads").int(),
    gauge("max_connections", "memcached_max_connections").int(),
    rate("total_connections", "memcached_total_connections"),
    rate("rejected_connections", "memcached_rejected_connections"),
    rate("listen_disabled_num", "memcached_listen_disabled_num"),
    rate("conn_yields", "memcached_conn_yields"),
    rate("total_items", "memcached_total_items"),
    rate("expired_unfetched", "memcached_expired_unfetched"),
    rate("evicted_unfetched", "memcached_evicted_unfetched"),
    rate("reclaimed", "memcached_reclaimed"),
    rate("get_expired", "memcached_get_expired"),
    rate("get_flushed", "memcached_get_flushed"),
    rate("cmd_touch", "memcached_cmd_touch"),
    rate("touch_hits", "memcached_touch_hits"),
    rate("touch_misses", "memcached_touch_misses"),
    rate("cmd_flush", "memcached_cmd_flush"),
    rate("incr_hits", "memcached_incr_hits"),
    rate("decr_hits", "memcached_decr_hits"),
    rate("decr_misses", "memcached_decr_misses"),
    rate("cas_hits", "memcached_cas_hits"),
    rate("cas_misses", "memcached_cas_misses"),
    rate("cas_badval", "memcached_cas_badval"),
];

const QUESTION: &str = "stats\r\n";
/// The answer of one that wants a login first (option -Y).
const LOCKED: &str = "CLIENT_ERROR unauthenticated";

struct Memcached {
    server: Server,
    /// `user password`; empty where none is set.
    login: String,
}

impl Check for Memcached {
    fn run(&mut self, cx: &Context, out: &mut Out) -> Result<()> {
        let mut answer = self.ask(cx, QUESTION)?;
        if answer.starts_with(LOCKED) && !self.login.is_empty() {
            // Sent to no server that would take it as an item.
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

/// Statistics end with a line of their own; what is none of them is the end.
fn is_whole(answer: &[u8]) -> bool {
    let is_begun = ["STAT ", "STORED"].iter().any(|begin| answer.starts_with(begin.as_bytes()));
    let mut lines = answer.split(|byte| *byte == b'\n');
    lines.any(|line| line == b"END\r") || !is_begun && answer.contains(&b'\n')
}
