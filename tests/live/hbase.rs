//! The checks of HBase against a region server and a REST gateway from Maven Central, compared with the gateway's work
//! and its report on the cluster.

use crate::hadoop::{configure, number};
use crate::maven::{Artifact, class_path, java};
use crate::server::{self, Program, free_port, wait};
use crate::watched::Watched;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::fs;
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

const START: Duration = Duration::from_secs(120);
/// Jars of which an old version comes with others.
const WITHOUT: &[&str] = &["javax.servlet:servlet-api"];
const JARS: &[Artifact] = &[
    ("org.apache.hbase:hbase-server:2.6.1", WITHOUT),
    ("org.apache.hbase:hbase-rest:2.6.1", WITHOUT),
    ("org.apache.hbase:hbase-hadoop2-compat:2.6.1", WITHOUT),
];
const OPEN: &[&str] = &[
    "java.lang",
    "java.lang.reflect",
    "java.net",
    "java.nio",
    "java.util",
    "java.util.concurrent",
    "jdk.internal.misc",
    "jdk.internal.ref",
    "sun.nio.ch",
];
const MEGABYTES: u32 = 256;
/// The number of rows to write.
const COUNT: usize = 40;

/// A daemon: its class, its page, and a bean that exists when it is ready.
struct Daemon {
    class: &'static str,
    page: u16,
    bean: (&'static str, &'static str),
}

struct HBase {
    folder: TempDir,
    jars: String,
    zookeeper: u16,
    /// The port of the gateway.
    rest_port: u16,
    master: Daemon,
    region: Daemon,
    rest: Daemon,
}

impl HBase {
    fn new() -> Result<HBase, String> {
        let (folder, jars) = (TempDir::new().unwrap(), class_path("hbase-2.6.1-rest", JARS)?);
        let daemon = |class, bean| Daemon { class, page: free_port(), bean };
        let hbase = HBase {
            folder,
            jars,
            zookeeper: free_port(),
            rest_port: free_port(),
            master: daemon("master.HMaster", ("service=HBase,name=Master,sub=Server", "averageLoad")),
            region: daemon("regionserver.HRegionServer", ("service=HBase,name=RegionServer,sub=Server", "regionCount")),
            rest: daemon("rest.RESTServer", ("service=HBase,name=REST", "requests")),
        };
        let inside = |name: &str| hbase.folder.path().join(name).display().to_string();
        let local = || "127.0.0.1".to_string();
        let mut properties = vec![
            ("hbase.cluster.distributed", "true".to_string()),
            ("hbase.rootdir", format!("file://{}", inside("root"))),
            ("hbase.tmp.dir", inside("tmp")),
            ("hbase.unsafe.stream.capability.enforce", "false".into()),
            ("hbase.wal.provider", "filesystem".into()),
            ("hbase.zookeeper.quorum", local()),
            ("hbase.zookeeper.property.clientPort", hbase.zookeeper.to_string()),
            ("hbase.zookeeper.property.dataDir", inside("zookeeper")),
            ("hbase.zookeeper.property.clientPortAddress", local()),
            ("hbase.master.ipc.address", local()),
            ("hbase.master.hostname", "localhost".into()),
            ("hbase.master.port", free_port().to_string()),
            ("hbase.regionserver.ipc.address", local()),
            ("hbase.regionserver.hostname", "localhost".into()),
            ("hbase.regionserver.port", free_port().to_string()),
            ("hbase.rest.host", local()),
            ("hbase.rest.port", hbase.rest_port.to_string()),
        ];
        let HBase { master, region, rest, .. } = &hbase;
        for (address, port, daemon) in [
            ("hbase.master.info.bindAddress", "hbase.master.info.port", master),
            ("hbase.regionserver.info.bindAddress", "hbase.regionserver.info.port", region),
            ("hbase.rest.info.bindAddress", "hbase.rest.info.port", rest),
        ] {
            properties.extend([(address, local()), (port, daemon.page.to_string())]);
        }
        configure(&hbase.folder.path().join("hbase-site.xml"), &properties);
        let logs = "log4j.rootLogger=WARN,A\nlog4j.appender.A=org.apache.log4j.ConsoleAppender\n\
                    log4j.appender.A.layout=org.apache.log4j.SimpleLayout\n";
        fs::write(hbase.folder.path().join("log4j.properties"), logs).unwrap();
        Ok(hbase)
    }

    fn java(&self) -> Result<Command, String> {
        let mut command = Command::new(java()?);
        command.arg(format!("-Xmx{MEGABYTES}m")).arg("-XX:+UseG1GC");
        let opened = OPEN.iter().flat_map(|package| ["opens", "exports"].map(|word| (word, package)));
        command.args(opened.map(|(word, package)| format!("--add-{word}=java.base/{package}=ALL-UNNAMED")));
        command.arg("-cp").arg(format!("{}:{}", self.folder.path().display(), self.jars));
        Ok(command)
    }

    /// A class of HBase as a server.
    fn start(&self, class: &str) -> Result<Program, String> {
        let mut command = self.java()?;
        command.arg(format!("org.apache.hadoop.hbase.{class}")).arg("start").current_dir(self.folder.path());
        Ok(Program::start(&mut command, &self.folder.path().join("log")))
    }

    fn run(&self, daemon: &Daemon) -> Result<Program, String> {
        let running = self.start(daemon.class)?;
        self.serves(daemon);
        Ok(running)
    }

    fn serves(&self, daemon: &Daemon) {
        let (bean, attribute) = daemon.bean;
        wait(daemon.class, START, || number(daemon.page, bean, attribute).is_some());
    }

    fn watch(&self, check: &'static str, section: &str, daemon: &Daemon) -> Watched {
        Watched::start(check, "hadoop.ini", &format!("[{section}]\njmx: http://127.0.0.1:{}/jmx\n", daemon.page))
    }

    /// A page of the gateway.
    fn ask(&self, method: &str, path: &str, body: &str) -> Option<(u16, Value)> {
        server::json(self.rest_port, method, path, body)
    }

    fn state(&self, place: &str) -> Option<Value> {
        self.ask("GET", "/status/cluster", "")?.1.pointer(place).cloned()
    }

    /// Writes the rows row0, row1, … through the REST gateway, and reads them.
    fn write(&self) {
        for row in 0..COUNT {
            let [key, column, value] = [&format!("row{row}"), "f:a", "b"].map(|text| STANDARD.encode(text));
            let cell = json!({"column": column, "$": value});
            let body = json!({"Row": [{"key": key, "Cell": [cell]}]}).to_string();
            let path = format!("/live/row{row}");
            assert_eq!(self.ask("PUT", &path, &body).map(|(status, _)| status), Some(200), "{path}");
            assert_eq!(self.ask("GET", &path, "").map(|(status, _)| status), Some(200), "{path}");
        }
    }
}

pub fn all() -> Result<(), String> {
    let hbase = HBase::new()?;
    let _zookeeper = hbase.start("zookeeper.HQuorumPeer")?;
    wait("ZooKeeper", START, || TcpStream::connect(("127.0.0.1", hbase.zookeeper)).is_ok());
    let (_master, _region) = (hbase.start(hbase.master.class)?, hbase.run(&hbase.region)?);
    hbase.serves(&hbase.master);
    let rest = hbase.run(&hbase.rest)?;
    let table = "{\"name\": \"live\", \"ColumnSchema\": [{\"name\": \"f\"}]}";
    wait("the table", START, || hbase.ask("PUT", "/live/schema", table).is_some_and(|(status, _)| status == 201));

    let watched = hbase.watch("check_hbase_regionserver", "HBase-Region", &hbase.region);
    let page = |bean: &str, attribute| number(hbase.region.page, bean, attribute);
    watched.until("hregion_node_get_num_ops", &[], |rate| rate == 0.0);
    hbase.write();
    watched.counts("hregion_node_get_num_ops", &[], COUNT);
    watched.counts("hregion_node_mutate_num_ops", &[], COUNT);
    let regions = hbase.state("/regions").and_then(|count| count.as_f64());
    watched.until("hregion_node_regioncount", &[], |count| Some(count) == regions);
    let server = "service=HBase,name=RegionServer,sub=Server";
    watched.until("hregion_node_memstoresize", &[], |size| size > 0.0 && Some(size) == page(server, "memStoreSize"));
    watched.until("hregion_heap_max", &[], |most| most == f64::from(MEGABYTES << 20));
    // When a region is opened, it removes its beans for a moment, which may cause a log line.
    drop(watched);

    let watched = hbase.watch("check_hbase_rest", "HBase-Rest", &hbase.rest);
    watched.until("hrest_successfulput", &[], |rate| rate == 0.0);
    hbase.write();
    assert_eq!(hbase.ask("GET", "/live/nosuch", "").map(|(status, _)| status), Some(404));
    watched.counts("hrest_successfulput", &[], COUNT);
    watched.counts("hrest_successfulget", &[], COUNT);
    wait("a read in vain", START, || watched.counted("hrest_failedget", &[]) > 0.5);
    watched.outage("hrest_heap_used", &[], rest, Program::end, || hbase.run(&hbase.rest).unwrap()).end();
    Ok(())
}
