//! KairosDB 1.3 with its embedded H2 store, and 1.1.2, which refuses some characters in tags.

use crate::cases;
use crate::maven::{Artifact, class_path, java};
use crate::server::{Program, free_port, http, post, wait};
use crate::store::{Row, Store, clean, differences, json_number, point, tags};
use puypuy::model::point::{Point, Value};
use puypuy::sys::clock::unix_now;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

/// With jars that its own list lacks, with modules that were removed from the JDK, and without those that do not
/// support a recent Java.
const NEW: &[Artifact] = &[
    ("org.kairosdb:kairosdb:1.3.0-1", &[]),
    ("com.sun.jersey.contribs:jersey-guice:1.19.4", &[]),
    ("com.sun.xml.bind:jaxb-core:2.3.0", &[]),
];
const OLD: &[Artifact] = &[
    ("org.kairosdb:kairosdb:1.1.2-1", &[]),
    ("javax.xml.bind:jaxb-api:2.3.0", &[]),
    ("com.sun.xml.bind:jaxb-impl:2.3.0", &[]),
    ("com.sun.xml.bind:jaxb-core:2.3.0", &[]),
    ("javax.activation:activation:1.1.1", &[]),
    ("org.apache.commons:commons-lang3:3.12.0", &[]),
];

struct KairosDb {
    java: PathBuf,
    class_path: String,
    folder: TempDir,
    port: u16,
    running: Option<Program>,
}

impl KairosDb {
    fn new(name: &str, artifacts: &[Artifact]) -> Result<KairosDb, String> {
        let (java, class_path) = (java()?, class_path(name, artifacts)?);
        let (folder, port) = (TempDir::new().unwrap(), free_port());
        let inside = |name: &str| folder.path().join(name);
        ["conf", "tmp", "webroot"].iter().for_each(|name| fs::create_dir(inside(name)).unwrap());
        // The only such file in its folder, because every other would be read as a plug-in's.
        let properties = format!(
            "kairosdb.jetty.address=127.0.0.1\nkairosdb.jetty.port={port}\nkairosdb.service.telnet=<disabled>\n\
             kairosdb.datastore.h2.database_path={}\n",
            inside("h2").display()
        );
        fs::write(inside("conf/kairosdb.properties"), properties).unwrap();
        let quiet = r#"<configuration><appender name="OUT" class="ch.qos.logback.core.ConsoleAppender"><encoder><pattern>%d %-5level %logger{0} %msg%n</pattern></encoder></appender><root level="INFO"><appender-ref ref="OUT"/></root></configuration>"#;
        fs::write(inside("logback.xml"), quiet).unwrap();
        Ok(KairosDb { java, class_path, folder, port, running: None })
    }
}

impl Store for KairosDb {
    fn tsdb(&self) -> String {
        format!("tsdtype = KairosDB\naddress = http://127.0.0.1:{}\n", self.port)
    }

    fn start(&mut self) {
        let home = self.folder.path();
        let mut command = Command::new(&self.java);
        command.current_dir(home).arg("-Xmx256m").arg(format!("-Djava.io.tmpdir={}", home.join("tmp").display()));
        command.arg(format!("-Dlogback.configurationFile={}", home.join("logback.xml").display()));
        for package in ["lang", "util"] {
            command.arg("--add-opens").arg(format!("java.base/java.{package}=ALL-UNNAMED"));
        }
        command.arg("-cp").arg(&self.class_path).arg("org.kairosdb.core.Main");
        command.args(["-c", "run", "-p", "conf/kairosdb.properties"]);
        self.running = Some(Program::start(&mut command, &home.join("log")));
        wait("KairosDB's health", Duration::from_secs(120), || {
            http(self.port, "GET", "/api/v1/health/check").is_some_and(|(status, _)| status == 204)
        });
    }

    /// Ends it by TERM after it has written what it acknowledged: H2 does that half a second later, and KairosDB itself
    /// may lose later points, however it is ended.
    fn kill(&mut self, sent: &[Point]) {
        wait("KairosDB to write what it has acknowledged", Duration::from_secs(60), || {
            differences(self, sent).is_empty()
        });
        self.running.take().unwrap().end();
    }

    fn stored(&self, points: &[Point]) -> BTreeMap<Row, Value> {
        let names: BTreeSet<String> = points.iter().map(|point| self.place(point).0).collect();
        let mut rows = BTreeMap::new();
        for name in names {
            let group = json!([{ "name": "tag", "tags": ["host", "cluster", "group", "location", "type", "x"] }]);
            let query = json!({
                "start_relative": { "value": 1, "unit": "hours" },
                "metrics": [{ "name": name, "group_by": group }],
            });
            let answer = post(self.port, "POST", "/api/v1/datapoints/query", &query.to_string());
            let (status, body) = answer.expect("an answer to a query");
            assert_eq!(status, 200, "{body}");
            let answer: serde_json::Value = serde_json::from_str(&body).unwrap();
            for result in answer["queries"][0]["results"].as_array().unwrap() {
                let tags = result["tags"].as_object().unwrap().iter();
                let tags: Vec<_> =
                    tags.map(|(key, value)| (key.clone(), value[0].as_str().unwrap().to_string())).collect();
                for value in result["values"].as_array().unwrap() {
                    let row = (name.clone(), tags.clone(), value[0].as_i64().unwrap() / 1000);
                    // A point stored with both types would be two values: neither may hide the other.
                    assert!(rows.insert(row, json_number(&value[1])).is_none(), "{name}: two values at one time");
                }
            }
        }
        rows
    }

    fn rows(&self, query: &str) -> usize {
        let (status, body) = post(self.port, "POST", "/api/v1/datapoints/query", query).expect("an answer to a query");
        assert_eq!(status, 200, "{query}: {body}");
        let answer: serde_json::Value = serde_json::from_str(&body).unwrap();
        answer["queries"][0]["results"][0]["values"].as_array().map_or(0, Vec::len)
    }

    fn place(&self, point: &Point) -> Row {
        (clean(&point.name), tags(point, clean), point.time)
    }
}

pub fn round_trip() -> Result<(), String> {
    let mut kairosdb = KairosDb::new("kairosdb-1.3", NEW)?;
    cases::round_trip(&mut kairosdb);
    cases::chart(&kairosdb, "KairosDB");
    // A query does not distinguish 5 from 5.0. Written again by hand as a float, a float stays one value.
    let whole = point("whole", Value::Float(5.0), unix_now() - 30, &[]);
    let driver = cases::Driver::start(&kairosdb.tsdb());
    driver.push(std::slice::from_ref(&whole));
    driver.settle(1, Duration::from_secs(30));
    let (_, tags, time) = kairosdb.place(&whole);
    let tags: BTreeMap<String, String> = tags.into_iter().collect();
    let by_hand = format!(r#"[{{"name":"whole","timestamp":{time}000,"value":5.0,"tags":{}}}]"#, json!(tags));
    assert_eq!(post(kairosdb.port, "POST", "/api/v1/datapoints", &by_hand).unwrap().0, 204);
    assert_eq!(kairosdb.stored(&[whole]).len(), 1);
    Ok(())
}

pub fn restart() -> Result<(), String> {
    cases::restart(&mut KairosDb::new("kairosdb-1.3", NEW)?);
    Ok(())
}

/// 1.3 refuses nothing that the encoder produces; 1.1.2 refuses a colon in a tag.
pub fn one_bad() -> Result<(), String> {
    let mut kairosdb = KairosDb::new("kairosdb-1.1.2", OLD)?;
    kairosdb.start();
    let now = unix_now() - 60;
    // It also refuses the usual tag `web=1`, so each point has its own tag.
    let plain = [("group", "web"), ("cluster", "prod")];
    let good = |n: usize| point(&format!("m{}", n % 50), Value::Int(n as i64), now - (n / 50) as i64, &plain);
    let bad = point("bad", Value::Int(1), now, &[("group", "web"), ("cluster", "a:b")]);
    cases::one_bad(&kairosdb, good, bad, "metric[");
    Ok(())
}
