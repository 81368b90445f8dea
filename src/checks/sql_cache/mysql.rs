//! mysql: SHOW GLOBAL STATUS of MySQL and MariaDB (manuals, "Server Status Variables"), replication, and values of the
//! user's own statements.

use super::CONF;
use crate::check::chart::Chart;
use crate::check::{Check, Context, Out, Runs, Spec};
use crate::config::section::Section;
use crate::fetch::mysql::{self, NO_SUCH_STATEMENT, Rows, Server};
use crate::model::error::{Error, Result};
use crate::model::parse::dict;
use crate::model::point::Tags;
use crate::model::table::{Field, Row, counter, gauge, rate};

pub static SPEC: Spec = Spec {
    name: "check_mysql",
    purpose: "activity and replication of MySQL and MariaDB, and numbers of your own statements",
    check_type: "mysql",
    conf: CONF,
    section: "MySQL",
    keys: &[mysql::KEYS, &["custom", "query"]],
    runs: Runs::Own,
    fields: &[STATUS, LIMITS, REPLICA, CUSTOM],
    charts: CHARTS,
    build: |section| {
        let queries = if section.flag("custom", false)? { queries(section) } else { Ok(Vec::new()) };
        let replication = Replication { forms: REPLICA_FORMS.to_vec(), refused: None };
        Ok(Box::new(Mysql { server: Server::read(section)?, replication, queries }))
    },
};

const CHARTS: &[Chart] = &[
    Chart::new("Statements").of(&["mysql_questions", "mysql_queries"]),
    Chart::new("Statements by kind").of(&[
        "mysql_com_select",
        "mysql_com_insert",
        "mysql_com_update",
        "mysql_com_delete",
        "mysql_com_delete_multi",
        "mysql_com_replace",
        "mysql_com_commit",
        "mysql_com_rollback",
    ]),
    Chart::new("Connections").of(&[
        "mysql_threads_connected",
        "mysql_threads_running",
        "mysql_max_used_connections",
        "mysql_max_connections",
    ]),
    Chart::new("Slow statements, full joins, tables on disk").of(&[
        "mysql_slow_queries",
        "mysql_select_full_join",
        "mysql_created_tmp_disk_tables",
    ]),
    Chart::new("Logins and broken connections").of(&[
        "mysql_connections",
        "mysql_aborted_connects",
        "mysql_aborted_clients",
    ]),
    Chart::new("Replication: behind the source").of(&["mysql_replica_lag_seconds"]),
    Chart::new("Replication: running").of(&["mysql_replica_io_running", "mysql_replica_sql_running"]).full(1.0),
    Chart::new("Traffic").mirror(&["mysql_bytes_received"], &["mysql_bytes_sent"]),
    Chart::new("InnoDB: rows").of(&[
        "mysql_innodb_rows_read",
        "mysql_innodb_rows_inserted",
        "mysql_innodb_rows_updated",
        "mysql_innodb_rows_deleted",
    ]),
    Chart::new("InnoDB: asked of the buffer pool")
        .of(&["mysql_innodb_buffer_pool_read_requests", "mysql_innodb_buffer_pool_write_requests"]),
    Chart::new("InnoDB: read from disk because not in the pool").of(&["mysql_innodb_buffer_pool_reads"]),
    Chart::new("InnoDB: pages of the buffer pool").of(&[
        "mysql_innodb_buffer_pool_pages_total",
        "mysql_innodb_buffer_pool_pages_free",
        "mysql_innodb_buffer_pool_pages_dirty",
    ]),
    Chart::new("InnoDB: read from files").of(&["mysql_innodb_data_read"]),
    Chart::new("InnoDB: writes and syncs").of(&["mysql_innodb_data_writes", "mysql_innodb_data_fsyncs"]),
    Chart::new("InnoDB: waits for locks").of(&["mysql_innodb_row_lock_waits"]),
    Chart::new("InnoDB: time in waits for locks").of(&["mysql_innodb_row_lock_time"]),
    Chart::new("Rows read in scans of whole tables").of(&["mysql_handler_read_rnd_next"]),
    Chart::new("Answers from the query cache").of(&["mysql_qcache_hits"]),
    Chart::new("Open files").of(&["mysql_open_files"]),
    Chart::new("Time since the start").of(&["mysql_uptime"]),
];

/// MySQL 8 has no query cache, and MariaDB from 10.6 on has no `Innodb_rows_*`.
const STATUS: &[Field] = &[
    gauge("Max_used_connections", "mysql_max_used_connections", "connections").optional(),
    counter("Slow_queries", "mysql_slow_queries", "queries").float().optional(),
    gauge("Open_files", "mysql_open_files", "files").optional(),
    gauge("Threads_connected", "mysql_threads_connected", "connections").optional(),
    rate("Connections", "mysql_connections", "1/s").optional(),
    rate("Com_select", "mysql_com_select", "1/s").optional(),
    rate("Com_delete_multi", "mysql_com_delete_multi", "1/s").optional(),
    rate("Com_delete", "mysql_com_delete", "1/s").optional(),
    rate("Com_insert", "mysql_com_insert", "1/s").optional(),
    rate("Com_update", "mysql_com_update", "1/s").optional(),
    rate("Bytes_received", "mysql_bytes_received", "bytes/s").optional(),
    rate("Bytes_sent", "mysql_bytes_sent", "bytes/s").optional(),
    rate("Queries", "mysql_queries", "1/s").optional(),
    rate("Questions", "mysql_questions", "1/s").optional(),
    rate("Qcache_hits", "mysql_qcache_hits", "1/s").optional(),
    rate("Innodb_rows_deleted", "mysql_innodb_rows_deleted", "1/s").optional(),
    rate("Innodb_rows_inserted", "mysql_innodb_rows_inserted", "1/s").optional(),
    rate("Innodb_rows_read", "mysql_innodb_rows_read", "1/s").optional(),
    rate("Innodb_rows_updated", "mysql_innodb_rows_updated", "1/s").optional(),
    rate("Innodb_data_read", "mysql_innodb_data_read", "bytes/s").optional(),
    rate("Innodb_data_writes", "mysql_innodb_data_writes", "1/s").optional(),
    rate("Innodb_buffer_pool_read_requests", "mysql_innodb_buffer_pool_read_requests", "1/s").optional(),
    rate("Innodb_buffer_pool_write_requests", "mysql_innodb_buffer_pool_write_requests", "1/s").optional(),
    rate("Innodb_data_fsyncs", "mysql_innodb_data_fsyncs", "1/s").optional(),
    gauge("Uptime", "mysql_uptime", "s").optional(),
    gauge("Threads_running", "mysql_threads_running", "connections").optional(),
    rate("Aborted_clients", "mysql_aborted_clients", "1/s").optional(),
    rate("Aborted_connects", "mysql_aborted_connects", "1/s").optional(),
    rate("Com_replace", "mysql_com_replace", "1/s").optional(),
    rate("Com_commit", "mysql_com_commit", "1/s").optional(),
    rate("Com_rollback", "mysql_com_rollback", "1/s").optional(),
    rate("Created_tmp_disk_tables", "mysql_created_tmp_disk_tables", "1/s").optional(),
    rate("Select_full_join", "mysql_select_full_join", "1/s").optional(),
    rate("Handler_read_rnd_next", "mysql_handler_read_rnd_next", "1/s").optional(),
    rate("Innodb_buffer_pool_reads", "mysql_innodb_buffer_pool_reads", "1/s").optional(),
    gauge("Innodb_buffer_pool_pages_dirty", "mysql_innodb_buffer_pool_pages_dirty", "pages").optional(),
    gauge("Innodb_buffer_pool_pages_free", "mysql_innodb_buffer_pool_pages_free", "pages").optional(),
    gauge("Innodb_buffer_pool_pages_total", "mysql_innodb_buffer_pool_pages_total", "pages").optional(),
    rate("Innodb_row_lock_waits", "mysql_innodb_row_lock_waits", "1/s").optional(),
    rate("Innodb_row_lock_time", "mysql_innodb_row_lock_time", "ms/s").optional(),
];

const LIMITS: &[Field] = &[gauge("max_connections", "mysql_max_connections", "connections").optional()];

/// Column names: current, and former.
const REPLICA_NAMES: [[&str; 2]; 3] = [
    ["Seconds_Behind_Source", "Seconds_Behind_Master"],
    ["Replica_IO_Running", "Slave_IO_Running"],
    ["Replica_SQL_Running", "Slave_SQL_Running"],
];

const REPLICA: &[Field] = &[
    gauge("Seconds_Behind_Source", "mysql_replica_lag_seconds", "s").optional(),
    gauge("Replica_IO_Running", "mysql_replica_io_running", "0 or 1").optional(),
    gauge("Replica_SQL_Running", "mysql_replica_sql_running", "0 or 1").optional(),
];

const CUSTOM: &[Field] = &[gauge("", "mysql_custom_querry", "")];

/// The statements for MariaDB from 10.5 on, for MySQL from 8.0.22 on, and for older versions of both.
const REPLICA_FORMS: &[&str] =
    &["SHOW ALL REPLICAS STATUS", "SHOW REPLICA STATUS", "SHOW ALL SLAVES STATUS", "SHOW SLAVE STATUS"];

struct Mysql {
    server: Server,
    replication: Replication,
    /// Label and text of each statement, or the mistake in the configuration.
    queries: Result<Vec<(String, String)>>,
}

/// The forms of the statement for replication to try: all, until the server has answered one.
struct Replication {
    forms: Vec<&'static str>,
    /// Why the server refuses the statement.
    refused: Option<String>,
}

fn queries(section: &Section) -> Result<Vec<(String, String)>> {
    let read = dict::texts(section.required("query", "{'label': 'SELECT COUNT(*) FROM shop.sold'}")?);
    read.map_err(|problem| section.problem("query", &format!("no map of labels and statements: {problem}")))
}

impl Check for Mysql {
    fn run(&mut self, cx: &Context, out: &mut Out) -> Result<()> {
        let Mysql { server, replication, queries } = self;
        if let Err(error) = queries {
            out.absence_of("custom", error.to_string());
        }
        let own = queries.as_deref().unwrap_or_default();
        let mut asked = vec![vec!["SHOW GLOBAL STATUS"], vec!["SHOW GLOBAL VARIABLES LIKE 'max_connections'"]];
        asked.push(replication.forms.clone());
        asked.extend(own.iter().map(|(_, statement)| vec![statement.as_str()]));
        let mut no_status = Ok(());
        let ended = server.ask(&asked, cx.due(), |at, answer| match at {
            0 => no_status = answer.and_then(|rows| status(&rows, out)),
            1 => match answer {
                Ok(rows) => out.pick(&pairs(&rows), LIMITS, &Tags::default()),
                Err(error) => out.fault_of("max_connections", error.to_string()),
            },
            2 => replication.take(answer, out),
            _ => {
                let label = own.get(at - 3).map_or("", |(label, _)| label);
                let told = answer.map_err(|error| error.to_string()).and_then(|rows| custom(label, &rows, out));
                told.unwrap_or_else(|problem| out.fault_of(label, problem));
            }
        });
        if let Some(problem) = &replication.refused {
            out.absence_of("replication", problem);
        }
        if ended.is_err() {
            // The server may have another version when it comes back.
            replication.forms = REPLICA_FORMS.to_vec();
        }
        ended.and(no_status)
    }
}

/// The rows of SHOW GLOBAL STATUS or VARIABLES: names and values.
fn pairs(rows: &Rows) -> Row<'_> {
    Row::of(rows.rows.iter().filter_map(|row| match row.as_slice() {
        [Some(name), Some(value), ..] => Some((name.as_str(), value.as_str())),
        _ => None,
    }))
}

fn status(rows: &Rows, out: &mut Out) -> Result<()> {
    let row = pairs(rows);
    if !row.has_any(STATUS) {
        return Err(Error::Absent("the answer to SHOW GLOBAL STATUS has none of the variables of MySQL".into()));
    }
    if let Some(seconds) = row.count("Uptime") {
        out.counted_for(seconds as f64);
    }
    out.pick(&row, STATUS, &Tags::default());
    Ok(())
}

impl Replication {
    fn take(&mut self, answer: Result<Rows>, out: &mut Out) {
        self.refused = None;
        match answer {
            Ok(rows) => {
                self.forms = self.forms.get(rows.form).copied().into_iter().collect();
                rows.rows.iter().for_each(|row| replica(&rows.columns, row, out));
            }
            Err(Error::Status { status: NO_SUCH_STATEMENT, .. }) => self.forms.clear(),
            Err(error) => {
                self.forms.clear();
                let needs = "the account needs REPLICATION CLIENT, with MariaDB from 10.5 on REPLICA MONITOR";
                self.refused = Some(format!("{error}; {needs}"));
            }
        }
    }
}

/// One source of this replica. If there are several, its channel is the tag.
fn replica(columns: &[String], row: &[Option<String>], out: &mut Out) {
    let cells: Vec<_> = columns.iter().zip(row).filter_map(|(column, cell)| Some((column, cell.as_deref()?))).collect();
    let cell =
        |names: [&str; 2]| cells.iter().find(|(column, _)| names.contains(&column.as_str())).map(|(_, cell)| *cell);
    let mut row = Row::default();
    for [name, old] in REPLICA_NAMES {
        match cell([name, old]) {
            Some("Yes") => row.push(name, 1u64),
            Some("No" | "Connecting" | "Preparing") => row.push(name, 0u64),
            Some(number) => row.push(name, number),
            None => {}
        }
    }
    let channel = cell(["Channel_Name", "Connection_name"]).filter(|channel| !channel.is_empty());
    out.pick(&row, REPLICA, &channel.map_or(Tags::default(), |channel| Tags::one("channel", channel)));
}

/// The first column of the first row.
fn custom(label: &str, rows: &Rows, out: &mut Out) -> Result<(), String> {
    let row = rows.rows.first().and_then(|row| row.first()).ok_or("the statement brings no row")?;
    let text = row.as_deref().unwrap_or("NULL");
    let number = text.trim().parse::<f64>().ok().filter(|number| number.is_finite());
    let number = number.ok_or_else(|| Error::parse("a number", text).to_string())?;
    CUSTOM.iter().for_each(|field| out.put(field, number, &Tags::one("prettyname", label)));
    Ok(())
}
