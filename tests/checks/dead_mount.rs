//! A real file system whose server never responds: FUSE with nobody at the other end of /dev/fuse.
#![allow(unsafe_code)]

use super::machine::{Machine, Measurement, Worker, spec};
use puypuy::model::point::Level;
use std::ffi::CString;
use std::fs::{self, File};
use std::io;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::ptr::null;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const HELPER: &str = "puypuy-statvfs";

/// These tests count the helper threads of the whole process, so they run one at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// A FUSE mount in the mount namespace of the calling thread: it always disappears with the thread.
pub struct FuseMount {
    path: PathBuf,
    server: Option<OwnedFd>,
}

impl FuseMount {
    /// `None`, with a printed reason, if FUSE cannot be mounted.
    pub fn at(path: &Path) -> Option<FuseMount> {
        fs::create_dir_all(path).unwrap();
        let skip = |why: &str, error: io::Error| {
            eprintln!("SKIPPED a test with a dead FUSE mount: {why}: {error}");
            None
        };
        if let Err(error) = own_mounts() {
            return skip("no mount namespace", error);
        }
        let server = match File::options().read(true).write(true).open("/dev/fuse") {
            Ok(server) => OwnedFd::from(server),
            Err(error) => return skip("/dev/fuse", error),
        };
        let data = format!("fd={},rootmode=40000,user_id=0,group_id=0,allow_other", server.as_raw_fd());
        if let Err(error) = mount("/dev/dead", path, Some("fuse"), 0, &data) {
            return skip("mount", error);
        }
        Some(FuseMount { path: path.into(), server: Some(server) })
    }

    /// From now on the server reads requests and never responds: a process that waits for it cannot even be killed.
    pub fn swallow(&self) {
        let mut server = File::from(self.server.as_ref().unwrap().try_clone().unwrap());
        std::thread::spawn(move || answer(&mut server, 1));
    }

    /// The server dies: all waiting requests get an error.
    pub fn die(&mut self) {
        self.server = None;
    }

    /// Unmounts it lazily; threads that wait for it keep waiting.
    fn unmount(&mut self) {
        self.unmount_with(libc::MNT_DETACH);
    }

    fn unmount_with(&mut self, flags: libc::c_int) {
        let path = c_string(&self.path);
        // SAFETY: a string that ends in NUL and lives until the call returns.
        unsafe { libc::umount2(path.as_ptr(), flags) };
    }
}

impl Drop for FuseMount {
    fn drop(&mut self) {
        self.die();
        // Threads that wait for a server that never responds get an error.
        self.unmount_with(libc::MNT_FORCE | libc::MNT_DETACH);
    }
}

/// A mount namespace for this thread and everything that it starts, including the helper threads.
fn own_mounts() -> io::Result<()> {
    // SAFETY: takes a flag and touches no memory of ours.
    if unsafe { libc::unshare(libc::CLONE_NEWNS) } != 0 {
        return Err(io::Error::last_os_error());
    }
    mount("none", Path::new("/"), None, libc::MS_REC | libc::MS_PRIVATE, "")
}

fn mount(what: &str, path: &Path, kind: Option<&str>, flags: libc::c_ulong, data: &str) -> io::Result<()> {
    let (what, path, data) = (CString::new(what)?, c_string(path), CString::new(data)?);
    let kind = kind.map(CString::new).transpose()?;
    let kind = kind.as_ref().map_or(null(), |kind| kind.as_ptr());
    // SAFETY: strings that end in NUL and live until the call returns; a null type is allowed when flags change only.
    match unsafe { libc::mount(what.as_ptr(), path.as_ptr(), kind, flags, data.as_ptr().cast()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn c_string(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).unwrap()
}

/// Helper threads of this process. Those of other tests start and end, so the smallest count over some time is used.
fn helpers() -> usize {
    let count = || {
        let tasks = fs::read_dir("/proc/self/task").unwrap().flatten();
        let names = tasks.filter_map(|task| fs::read_to_string(task.path().join("comm")).ok());
        names.filter(|name| name.trim() == HELPER).count()
    };
    let sample = |_| {
        std::thread::sleep(Duration::from_millis(5));
        count()
    };
    (0..40).map(sample).min().unwrap()
}

const MOUNTS: &str = "/dev/vda / ext4 rw 0 0\n\
    nas:/export /srv/nas nfs4 rw 0 0\n\
    user@backup: /mnt/dead fuse.sshfs rw 0 0\n\
    /dev/sdb1 /mnt/disk xfs rw 0 0\n";

fn machine() -> Machine {
    let machine = Machine::of("vm");
    machine.write("proc/mounts", MOUNTS);
    machine.write("mnt/disk/.keep", "");
    machine
}

/// The other mounts are reported completely, and soon.
fn tick(worker: &mut Worker, machine: &Machine) -> Measurement {
    let start = Instant::now();
    let told = worker.tick(&machine.roots);
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
    let mounts = told.tags("drive_percent_used");
    for mount in ["mnt_disk", "rootfs", "srv_nas"] {
        assert!(mounts.iter().any(|told| told == mount), "{mount} is missing in {mounts:?}");
    }
    assert_eq!(told.tags("drive_in_flight"), ["nvme0n1", "vda"]);
    assert_eq!(told.number("drive_stuck", "srv_nas"), Some(0.0));
    told
}

fn stuck(told: &Measurement) -> Option<(f64, Level, &str)> {
    let event = told.event("Disk-Stuck-mnt_dead");
    told.number("drive_stuck", "mnt_dead").zip(event).map(|(stuck, event)| (stuck, event.level, event.message.as_str()))
}

#[test]
fn a_dead_mount_only_costs_one_thread() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    std::thread::spawn(|| {
        let machine = machine();
        let Some(mut dead) = FuseMount::at(&machine.path().join("mnt/dead")) else { return };
        let mut worker = Worker::new(spec("check_disks"), &[]);

        let first = tick(&mut worker, &machine);
        assert_eq!(stuck(&first), None);
        for _ in 0..5 {
            let start = Instant::now();
            let told = tick(&mut worker, &machine);
            let message = "ERROR: Storage /mnt/dead does not answer";
            assert_eq!(stuck(&told), Some((1.0, Level::Error, message)));
            assert!(told.number("drive_percent_used", "mnt_dead").is_none());
            assert!(start.elapsed() < Duration::from_millis(900), "waited for a mount that is known to be dead");
        }
        // A reload creates a new check; it takes over the pending call and starts no second one.
        let mut successor = Worker::new(spec("check_disks"), &[]);
        assert!(stuck(&tick(&mut successor, &machine)).is_some_and(|(stuck, ..)| stuck == 1.0));
        assert_eq!(helpers(), 1);

        dead.die();
        settle(0);
        let told = tick(&mut worker, &machine);
        assert_eq!(stuck(&told), Some((0.0, Level::Ok, "recovered: OK: Storage /mnt/dead answers")));
        assert!(told.faults.iter().any(|fault| fault.contains("mnt/dead")), "{:?}", told.faults);

        dead.unmount();
        machine.write("proc/mounts", MOUNTS.replace("user@backup: /mnt/dead fuse.sshfs rw 0 0\n", ""));
        let told = tick(&mut worker, &machine);
        assert_eq!(stuck(&told), None);
        assert!(told.faults.is_empty(), "{:?}", told.faults);
    })
    .join()
    .unwrap();
}

#[test]
fn a_new_mount_does_not_wait_for_a_dead_one_at_the_same_place() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    std::thread::spawn(|| {
        let machine = machine();
        let Some(mut dead) = FuseMount::at(&machine.path().join("mnt/dead")) else { return };
        let list = |number: u32| {
            let line =
                |id: u32, number: String, path: &str, fs: &str| format!("{id} 1 {number} / {path} rw - {fs} any rw\n");
            let lines = [
                line(1, "8:1".into(), "/", "ext4"),
                line(2, "0:40".into(), "/srv/nas", "nfs4"),
                line(3, format!("0:{number}"), "/mnt/dead", "fuse.sshfs"),
                line(4, "8:2".into(), "/mnt/disk", "xfs"),
            ];
            machine.write("proc/1/mountinfo", lines.concat());
        };
        list(50);
        let mut worker = Worker::new(spec("check_disks"), &[]);
        tick(&mut worker, &machine);
        assert_eq!(stuck(&tick(&mut worker, &machine)).map(|told| told.0), Some(1.0));
        dead.unmount();
        assert_eq!(stuck(&tick(&mut worker, &machine)).map(|told| told.0), Some(1.0));
        list(51);
        assert_eq!(stuck(&tick(&mut worker, &machine)).map(|told| told.0), Some(0.0));
        assert_eq!(helpers(), 1);
        dead.die();
        settle(0);
    })
    .join()
    .unwrap();
}

fn settle(count: usize) {
    let until = Instant::now() + Duration::from_secs(5);
    while helpers() > count {
        assert!(Instant::now() < until, "a helper did not come back");
    }
}

#[test]
fn a_late_response_is_reported_a_tick_later() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    std::thread::spawn(|| {
        let machine = machine();
        let Some(slow) = FuseMount::at(&machine.path().join("mnt/dead")) else { return };
        let mut worker = Worker::new(spec("check_disks"), &[]);
        assert_eq!(stuck(&tick(&mut worker, &machine)), None);
        assert_eq!(stuck(&tick(&mut worker, &machine)).map(|told| told.0), Some(1.0));

        let mut server = File::from(slow.server.as_ref().unwrap().try_clone().unwrap());
        let answering = std::thread::spawn(move || answer(&mut server, 3));
        settle(0);
        // The late result is used, and the next call is made without waiting. Then the prompt result is waited for and
        // used.
        for message in ["recovered: OK: Storage /mnt/dead answers", "OK: Storage /mnt/dead answers"] {
            let told = tick(&mut worker, &machine);
            assert_eq!(stuck(&told), Some((0.0, Level::Ok, message)));
            assert_eq!(told.number("drive_bytes_total", "mnt_dead"), Some(4096.0 * 1000.0));
            assert_eq!(told.number("drive_bytes_used", "mnt_dead"), Some(4096.0 * 600.0));
            assert_eq!(told.number("drive_bytes_available", "mnt_dead"), Some(4096.0 * 300.0));
            // Of the space that users can have, like df: 100 blocks are reserved for root.
            assert_eq!(told.number("drive_percent_used", "mnt_dead"), Some(600.0 * 100.0 / 900.0));
            assert_eq!(told.number("drive_inodes_used", "mnt_dead"), Some(40.0));
            settle(0);
        }
        drop(slow);
        answering.join().unwrap();
    })
    .join()
    .unwrap();
}

/// A server that handles two requests of linux/fuse.h, INIT and STATFS, and responds to this many of them.
fn answer(server: &mut File, mut questions: u32) {
    const INIT: u32 = 26;
    const STATFS: u32 = 17;
    let mut request = vec![0_u8; 1 << 17];
    while questions > 0 {
        let Ok(length) = server.read(&mut request) else { return };
        assert!(length >= 40);
        let word = |at: usize| u32::from_ne_bytes(request[at..at + 4].try_into().unwrap());
        let body: Vec<u8> = match word(4) {
            // Version 7.19, no features, writes of 4 KiB.
            INIT => [7_u32, 19, 0, 0, 0, 4096].map(u32::to_ne_bytes).concat(),
            // Blocks, free, available, inodes, free inodes; block size, longest name, fragment size, padding.
            STATFS => {
                questions -= 1;
                let counts = [1000_u64, 400, 300, 100, 60].map(u64::to_ne_bytes).concat();
                let sizes = [4096_u32, 255, 4096, 0].map(u32::to_ne_bytes).concat();
                [counts, sizes, vec![0; 24]].concat()
            }
            _ => continue,
        };
        let head = [(16 + body.len() as u32).to_ne_bytes(), 0_i32.to_ne_bytes()].concat();
        let reply = [&head[..], &request[8..16], &body].concat();
        server.write_all(&reply).unwrap();
    }
}
