//! disks: I/O of each disk, space of each mounted file system, and file systems that do not answer.

use super::{ALERT, CONF, Ignore, TYPE, Unreadable};
use crate::check::chart::{Chart, Tile};
use crate::check::thresholds::Thresholds;
use crate::check::{Check, Context, Out, Runs, Spec};
use crate::config::section::Section;
use crate::fetch::file::KernelFile;
use crate::fetch::mounts::{Mounted, Mounts};
use crate::fetch::stacks::disk_of_path;
use crate::fetch::statvfs::{Answer, Space, Volume, Volumes, space};
use crate::model::error::{Error, Result};
use crate::model::parse::mounts;
use crate::model::parse::procfs;
use crate::model::point::{Level, Tags};
use crate::model::table::{Field, NO_COUNT, Row, Share, gauge, percent, rate};
use std::borrow::Cow;
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
    charts: CHARTS,
    build,
};

/// Devices that are built on other disks, so their I/O is also counted there.
const LIE_ON_OTHERS: &[&str] = &["dm-", "md", "drbd", "bcache", "zd"];

const CHARTS: &[Chart] = &[
    Chart::new("File systems")
        .of(&["drive_percent_used"])
        .each("mountpoint")
        .full(100.0)
        .events(&["Disk-Usage-{mountpoint}", "Disk-Stuck-{mountpoint}"])
        .first(40)
        .tile(Tile::Disk),
    Chart::new("Disk traffic")
        .mirror(&["drive_reads"], &["drive_writes"])
        .without("drive", LIE_ON_OTHERS)
        .sum()
        .first(50),
    Chart::new("Disks busy")
        .of(&["drive_io_percent_used"])
        .without("drive", LIE_ON_OTHERS)
        .each("drive")
        .full(100.0)
        .first(60),
    Chart::new("Traffic by device").mirror(&["drive_reads"], &["drive_writes"]).each("drive"),
    Chart::new("Operations by device").mirror(&["drive_read_ops"], &["drive_write_ops"]).each("drive"),
    Chart::new("Wait by device").mirror(&["drive_read_await"], &["drive_write_await"]).each("drive"),
    Chart::new("Devices busy").of(&["drive_io_percent_used"]).each("drive").full(100.0),
    Chart::new("Queue by device").of(&["drive_queue"]).each("drive"),
    Chart::new("Requests in flight by device").of(&["drive_in_flight"]).each("drive"),
    Chart::new("Space used").of(&["drive_bytes_used"]).each("mountpoint"),
    Chart::new("Space available").of(&["drive_bytes_available"]).each("mountpoint"),
    Chart::new("Size").of(&["drive_bytes_total"]).each("mountpoint"),
    Chart::new("Inodes in use").of(&["drive_inodes_percent_used"]).each("mountpoint").full(100.0),
    Chart::new("Inodes used").of(&["drive_inodes_used"]).each("mountpoint"),
    Chart::new("Inodes free").of(&["drive_inodes_free"]).each("mountpoint"),
    Chart::new("Read-only").of(&["drive_read_only"]).each("mountpoint").full(1.0),
    Chart::new("Not answering").of(&["drive_stuck"]).each("mountpoint").full(1.0).events(&["Disk-Stuck-{mountpoint}"]),
];

/// The columns of /proc/diskstats after the name, see Documentation/admin-guide/iostats.rst. A sector has 512 bytes for
/// every device; times are in milliseconds.
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
    rate("sectors_read", "drive_reads", "bytes/s").scale(SECTOR).reaction(-3),
    rate("sectors_written", "drive_writes", "bytes/s").scale(SECTOR).reaction(-3),
    rate("reads", "drive_read_ops", "1/s").reaction(-3),
    rate("writes", "drive_write_ops", "1/s").reaction(-3),
    rate("queued_ms", "drive_queue", "requests").scale(0.001).reaction(-3),
    gauge("in_flight", "drive_in_flight", "requests").int().reaction(-3),
];

const BUSY: Field = percent("busy_ms", "drive_io_percent_used");
const READ_AWAIT: Field = gauge("", "drive_read_await", "ms").reaction(-3);
const WRITE_AWAIT: Field = gauge("", "drive_write_await", "ms").reaction(-3);
const TIMES: &[Field] = &[BUSY, READ_AWAIT, WRITE_AWAIT];

const SPACE: &[Field] = &[
    gauge("used", "drive_bytes_used", "bytes").int().optional().reaction(-3),
    gauge("available", "drive_bytes_available", "bytes").int().optional().reaction(-3),
    gauge("total", "drive_bytes_total", "bytes").int().optional().reaction(-3),
    gauge("inodes_used", "drive_inodes_used", "inodes").int().optional().reaction(-3),
    gauge("inodes_free", "drive_inodes_free", "inodes").int().optional().reaction(-3),
];

const PERCENT_USED: Field = percent("", "drive_percent_used");
const INODES_PERCENT_USED: Field = percent("", "drive_inodes_percent_used").reaction(-3);
const READ_ONLY: Field = gauge("", "drive_read_only", "0 or 1").int();
const STUCK: Field = gauge("", "drive_stuck", "0 or 1").int();
const MOUNT: &[Field] = &[PERCENT_USED, INODES_PERCENT_USED, READ_ONLY, STUCK];

/// Block devices that are no disks: in memory, in a file, or read-only media. `loop0`, `ram1`, `zram0`, `sr0`.
const NOT_DISKS: &[&str] = &["loop", "ram", "zram", "sr", "fd"];

/// Virtual file systems, in which nobody stores data. Most report a size of 0; some report the size of something else.
const OF_THE_KERNEL: &[&str] = &[
    "autofs",
    "binder",
    "binfmt_misc",
    "bpf",
    "cgroup",
    "cgroup2",
    "configfs",
    "cpuset",
    "debugfs",
    "devfs",
    "devpts",
    "devtmpfs",
    "efivarfs",
    "functionfs",
    "fusectl",
    "hugetlbfs",
    "mqueue",
    "nfsd",
    "nsfs",
    "openpromfs",
    "proc",
    "pstore",
    "ramfs",
    "resctrl",
    "rootfs",
    "rpc_pipefs",
    "securityfs",
    "selinuxfs",
    "smackfs",
    "sysfs",
    "tracefs",
    "usbdevfs",
    "usbfs",
    "xenfs",
    "fuse.gvfsd-fuse",
    "fuse.kio-fuse",
    "fuse.lxcfs",
    "fuse.portal",
    "fuse.vmware-vmblock",
];

/// File systems that are always full, or show the data of another one.
const NO_STORE: &[&str] = &[
    "aufs",
    "cramfs",
    "erofs",
    "iso9660",
    "overlay",
    "overlayfs",
    "romfs",
    "shiftfs",
    "squashfs",
    "unionfs",
    "fuse.archivemount",
    "fuse.fuse-overlayfs",
    "fuse.fuseiso",
    "fuse.snapfuse",
    "fuse.squashfuse",
    "fuse.squashfuse_ll",
    "fuse.unionfs",
    "fuse.unionfs-fuse",
];

/// File systems that answer statvfs from memory, so the call cannot block. All others are asked from a thread.
const PROMPT: &[&str] = &[
    "ext2", "ext3", "ext4", "xfs", "btrfs", "vfat", "msdos", "exfat", "tmpfs", "f2fs", "zfs", "bcachefs", "jfs",
    "reiserfs", "nilfs2", "ntfs3", "hfsplus", "udf", "ubifs", "jffs2",
];

/// Default of `ignore`: mounts of containers, which come and go, and files that a container gets from its host.
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

/// File systems that create inodes as needed and report no true number of them.
const NO_INODES: &[&str] = &["ceph", "fuse.ceph", "fuse.ceph-fuse"];

/// -1 as the number of free inodes means unknown.
const UNKNOWN: [u64; 2] = [u64::MAX, u32::MAX as u64];

/// Longest wait for the file systems that are asked from a thread.
const WAIT: Duration = Duration::from_secs(1);

fn build(section: &Section) -> Result<Box<dyn Check>> {
    Ok(Box::new(Disks {
        thresholds: Thresholds::read(section, 90.0, 95.0)?,
        ignore: Ignore::read(section, IGNORED),
        diskstats: KernelFile::new("proc/diskstats"),
        devices: HashMap::new(),
        mounted: Mounts::default(),
        mounts: Vec::new(),
        unseen: None,
        volumes: Volumes::default(),
    }))
}

struct Disks {
    thresholds: Thresholds,
    /// Patterns of drive names, and of mount points (these start with a slash).
    ignore: Ignore,
    diskstats: KernelFile,
    /// The entries of /proc/diskstats that may be disks, by name.
    devices: HashMap<Box<str>, Device>,
    mounted: Mounts,
    mounts: Vec<Mount>,
    /// A fault about mounts of the watched machine that cannot be reached from here.
    unseen: Option<String>,
    volumes: Volumes,
}

impl Check for Disks {
    /// Asks the file systems that may be slow first and collects their answers last.
    fn run(&mut self, cx: &Context, out: &mut Out) -> Result<()> {
        let listed = self.list_mounts(cx);
        for volume in self.mounts.iter().filter_map(|mount| mount.volume.as_ref()) {
            if let Err(error) = self.volumes.ask(volume) {
                out.fault(error.to_string());
            }
        }
        let devices = self.tell_devices(cx, out);
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
        if let Some(unseen) = &self.unseen {
            out.absence_of("", unseen);
        }
        listed.and(devices)
    }
}

/// The state of an entry of /proc/diskstats.
struct Device {
    seen: Instant,
    /// The device numbers of the sources of its counters: its own, or those of the paths that lead to it. They identify
    /// the device, whatever its name.
    numbers: Vec<Option<procfs::Device>>,
    /// `None` for a partition.
    disk: Option<Disk>,
}

struct Disk {
    tags: Tags,
    before: Option<(Instant, Times)>,
}

/// Requests and their total time in milliseconds, since the device appeared.
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
        let of_sys;
        let text = match cx.read(&mut self.diskstats) {
            Ok(text) => text,
            // Containers of OpenVZ have no /proc/diskstats.
            Err(error) if error.is_gone() => {
                of_sys = diskstats_of_sys(cx);
                if of_sys.is_empty() {
                    out.absence_of("", format!("{error}, and no stat of a disk is in /sys/block: no traffic is told"));
                }
                &of_sys
            }
            Err(error) => return Err(error),
        };
        let at = out.read_now();
        let lines: Vec<Line> = text.lines().filter_map(Line::read).filter(|line| !is_no_disk(line.name)).collect();
        let paths = paths_to_disks(&lines);
        let mut newcomers = false;
        let mut unreadable = Unreadable::default();
        for line in &lines {
            if disk_of_path(line.name).is_some_and(|disk| paths.contains_key(&disk)) {
                continue;
            }
            let own = [line];
            let sources = paths.get(line.name).filter(|_| line.is_unused()).map_or(&own[..], Vec::as_slice);
            let numbers = sources.iter().map(|source| source.number);
            let is_known = match self.devices.get(line.name) {
                // If two lines have the same name, the first one counts.
                Some(device) if device.seen == at => continue,
                Some(device) => device.numbers.iter().copied().eq(numbers.clone()),
                None => false,
            };
            if !is_known {
                newcomers = true;
                let name = line.name;
                let wanted =
                    !self.ignore.covers(name) && cx.is_folder(&format!("sys/block/{}", name.replace('/', "!")));
                let disk = wanted.then(|| Disk { tags: Tags::one("drive", name), before: None });
                let device = Device { seen: at, numbers: numbers.collect(), disk };
                let other = self.devices.insert(name.into(), device).and_then(|other| Some(other.disk?.tags));
                out.forget(other.as_slice());
            }
            let Some(device) = self.devices.get_mut(line.name) else { continue };
            device.seen = at;
            if let Some(disk) = &mut device.disk
                && !disk.tell(&together(sources), at, out)
            {
                unreadable.add(line.name);
            }
        }
        unreadable.tell("/proc/diskstats", out);
        if newcomers && !cx.is_folder("sys/block") {
            self.devices.clear();
            out.absence_of("", "without /sys/block disks and partitions look the same: no traffic is told");
        }
        let gone = self.devices.extract_if(|_, device| device.seen != at);
        out.forget(&gone.filter_map(|(_, device)| Some(device.disk?.tags)).collect::<Vec<_>>());
        Ok(())
    }
}

/// The lines for whole disks, as /proc/diskstats would have them, from /sys/block.
fn diskstats_of_sys(cx: &Context) -> String {
    let line = |name: String| {
        let file = |file: &str| cx.text(&format!("sys/block/{name}/{file}")).ok();
        Some(format!("{} {} {}\n", file("dev")?.trim().replace(':', " "), name.replace('!', "/"), file("stat")?.trim()))
    };
    cx.names("sys/block").unwrap_or_default().into_iter().filter_map(line).collect()
}

/// A line of /proc/diskstats.
struct Line<'a> {
    number: Option<procfs::Device>,
    name: &'a str,
    row: Row<'a>,
}

impl<'a> Line<'a> {
    fn read(line: &'a str) -> Option<Line<'a>> {
        let (number, name, numbers) = procfs::diskstats(line)?;
        Some(Line { number, name, row: procfs::columns(COLUMNS, numbers) })
    }

    /// Whether nothing is counted here. Before Linux 6.4, a disk with several paths counted only on the paths.
    fn is_unused(&self) -> bool {
        ["reads", "writes"].iter().all(|cell| self.row.count(cell) == Some(0))
    }
}

/// For each disk with several paths, the lines of the paths.
fn paths_to_disks<'l>(lines: &'l [Line<'l>]) -> HashMap<String, Vec<&'l Line<'l>>> {
    let mut paths: HashMap<String, Vec<&Line>> = HashMap::new();
    for line in lines {
        if let Some(disk) = disk_of_path(line.name) {
            paths.entry(disk).or_default().push(line);
        }
    }
    paths.retain(|disk, _| lines.iter().any(|line| line.name == disk));
    paths
}

/// The sum of the lines, column by column.
fn together<'l>(lines: &[&'l Line]) -> Cow<'l, Row<'l>> {
    if let [line] = lines {
        return Cow::Borrowed(&line.row);
    }
    let sum = |column: &&'static str| {
        let counts: Option<Vec<u64>> = lines.iter().map(|line| line.row.count(column)).collect();
        Some((*column, counts?.into_iter().fold(0, u64::saturating_add)))
    };
    Cow::Owned(Row::of(COLUMNS.iter().filter_map(sum)))
}

fn is_no_disk(name: &str) -> bool {
    let number = |kind: &&str| name.strip_prefix(*kind);
    NOT_DISKS.iter().filter_map(number).any(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()))
}

impl Disk {
    /// Emits the I/O of the disk. Returns `false` if columns are missing or no numbers.
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

/// `None` if the counter went back, or if the whole is 0.
fn ratio(part: Option<u64>, whole: f64) -> Option<f64> {
    part.filter(|_| whole > 0.0).map(|part| part as f64 / whole)
}

impl Times {
    fn read(row: &Row) -> Option<Times> {
        Some(Times {
            reads: row.count("reads")?,
            reading_ms: row.count("reading_ms")?,
            writes: row.count("writes")?,
            writing_ms: row.count("writing_ms")?,
            busy_ms: row.count("busy_ms")?,
        })
    }
}

/// A mounted file system to be reported.
struct Mount {
    /// Its path below the root of the watched machine.
    path: Box<Path>,
    /// Its path as the user knows it.
    name: String,
    tags: Tags,
    /// Value of the tag `mountpoint`.
    tag: String,
    read_only: bool,
    /// The mount itself is read-only, so statvfs does not tell whether the file system is.
    is_closed: bool,
    /// A FUSE file system: access may be denied because it belongs to another user, which is no fault.
    private: bool,
    has_inodes: bool,
    /// Set if statvfs may block.
    volume: Option<Arc<Volume>>,
}

impl Disks {
    /// Builds the list of mounts again if the kernel's list has changed.
    fn list_mounts(&mut self, cx: &Context) -> Result<()> {
        let Some(mounted) = cx.mounts(&mut self.mounted).inspect_err(|_| self.mounts.clear())? else { return Ok(()) };
        (self.mounts, self.unseen) = list(mounted, &self.ignore, cx);
        let volumes: HashSet<_> = self.mounts.iter().filter_map(|mount| mount.volume.as_ref()).collect();
        self.volumes.retain(|volume| volumes.contains(volume));
        Ok(())
    }
}

/// The mounts to be reported, sorted by path, and a sentence about those that cannot be reached.
fn list(mounted: Mounted, ignore: &Ignore, cx: &Context) -> (Vec<Mount>, Option<String>) {
    let name = |mount: &mounts::Mount| String::from_utf8_lossy(&mount.path).into_owned();
    let is_wanted = |mount: &mounts::Mount| stores(mount) && !ignore.covers(&name(mount));
    let mut wanted: Vec<_> = mounted.mounts.into_iter().filter(is_wanted).collect();
    wanted.sort_by(|one, other| one.path.cmp(&other.path));
    let mut taken = HashSet::new();
    let mut mounts = Vec::new();
    for mount in wanted {
        let name = name(&mount);
        let short = short(&name);
        let tag = if taken.insert(short.clone()) { short } else { name.clone() };
        let path = cx.roots.root.join(OsStr::from_bytes(mount.path.strip_prefix(b"/").unwrap_or(&mount.path)));
        let volume = (!PROMPT.contains(&mount.fs))
            .then(|| Arc::new(Volume { source: mount.source.into_owned(), number: mount.number, path: path.clone() }));
        mounts.push(Mount {
            path: path.into(),
            tags: Tags::one("mountpoint", &tag),
            name,
            tag,
            read_only: mount.read_only,
            is_closed: mount.is_closed,
            private: mount.fs.starts_with("fuse"),
            has_inodes: !NO_INODES.contains(&mount.fs),
            volume,
        });
    }
    let unseen: Vec<String> = mounted.unseen.iter().filter(|mount| is_wanted(mount)).map(name).collect();
    let sentence = unseen.first().map(|first| {
        let more = if unseen.len() > 1 { format!(" and {} more", unseen.len() - 1) } else { String::new() };
        format!(
            "{first}{more} of the watched machine: not mounted below rootfs, which is {}, so nothing is told; bind the machine's / \
             there with the propagation rslave",
            cx.roots.root.display()
        )
    });
    (mounts, sentence)
}

/// Whether the file system stores data. A tmpfs does, if its source was given the name of a device.
fn stores(mount: &mounts::Mount) -> bool {
    let is_image = NO_STORE.contains(&mount.fs) || mount.fs.ends_with(".AppImage");
    let is_memory = mount.fs == "tmpfs" && !mount.source.contains(&b'/');
    !is_image && !is_memory && !OF_THE_KERNEL.contains(&mount.fs)
}

/// The tag of a mount: `/var/lib/docker` becomes `var_lib_docker`, `/` becomes `rootfs`. If two paths give the same
/// tag, the first in alphabetical order gets it and the other keeps its path: `/var/lib` is `var_lib`, `/var_lib` is
/// `/var_lib`.
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
            Answer::Space(space) if space.total == 0 => return,
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
        let Space { total, free, available, .. } = space;
        let used = Share::of(free, total).map(|free| free.rest().part());
        let is_possible = Share::of(available, total).is_some();
        if used.is_none() || !is_possible {
            let said = format!("{total} bytes in all, {free} free and {available} available");
            out.fault_of(&self.name, format!("the file system says what cannot be: {said}"));
        }
        let mut row = Row::default();
        let cells = [
            ("total", (total < NO_COUNT).then_some(total)),
            ("used", used),
            ("available", is_possible.then_some(available)),
        ];
        for (cell, count) in cells {
            if let Some(count) = count {
                row.push(cell, count);
            }
        }
        if let Some(used) = self.inodes_used(&space, out) {
            row.push("inodes_used", used.part());
            row.push("inodes_free", used.rest().part());
            out.put(&INODES_PERCENT_USED, used.percent(), &self.tags);
        }
        out.pick(&row, SPACE, &self.tags);
        // After an error, the file system may be read-only although the mount is not.
        let read_only = self.read_only || (space.read_only && !self.is_closed);
        out.put(&READ_ONLY, u64::from(read_only), &self.tags);
        // As df computes it: space reserved for root counts neither as used nor as free.
        let whole = used.filter(|_| is_possible).and_then(|used| used.checked_add(available));
        let Some(used) = used.zip(whole).and_then(|(used, whole)| Share::of(used, whole)) else { return };
        let percent = used.percent();
        out.put(&PERCENT_USED, percent, &self.tags);
        if !read_only {
            let name = &self.name;
            let words = format_args!("Storage usage of {name} is at {percent:.2} percent of available  space");
            out.judge(thresholds, format!("Disk-Usage-{}", self.tag), percent, words, ALERT);
        }
    }

    /// The used share of all inodes; `None` if their number is not fixed or unknown.
    fn inodes_used(&self, space: &Space, out: &mut Out) -> Option<Share> {
        let Space { inodes, inodes_free, .. } = *space;
        let is_unknown = inodes_free > inodes && UNKNOWN.contains(&inodes_free);
        if !self.has_inodes || inodes == 0 || inodes == u64::MAX || is_unknown {
            return None;
        }
        let used = Share::of(inodes_free, inodes).map(Share::rest);
        if used.is_none() {
            out.absence_of(
                &self.name,
                format!("the file system says what cannot be: {inodes_free} of {inodes} inodes are free"),
            );
        }
        used
    }
}

fn is_refused(error: &Error) -> bool {
    matches!(error, Error::File { source, .. } if source.kind() == io::ErrorKind::PermissionDenied)
}
