//! The kernel checks on the machine that runs the tests, whatever it is.

use super::machine::{Machine, Worker, kernel_checks, spec};
use puypuy::fetch::file::{self, KernelFile};
use puypuy::fetch::statvfs::space;
use puypuy::model::roots::Roots;
use std::time::Duration;

/// Checks of things that not every machine has.
const NOT_EVERYWHERE: &[&str] = &["check_btrfs", "check_cgroups", "check_ipconntrack", "check_pressure"];

#[test]
fn every_check_reports_something_on_the_second_tick() {
    let roots = Roots::default();
    let mut workers: Vec<_> = kernel_checks().map(|spec| (spec.name, Worker::new(spec, &[]))).collect();
    for (_, worker) in &mut workers {
        worker.tick(&roots);
    }
    std::thread::sleep(Duration::from_millis(200));
    for (name, worker) in &mut workers {
        let told = worker.tick(&roots);
        told.assert_sound(name);
        let is_everywhere = !NOT_EVERYWHERE.contains(name);
        assert!(!told.points.is_empty() || !is_everywhere, "{name}: {:?}", told.faults);
    }
}

#[test]
fn the_numbers_are_about_this_machine() {
    let roots = Roots::default();
    let load = Worker::new(spec("check_load_average"), &[]).tick(&roots);
    let cpus = load.number("sys_cpu_count", "").unwrap() as usize;
    assert!(cpus >= std::thread::available_parallelism().unwrap().get());

    let memory = Worker::new(spec("check_memory"), &[]).tick(&roots);
    let percent = memory.number("mem_used_percent", "").unwrap();
    assert!(percent > 0.0 && percent < 100.0, "{percent}");

    let mut cpu = Worker::new(spec("check_cpustats"), &[]);
    cpu.tick(&roots);
    std::thread::sleep(Duration::from_millis(200));
    let cpu = cpu.tick(&roots);
    let all_time = ["user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"];
    let sum: f64 = all_time.iter().map(|part| cpu.number(&format!("cpu_{part}"), "all").unwrap()).sum();
    assert!((sum - 100.0).abs() < 1e-6, "{sum}");
}

#[test]
fn space_is_what_statvfs_says() {
    let machine = Machine::of("vm");
    let told = Worker::new(spec("check_disks"), &[]).tick(&machine.roots);
    let truth = nix::sys::statvfs::statvfs(machine.path()).unwrap();
    let total = (truth.blocks() * truth.fragment_size()) as f64;
    for mount in ["rootfs", "srv_nas"] {
        assert_eq!(told.number("drive_bytes_total", mount), Some(total));
        let used = told.number("drive_bytes_used", mount).unwrap();
        let percent = told.number("drive_percent_used", mount).unwrap();
        let available = told.number("drive_bytes_available", mount).unwrap();
        assert!((percent - used * 100.0 / (used + available)).abs() < 1e-9);
        assert!(available <= total - used);
        let inodes = told.number("drive_inodes_used", mount);
        assert_eq!(inodes.is_some(), truth.files() > 0);
        assert_eq!(told.number("drive_inodes_percent_used", mount).is_some(), truth.files() > 0);
    }
}

#[test]
fn a_file_system_that_stores_nothing_says_so() {
    assert_eq!(space("/proc".as_ref()).unwrap().total, 0);
    let error = space("/there/is/no/such/mount".as_ref()).unwrap_err();
    assert!(error.is_gone());
    assert_eq!(error.to_string(), "/there/is/no/such/mount: cannot ask for space: no such file or directory");
}

#[test]
fn kernel_files_are_read_completely_in_any_chunks() {
    let roots = Roots::default();
    let first_words = |text: &str| -> Vec<String> {
        text.lines().map(|line| line.split_whitespace().next().unwrap_or_default().to_string()).collect()
    };
    // Many pages of many lines, one long line, less than a page.
    for file in ["proc/kallsyms", "proc/vmstat", "proc/stat", "proc/diskstats", "proc/net/dev", "proc/loadavg"] {
        let Ok(truth) = std::fs::read_to_string(format!("/{file}")) else { continue };
        let mut kept = KernelFile::new(file);
        let told =
            [file::text(&roots, file).unwrap(), kept.read(&roots).unwrap().into(), kept.read(&roots).unwrap().into()];
        for told in told {
            assert_eq!(first_words(&told).len(), first_words(&truth).len(), "{file}");
            assert!(file == "proc/loadavg" || first_words(&told) == first_words(&truth), "{file}");
        }
    }
}
