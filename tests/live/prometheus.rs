//! A real Prometheus scrapes the daemon, and promtool checks its page.

use crate::documents;
use crate::grafana;
use crate::server::{Program, encoded, free_port, http, program, wait};
use puypuy::cli::commands::FIRST_CHECKS;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// Complaints of promtool that are no mistakes: the names are those in existing dashboards.
const STYLE: &[&str] = &["counter metrics should have", "metric names should not contain", "use base unit"];

/// A Prometheus that scrapes this port once a second; and its own port.
fn serve(program: &Path, folder: &Path, port: u16) -> (Program, u16) {
    let listen = free_port();
    let target = format!(
        "scrape_configs:\n- job_name: p\n  scrape_interval: 1s\n  static_configs:\n  - targets: ['127.0.0.1:{port}']\n"
    );
    fs::write(folder.join("prometheus.yml"), target).unwrap();
    let mut command = Command::new(program);
    command
        .arg(format!("--config.file={}", folder.join("prometheus.yml").display()))
        .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
        .arg(format!("--web.listen-address=127.0.0.1:{listen}"));
    let running = Program::start(&mut command, &folder.join("prometheus.log"));
    wait("Prometheus to listen", Duration::from_secs(60), || http(listen, "GET", "/-/ready").is_some());
    (running, listen)
}

pub fn scrape() -> Result<(), String> {
    let prometheus = program("prometheus", "prometheus")?;
    let promtool = program("promtool", "prometheus")?;
    let home = TempDir::new().unwrap();
    let inside = |name: &str| home.path().join(name);
    fs::create_dir_all(inside("checks_enabled")).unwrap();
    for check in FIRST_CHECKS {
        std::os::unix::fs::symlink("../x", inside(&format!("checks_enabled/{check}.ini"))).unwrap();
    }
    let port = free_port();
    let hostile = r#"it's "x" \ y, z"#;
    fs::write(
        inside("config.ini"),
        format!(
            "[SelfConfig]\ncheck_period_seconds = 1\nhostname = web1\ncluster_name = {hostile}\nhost_group = g\n\
             [TSDB]\ntsdtype = Prometheus\n[WebServer]\nwebaddress = 127.0.0.1:{port}\n"
        ),
    )
    .unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_puypuy"));
    let _daemon = Program::start(command.arg("--home").arg(home.path()).arg("run"), &inside("output"));
    let mut page = String::new();
    wait("rates on the page", Duration::from_secs(30), || {
        page = http(port, "GET", "/metrics").map(|(_, page)| page).unwrap_or_default();
        page.contains("\ncpu_user{")
    });

    let mut checking = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    checking.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
    let told = checking.wait_with_output().unwrap();
    let words = [told.stdout, told.stderr].concat();
    let words = String::from_utf8_lossy(&words);
    let serious: Vec<&str> = words.lines().filter(|line| !STYLE.iter().any(|style| line.contains(style))).collect();
    assert!(serious.is_empty() && matches!(told.status.code(), Some(0 | 3)), "{}: {serious:?}", told.status);

    let (_prometheus, listen) = serve(&prometheus, home.path(), port);
    let ask = |query: &str| -> Vec<serde_json::Value> {
        let answer = http(listen, "GET", &format!("/api/v1/query?query={}", encoded(query)));
        let answer = answer.and_then(|(_, body)| serde_json::from_str::<serde_json::Value>(&body).ok());
        answer.and_then(|answer| answer["data"]["result"].as_array().cloned()).unwrap_or_default()
    };
    wait("Prometheus to have asked", Duration::from_secs(60), || {
        ask("up").iter().any(|series| series["value"][1] == "1") && !ask("sys_load_1").is_empty()
    });
    let chart = documents::chart("Prometheus");
    wait(&format!("rows for {chart}"), Duration::from_secs(60), || !ask(&chart).is_empty());
    let series = ask("sys_load_1");
    assert_eq!(series.len(), 1, "{series:?}");
    assert_eq!((&series[0]["metric"]["host"], &series[0]["metric"]["cluster"]), (&"web1".into(), &hostile.into()));
    assert!(series[0]["value"][1].as_str().unwrap().parse::<f64>().unwrap() >= 0.0);
    assert!(ask("count({cluster!=\"\"})")[0]["value"][1].as_str().unwrap().parse::<u32>().unwrap() > 40);
    Ok(())
}

pub fn dashboard() -> Result<(), String> {
    let prometheus = program("prometheus", "prometheus")?;
    let port = free_port();
    let daemon =
        grafana::Daemon::start(&format!("[TSDB]\ntsdtype = Prometheus\n[WebServer]\nwebaddress = 127.0.0.1:{port}\n"));
    let folder = TempDir::new().unwrap();
    let (_prometheus, listen) = serve(&prometheus, folder.path(), port);
    grafana::panels("prometheus", &daemon, |target| grafana::promql(listen, target));
    Ok(())
}
