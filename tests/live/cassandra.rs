//! check_cassandra3 against Cassandra from Maven Central, compared with what its own client did and with its own tool.

use crate::cache::output;
use crate::jolokia::{AGENT_1, numbers, option};
use crate::maven::{Artifact, class_path, java};
use crate::server::{Program, free_port, wait};
use crate::watched::Watched;
use std::fs;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

const START: Duration = Duration::from_secs(120);
const JARS: &[Artifact] = &[("org.apache.cassandra:cassandra-all:4.1.9", &[])];
const MEGABYTES: u32 = 512;
/// The number of statements of each kind.
const COUNT: usize = 60;

/// The `--add-opens` options of Java, from Cassandra's own script for Java 11 and later.
const OPEN: &[&str] = &[
    "java.base/java.io",
    "java.base/java.lang",
    "java.base/java.lang.module",
    "java.base/java.lang.reflect",
    "java.base/java.net",
    "java.base/java.nio",
    "java.base/java.util",
    "java.base/java.util.concurrent",
    "java.base/java.util.concurrent.atomic",
    "java.base/jdk.internal.loader",
    "java.base/jdk.internal.math",
    "java.base/jdk.internal.misc",
    "java.base/jdk.internal.module",
    "java.base/jdk.internal.ref",
    "java.base/jdk.internal.reflect",
    "java.base/jdk.internal.util.jar",
    "java.base/sun.nio.ch",
    "java.management.rmi/com.sun.jmx.remote.internal.rmi",
    "java.rmi/sun.rmi.registry",
    "java.rmi/sun.rmi.server",
    "java.sql/java.sql",
    "jdk.management/com.sun.management.internal",
];

/// Runs statements of each kind through Cassandra's own client, whose connection stays open.
const TRAFFIC: &str = r#"
import java.nio.ByteBuffer;
import java.util.List;
import org.apache.cassandra.config.DatabaseDescriptor;
import org.apache.cassandra.db.ConsistencyLevel;
import org.apache.cassandra.transport.SimpleClient;
import org.apache.cassandra.transport.messages.ResultMessage;

class Traffic {
    public static void main(String[] words) throws Exception {
        DatabaseDescriptor.clientInitialization();
        ConsistencyLevel one = ConsistencyLevel.ONE;
        SimpleClient client = new SimpleClient("127.0.0.1", Integer.parseInt(words[0]));
        client.connect(false);
        String alone = "{'class': 'SimpleStrategy', 'replication_factor': 1}";
        client.execute("create keyspace live with replication = " + alone, one);
        client.execute("create table live.numbers (key int primary key, value int)", one);
        ResultMessage.Prepared write = client.prepare("insert into live.numbers (key, value) values (?, 1)");
        for (int key = 0; key < Integer.parseInt(words[1]); key++) {
            client.executePrepared(write, List.of(ByteBuffer.allocate(4).putInt(0, key)), one);
            client.execute("select value from live.numbers where key = " + key, one);
            client.execute("insert into live.numbers (key, value) values (-1, 1) if not exists", one);
            Thread.sleep(20);
        }
        Thread.sleep(1000000);
    }
}
"#;

struct Cassandra {
    folder: TempDir,
    jars: String,
    /// The ports of clients, of Jolokia, and of its own tool.
    port: u16,
    jolokia: u16,
    tool: u16,
}

impl Cassandra {
    fn new() -> Result<Cassandra, String> {
        let (folder, jars) = (TempDir::new().unwrap(), class_path("cassandra-4.1.9", JARS)?);
        let (port, jolokia, tool, storage) = (free_port(), free_port(), free_port(), free_port());
        let place = folder.path().display();
        let conf = format!(
            "cluster_name: live\nnum_tokens: 1\npartitioner: org.apache.cassandra.dht.Murmur3Partitioner\n\
             commitlog_sync: periodic\ncommitlog_sync_period: 10000ms\ndata_file_directories: [{place}/data]\n\
             commitlog_directory: {place}/log\nsaved_caches_directory: {place}/saved\nhints_directory: {place}/hints\n\
             cdc_raw_directory: {place}/raw\nstorage_port: {storage}\nnative_transport_port: {port}\n\
             listen_address: 127.0.0.1\nrpc_address: 127.0.0.1\nendpoint_snitch: SimpleSnitch\n\
             seed_provider: [{{class_name: org.apache.cassandra.locator.SimpleSeedProvider, \
             parameters: [{{seeds: \"127.0.0.1:{storage}\"}}]}}]\n"
        );
        let logs = "<configuration><root level=\"OFF\"/></configuration>";
        for (name, text) in [("cassandra.yaml", conf.as_str()), ("logback.xml", logs), ("Traffic.java", TRAFFIC)] {
            fs::write(folder.path().join(name), text).unwrap();
        }
        Ok(Cassandra { folder, jars, port, jolokia, tool })
    }

    /// The Java command for the server, its tool and the client.
    fn java(&self) -> Result<Command, String> {
        let mut command = Command::new(java()?);
        let opened = OPEN.iter().flat_map(|package| ["opens", "exports"].map(|word| (word, package)));
        command.args(opened.map(|(word, package)| format!("--add-{word}={package}=ALL-UNNAMED")));
        command.arg("-cp").arg(format!("{}:{}", self.folder.path().display(), self.jars));
        Ok(command)
    }

    fn run(&self) -> Result<Program, String> {
        let mut command = self.java()?;
        command.arg(format!("-Xmx{MEGABYTES}m")).args(["-XX:+UseG1GC", "-Djdk.attach.allowAttachSelf=true"]);
        command.args(
            ["-foreground=yes", ".skip_wait_for_gossip_to_settle=0", ".ring_delay_ms=500"]
                .map(|word| format!("-Dcassandra{word}")),
        );
        command.arg(format!("-Dcassandra.storagedir={}", self.folder.path().display()));
        command.arg(format!("-Dcassandra.jmx.local.port={}", self.tool)).arg(option(AGENT_1, self.jolokia)?);
        command.arg(format!("-javaagent:{}", self.jars.replace('*', "jamm-0.3.2.jar")));
        command.arg("org.apache.cassandra.service.CassandraDaemon");
        let running = Program::start(&mut command, &self.folder.path().join("output"));
        wait("Cassandra", START, || std::net::TcpStream::connect(("127.0.0.1", self.port)).is_ok());
        Ok(running)
    }

    /// The text after this name in the output of its own tool.
    fn shown(&self, word: &str, name: &str) -> String {
        let mut command = self.java().unwrap();
        command.args(["org.apache.cassandra.tools.NodeTool", "-h", "127.0.0.1", "-p", &self.tool.to_string(), word]);
        let told = output(&mut command).unwrap();
        let line = told.lines().find_map(|line| line.strip_prefix(name)?.trim_start().strip_prefix(':'));
        line.unwrap_or_else(|| panic!("no {name} in\n{told}")).trim().to_string()
    }
}

pub fn three() -> Result<(), String> {
    let cassandra = Cassandra::new()?;
    let running = cassandra.run()?;
    let section = format!("[Cassandra]\njolokia: http://127.0.0.1:{}/jolokia/read\n", cassandra.jolokia);
    let watched = Watched::start("check_cassandra3", "bigdata.ini", &section);
    watched.until("cassa_heap_max", &[], |most| most == f64::from(MEGABYTES << 20));
    watched.until("cassa_clients", &[], |count| count == 0.0);
    for metric in ["cassa_cql_preparedstatementsexecuted", "cassa_cql_regularstatementsexecuted"] {
        watched.until(metric, &[], |rate| rate == 0.0);
    }
    let mut command = cassandra.java()?;
    command.arg(cassandra.folder.path().join("Traffic.java")).args([cassandra.port.to_string(), COUNT.to_string()]);
    let client = Program::start(&mut command, &cassandra.folder.path().join("client"));
    // The others are two per round, and the two that created the table.
    watched.counts("cassa_cql_preparedstatementsexecuted", &[], COUNT);
    watched.counts("cassa_cql_regularstatementsexecuted", &[], COUNT * 2 + 2);
    for metric in ["cassa_latency_read", "cassa_latency_write", "cassa_latency_caswrite"] {
        // Microseconds: between a hundredth of a millisecond and a second.
        watched.until(metric, &[], |time| time > 10.0 && time < 1e6);
    }
    let bean = "org.apache.cassandra.metrics:type=ClientRequest,scope=Write,name=Latency";
    watched.until("cassa_latency_99th", &[("scope", "Write")], |time| {
        numbers(cassandra.jolokia, bean, "99thPercentile") == [time]
    });
    let clients: f64 = cassandra.shown("clientstats", "Total connected clients").parse().unwrap();
    assert_eq!(clients, 1.0);
    watched.until("cassa_clients", &[], |count| count == clients);
    let load = cassandra.shown("info", "Load");
    let load: f64 = load.strip_suffix(" KiB").unwrap().parse::<f64>().unwrap() * 1024.0;
    watched.until("cassa_storage_load", &[], |bytes| (bytes - load).abs() < load / 4.0);
    assert_eq!(cassandra.shown("info", "Exceptions"), "0");
    watched.until("cassa_storage_exceptions", &[], |rate| rate == 0.0);
    client.end();
    watched.until("cassa_clients", &[], |count| count == 0.0);
    watched.outage("cassa_clients", &[], running, Program::end, || cassandra.run().unwrap());
    Ok(())
}
