//! Python modules written from the Python daemon's documentation only: a fresh clone, its commands one after another,
//! and InfluxDB as the server.

use crate::influxdb::Influx;
use crate::server::wait;
use crate::store::Store;
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

const SOURCE: &str = env!("CARGO_MANIFEST_DIR");

/// The last value of a measurement with the tags that all points of this host have; `null` without one.
fn last(influx: &Influx, measurement: &str, more: &str) -> Value {
    let of_us = "cluster = 'OddEye' AND \"group\" = 'workers' AND time > now() - 1m";
    let answer = influx.query("GET", &format!("SELECT last(value) FROM \"{measurement}\" WHERE {of_us} {more}"));
    answer["results"][0]["series"][0]["values"][0][1].clone()
}

pub fn as_the_text_says() -> Result<(), String> {
    let mut influx = Influx::new()?;
    let folder = TempDir::new().unwrap();
    let home = folder.path().join("puypuy");
    let clone = Command::new("git").args(["clone", "-q", SOURCE]).arg(&home).output();
    if !clone.is_ok_and(|said| said.status.success()) {
        return Err("it takes git, and a clone of this repository".into());
    }
    influx.start();
    let elsewhere = folder.path().display();
    let config = format!(
        "[SelfConfig]\ncheck_period_seconds = 1\nlog_file = {elsewhere}/oddeye.log\npid_file = {elsewhere}/oddeye.pid\n\
         cluster_name = OddEye\nhost_group = workers\ntmpdir = {elsewhere}/oddeye_tmp\n\n\
         [TSDB]\naddress: http://127.0.0.1:{}\nauth: False\nuser: netangels\npass: bololo\ndatabase: test\ntsdtype: InfluxDB\n",
        influx.port
    );
    fs::write(home.join("config.ini"), config).unwrap();
    let enabled = home.join("checks_enabled");
    std::os::unix::fs::symlink("../checks_available/check_cpustats.py", enabled.join("check_cpustats.py")).unwrap();
    for name in ["check_seed_numbers.py", "check_seed_rate.py", "check_seed_load.py"] {
        let text = fs::read_to_string(Path::new(SOURCE).join("tests/scripts/modules").join(name)).unwrap();
        fs::write(enabled.join(name), text.replace(".xreadlines()", "")).unwrap();
    }
    let puypuy = |word: &str| {
        let mut command = Command::new("./puypuy.sh");
        let command = command.arg(word).current_dir(&home).env("PUYPUY_BIN", env!("CARGO_BIN_EXE_puypuy"));
        assert!(command.status().unwrap().success(), "{word}");
    };
    puypuy("start");
    for (measurement, more) in [
        ("CheckName", "AND type = 'test'"),
        ("seed_rate", "AND type = 'test'"),
        ("sys_load_15", "AND type = 'system'"),
        ("cpu_user", "AND type = 'system'"),
        ("health_status", "AND event = 'Load-Average'"),
    ] {
        wait(measurement, Duration::from_secs(30), || !last(&influx, measurement, more).is_null());
    }
    assert_eq!(last(&influx, "CheckName", "").as_f64(), Some(10.0));
    assert_eq!(last(&influx, "seed_rate", "").as_f64(), Some(0.0));
    puypuy("stop");
    let log = fs::read_to_string(folder.path().join("oddeye.log")).unwrap();
    // A machine that runs tests may be under a load that raises an alarm.
    let complains = |line: &str| !line.contains(": event ") && ["WARN", "ERROR"].iter().any(|word| line.contains(word));
    assert!(!log.lines().any(complains), "{log}");
    Ok(())
}
