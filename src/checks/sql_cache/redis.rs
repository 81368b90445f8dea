//! redis: memory, persistence, commands and keys of Redis and compatible servers, from INFO (Redis documentation,
//! "INFO").

use super::CONF;
use crate::check::chart::Chart;
use crate::check::{Check, Context, Out, Runs, Spec};
use crate::config::section::Section;
use crate::fetch::tcp::{self, Server};
use crate::model::error::{Error, Result, quote_without};
use crate::model::parse::pairs::pairs;
use crate::model::parse::resp::{self, Reply};
use crate::model::point::Tags;
use crate::model::table::{Field, Raw, Row, counter, gauge, rate};

pub static SPEC: Spec = Spec {
    name: "check_redis",
    purpose: "memory, persistence, commands and keys of Redis",
    check_type: "redis",
    conf: CONF,
    section: "Redis",
    keys: &[tcp::KEYS, &["auth", "user", "pass"]],
    runs: Runs::Own,
    fields: &[FIELDS, WORDS, DATABASE],
    charts: CHARTS,
    build: |section| {
        let login = login(section)?;
        let secret = login.last().copied().unwrap_or_default().to_string();
        let commands: Vec<_> = [login, vec!["INFO"]].into_iter().filter(|words| !words.is_empty()).collect();
        let question = commands.iter().flat_map(|words| resp::command(words)).collect();
        Ok(Box::new(Redis { server: Server::read(section, 6379)?, question, commands: commands.len(), secret }))
    },
};

const CHARTS: &[Chart] = &[
    Chart::new("Commands").of(&["redis_total_commands_processed", "redis_instantaneous_ops_per_sec"]),
    Chart::new("Memory").of(&[
        "redis_used_memory",
        "redis_used_memory_rss",
        "redis_used_memory_peak",
        "redis_maxmemory",
    ]),
    Chart::new("Hits and misses").of(&["redis_keyspace_hits", "redis_keyspace_misses"]),
    Chart::new("Keys thrown out and expired").of(&["redis_evicted_keys", "redis_expired_keys"]),
    Chart::new("Clients").of(&["redis_connected_clients", "redis_blocked_clients", "redis_maxclients"]),
    Chart::new("New connections").of(&["redis_total_connections_received", "redis_rejected_connections"]),
    Chart::new("Processor time").of(&["redis_used_cpu_user", "redis_used_cpu_sys"]).stacked(),
    Chart::new("Traffic").mirror(&["redis_total_net_input_bytes"], &["redis_total_net_output_bytes"]),
    Chart::new("Traffic of replication")
        .mirror(&["redis_total_net_repl_input_bytes"], &["redis_total_net_repl_output_bytes"]),
    Chart::new("Replicas").of(&["redis_connected_slaves"]),
    Chart::new("Replication").of(&["redis_is_master", "redis_master_link_up"]).full(1.0),
    Chart::new("Since the master was heard").of(&["redis_master_last_io_seconds_ago"]),
    Chart::new("Stream of replication").of(&["redis_master_repl_offset"]),
    Chart::new("Keys").of(&["redis_db_keys"]).each("db"),
    Chart::new("Keys with an end").of(&["redis_db_expires"]).each("db"),
    Chart::new("Mean time to that end").of(&["redis_db_avg_ttl"]).each("db"),
    Chart::new("Fragmentation of memory").of(&["redis_mem_fragmentation_ratio"]),
    Chart::new("Changes since the last dump").of(&["redis_rdb_changes_since_last_save"]),
    Chart::new("Dumps and append-only file")
        .of(&["redis_rdb_last_bgsave_ok", "redis_aof_last_write_ok", "redis_rdb_bgsave_in_progress"])
        .full(1.0),
    Chart::new("Length of dumps").of(&["redis_rdb_last_bgsave_time_sec", "redis_rdb_current_bgsave_time_sec"]),
    Chart::new("Length of the last fork").of(&["redis_latest_fork_usec"]),
    Chart::new("Time since the start").of(&["redis_uptime_in_seconds"]),
];

const FIELDS: &[Field] = &[
    gauge("connected_clients", "redis_connected_clients", "clients").int(),
    gauge("used_memory", "redis_used_memory", "bytes").int(),
    gauge("used_memory_rss", "redis_used_memory_rss", "bytes").int(),
    gauge("used_memory_peak", "redis_used_memory_peak", "bytes").int(),
    gauge("uptime_in_seconds", "redis_uptime_in_seconds", "s").int(),
    gauge("mem_fragmentation_ratio", "redis_mem_fragmentation_ratio", "ratio"),
    gauge("rdb_changes_since_last_save", "redis_rdb_changes_since_last_save", "changes").int(),
    // Dragonfly only.
    gauge("rdb_changes_since_last_success_save", "redis_rdb_changes_since_last_save", "changes").int(),
    gauge("rdb_bgsave_in_progress", "redis_rdb_bgsave_in_progress", "0 or 1").int(),
    gauge("rdb_last_bgsave_time_sec", "redis_rdb_last_bgsave_time_sec", "s").int(),
    gauge("rdb_current_bgsave_time_sec", "redis_rdb_current_bgsave_time_sec", "s").int(),
    rate("total_commands_processed", "redis_total_commands_processed", "1/s"),
    rate("expired_keys", "redis_expired_keys", "1/s"),
    rate("evicted_keys", "redis_evicted_keys", "1/s"),
    rate("total_net_input_bytes", "redis_total_net_input_bytes", "bytes/s"),
    rate("total_net_output_bytes", "redis_total_net_output_bytes", "bytes/s"),
    rate("keyspace_hits", "redis_keyspace_hits", "1/s"),
    rate("keyspace_misses", "redis_keyspace_misses", "1/s"),
    gauge("maxmemory", "redis_maxmemory", "bytes").int(),
    gauge("maxclients", "redis_maxclients", "clients").int(),
    gauge("blocked_clients", "redis_blocked_clients", "clients").int(),
    gauge("instantaneous_ops_per_sec", "redis_instantaneous_ops_per_sec", "1/s").int(),
    rate("total_connections_received", "redis_total_connections_received", "1/s"),
    rate("rejected_connections", "redis_rejected_connections", "1/s"),
    rate("total_net_repl_input_bytes", "redis_total_net_repl_input_bytes", "bytes/s"),
    rate("total_net_repl_output_bytes", "redis_total_net_repl_output_bytes", "bytes/s"),
    gauge("rdb_last_save_time", "redis_rdb_last_save_time", "unix s").int(),
    gauge("latest_fork_usec", "redis_latest_fork_usec", "us").int(),
    gauge("connected_slaves", "redis_connected_slaves", "replicas").int(),
    gauge("master_last_io_seconds_ago", "redis_master_last_io_seconds_ago", "s").int(),
    counter("master_repl_offset", "redis_master_repl_offset", "bytes"),
    rate("used_cpu_sys", "redis_used_cpu_sys", "s/s"),
    rate("used_cpu_user", "redis_used_cpu_user", "s/s"),
];

/// 1 if the word is in [`WELL`].
const WORDS: &[Field] = &[
    gauge("role", "redis_is_master", "0 or 1").int(),
    gauge("master_link_status", "redis_master_link_up", "0 or 1").int(),
    gauge("rdb_last_bgsave_status", "redis_rdb_last_bgsave_ok", "0 or 1").int(),
    gauge("aof_last_write_status", "redis_aof_last_write_ok", "0 or 1").int(),
];
const WELL: [&str; 3] = ["master", "up", "ok"];

/// Cells of a line such as `db0:keys=10,expires=2,avg_ttl=0`.
const DATABASE: &[Field] = &[
    gauge("keys", "redis_db_keys", "keys").int(),
    gauge("expires", "redis_db_expires", "keys").int(),
    gauge("avg_ttl", "redis_db_avg_ttl", "ms"),
];

/// Start of an error message, and what to do about it.
const REMEDIES: &[(&str, &str)] = &[
    ("NOAUTH", "set auth to the password of the server"),
    ("ERR operation not permitted", "set auth to the password of the server"),
    ("WRONGPASS", "check user and password"),
    ("ERR invalid password", "check user and password"),
    ("NOPERM", "the user must be allowed +info"),
    ("ERR AUTH", "it wants no password: set auth to False"),
    ("ERR Client sent AUTH", "it wants no password: set auth to False"),
];

/// The login command; empty if `auth` is off. If `auth` is no boolean, it is the password.
fn login(section: &Section) -> Result<Vec<&str>> {
    let password = match section.flag("auth", false) {
        Ok(false) => return Ok(Vec::new()),
        Ok(true) => section.required("pass", "secret")?,
        Err(_) => section.text("auth").unwrap_or_default(),
    };
    let user = section.text("user").filter(|user| !user.is_empty());
    Ok(["AUTH"].into_iter().chain(user).chain([password]).collect())
}

struct Redis {
    server: Server,
    question: Vec<u8>,
    /// Number of commands in `question`; INFO is the last one.
    commands: usize,
    /// The password, to be hidden in messages; empty without login.
    secret: String,
}

impl Check for Redis {
    fn run(&mut self, cx: &Context, out: &mut Out) -> Result<()> {
        let commands = self.commands;
        let answer = cx.ask(&mut self.server, &self.question, |answer| resp::is_whole(answer, commands))?;
        let replies: Vec<_> = resp::replies(&answer).collect();
        let refusal = replies.iter().find_map(|reply| match reply {
            Reply::Error(why) => Some(self.refusal(why)),
            Reply::Text(_) => None,
        });
        let info = match replies.get(commands - 1) {
            Some(Reply::Text(info)) => info,
            _ => "",
        };
        let row = pairs(info, ":");
        if !row.has_any(FIELDS) {
            let foreign =
                || format!("expected the text of INFO; answered {}", self.shown(&String::from_utf8_lossy(&answer)));
            return Err(Error::Fetch { address: self.server.address(), problem: refusal.unwrap_or_else(foreign) });
        }
        if let Some(refusal) = refusal {
            out.fault_of("login", refusal);
        }
        if let Some(Raw::Text(run)) = row.get("run_id") {
            out.counted_by(run);
        } else if let Some(seconds) = row.count("uptime_in_seconds") {
            out.counted_for(seconds as f64);
        }
        let none = Tags::default();
        out.pick_present(&row, FIELDS, &none);
        for field in WORDS {
            if let Some(Raw::Text(word)) = row.get(field.cell) {
                out.put(field, u64::from(WELL.contains(&word)), &none);
            }
        }
        for (name, cells) in info.lines().filter_map(|line| line.split_once(':')).filter(|(name, _)| is_database(name))
        {
            let row = Row::of(cells.split(',').filter_map(|cell| cell.split_once('=')));
            out.pick_present(&row, DATABASE, &Tags::one("db", name));
        }
        Ok(())
    }
}

fn is_database(name: &str) -> bool {
    name.strip_prefix("db")
        .is_some_and(|number| !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit()))
}

impl Redis {
    fn refusal(&self, why: &str) -> String {
        let remedy = REMEDIES.iter().find(|(begin, _)| why.starts_with(begin)).map(|(_, remedy)| format!("; {remedy}"));
        format!("refused: {}{}", self.shown(why), remedy.unwrap_or_default())
    }

    /// Text for a message, without the arguments of an unknown command, which may be the credentials.
    fn shown(&self, text: &str) -> String {
        quote_without(text.split(", with args").next().unwrap_or_default(), &self.secret)
    }
}
