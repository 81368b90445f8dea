//! OpenTSDB 2.4 on a standalone HBase 2.4: two JVMs and tables to be created, so all cases share one start.

use crate::cases;
use crate::grafana;
use crate::hadoop::configure;
use crate::maven::{Artifact, class_path, java};
use crate::server::{Program, encoded, free_port, http, wait};
use crate::store::{Row, Store, few, json_number, point, tags};
use puypuy::model::point::{Point, Value};
use puypuy::sys::clock::unix_now;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

const HBASE: &[Artifact] = &[("org.apache.hbase:hbase-server:2.4.18", &[])];
/// An old Netty must not come before the new one. Java included the last of these until version 10; without it a query
/// with a regular expression as filter never returns.
const TSD: &[Artifact] = &[
    ("net.opentsdb:opentsdb:2.4.1", &["org.jboss.netty:netty"]),
    ("org.hbase:asynchbase:1.8.2", &[]),
    ("javax.xml.bind:jaxb-api:2.3.1", &[]),
];

/// Creates the tables; waits for HBase by itself.
const TABLES: &str = r#"
import org.apache.hadoop.hbase.*;
import org.apache.hadoop.hbase.client.*;

public class Tables {
    public static void main(String[] unused) throws Exception {
        try (Connection connection = ConnectionFactory.createConnection(HBaseConfiguration.create())) {
            String[][] tables = {{"tsdb-uid", "id", "name"}, {"tsdb", "t"}, {"tsdb-tree", "t"}, {"tsdb-meta", "name"}};
            for (String[] table : tables) {
                TableDescriptorBuilder wanted = TableDescriptorBuilder.newBuilder(TableName.valueOf(table[0]));
                for (int place = 1; place < table.length; place++)
                    wanted.setColumnFamily(ColumnFamilyDescriptorBuilder.of(table[place]));
                connection.getAdmin().createTable(wanted.build());
            }
        }
    }
}
"#;

/// The storage of the servers.
struct HBase {
    folder: TempDir,
    zookeeper: u16,
    running: Program,
}

impl HBase {
    fn start() -> Result<HBase, String> {
        let (java, class_path) = (java()?, class_path("hbase-2.4", HBASE)?);
        let folder = TempDir::new().unwrap();
        let inside = |name: &str| folder.path().join(name);
        ["conf", "tmp"].iter().for_each(|name| fs::create_dir(inside(name)).unwrap());
        let zookeeper = free_port();
        let properties = [
            ("hbase.rootdir", format!("file://{}", inside("data").display())),
            ("hbase.tmp.dir", inside("tmp").display().to_string()),
            ("hbase.unsafe.stream.capability.enforce", "false".into()),
            ("hbase.zookeeper.property.clientPort", zookeeper.to_string()),
            // Otherwise it ends itself when the machine hangs for ten seconds.
            ("hbase.zookeeper.property.tickTime", "15000".into()),
            ("zookeeper.session.timeout.localHBaseCluster", "300000".into()),
            ("hbase.master.hostname", "localhost".into()),
            ("hbase.master.port", free_port().to_string()),
            ("hbase.master.info.port", "-1".into()),
            ("hbase.regionserver.hostname", "localhost".into()),
            ("hbase.regionserver.port", free_port().to_string()),
            ("hbase.regionserver.info.port", "-1".into()),
        ];
        configure(&inside("conf/hbase-site.xml"), &properties);
        let quiet = "log4j.rootLogger=WARN,A\nlog4j.appender.A=org.apache.log4j.ConsoleAppender\n\
                     log4j.appender.A.layout=org.apache.log4j.PatternLayout\n";
        fs::write(inside("conf/log4j.properties"), quiet).unwrap();
        let class_path = format!("{}:{class_path}", inside("conf").display());
        let mut command = Command::new(&java);
        command.arg("-Xmx384m").arg(format!("-Djava.io.tmpdir={}", inside("tmp").display()));
        command.args(["-cp", &class_path, "org.apache.hadoop.hbase.master.HMaster", "start"]);
        let running = Program::start(&mut command, &inside("hbase.log"));
        fs::write(inside("Tables.java"), TABLES).unwrap();
        let mut command = Command::new("timeout");
        command.arg("180").arg(&java).args(["-cp", &class_path]).arg(inside("Tables.java"));
        let made = command.output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        Ok(HBase { folder, zookeeper, running })
    }
}

struct OpenTsdb<'a> {
    java: PathBuf,
    class_path: String,
    hbase: &'a HBase,
    folder: TempDir,
    port: u16,
    creates: bool,
    running: Option<Program>,
}

impl OpenTsdb<'_> {
    fn new(hbase: &HBase, creates: bool) -> Result<OpenTsdb<'_>, String> {
        let (java, class_path) = (java()?, class_path("opentsdb-2.4-jaxb", TSD)?);
        let folder = TempDir::new().unwrap();
        ["tmp", "cache", "static"].iter().for_each(|name| fs::create_dir(folder.path().join(name)).unwrap());
        Ok(OpenTsdb { java, class_path, hbase, folder, port: free_port(), creates, running: None })
    }
}

impl Store for OpenTsdb<'_> {
    fn tsdb(&self) -> String {
        format!("tsdtype = OpenTSDB\naddress = http://127.0.0.1:{}\n", self.port)
    }

    fn start(&mut self) {
        let inside = |name: &str| self.folder.path().join(name);
        let config = format!(
            "tsd.network.port={}\ntsd.network.bind=127.0.0.1\ntsd.http.staticroot={}\ntsd.http.cachedir={}\n\
             tsd.storage.hbase.zk_quorum=127.0.0.1:{}\ntsd.core.auto_create_metrics={}\n",
            self.port,
            inside("static").display(),
            inside("cache").display(),
            self.hbase.zookeeper,
            self.creates
        );
        fs::write(inside("opentsdb.conf"), config).unwrap();
        let mut command = Command::new(&self.java);
        command.arg("-Xmx256m").arg(format!("-Djava.io.tmpdir={}", inside("tmp").display()));
        command.args(["-cp", &self.class_path, "net.opentsdb.tools.TSDMain"]);
        command.arg(format!("--config={}", inside("opentsdb.conf").display()));
        self.running = Some(Program::start(&mut command, &self.hbase.folder.path().join("tsd.log")));
        wait("OpenTSDB's version", Duration::from_secs(120), || {
            http(self.port, "GET", "/api/version").is_some_and(|(status, _)| status == 200)
        });
    }

    fn kill(&mut self, _: &[Point]) {
        self.running = None;
    }

    fn stored(&self, points: &[Point]) -> BTreeMap<Row, Value> {
        let names: BTreeSet<String> = points.iter().map(|point| self.place(point).0).collect();
        let times = points.iter().map(|point| point.time);
        // The end must be after the start.
        let (start, end) = (times.clone().min().unwrap(), times.max().unwrap() + 1);
        let mut rows = BTreeMap::new();
        for name in names {
            let query = encoded(&format!("none:{name}"));
            let path = format!("/api/query?start={start}&end={end}&m={query}");
            let Some((200, body)) = http(self.port, "GET", &path) else { continue };
            let answer: serde_json::Value = serde_json::from_str(&body).unwrap();
            for series in answer.as_array().unwrap() {
                let tags = series["tags"].as_object().unwrap().iter();
                let mut tags: Vec<_> =
                    tags.map(|(key, value)| (key.clone(), value.as_str().unwrap().to_string())).collect();
                tags.sort();
                for (time, value) in series["dps"].as_object().unwrap() {
                    rows.insert((name.clone(), tags.clone(), time.parse().unwrap()), json_number(value));
                }
            }
        }
        rows
    }

    fn rows(&self, query: &str) -> usize {
        let (start, metric) = query.split_once("&m=").expect("a metric in the query");
        let Some((200, body)) = http(self.port, "GET", &format!("/api/query?{start}&m={}", encoded(metric))) else {
            return 0;
        };
        let answer: serde_json::Value = serde_json::from_str(&body).unwrap();
        answer[0]["dps"].as_object().map_or(0, serde_json::Map::len)
    }

    fn place(&self, point: &Point) -> Row {
        (few(&point.name), tags(point, few), point.time)
    }
}

pub fn way_back() -> Result<(), String> {
    let hbase = HBase::start()?;
    cases::way_back(&mut OpenTsdb::new(&hbase, true)?);
    Ok(())
}

pub fn all() -> Result<(), String> {
    let hbase = HBase::start()?;
    let mut server = OpenTsdb::new(&hbase, true)?;
    cases::round_trip(&mut server);
    cases::chart(&server, "OpenTSDB");
    {
        let daemon = grafana::Daemon::start(&format!("[TSDB]\n{}", server.tsdb()));
        grafana::panels("opentsdb", &daemon, |target| grafana::tsd(server.port, target));
    }
    cases::restart(&mut server);
    cases::stall(&server, |still| hbase.running.signal(if still { "-STOP" } else { "-CONT" }));

    // A server that creates no metrics knows only those of the test of death under load.
    let mut strict = OpenTsdb::new(&hbase, false)?;
    strict.start();
    let now = unix_now() - 30;
    let good = |n: usize| {
        let tags = [("x", if n.is_multiple_of(2) { "a;rm=b" } else { "10.0.0.1" })];
        point(&format!("load.{}", n / 2 % 10), Value::Int(n as i64), now - 1_000 - (n / 20) as i64, &tags)
    };
    cases::one_bad(&strict, good, point("nobody.knows", Value::Int(1), now, &[]), "Unknown metric");
    Ok(())
}
