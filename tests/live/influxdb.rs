//! InfluxDB 1.x: five checks at a period of a second, the server away for ten ticks, nothing missing afterwards.

use crate::server::{Program, encoded, free_port, http, program, wait};
use puypuy::commands::FIRST_CHECKS;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

struct Influx {
    program: std::path::PathBuf,
    folder: TempDir,
    port: u16,
    rpc: u16,
}

impl Influx {
    fn start(&self) -> Program {
        let inside = |name: &str| self.folder.path().join(name);
        let mut command = Command::new(&self.program);
        command
            .args(["run", "-config", "/dev/null"])
            .env("INFLUXDB_REPORTING_DISABLED", "true")
            .env("INFLUXDB_BIND_ADDRESS", format!("127.0.0.1:{}", self.rpc))
            .env("INFLUXDB_HTTP_BIND_ADDRESS", format!("127.0.0.1:{}", self.port))
            .env("INFLUXDB_META_DIR", inside("meta"))
            .env("INFLUXDB_DATA_DIR", inside("data"))
            .env("INFLUXDB_DATA_WAL_DIR", inside("wal"));
        let running = Program::start(&mut command, &inside("influxd.log"));
        wait("InfluxDB's ping", Duration::from_secs(60), || {
            http(self.port, "GET", "/ping").is_some_and(|(status, _)| status == 204)
        });
        running
    }

    fn query(&self, method: &str, query: &str) -> Value {
        let path = format!("/query?db=test&epoch=s&q={}", encoded(query));
        let (status, body) = http(self.port, method, &path).expect("an answer to a query");
        assert_eq!(status, 200, "{query}: {body}");
        serde_json::from_str(&body).unwrap()
    }

    /// The times of every series, by measurement and tags.
    fn series(&self) -> BTreeMap<String, Vec<i64>> {
        let answer = self.query("GET", "SELECT value FROM /.*/ GROUP BY *");
        let Some(series) = answer["results"][0]["series"].as_array() else { return BTreeMap::new() };
        let times =
            |one: &Value| one["values"].as_array().unwrap().iter().map(|row| row[0].as_i64().unwrap()).collect();
        series.iter().map(|one| (format!("{}{}", one["name"].as_str().unwrap(), one["tags"]), times(one))).collect()
    }

    fn latest(&self) -> Option<i64> {
        self.series()
            .iter()
            .find(|(name, _)| name.starts_with("sys_load_1{"))
            .and_then(|(_, times)| times.last().copied())
    }
}

fn daemon(home: &Path, port: u16) -> Program {
    fs::create_dir_all(home.join("checks_enabled")).unwrap();
    for check in FIRST_CHECKS {
        std::os::unix::fs::symlink("../checks_available/x.ini", home.join(format!("checks_enabled/{check}.ini")))
            .unwrap();
    }
    let config = format!(
        "[SelfConfig]\ncheck_period_seconds = 1\ncluster_name = prod eu\nhost_group = web=1\nlocation = eu\n\
         [TSDB]\ntsdtype = InfluxDB\naddress = http://127.0.0.1:{port}\ndatabase = test\nauth = False\n"
    );
    fs::write(home.join("config.ini"), config).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_puypuy"));
    Program::start(command.arg("--home").arg(home).arg("run"), &home.join("output"))
}

/// Twenty ticks, the server away for ten more, then back: every tick of every series is there once.
pub fn outage() -> Result<(), String> {
    let program = program("influxd", "influxdb")?;
    let influx = Influx { program, folder: TempDir::new().unwrap(), port: free_port(), rpc: free_port() };
    let home = TempDir::new().unwrap();
    let server = influx.start();
    influx.query("POST", "CREATE DATABASE test");
    let mut daemon = daemon(home.path(), influx.port);

    wait("twenty ticks", Duration::from_secs(60), || {
        influx.series().iter().any(|(name, times)| name.starts_with("sys_load_1{") && times.len() >= 20)
    });
    let before = influx.latest().unwrap();
    drop(server);
    let spool = home.path().join("var/tmp/spool");
    let spooled = || {
        fs::read_dir(&spool).map_or(0, |entries| {
            entries.flatten().filter(|e| e.path().extension().is_some_and(|end| end == "batch")).count()
        })
    };
    wait("ten spooled ticks", Duration::from_secs(60), || spooled() >= 10);
    let _server = influx.start();
    wait("the backlog to drain", Duration::from_secs(120), || {
        spooled() == 0 && influx.latest().is_some_and(|t| t > before + 10)
    });

    daemon.signal("-TERM");
    let ended = daemon.0.wait().unwrap();
    assert!(ended.success(), "the daemon ended with {ended}");
    assert_eq!(spooled(), 0, "something was left in the spool");
    assert!(!home.path().join("var/tmp/rejected/influxdb.ndjson").exists(), "something was refused");

    let series = influx.series();
    let (first, last) = (
        series.values().filter_map(|t| t.first()).min().unwrap(),
        series.values().filter_map(|t| t.last()).max().unwrap(),
    );
    println!("live: {} series, {} ticks", series.len(), last - first + 1);
    assert!(series.len() > 40, "only {} series", series.len());
    assert!(last - first >= 30);
    for (name, times) in &series {
        let start = times[0];
        if name.starts_with("drive_read_await{") || name.starts_with("drive_write_await{") {
            // The mean of the requests of a tick: a tick without a request has none.
            assert!(times.windows(2).all(|pair| pair[0] < pair[1]), "{name}: {times:?}");
            continue;
        }
        assert!(start <= first + 1, "{name} begins late, at {start}");
        assert_eq!(times, &(start..=*last).collect::<Vec<_>>(), "{name} has gaps");
    }
    Ok(())
}
