//! VictoriaMetrics 1.79, which accepts OpenTSDB's `/api/put` and InfluxDB 2's `/api/v2/write`.
//!
//! It answers 204 even to what it cannot parse, so it refuses nothing: instead its counter of unparsed rows must not
//! grow, and there is no case with one bad point.

use crate::cases;
use crate::grafana;
use crate::server::{Program, encoded, free_port, http, program, wait};
use crate::store::{Row, Store, clean, few, tags};
use puypuy::model::point::{Point, Value};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

struct Victoria {
    program: PathBuf,
    folder: TempDir,
    port: u16,
    opentsdb: u16,
    as_influx: bool,
    running: Option<Program>,
}

impl Victoria {
    fn new(as_influx: bool) -> Result<Victoria, String> {
        let program = program("victoria-metrics", "victoria-metrics")?;
        let folder = TempDir::new().unwrap();
        Ok(Victoria { program, folder, port: free_port(), opentsdb: free_port(), as_influx, running: None })
    }

    /// Rows that it could not parse, or left out.
    fn invalid(&self) -> u64 {
        let (_, page) = http(self.port, "GET", "/metrics").unwrap();
        let lost = page
            .lines()
            .filter(|line| line.starts_with("vm_rows_invalid_total") || line.starts_with("vm_rows_ignored_total"));
        lost.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
    }
}

impl Store for Victoria {
    fn tsdb(&self) -> String {
        match self.as_influx {
            true => format!(
                "tsdtype = InfluxDB2\naddress = http://127.0.0.1:{}\norganization = o\nbucket = b\ntoken = t\n",
                self.port
            ),
            false => format!("tsdtype = OpenTSDB\naddress = http://127.0.0.1:{}\n", self.opentsdb),
        }
    }

    fn start(&mut self) {
        let mut command = Command::new(&self.program);
        command
            .arg(format!("-storageDataPath={}", self.folder.path().join("data").display()))
            .arg(format!("-httpListenAddr=127.0.0.1:{}", self.port))
            .arg(format!("-opentsdbHTTPListenAddr=127.0.0.1:{}", self.opentsdb))
            .args(["-retentionPeriod=100y", "-search.latencyOffset=0s", "-influxSkipSingleField"]);
        self.running = Some(Program::start(&mut command, &self.folder.path().join("log")));
        wait("VictoriaMetrics to listen", Duration::from_secs(60), || {
            http(self.port, "GET", "/health").is_some_and(|(status, _)| status == 200)
        });
    }

    /// By TERM, because it keeps the last seconds in memory, and KILL would lose them whoever sent them.
    fn kill(&mut self, _: &[Point]) {
        self.running.take().unwrap().end();
    }

    fn stored(&self, _: &[Point]) -> BTreeMap<Row, Value> {
        assert_eq!(self.invalid(), 0, "{}", std::fs::read_to_string(self.folder.path().join("log")).unwrap());
        http(self.port, "GET", "/internal/force_flush").unwrap();
        let path = format!("/api/v1/export?match[]={}", encoded("{__name__!=\"\"}"));
        let (_, body) = http(self.port, "GET", &path).unwrap();
        let mut rows = BTreeMap::new();
        for line in body.lines() {
            let series: serde_json::Value = serde_json::from_str(line).unwrap();
            let labels = series["metric"].as_object().unwrap();
            let tags = labels.iter().filter(|(key, _)| !matches!(key.as_str(), "__name__" | "db"));
            let tags: Vec<_> = tags.map(|(key, value)| (key.clone(), value.as_str().unwrap().to_string())).collect();
            let times = series["timestamps"].as_array().unwrap();
            for (time, value) in times.iter().zip(series["values"].as_array().unwrap()) {
                let row =
                    (labels["__name__"].as_str().unwrap().to_string(), tags.clone(), time.as_i64().unwrap() / 1000);
                rows.insert(row, self.number(Value::Float(value.as_f64().unwrap())));
            }
        }
        rows
    }

    fn place(&self, point: &Point) -> Row {
        if !self.as_influx {
            return (few(&point.name), tags(point, few), point.time);
        }
        let name = clean(&point.name);
        let name = name.strip_prefix('#').map_or(name.clone(), |rest| format!("_{rest}"));
        (name, tags(point, clean), point.time)
    }

    /// It reads a double backslash in line protocol as one escaped backslash, which InfluxDB does not: what follows
    /// `a\\,` is lost.
    fn takes(&self, point: &Point) -> bool {
        !self.as_influx || point.tags.iter().all(|(_, value)| !value.contains("\\,"))
    }

    /// It stores about fifteen decimal digits.
    fn number(&self, value: Value) -> Value {
        crate::store::plain(Value::Float(format!("{:.13e}", value.as_f64()).parse().unwrap()))
    }
}

pub fn opentsdb_round_trip() -> Result<(), String> {
    cases::round_trip(&mut Victoria::new(false)?);
    Ok(())
}

pub fn dashboard() -> Result<(), String> {
    let mut victoria = Victoria::new(false)?;
    victoria.start();
    let daemon = grafana::Daemon::start(&format!("[TSDB]\n{}", victoria.tsdb()));
    grafana::panels("prometheus", &daemon, |target| grafana::promql(victoria.port, target));
    Ok(())
}

pub fn opentsdb_restart() -> Result<(), String> {
    cases::restart(&mut Victoria::new(false)?);
    Ok(())
}

pub fn influxdb2_round_trip() -> Result<(), String> {
    cases::round_trip(&mut Victoria::new(true)?);
    Ok(())
}

pub fn influxdb2_restart() -> Result<(), String> {
    cases::restart(&mut Victoria::new(true)?);
    Ok(())
}
