//! disks: traffic of every disk, space of every mounted file system, and file systems that do not answer.

use super::{ALERT, CONF, Ignore, TYPE, Unreadable};
use crate::check::thresholds::Thresholds;
use crate::check::{Check, Context, Out, Runs, Spec};
use crate::config::section::Section;
use crate::fetch::file::KernelFile;
use crate::fetch::statvfs::{Answer, Space, Volume, Volumes, space};
use crate::model::error::{Error, Result};
use crate::model::parse::number::whole;
use crate::model::parse::procfs;
use crate::model::point::{Level, Tags};
use crate::model::table::{Field, Row, gauge, percent, rate};
use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub static SPEC: Spec = Spec {
    name: "check_disks",
    purpose: "traffic of disks, space of mounted file systems, and mounts that do not answer",
    check_type: TYPE,
    conf: CONF,
    section: "Disk Stats",
    keys: &[Thresholds::KEYS, &["ignore"]],
    runs: Runs::Kernel,
    fields: &[TRAFFIC, TIMES, SPACE, MOUNT],
    build,
};

/// Columns of /proc/diskstats after the name, see Documentation/admin-guide/iostats.rst. Sectors are of 512 bytes
/// whatever the device says of itself; times are milliseconds.
const COLUMNS: &[&str] = &[
    "reads",
    "reads_merged",
    "sectors_read",
    "reading_ms",
    "writes",
    "writes_merged",
    "sectors_written",
    "writing_ms",
    "in_flight",
    "busy_ms",
    "queued_ms",
];

const SECTOR: f64 = 512.0;

const TRAFFIC: &[Field] = &[
    rate("sectors_read", "drive_reads").scale(SECTOR).reaction(-3),
    rate("sectors_written", "drive_writes").scale(SECTOR).reaction(-3),
    rate("reads", "drive_read_ops").reaction(-3),
    rate("writes", "drive_write_ops").reaction(-3),
    rate("queued_ms", "drive_queue").scale(0.001).reaction(-3),
    gauge("in_flight", "drive_in_flight").int().reaction(-3),
];

const BUSY: Field = percent("busy_ms", "drive_io_percent_used");
const READ_AWAIT: Field = gauge("", "drive_read_await").reaction(-3);
const WRITE_AWAIT: Field = gauge("", "drive_write_await").reaction(-3);
const TIMES: &[Field] = &[BUSY, READ_AWAIT, WRITE_AWAIT];

const SPACE: &[Field] = &[
    gauge("used", "drive_bytes_used").int().reaction(-3),
    gauge("available", "drive_bytes_available").int().reaction(-3),
    gauge("total", "drive_bytes_total").int().reaction(-3),
    gauge("inodes_used", "drive_inodes_used").int().optional().reaction(-3),
    gauge("inodes_free", "drive_inodes_free").int().optional().reaction(-3),
];

const PERCENT_USED: Field = percent("", "drive_percent_used");
const INODES_PERCENT_USED: Field = percent("", "drive_inodes_percent_used").reaction(-3);
const READ_ONLY: Field = gauge("", "drive_read_only").int();
const STUCK: Field = gauge("", "drive_stuck").int();
const MOUNT: &[Field] = &[PERCENT_USED, INODES_PERCENT_USED, READ_ONLY, STUCK];

/// Devices that are made of memory or of a file, or hold a medium that is not written: `loop0`, `ram1`, `zram0`, `sr0`.
const NOT_DISKS: &[&str] = &["loop", "ram", "zram", "sr", "fd"];

/// File systems that are always full, repeat another one or store nothing. Those of the kernel itself, such as proc and
/// cgroup2, need no mention: they have no device with a slash.
const NO_STORE: &[&str] = &[
    "autofs",
    "cramfs",
    "erofs",
    "iso9660",
    "overlay",
    "squashfs",
    "fuse.fuse-overlayfs",
    "fuse.gvfsd-fuse",
    "fuse.lxcfs",
    "fuse.portal",
    "fuse.snapfuse",
    "fuse.squashfuse",
];

/// File systems whose numbers are in memory, so that asking cannot block. All others are asked from a thread.
const PROMPT: &[&str] = &[
    "ext2", "ext3", "ext4", "xfs", "btrfs", "vfat", "msdos", "exfat", "tmpfs", "f2fs", "zfs", "bcachefs", "jfs",
    "reiserfs", "nilfs2", "ntfs3", "hfsplus", "udf",
];

/// Mounts that come and go with containers, and the files that a container gets from its host.
const IGNORED: &[&str] = &[
    "/var/lib/docker/*",
    "/var/lib/containers/*",
    "/var/lib/kubelet/pods/*",
    "/run/containerd/*",
    "/run/docker/*",
    "/etc/hosts",
    "/etc/hostname",
    "/etc/resolv.conf",
];

/// Longest wait for file systems that are asked from a thread.
const WAIT: Duration = Duration::from_secs(1);

fn build(section: &Section) -> Result<Box<dyn Check>> {
    Ok(Box::new(Disks {
        thresholds: Thresholds::read(section, 90.0, 95.0)?,
        ignore: Ignore::read(section, IGNORED),
        diskstats: KernelFile::new("proc/diskstats"),
        devices: HashMap::new(),
        mounts_file: KernelFile::new("proc/mounts"),
        mounts: Vec::new(),
        volumes: Volumes::default(),
    }))
}

struct Disks {
    thresholds: Thresholds,
    /// Patterns of drives, and, with a slash, of mount points.
    ignore: Ignore,
    diskstats: KernelFile,
    /// Everything in /proc/diskstats that may be a disk, by name.
    devices: HashMap<Box<str>, Device>,
    mounts_file: KernelFile,
    mounts: Vec<Mount>,
    volumes: Volumes,
}

impl Check for Disks {
    /// Asks first whoever may take long, and waits for him last.
    fn run(&mut self, cx: &Context, out: &mut Out) -> Result<()> {
        let listed = self.list_mounts(cx);
        for volume in self.mounts.iter().filter_map(|mount| mount.volume.as_ref()) {
            if let Err(error) = self.volumes.ask(volume) {
                out.fault(error.to_string());
            }
        }
        let told = self.tell_devices(cx, out);
        for mount in self.mounts.iter().filter(|mount| mount.volume.is_none()) {
            mount.tell(space(&mount.path), &self.thresholds, out);
        }
        let now = Instant::now();
        self.volumes.wait(now + WAIT.min(cx.tick.left(now) / 4));
        for mount in &self.mounts {
            if let Some(volume) = &mount.volume {
                mount.tell_answer(self.volumes.answer(volume), &self.thresholds, out);
            }
        }
        listed.and(told)
    }
}

/// What is remembered of a name in /proc/diskstats until it is not there any more.
struct Device {
    seen: Instant,
    /// `None` for a partition.
    disk: Option<Disk>,
}

struct Disk {
    tags: Tags,
    before: Option<(Instant, Times)>,
}

/// Requests and the milliseconds that they took, since the device came.
#[derive(Clone, Copy)]
struct Times {
    reads: u64,
    reading_ms: u64,
    writes: u64,
    writing_ms: u64,
    busy_ms: u64,
}

impl Disks {
    fn tell_devices(&mut self, cx: &Context, out: &mut Out) -> Result<()> {
        let at = cx.tick.at;
        let text = cx.read(&mut self.diskstats)?;
        let mut newcomers = false;
        let mut unreadable = Unreadable::default();
        for (name, numbers) in text.lines().filter_map(procfs::diskstats) {
            if is_no_disk(name) {
                continue;
            }
            let device = match self.devices.get_mut(name) {
                Some(device) => device,
                None => {
                    newcomers = true;
                    let wanted =
                        !self.ignore.covers(name) && cx.is_folder(&format!("sys/block/{}", name.replace('/', "!")));
                    let disk = wanted.then(|| Disk { tags: Tags::one("drive", name), before: None });
                    self.devices.entry(name.into()).or_insert(Device { seen: at, disk })
                }
            };
            device.seen = at;
            if let Some(disk) = &mut device.disk
                && !disk.tell(&procfs::columns(COLUMNS, numbers), at, out)
            {
                unreadable.add(name);
            }
        }
        unreadable.tell("/proc/diskstats", out);
        if newcomers && !cx.is_folder("sys/block") {
            self.devices.clear();
            return Err(Error::daemon("without /sys/block disks and partitions look the same"));
        }
        let gone = self.devices.extract_if(|_, device| device.seen != at);
        out.forget(&gone.filter_map(|(_, device)| Some(device.disk?.tags)).collect::<Vec<_>>());
        Ok(())
    }
}

fn is_no_disk(name: &str) -> bool {
    let number = |kind: &&str| name.strip_prefix(*kind);
    NOT_DISKS.iter().filter_map(number).any(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()))
}

impl Disk {
    /// `false` when the line holds too little or something else than numbers.
    fn tell(&mut self, row: &Row, at: Instant, out: &mut Out) -> bool {
        let Some(now) = Times::read(row) else { return false };
        out.pick(row, TRAFFIC, &self.tags);
        let Some((then, old)) = self.before.replace((at, now)) else { return true };
        let passed_ms = at.saturating_duration_since(then).as_secs_f64() * 1000.0;
        if let Some(percent) = ratio(now.busy_ms.checked_sub(old.busy_ms), passed_ms * 0.01) {
            out.put(&BUSY, percent.min(100.0), &self.tags);
        }
        let reads = now.reads.saturating_sub(old.reads) as f64;
        if let Some(ms) = ratio(now.reading_ms.checked_sub(old.reading_ms), reads) {
            out.put(&READ_AWAIT, ms, &self.tags);
        }
        let writes = now.writes.saturating_sub(old.writes) as f64;
        if let Some(ms) = ratio(now.writing_ms.checked_sub(old.writing_ms), writes) {
            out.put(&WRITE_AWAIT, ms, &self.tags);
        }
        true
    }
}

/// `None` after a counter went back and where there is nothing to divide by.
fn ratio(part: Option<u64>, whole: f64) -> Option<f64> {
    part.filter(|_| whole > 0.0).map(|part| part as f64 / whole)
}

impl Times {
    fn read(row: &Row) -> Option<Times> {
        Some(Times {
            reads: whole(row, "reads")?,
            reading_ms: whole(row, "reading_ms")?,
            writes: whole(row, "writes")?,
            writing_ms: whole(row, "writing_ms")?,
            busy_ms: whole(row, "busy_ms")?,
        })
    }
}

/// A mounted file system that is told about.
struct Mount {
    /// Below the root that is watched.
    path: Box<Path>,
    /// As the user knows it.
    name: String,
    tags: Tags,
    /// Value of the tag.
    tag: String,
    read_only: bool,
    /// Refusal is expected: a file system in user space that belongs to another user.
    private: bool,
    /// Set where asking may block.
    volume: Option<Arc<Volume>>,
}

impl Disks {
    /// Makes the list of mounts anew when the kernel's has changed.
    fn list_mounts(&mut self, cx: &Context) -> Result<()> {
        self.mounts = match cx.read_if_changed(&mut self.mounts_file) {
            Ok(Some(text)) => list(text, &self.ignore, cx),
            Ok(None) => return Ok(()),
            Err(error) => {
                self.mounts.clear();
                return Err(error);
            }
        };
        let volumes: HashSet<_> = self.mounts.iter().filter_map(|mount| mount.volume.as_ref()).collect();
        self.volumes.retain(|volume| volumes.contains(volume));
        Ok(())
    }
}

/// The mounts to be told about, sorted by path. Of several mounts on one path the last hides the others.
fn list(text: &[u8], ignore: &Ignore, cx: &Context) -> Vec<Mount> {
    let on_top: HashMap<_, _> = procfs::mounts(text).map(|mount| (mount.path.clone(), mount)).collect();
    let mut wanted: Vec<_> = on_top.into_values().filter(stores).collect();
    wanted.sort_by(|one, other| one.path.cmp(&other.path));
    let mut taken = HashSet::new();
    let mut mounts = Vec::new();
    for mount in wanted {
        let name = String::from_utf8_lossy(&mount.path).into_owned();
        if ignore.covers(&name) {
            continue;
        }
        let short = short(&name);
        let tag = if taken.insert(short.clone()) { short } else { name.clone() };
        let path = cx.roots.root.join(OsStr::from_bytes(mount.path.strip_prefix(b"/").unwrap_or(&mount.path)));
        let volume = (!PROMPT.contains(&mount.fs))
            .then(|| Arc::new(Volume { device: mount.device.into_owned(), path: path.clone() }));
        mounts.push(Mount {
            path: path.into(),
            tags: Tags::one("mountpoint", &tag),
            name,
            tag,
            read_only: mount.read_only,
            private: mount.fs.starts_with("fuse"),
            volume,
        });
    }
    mounts
}

/// Whether the file system is one that fills up; those have a device with a slash, be it a server's.
fn stores(mount: &procfs::Mount) -> bool {
    mount.device.contains(&b'/') && !NO_STORE.contains(&mount.fs)
}

/// `/var/lib/docker` as `var_lib_docker`, `/` as `rootfs`. Where two paths come out alike, the first in alphabetical
/// order has the short form and the others keep their whole path: `/var/lib` is `var_lib`, `/var_lib` is `/var_lib`.
fn short(path: &str) -> String {
    match path.trim_matches('/') {
        "" => "rootfs".into(),
        inner => inner.replace('/', "_"),
    }
}

impl Mount {
    fn tell_answer(&self, answer: Answer, thresholds: &Thresholds, out: &mut Out) {
        let (stuck, level, state) = match &answer {
            Answer::NotYet => return,
            Answer::Stuck => (1_u64, Level::Error, "does not answer"),
            Answer::Space(_) | Answer::Failed(_) => (0, Level::Ok, "answers"),
        };
        out.put(&STUCK, stuck, &self.tags);
        if thresholds.is_enabled {
            let message = format!("{}: Storage {} {state}", level.word(), self.name);
            out.health(format!("Disk-Stuck-{}", self.tag), level, message, ALERT);
        }
        match answer {
            Answer::Space(space) => self.tell(Ok(space), thresholds, out),
            Answer::Failed(error) => self.tell(Err(error), thresholds, out),
            Answer::NotYet | Answer::Stuck => {}
        }
    }

    fn tell(&self, space: Result<Space>, thresholds: &Thresholds, out: &mut Out) {
        let space = match space {
            Ok(space) => space,
            Err(error) if error.is_gone() || (self.private && is_refused(&error)) => return,
            Err(error) => return out.fault(error.to_string()),
        };
        if space.total == 0 {
            return;
        }
        let mut row = Row::of([("used", space.used), ("available", space.available), ("total", space.total)]);
        if space.inodes > 0 {
            let used = space.inodes.saturating_sub(space.inodes_free);
            row.push("inodes_used", used);
            row.push("inodes_free", space.inodes_free);
            out.put(&INODES_PERCENT_USED, share(used, space.inodes), &self.tags);
        }
        out.pick(&row, SPACE, &self.tags);
        let percent = share(space.used, space.total);
        out.put(&PERCENT_USED, percent, &self.tags);
        // An error can make the file system read-only under the mount.
        let read_only = self.read_only || space.read_only;
        out.put(&READ_ONLY, u64::from(read_only), &self.tags);
        if !read_only {
            let name = &self.name;
            let words = format_args!("Storage usage of {name} is at {percent:.2} percent of available  space");
            out.judge(thresholds, format!("Disk-Usage-{}", self.tag), percent, words, ALERT);
        }
    }
}

fn share(used: u64, total: u64) -> f64 {
    used as f64 * 100.0 / total as f64
}

fn is_refused(error: &Error) -> bool {
    matches!(error, Error::File { source, .. } if source.kind() == io::ErrorKind::PermissionDenied)
}
