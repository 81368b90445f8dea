//! InfluxDB 1.x: five checks with a period of a second, the server away for ten ticks, and nothing missing afterwards.

use crate::cases;
use crate::grafana;
use crate::server::{Program, encoded, free_port, http, post, program, wait};
use crate::store::{Row, Store, clean, json_number, point, tags};
use puypuy::cli::commands::FIRST_CHECKS;
use puypuy::model::point::{Point, Value as Number};
use puypuy::sys::clock::unix_now;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

pub struct Influx {
    program: std::path::PathBuf,
    folder: TempDir,
    pub port: u16,
    rpc: u16,
    running: Option<Program>,
}

impl Influx {
    pub fn new() -> Result<Influx, String> {
        let program = program("influxd", "influxdb")?;
        Ok(Influx { program, folder: TempDir::new().unwrap(), port: free_port(), rpc: free_port(), running: None })
    }

    fn serve(&self) -> Program {
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

    pub fn query(&self, method: &str, query: &str) -> Value {
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

impl Store for Influx {
    fn tsdb(&self) -> String {
        format!("tsdtype = InfluxDB\naddress = http://127.0.0.1:{}\ndatabase = test\n", self.port)
    }

    fn start(&mut self) {
        self.running = Some(self.serve());
        self.query("POST", "CREATE DATABASE test");
    }

    fn kill(&mut self, _: &[Point]) {
        self.running = None;
    }

    fn stored(&self, points: &[Point]) -> BTreeMap<Row, Number> {
        let mut rows = BTreeMap::new();
        // One by one, because a joint query returns integers and floats as floats.
        let names: BTreeSet<String> = points.iter().map(|point| self.place(point).0).collect();
        for name in names {
            let quoted = name.replace('\\', "\\\\").replace('"', "\\\"");
            let answer = self.query("GET", &format!("SELECT value FROM \"{quoted}\" GROUP BY *"));
            for one in answer["results"][0]["series"].as_array().unwrap_or(&Vec::new()) {
                // A tag that other series have and this one has not is returned as an empty one.
                let tags = one["tags"].as_object().unwrap().iter();
                let tags = tags.map(|(key, value)| (key.clone(), value.as_str().unwrap().to_string()));
                let tags: Vec<(String, String)> = tags.filter(|(_, value)| !value.is_empty()).collect();
                for value in one["values"].as_array().unwrap().iter().filter(|value| value[1].is_number()) {
                    let row = (one["name"].as_str().unwrap().to_string(), tags.clone(), value[0].as_i64().unwrap());
                    rows.insert(row, json_number(&value[1]));
                }
            }
        }
        rows
    }

    fn rows(&self, query: &str) -> usize {
        let answer = self.query("GET", query);
        answer["results"][0]["series"][0]["values"].as_array().map_or(0, Vec::len)
    }

    fn place(&self, point: &Point) -> Row {
        // A line that begins with # would be a comment; a token cannot end in a backslash.
        let name = clean(&point.name);
        let name = name.strip_prefix('#').map_or(name.clone(), |rest| format!("_{rest}"));
        (name, tags(point, |text| clean(text).trim_end_matches('\\').to_string()), point.time)
    }
}

pub fn round_trip() -> Result<(), String> {
    let mut influx = Influx::new()?;
    cases::round_trip(&mut influx);
    cases::chart(&influx, "InfluxDB");
    Ok(())
}

pub fn dashboard() -> Result<(), String> {
    let mut influx = Influx::new()?;
    influx.start();
    let daemon = grafana::Daemon::start(&format!("[TSDB]\n{}auth = False\n", influx.tsdb()));
    grafana::panels("influxdb", &daemon, |target| grafana::influxql(influx.port, target));
    Ok(())
}

pub fn restart() -> Result<(), String> {
    cases::restart(&mut Influx::new()?);
    Ok(())
}

pub fn way_back() -> Result<(), String> {
    cases::way_back(&mut Influx::new()?);
    Ok(())
}

pub fn one_bad() -> Result<(), String> {
    let mut influx = Influx::new()?;
    influx.start();
    let told = post(influx.port, "POST", "/write?db=test&precision=s", "bad value=\"text\" 1500000000").unwrap();
    assert_eq!(told.0, 204);
    let now = unix_now();
    let good = |n: usize| point(&format!("m{}", n % 50), Number::Int(n as i64), now - (n / 50) as i64, &[]);
    // The text has the same time, because a field has one type per shard.
    let bad = point("bad", Number::Float(0.5), 1_500_000_000, &[]);
    cases::one_bad(&influx, good, bad, "already exists as type string");
    Ok(())
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
    let influx = Influx::new()?;
    let home = TempDir::new().unwrap();
    let server = influx.serve();
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
    let _server = influx.serve();
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
