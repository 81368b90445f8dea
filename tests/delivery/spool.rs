//! The spool keeps its batches, in order, within its limits, and survives any damage to its files.

use super::{batch, event};
use crate::support::{is_root, skip, wait_for};
use puypuy::delivery::disk::Folder;
use puypuy::delivery::dropped::Bound;
use puypuy::delivery::spool::{Bounds, Read, Spool};
use puypuy::delivery::{Moment, codec};
use puypuy::model::point::Batch;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const NOW: i64 = 1_600_000_000;
const WIDE: Bounds = Bounds { entries: 50_000, bytes: 256 << 20, age: None };

fn open(folder: &TempDir, bounds: Bounds) -> Spool {
    // A child process that another test is just starting also holds the lock, until it calls exec.
    let mut last = None;
    wait_for("the lock", || match at(&folder.path().join("spool"), bounds, now()) {
        Ok(spool) => {
            last = Some(spool);
            true
        }
        Err(_) => false,
    });
    last.unwrap()
}

fn at(folder: &Path, bounds: Bounds, now: Moment) -> puypuy::model::error::Result<Spool> {
    Spool::open(Box::new(Folder::new(folder.into())), bounds, now)
}

/// A moment at which the wall clock shows [`NOW`].
fn now() -> Moment {
    Moment { at: Instant::now(), wall: NOW }
}

/// Stores a batch; returns whether the disk accepted it.
fn store(spool: &mut Spool, batch: Batch, born: i64) -> puypuy::model::error::Result<()> {
    spool.store(batch, born, now()).1
}

/// The number of the oldest entry, and its batch.
fn oldest(spool: &mut Spool) -> Option<(u64, Batch)> {
    loop {
        let at = Instant::now();
        let first = spool.ready(at).next()?;
        if let Read::Batch(batch, _) = spool.take(first, at) {
            return Some((first, batch));
        }
    }
}

/// Takes everything readable out of the spool, oldest first.
fn drain(spool: &mut Spool) -> Vec<Batch> {
    let mut all = Vec::new();
    while let Some((entry, batch)) = oldest(spool) {
        spool.done(entry);
        all.push(batch);
    }
    all
}

/// Points dropped at this limit since the last call.
fn lost(spool: &mut Spool, to: Bound) -> usize {
    spool.take_dropped().iter().filter(|(bound, _)| *bound == to).map(|(_, points)| points).sum()
}

fn files(folder: &TempDir) -> Vec<std::path::PathBuf> {
    let inside = fs::read_dir(folder.path().join("spool")).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = inside.filter(|path| path.extension().is_some_and(|end| end == "batch")).collect();
    files.sort();
    files
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn batches_survive_a_restart_in_their_order() {
    let folder = TempDir::new().unwrap();
    let mut spool = open(&folder, WIDE);
    let with_event = Batch { events: vec![event()], ..batch(5..7) };
    for batch in [batch(0..3), batch(3..5), with_event.clone()] {
        store(&mut spool, batch, NOW).unwrap();
    }
    assert_eq!((files(&folder).len(), spool.files()), (3, 3));
    drop(spool);
    let mut spool = open(&folder, WIDE);
    assert_eq!(drain(&mut spool), [batch(0..3), batch(3..5), with_event]);
    assert!(spool.is_empty() && spool.bytes() == 0 && files(&folder).is_empty());
}

#[test]
fn numbering_continues_after_a_restart() {
    let folder = TempDir::new().unwrap();
    store(&mut open(&folder, WIDE), batch(0..1), NOW).unwrap();
    let mut spool = open(&folder, WIDE);
    store(&mut spool, batch(1..2), NOW).unwrap();
    assert_eq!(drain(&mut spool), [batch(0..1), batch(1..2)]);
}

#[test]
fn nobody_else_may_read_it() {
    let folder = TempDir::new().unwrap();
    store(&mut open(&folder, WIDE), batch(0..1), NOW).unwrap();
    assert_eq!(mode(&folder.path().join("spool")), 0o700);
    assert_eq!(mode(&files(&folder)[0]), 0o600);
}

#[test]
fn a_second_daemon_is_refused() {
    let folder = TempDir::new().unwrap();
    let _first = open(&folder, WIDE);
    let error = at(&folder.path().join("spool"), WIDE, now()).err().unwrap().to_string();
    assert!(error.contains("in use by process"), "{error}");
}

#[test]
fn a_decided_part_leaves_the_rest_in_place() {
    let folder = TempDir::new().unwrap();
    let mut spool = open(&folder, WIDE);
    store(&mut spool, batch(0..4), NOW).unwrap();
    store(&mut spool, batch(4..5), NOW).unwrap();
    let (entry, _) = oldest(&mut spool).unwrap();
    spool.shrink(entry, batch(2..4), NOW, now()).unwrap();
    drop(spool);
    assert_eq!(drain(&mut open(&folder, WIDE)), [batch(2..4), batch(4..5)]);
}

#[test]
fn undecided_points_stay() {
    let folder = TempDir::new().unwrap();
    let mut spool = open(&folder, WIDE);
    store(&mut spool, batch(0..4), NOW).unwrap();
    let (entry, _) = oldest(&mut spool).unwrap();
    assert_eq!(spool.ready(Instant::now()).next(), None, "it is on its way");
    spool.put_back(entry, None);
    assert_eq!(drain(&mut spool), [batch(0..4)]);
}

#[test]
fn the_oldest_are_dropped_when_there_are_too_many_or_too_large() {
    let folder = TempDir::new().unwrap();
    let mut spool = open(&folder, Bounds { entries: 2, ..WIDE });
    for start in [0, 10, 20, 30] {
        store(&mut spool, batch(start..start + 10), NOW).unwrap();
    }
    assert_eq!(lost(&mut spool, Bound::Entries), 20);
    assert_eq!(drain(&mut spool), [batch(20..30), batch(30..40)]);

    let folder = TempDir::new().unwrap();
    let size = codec::write(&batch(10..20), NOW).len() as u64;
    let mut spool = open(&folder, Bounds { bytes: 2 * size, ..WIDE });
    for start in [10, 20, 30] {
        store(&mut spool, batch(start..start + 10), NOW).unwrap();
    }
    assert_eq!((lost(&mut spool, Bound::Bytes), spool.take_dropped().points()), (10, 0));
    assert_eq!(drain(&mut spool), [batch(20..30), batch(30..40)]);
}

#[test]
fn batches_beyond_their_age_are_dropped_and_counted() {
    let folder = TempDir::new().unwrap();
    let mut spool = open(&folder, Bounds { age: Some(Duration::from_secs(60)), ..WIDE });
    store(&mut spool, batch(0..5), NOW - 61).unwrap();
    store(&mut spool, batch(5..6), NOW - 60).unwrap();
    assert_eq!(drain(&mut spool), [batch(5..6)]);
    assert_eq!(lost(&mut spool, Bound::Age), 5);
}

#[test]
fn damaged_files_are_set_aside_and_the_others_delivered() {
    let damages: [fn(&mut Vec<u8>); 4] = [
        |bytes| bytes.truncate(bytes.len() / 2),
        |bytes| bytes.clear(),
        |bytes| *bytes.last_mut().unwrap() ^= 1,
        |bytes| *bytes = b"{\"metric\": \"something else\"}".to_vec(),
    ];
    for damage in damages {
        let folder = TempDir::new().unwrap();
        let mut spool = open(&folder, WIDE);
        for start in [0, 2, 4] {
            store(&mut spool, batch(start..start + 2), NOW).unwrap();
        }
        drop(spool);
        let victim = files(&folder)[1].clone();
        let mut bytes = fs::read(&victim).unwrap();
        damage(&mut bytes);
        fs::write(&victim, bytes).unwrap();

        let mut spool = open(&folder, WIDE);
        assert_eq!(drain(&mut spool), [batch(0..2), batch(4..6)]);
        let told = spool.take_notes();
        assert!(told.len() == 1 && told[0].contains(victim.to_str().unwrap()), "{told:?}");
        assert!(folder.path().join("spool/quarantine").join(victim.file_name().unwrap()).exists());
    }
}

#[test]
fn leftovers_of_a_crash_and_foreign_files_do_no_harm() {
    let folder = TempDir::new().unwrap();
    drop(open(&folder, WIDE));
    let inside = folder.path().join("spool");
    fs::write(inside.join("00000000000000000007.tmp"), "half a bat").unwrap();
    fs::write(inside.join("README"), "what is this").unwrap();
    fs::write(inside.join("7.batch"), "wrong name").unwrap();
    let mut spool = open(&folder, WIDE);
    assert!(spool.is_empty());
    assert!(!inside.join("00000000000000000007.tmp").exists());
    assert!(inside.join("README").exists());
    store(&mut spool, batch(0..1), NOW).unwrap();
    assert_eq!(drain(&mut spool), [batch(0..1)]);
}

#[test]
fn with_a_failing_disk_memory_is_used_until_the_disk_works_again() {
    let folder = TempDir::new().unwrap();
    let place = folder.path().join("spool");
    fs::write(&place, "a file where the folder should be").unwrap();
    let mut spool = at(&place, WIDE, now()).unwrap();
    assert!(store(&mut spool, batch(0..2), NOW).is_err());
    assert!(store(&mut spool, batch(2..4), NOW).is_err());
    assert_eq!((spool.memory_points(), spool.is_empty()), (4, false));
    let (entry, first) = oldest(&mut spool).unwrap();
    assert_eq!(first, batch(0..2));
    spool.shrink(entry, batch(1..2), NOW, now()).unwrap();
    spool.put_back(entry, None);

    fs::remove_file(&place).unwrap();
    store(&mut spool, batch(4..6), NOW).unwrap();
    assert_eq!(files(&folder).len(), 3);
    drop(spool);
    assert_eq!(drain(&mut open(&folder, WIDE)), [batch(1..2), batch(2..4), batch(4..6)]);
}

#[test]
fn memory_is_bounded_too() {
    let folder = TempDir::new().unwrap();
    let place = folder.path().join("spool");
    fs::write(&place, "").unwrap();
    let mut spool = at(&place, WIDE, now()).unwrap();
    for number in 0..5 {
        assert!(store(&mut spool, batch(number * 5000..(number + 1) * 5000), NOW).is_err());
    }
    assert_eq!(lost(&mut spool, Bound::Memory), 5000);
    assert_eq!(oldest(&mut spool).unwrap().1, batch(5000..10_000));
}

/// A file system of one megabyte, unmounted at the end. `None` if this user may not mount one.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn mount() -> Option<SmallDisk> {
        let folder = TempDir::new().unwrap();
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(folder.path());
        let is_there = is_root() && command.output().is_ok_and(|output| output.status.success());
        is_there.then_some(SmallDisk(folder))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

#[test]
fn free_space_is_left_for_other_programs() {
    let Some(small) = SmallDisk::mount() else { return skip("no file system can be mounted here") };
    let mut spool = open(&small.0, WIDE);
    for number in 0..300 {
        store(&mut spool, batch(number * 100..number * 100 + 100), NOW).unwrap();
        let stat = nix::sys::statvfs::statvfs(small.0.path()).unwrap();
        let (free, all) = (stat.blocks_available(), stat.blocks());
        assert!(free * 20 >= all, "{free} of {all} blocks are free");
    }
    let dropped = lost(&mut spool, Bound::Disk);
    let kept: Vec<i64> = drain(&mut spool).iter().flat_map(|batch| &batch.points).map(|point| point.time).collect();
    assert_eq!(dropped + kept.len(), 30_000);
    assert!(dropped > 1_000 && kept.len() > 1_000, "{dropped} dropped");
    assert!(kept.is_sorted() && *kept.last().unwrap() == 1_500_000_000 + 29_999, "the oldest go first");
}

#[test]
fn with_a_full_disk_memory_is_used_until_there_is_space_again() {
    let Some(small) = SmallDisk::mount() else { return skip("no file system can be mounted here") };
    let mut spool = open(&small.0, WIDE);
    store(&mut spool, batch(0..10), NOW).unwrap();
    let others = small.0.path().join("others");
    fs::write(&others, vec![0; 1_010_000]).unwrap();
    let problem = store(&mut spool, batch(10..20), NOW).unwrap_err().to_string();
    assert!(problem.contains("no storage space"), "{problem}");
    fs::remove_file(others).unwrap();
    store(&mut spool, batch(20..30), NOW).unwrap();
    let kept = drain(&mut spool);
    assert_eq!(spool.take_dropped().points() + kept.iter().map(|batch| batch.points.len()).sum::<usize>(), 30);
    assert_eq!(kept[kept.len() - 2..], [batch(10..20), batch(20..30)]);
}

#[test]
fn files_of_a_newer_version_are_set_aside_and_reported() {
    let folder = TempDir::new().unwrap();
    store(&mut open(&folder, WIDE), batch(0..3), NOW).unwrap();
    let path = files(&folder).remove(0);
    let mut bytes = fs::read(&path).unwrap();
    bytes[4] = 2;
    let crc = crc32fast::hash(&bytes[..17]);
    bytes[17..21].copy_from_slice(&crc.to_le_bytes());
    fs::write(&path, bytes).unwrap();
    let mut spool = open(&folder, WIDE);
    assert!(drain(&mut spool).is_empty());
    let told = spool.take_notes();
    assert!(told.len() == 1 && told[0].contains("newer version (2), this one reads up to 1"), "{told:?}");
    assert!(folder.path().join("spool/quarantine").join(path.file_name().unwrap()).exists());
}
