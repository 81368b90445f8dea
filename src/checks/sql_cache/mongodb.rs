//! mongodb: the values of MongoDB's serverStatus (MongoDB manual, "serverStatus").

use super::CONF;
use crate::check::chart::Chart;
use crate::check::{Check, Context, Out, Runs, Spec};
use crate::fetch::mongodb::{self, Server, UNAUTHORIZED};
use crate::fetch::tcp;
use crate::model::error::{Error, Result};
use crate::model::point::Tags;
use crate::model::table::{Field, Row, gauge, rate};

pub static SPEC: Spec = Spec {
    name: "check_mongodb",
    purpose: "operations, documents and connections of MongoDB",
    check_type: "mongo",
    conf: CONF,
    section: "MongoDB",
    keys: &[tcp::KEYS, mongodb::KEYS],
    runs: Runs::Own,
    fields: &[GROUPS, FIELDS],
    charts: CHARTS,
    build: |section| Ok(Box::new(Mongodb { server: Server::read(section)?, refused: None })),
};

const CHARTS: &[Chart] = &[
    Chart::new("Operations").of(&["mongo_opcounters_{key}"]),
    Chart::new("Replicated operations").of(&["mongo_opcountersrepl_{key}"]),
    Chart::new("Connections").of(&["mongo_connections_{key}"]),
    Chart::new("Waiting for a lock").of(&["mongo_queue_readers", "mongo_queue_writers"]),
    Chart::new("Time spent on operations").of(&[
        "mongo_oplatencies_reads_latency",
        "mongo_oplatencies_writes_latency",
        "mongo_oplatencies_commands_latency",
    ]),
    Chart::new("Operations by kind").of(&[
        "mongo_oplatencies_reads_ops",
        "mongo_oplatencies_writes_ops",
        "mongo_oplatencies_commands_ops",
    ]),
    Chart::new("Cache").of(&["mongo_cache_bytes", "mongo_cache_dirty_bytes", "mongo_cache_max_bytes"]),
    Chart::new("Free tickets").of(&["mongo_tickets_read_available", "mongo_tickets_write_available"]),
    Chart::new("Documents").of(&["mongo_document_{key}"]),
    Chart::new("Searches, sorts and conflicts").of(&["mongo_operation_{key}"]),
    Chart::new("Traffic").mirror(&["mongo_network_bytesIn"], &["mongo_network_bytesOut"]),
    Chart::new("Requests").of(&["mongo_network_numRequests"]),
    Chart::new("Memory").of(&["mongo_mem_resident", "mongo_mem_virtual"]),
    Chart::new("Open cursors").of(&["mongo_cursors_open"]),
    Chart::new("Assertions").of(&["mongo_asserts_{key}"]),
    Chart::new("Time since the start").of(&["mongo_uptime"]),
];

/// Every number directly below a part of the answer is emitted, under the name that it has there.
const GROUPS: &[Field] = &[
    rate("metrics.document.", "mongo_document_{key}", "1/s"),
    rate("metrics.operation.", "mongo_operation_{key}", "1/s"),
    rate("opcounters.", "mongo_opcounters_{key}", "1/s"),
    rate("opcountersRepl.", "mongo_opcountersrepl_{key}", "1/s"),
    gauge("connections.", "mongo_connections_{key}", "connections").int(),
    rate("asserts.", "mongo_asserts_{key}", "1/s"),
];

/// From 8.0 on, the tickets are in another place.
const FIELDS: &[Field] = &[
    gauge("uptime", "mongo_uptime", "s").int().optional(),
    gauge("mem.resident", "mongo_mem_resident", "bytes").scale(MIB).int().optional(),
    gauge("mem.virtual", "mongo_mem_virtual", "bytes").scale(MIB).int().optional(),
    rate("network.bytesIn", "mongo_network_bytesIn", "bytes/s").optional(),
    rate("network.bytesOut", "mongo_network_bytesOut", "bytes/s").optional(),
    rate("network.numRequests", "mongo_network_numRequests", "1/s").optional(),
    rate("opLatencies.reads.latency", "mongo_oplatencies_reads_latency", "us/s").optional(),
    rate("opLatencies.reads.ops", "mongo_oplatencies_reads_ops", "1/s").optional(),
    rate("opLatencies.writes.latency", "mongo_oplatencies_writes_latency", "us/s").optional(),
    rate("opLatencies.writes.ops", "mongo_oplatencies_writes_ops", "1/s").optional(),
    rate("opLatencies.commands.latency", "mongo_oplatencies_commands_latency", "us/s").optional(),
    rate("opLatencies.commands.ops", "mongo_oplatencies_commands_ops", "1/s").optional(),
    gauge("globalLock.currentQueue.readers", "mongo_queue_readers", "operations").int().optional(),
    gauge("globalLock.currentQueue.writers", "mongo_queue_writers", "operations").int().optional(),
    gauge("metrics.cursor.open.total", "mongo_cursors_open", "cursors").int().optional(),
    gauge("wiredTiger.cache.bytes currently in the cache", "mongo_cache_bytes", "bytes").int().optional(),
    gauge("wiredTiger.cache.tracked dirty bytes in the cache", "mongo_cache_dirty_bytes", "bytes").int().optional(),
    gauge("wiredTiger.cache.maximum bytes configured", "mongo_cache_max_bytes", "bytes").int().optional(),
    gauge("wiredTiger.concurrentTransactions.read.available", "mongo_tickets_read_available", "tickets")
        .int()
        .optional(),
    gauge("wiredTiger.concurrentTransactions.write.available", "mongo_tickets_write_available", "tickets")
        .int()
        .optional(),
    gauge("queues.execution.read.available", "mongo_tickets_read_available", "tickets").int().optional(),
    gauge("queues.execution.write.available", "mongo_tickets_write_available", "tickets").int().optional(),
];

const MIB: f64 = 1_048_576.0;

struct Mongodb {
    server: Server,
    /// Why the server is no longer asked: it logs every refusal.
    refused: Option<String>,
}

impl Check for Mongodb {
    fn run(&mut self, cx: &Context, out: &mut Out) -> Result<()> {
        if let Some(problem) = &self.refused {
            return Err(Error::Absent(problem.clone()));
        }
        let status = match self.server.ask("serverStatus", cx.due()) {
            Err(error @ Error::Status { status: UNAUTHORIZED, .. }) => {
                let problem = format!("{error}; it is asked again when its section has changed");
                self.refused = Some(problem.clone());
                return Err(Error::Absent(problem));
            }
            answer => answer?,
        };
        let row = Row::of(status.numbers());
        if let Some(process) = row.count("pid") {
            out.counted_by(&process.to_string());
        }
        if let Some(seconds) = status.number("uptime") {
            out.counted_for(seconds);
        }
        for (path, number) in status.numbers() {
            let group = |field: &&Field| path.strip_prefix(field.cell).is_some_and(|key| !key.contains('.'));
            if let Some(field) = GROUPS.iter().find(group) {
                let key = path.strip_prefix(field.cell).unwrap_or_default();
                out.put_as(&field.metric.replace("{key}", key), field, number, &Tags::default());
            }
        }
        out.pick(&row, FIELDS, &Tags::default());
        Ok(())
    }
}
