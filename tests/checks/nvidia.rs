//! check_nvidia_gpu with a library with made-up boards, and on a host without a driver.

use super::machine::{Worker, spec};
use crate::support::{Home, wait_for};
use puypuy::model::roots::Roots;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

fn library(folder: &Path) -> PathBuf {
    let (source, library) = (Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/checks/nvml.c"), folder.join("nvml.so"));
    let compiled = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(source).status().unwrap();
    assert!(compiled.success());
    library
}

#[test]
fn each_board_reports_what_it_has() {
    let folder = tempfile::tempdir().unwrap();
    let library = library(folder.path());
    let mut worker = Worker::new(spec("check_nvidia_gpu"), &[("library", library.to_str().unwrap())]);
    for _ in 0..2 {
        let told = worker.tick(&Roots::default());
        for (metric, of_first, of_second) in [
            ("nvidia_memory_total", Some(16106127360.0), Some(16106127360.0)),
            ("nvidia_memory_used", Some(1490026496.0), Some(1490026496.0)),
            ("nvidia_memory_reserved", Some(406847488.0), Some(406847488.0)),
            ("nvidia_graphic_processes", Some(1.0), Some(1.0)),
            ("nvidia_cuda_processes", Some(0.0), Some(1.0)),
            ("nvidia_gpu_utilizaton", Some(97.0), None),
            ("nvidia_memory_utilizaton", Some(41.0), None),
            ("nvidia_gpu_temperature", Some(40.0), Some(41.0)),
            ("nvidia_gpu_clock_info", Some(585.0), Some(586.0)),
            ("nvidia_sm_clock_info", Some(1585.0), Some(1586.0)),
            ("nvidia_memory_clock_info", Some(2585.0), Some(2586.0)),
            ("nvidia_b1_memory_used", Some(5242880.0), Some(5242880.0)),
            ("nvidia_fan_speed", Some(33.0), None),
            ("nvidia_power_usage", Some(26780.0), Some(26780.0)),
            ("nvidia_ecc_errors_corrected", None, None),
        ] {
            assert_eq!((told.number(metric, "0"), told.number(metric, "1")), (of_first, of_second), "{metric}");
        }
        assert_eq!(told.number("nvidia_memory_total", "2"), None);
        assert_eq!(told.number("nvidia_gpu_temperature", "2"), Some(42.0));
        assert!(told.points.iter().all(|point| point.check_type == "gpu"));
        let info = told.points.iter().find(|point| point.name == "nvidia_gpu_info").unwrap();
        let tags: Vec<_> = info.tags.iter().collect();
        assert_eq!(tags, [("gpu", "0"), ("uuid", "GPU-d37e-0"), ("product", "Tesla T4")]);
        let lost = "device fell off the bus or has otherwise become inacessible";
        assert_eq!(told.faults, [format!("gpu 2: {lost}"), format!("gpu 3: {lost}")]);
    }
}

#[test]
fn a_host_without_a_driver_is_one_line() {
    let home = Home::new();
    for name in ["check_nvidia_gpu", "check_load_average"] {
        symlink("../x", home.path("checks_enabled").join(name)).unwrap();
    }
    std::fs::create_dir(home.path("conf")).unwrap();
    std::fs::write(home.path("conf/system.ini"), "[NVIDIA]\nlibrary: /no/such/library.so\n").unwrap();
    home.start();
    let ticks = || -> Option<i64> {
        let store = rusqlite::Connection::open(home.path("var/puypuy.db")).ok()?;
        store.query_row("SELECT count(*) FROM points WHERE name = 'sys_load_1'", [], |row| row.get(0)).ok()
    };
    wait_for("three ticks", || ticks().is_some_and(|ticks| ticks >= 3));
    let log = home.log();
    let lines: Vec<_> = log.lines().filter(|line| line.contains("NVIDIA")).collect();
    assert_eq!(lines.len(), 1, "{log}");
    assert!(
        lines[0].ends_with(
            "WARN check_nvidia_gpu: there is no NVIDIA driver on this host: /no/such/library.so cannot be loaded"
        ),
        "{lines:?}"
    );
}
