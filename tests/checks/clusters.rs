//! Behaviour of cluster checks that recorded responses cannot show: a worker that does not respond, programs that hang
//! or are slow, alternative section names, and types of points.

use super::machine::{Worker, spec};
use super::replay::{Case, Replay};
use crate::support::Home;
use crate::support::pages::{Page, Pages};
use puypuy::model::roots::Roots;
use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

fn replay(case: &str) -> Replay {
    Replay::start(Case::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/checks").join(case)))
}

/// A program with this text in the folder.
fn program(folder: &TempDir, text: &str) -> PathBuf {
    let path = folder.path().join("program");
    fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    path
}

#[test]
fn a_storm_worker_that_does_not_respond_only_affects_itself() {
    let (working, silent) = (replay("storm_workers/25-g1"), Pages::on_port(|_| Page::Silence));
    let silent = silent.address().rsplit(':').next().unwrap().to_string();
    let port = working.section().into_iter().find(|(key, _)| key == "port").unwrap().1;
    let ports = format!("{silent} , {port}");
    let keys = [("host", "127.0.0.1"), ("port", &*ports), ("path", "/jolokia/read"), ("timeout_seconds", "1")];
    let told = Worker::new(spec("check_storm_workers"), &keys).tick_of(&Roots::default(), 10);
    assert!(told.number("storm_heap_used", &port).is_some(), "{:?}", told.faults);
    assert!(told.faults.len() == 1 && told.faults[0].starts_with(&format!("{silent}: ")), "{:?}", told.faults);
}

#[test]
fn a_daemon_of_spark_that_is_away_is_one_failure() {
    // Nothing listens on ports 1 and 2.
    let keys = [("stats", "http://127.0.0.1:1/jolokia/read"), ("webui", "http://127.0.0.1:2")];
    for check in ["check_spark_master", "check_spark_worker"] {
        let told = Worker::new(spec(check), &keys).tick(&Roots::default());
        let [said] = &told.faults[..] else { panic!("{check}: {:?}", told.faults) };
        assert!(["127.0.0.1:1/", "; webui: ", "127.0.0.1:2"].iter().all(|part| said.contains(part)), "{said}");
    }
}

#[test]
fn levels_of_storm_have_types_of_their_own() {
    let storm = replay("storm_api/1.2.3");
    let section = storm.section();
    let lines: Vec<_> = section.iter().map(|(key, value)| (&**key, &**value)).collect();
    let told = Worker::new(spec("check_storm_api"), &lines).tick_of(&Roots::default(), 10);
    let types = |name: &str| {
        let points = told.points.iter().filter(|point| point.name == name);
        points.map(|point| point.check_type.to_string()).collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>()
    };
    assert_eq!(types("storm_acked"), ["storm_bolt", "storm_spout", "storm_topology"]);
    assert_eq!(types("storm_slots_used"), ["storm_cluster", "storm_supervisor"]);
    assert_eq!(types("storm_capacity"), ["storm_bolt"]);
}

#[test]
fn a_slow_list_of_disks_is_requested_less_often() {
    let folder = tempfile::tempdir().unwrap();
    let asked = folder.path().join("asked");
    let path = program(
        &folder,
        &format!(
            "echo $1 >> '{}'\ncase $1 in info) echo 3.12.0 1 2 3 4 5 6 7 8 9 10 11 12 0;; list-disks) sleep 100;; esac",
            asked.display()
        ),
    );
    let keys = [("admin", path.to_str().unwrap()), ("host", "h"), ("port", "9421"), ("timeout_seconds", "0.45")];
    let mut worker = Worker::new(spec("check_lizardfs"), &keys);
    let mut tick = || {
        let told = worker.tick_of(&Roots::default(), 1);
        assert_eq!(told.number("lizardfs_info_chunks", ""), Some(11.0), "{:?}", told.faults);
        (fs::read_to_string(&asked).unwrap().matches("list-disks").count(), told.faults.join("; "))
    };
    let (lists, faults) = tick();
    assert!(lists == 1 && faults.contains("list-disks") && faults.contains("not done in time"), "{lists} {faults}");
    let (lists, faults) = tick();
    assert!(lists == 1 && faults.contains("slow to list their disks"), "{lists} {faults}");
}

#[test]
fn fdbcli_is_run_without_a_shell_and_ended_in_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = program(&folder, "echo \"$# $3 $6\" >&2; sleep 100 & sleep 100");
    let line = format!("{} -C '/a b;c'", path.display());
    let keys = [("fdbclipath", &*line), ("timeout_seconds", "0.5")];
    let told = Worker::new(spec("check_foundationdb"), &keys).tick_of(&Roots::default(), 10);
    let faults = told.faults.join("; ");
    assert!(faults.contains("not done in time") && faults.contains("6 --timeout status json"), "{faults}");
}

#[test]
fn sections_are_found_by_their_alternative_names() {
    let home = Home::new();
    fs::create_dir(home.path("conf")).unwrap();
    let server = Pages::on_port(|path| match path {
        "/scylla" => Page::body("# TYPE scylla_cql_reads counter\nscylla_node_operation_mode{shard=\"0\"} 3\n"),
        _ => Page::body(r#"{"gauges":{"marathon.uptime.gauge.seconds":{"value":7}}}"#),
    });
    let address = server.address();
    let text = format!("[Scylla]\nstats: {address}/scylla\n[Marathon]\nstats: {address}/metrics\n");
    fs::write(home.path("conf/bigdata.ini"), text).unwrap();
    for (check, metric) in [("check_scylla", "scylla_node_operation_mode"), ("check_mesos_marathon", "marathon_leader")]
    {
        let said = home.puypuy(&["check", check, "--samples", "1"]);
        assert!(said.code == 0 && said.out.contains(metric), "{said:?}");
    }
}
