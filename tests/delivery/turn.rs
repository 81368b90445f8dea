//! Single turns of delivery, with a disk that fails at a chosen moment.

use super::{batch, identity};
use puypuy::delivery::disk::{Disk, Folder};
use puypuy::delivery::queue::Queue;
use puypuy::delivery::rejected::Rejected;
use puypuy::delivery::spool::{Bounds, Spool};
use puypuy::delivery::{Delivery, Moment, Turn, codec};
use puypuy::model::error::Result;
use puypuy::model::point::{Identity, Point};
use puypuy::sink::{Attempt, Encoded, Request, Sink, Verdict};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tempfile::TempDir;

/// A sink that refuses connections.
struct Unreachable;

impl Sink for Unreachable {
    fn name(&self) -> &'static str {
        "Away"
    }

    fn encode(&self, points: &[Point], _: &Identity) -> Encoded {
        Encoded { requests: vec![Request { body: Vec::new(), points: 0..points.len() }], refused: Vec::new() }
    }

    fn send(&mut self, _: &Request, _: &[Point], _: &Attempt) -> Verdict {
        Verdict::Retry { why: "connection refused".into(), after: None, is_suspect: false }
    }

    fn is_remote(&self) -> bool {
        false
    }

    fn full_request(&self) -> usize {
        5_000
    }
}

/// A folder in which nothing can be written while it is full.
struct FullDisk {
    folder: Folder,
    is_full: Arc<AtomicBool>,
}

impl Disk for FullDisk {
    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn hold(&mut self) -> Result<bool> {
        self.folder.hold()
    }

    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        self.folder.list()
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        self.folder.read(name)
    }

    fn write(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        match self.is_full.load(Ordering::Relaxed) {
            true => Err(io::ErrorKind::StorageFull.into()),
            false => self.folder.write(name, bytes),
        }
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.folder.append(name, bytes)
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        self.folder.rename(from, to)
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.folder.remove(name)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.folder.sync()
    }

    fn size(&self, name: &str) -> Option<u64> {
        self.folder.size(name)
    }

    fn free(&self) -> io::Result<i64> {
        Ok(1 << 30)
    }
}

#[test]
fn a_batch_kept_in_two_files_stays_whole_when_the_disk_refuses_to_put_it_into_one() {
    let folder = TempDir::new().unwrap();
    let place = folder.path().join("spool");
    let is_full = Arc::new(AtomicBool::new(false));
    let disk = FullDisk { folder: Folder::new(place.clone()), is_full: is_full.clone() };
    let now = Moment::now();
    let later = |seconds| Moment { at: now.at + Duration::from_secs(seconds), wall: now.wall + seconds as i64 };
    // No batch may be larger than half of the limit.
    let size = codec::write(&batch(0..100), now.wall).len() as u64;
    let bounds = Bounds { entries: 1_000, bytes: size + size / 2, age: None };
    let spool = Spool::open(Box::new(disk), bounds, now).unwrap();
    let rejected = Rejected::new(Box::new(Folder::new(folder.path().join("rejected"))), "Away", 1 << 20);
    let queue = Arc::new(Queue::default());
    let period = Duration::from_secs(1);
    let mut delivery =
        Delivery::new(Box::new(Unreachable), identity(), queue.clone(), spool, rejected, period, (now, 4_711));

    queue.push(batch(0..100));
    let Turn::Send(exchange) = delivery.turn(now, None) else { panic!("it is not sent") };
    assert!(matches!(delivery.turn(later(2), None), Turn::Wait(_)));
    let kept = || {
        let files = puypuy::delivery::files::in_folder(&place).unwrap();
        let batches = files.iter().map(|file| codec::read(&std::fs::read(file).unwrap()).unwrap().1);
        batches.map(|batch| batch.len()).collect::<Vec<_>>()
    };
    assert_eq!(kept(), [50, 50]);
    is_full.store(true, Ordering::Relaxed);
    assert!(matches!(delivery.turn(later(3), Some(exchange.perform())), Turn::Wait(_)));
    assert_eq!(kept(), [50, 50]);
}
