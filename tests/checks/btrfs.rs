//! Btrfs on two loop devices with real damage, compared with the output of the program `btrfs`.

use super::machine::{Worker, spec};
use crate::support::{Home, is_root, skip};
use puypuy::model::roots::Roots;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// One file system on two devices, until dropped.
struct Damaged {
    folder: tempfile::TempDir,
    loops: Vec<String>,
}

pub fn run(program: &str, words: &[&str]) -> Option<String> {
    let output = Command::new(program).args(words).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_string())
}

impl Damaged {
    /// `None` if the machine cannot create one.
    fn new(label: &str) -> Option<Damaged> {
        let mut damaged = Damaged { folder: tempfile::tempdir().unwrap(), loops: Vec::new() };
        for file in ["one", "two"] {
            let path = damaged.path(file);
            fs::File::create(&path).unwrap().set_len(300 << 20).unwrap();
            damaged.loops.push(run("losetup", &["-f", "--show", path.to_str()?])?);
        }
        let point = damaged.path("mnt");
        fs::create_dir(&point).unwrap();
        let (one, two, point) = (damaged.loops[0].clone(), damaged.loops[1].clone(), point.to_str()?.to_string());
        run("mkfs.btrfs", &["-q", "-f", "-L", label, &one])?;
        run("mount", &[&one, &point])?;
        run("btrfs", &["device", "add", "-f", &two, &point])?;
        run("btrfs", &["balance", "start", "-f", "-dconvert=raid1", "-mconvert=raid1", &point])?;
        fs::write(damaged.path("mnt/data"), vec![7; 30 << 20]).unwrap();
        run("sync", &[])?;
        // Overwrites the data of the second device, between its superblocks (at 64 KiB and 64 MiB).
        run("dd", &["if=/dev/urandom", &format!("of={two}"), "bs=1M", "seek=70", "count=150", "conv=notrunc"])?;
        run("sync", &[])?;
        let _ = run("btrfs", &["scrub", "start", "-B", &point]);
        Some(damaged)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Drop for Damaged {
    fn drop(&mut self) {
        let _ = run("umount", &[self.path("mnt").to_str().unwrap()]);
        for device in &self.loops {
            let _ = run("losetup", &["-d", device]);
        }
    }
}

#[test]
fn damage_is_reported_as_by_the_program() {
    if !is_root() || !Path::new("/sys/fs/btrfs").exists() || run("btrfs", &["--version"]).is_none() {
        return skip("needs root, a kernel with btrfs, and the package btrfs-progs");
    }
    let Some(damaged) = Damaged::new("broken") else { return skip("no Btrfs can be made here") };
    let point = damaged.path("mnt");
    let stats = run("btrfs", &["device", "stats", point.to_str().unwrap()]).unwrap();
    let told = Worker::new(spec("check_btrfs"), &[]).tick(&Roots::default());
    let mut worst = 0.0_f64;
    for line in stats.lines() {
        let (key, count) = line.split_once(char::is_whitespace).unwrap();
        let metric = format!("btrfs{}", key.replace(['.', '/'], "_").replace(['[', ']'], ""));
        let count: f64 = count.trim().parse().unwrap();
        assert_eq!(told.number(&metric, ""), Some(count), "{stats}\n{:?}", told.faults);
        worst = worst.max(count);
    }
    assert!(worst > 5.0, "no damage was found:\n{stats}");
    assert_eq!(told.number("btrfs_devices", "broken"), Some(2.0));
    let event = told.event("BTRFS ").unwrap();
    assert!(event.message.starts_with(&format!("Critical : BTRFS is corrupted with {worst} IO Errors")), "{event:?}");

    // The interface of Linux before 5.14.
    let mounted = puypuy::fetch::btrfs::Filesystem::at(point.clone()).unwrap().unwrap();
    let asked: Vec<f64> = (1..=2).flat_map(|id| mounted.errors(id).unwrap()).map(|count| count as f64).collect();
    let said: Vec<f64> = stats.lines().map(|line| line.split_whitespace().nth(1).unwrap().parse().unwrap()).collect();
    assert_eq!(asked, said);
    // Before 5.6 only this interface knows the numbers.
    let mut mounted = mounted;
    let devices: Vec<_> = mounted.devices(&[], &[]).into_iter().map(|device| (device.number, device.path)).collect();
    assert_eq!(devices, [(1, Some(damaged.loops[0].clone())), (2, Some(damaged.loops[1].clone()))]);
}

#[test]
fn errors_of_a_missing_device_are_its_own_and_it_is_a_warning() {
    if !is_root() || !Path::new("/sys/fs/btrfs").exists() || run("btrfs", &["--version"]).is_none() {
        return skip("needs root, a kernel with btrfs, and the package btrfs-progs");
    }
    let Some(damaged) = Damaged::new("halved") else { return skip("no Btrfs can be made here") };
    let (point, [one, two]) = (damaged.path("mnt"), [0, 1].map(|number| damaged.loops[number].clone()));
    let point = point.to_str().unwrap();
    let degrade = || {
        run("umount", &[point])?;
        run("losetup", &["-d", &two])?;
        run("btrfs", &["device", "scan", "--forget"])?;
        run("btrfs", &["device", "scan", &one])?;
        run("mount", &["-o", "degraded", &one, point])
    };
    if degrade().is_none() {
        return skip("no degraded Btrfs can be mounted here");
    }
    let home = Home::new();
    let check = || {
        let said = home.puypuy(&["check", "check_btrfs"]);
        assert_eq!(said.code, 0, "{said:?}");
        said.out.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>()
    };
    let told = check();
    let errors = |told: &[String], start: &str| -> f64 {
        let lines = told.iter().filter(|line| line.starts_with(start) && line.contains("_errs "));
        lines.map(|line| line.split(' ').nth(1).unwrap().parse::<f64>().unwrap()).sum()
    };
    assert_eq!(errors(&told, &format!("btrfs{}", one.replace('/', "_"))), 0.0, "{told:?}");
    assert!(errors(&told, "btrfsdevid:2_corruption_errs") > 5.0, "{told:?}");
    assert!(
        told.iter().any(|line| line.ends_with("filesystem=halved") && line.starts_with("btrfs_devices_missing 1 "))
    );
    let event = |told: &[String]| told.iter().find(|line| line.starts_with("event BTRFS")).unwrap().clone();
    assert!(event(&told).contains("Critical") && event(&told).contains("are missing: halved 1 of 2"), "{told:?}");

    // Without errors it is still without redundancy.
    assert!(run("btrfs", &["device", "stats", "--reset", point]).is_some());
    assert!(event(&check()).ends_with("Warning : devices of a BTRFS are missing: halved 1 of 2"), "{:?}", check());
}
