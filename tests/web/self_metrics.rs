//! The daemon's own metrics: points in the store, the same numbers on `/metrics`, and charts.

use super::{configured, free_port, get, get_json};
use crate::support::server::Server;
use crate::support::{Home, wait_for};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::os::unix::fs::symlink;

/// The request bodies that a server has received.
fn sent(server: &Server) -> String {
    server.requests().iter().map(|request| request.text().to_string()).collect()
}

#[test]
fn with_the_local_store_they_are_stored_and_drawn() {
    let home = Home::new().with("self_metrics", "").with("check_period_seconds", "0.2");
    symlink("x", home.path("checks_enabled/check_memory.ini")).unwrap();
    let port = free_port();
    configured(&home, port, "tsdtype = Local\n", "");
    home.start();
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let series = || -> Vec<Value> {
        let all = get_json(address, "/api/series").1["series"].as_array().cloned().unwrap_or_default();
        all.into_iter().filter(|series| series["name"].as_str().unwrap().starts_with("puypuy_")).collect()
    };
    // The first ones are from before anything was delivered.
    wait_for("all of them", || series().iter().any(|series| series["name"] == "puypuy_live_lateness_seconds"));
    let series = series();
    let of: BTreeMap<&str, &Value> = series.iter().map(|series| (series["name"].as_str().unwrap(), series)).collect();
    assert_eq!(series.len(), of.len(), "one check and one series of each: {series:?}");
    assert_eq!(
        (&of["puypuy_check_points"]["tags"]["check"], of["puypuy_threads"]["tags"].as_object().unwrap().len()),
        (&Value::from("check_memory"), 0)
    );

    // Each metric is in a chart of its unit, and each chart has its metrics.
    let status = get_json(address, "/api/status").1;
    let charts: Vec<&Value> =
        status["charts"].as_array().unwrap().iter().filter(|chart| chart["check"] == "puypuy").collect();
    let mut drawn = BTreeSet::new();
    for chart in &charts {
        for metric in chart["metrics"].as_array().unwrap() {
            let name = metric.as_str().unwrap();
            assert!(drawn.insert(name), "{name} is in two charts");
            let unit = &of.get(name).unwrap_or_else(|| panic!("{name} is missing"))["unit"];
            assert!(unit == &chart["unit"] || chart["unit"] == "", "{chart}: {name} has the unit {unit}");
        }
    }
    assert_eq!(drawn, of.keys().copied().collect(), "every metric is drawn");
    assert!(status["checks"].as_array().unwrap().len() == 1, "they are no check: {status}");

    // The same on the page for scrapers.
    let page = String::from_utf8(get(address, "/metrics", "").1).unwrap();
    for name in of.keys() {
        assert!(
            page.contains(&format!("\n{name} ")) || page.contains(&format!("\n{name}{{check=\"check_memory\"}} ")),
            "{name}\n{page}"
        );
    }
    assert!(home.puypuy(&["show", "puypuy_check_duration"]).out.contains("check=check_memory"));
}

#[test]
fn they_are_sent_to_a_server_if_configured_and_never_to_prometheus() {
    for (key, are_sent) in [("", false), ("yes", true), ("no", false)] {
        let server = Server::always(204);
        let url = server.url();
        let influx = [("tsdtype", "InfluxDB"), ("address", url.as_str()), ("database", "d"), ("gzip", "no")];
        let home = Home::new().with("self_metrics", key).with("check_period_seconds", "0.2").to(&influx);
        symlink("x", home.path("checks_enabled/check_memory.ini")).unwrap();
        home.start();
        let tells = |word: &str| sent(&server).contains(word);
        wait_for("three batches", || sent(&server).matches("mem_total").count() > 2 || server.requests().len() > 6);
        assert_eq!(tells("puypuy_check_duration_seconds"), are_sent, "{key:?}: {}", sent(&server));
        if are_sent {
            let line = |name: &str| sent(&server).lines().find(|line| line.starts_with(name)).map(str::to_string);
            let duration = line("puypuy_check_duration_seconds,").unwrap();
            assert!(duration.contains("check=check_memory") && duration.contains("type=puypuy"), "{duration}");
            // They are sent with the numbers of the checks, without a request of their own.
            let alone = |text: &str| text.lines().all(|line| line.starts_with("puypuy_"));
            assert!(!server.requests().iter().any(|request| alone(request.text())), "{}", sent(&server));
        }
        if key == "no" {
            let home = home.with("self_metrics", "yes");
            assert_eq!(home.puypuy(&["reload"]).code, 0, "{}", home.log());
            wait_for("its own numbers", || tells("puypuy_check_duration_seconds"));
        }
    }
    let (home, port) = (Home::new().with("self_metrics", "yes"), free_port());
    symlink("x", home.path("checks_enabled/check_load_average.ini")).unwrap();
    configured(&home, port, "tsdtype = Prometheus\n", "");
    home.start();
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let page = || String::from_utf8(get(address, "/metrics", "").1).unwrap();
    wait_for("the load", || page().contains("\nsys_load_1{host=\""));
    assert_eq!(page().matches("# TYPE puypuy_threads ").count(), 1, "{}", page());
}
