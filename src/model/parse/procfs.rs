//! The line formats of /proc and /sys files, each from the kernel's own documentation.

use crate::model::table::{Field, Row};
use core::net::{IpAddr, Ipv6Addr};

/// A line of numbers as a row: the first column becomes the cell of the first name, and so on. Columns beyond the names
/// (newer kernels) are left out, names beyond the columns (older ones) have no cell.
pub fn columns<'a>(names: &[&'static str], text: &'a str) -> Row<'a> {
    Row::of(names.iter().copied().zip(text.split_ascii_whitespace()))
}

/// The `Label: 123 kB` lines of /proc/meminfo, or the `label 123` lines of /proc/vmstat, for which the table has a line.
/// Whole labels only: `Cached` is not `SwapCached`.
pub fn labelled<'a>(text: &'a str, fields: &[Field]) -> Row<'a> {
    let cell = |line: &'a str| {
        let first = line.as_bytes().first();
        fields.iter().filter(|field| field.cell.as_bytes().first() == first).find_map(|field| {
            let value = line.strip_prefix(field.cell)?.strip_prefix([':', ' '])?;
            Some((field.cell, value.split_ascii_whitespace().next()?))
        })
    };
    Row::of(text.lines().filter_map(cell))
}

/// Columns of a `cpu` line of /proc/stat (proc(5)): user nice system idle iowait irq softirq steal guest guest_nice.
pub const CPU_COLUMNS: usize = 10;

/// A `cpu` or `cpu17` line of /proc/stat in clock ticks: the CPU's number, `None` for the sum of all, and its columns.
/// Columns that the kernel does not have yet are missing at the end. `None` for any other line and for one that holds
/// something else than numbers.
pub fn cpu(line: &str) -> Option<(Option<u32>, CpuColumns)> {
    let (name, rest) = line.strip_prefix("cpu")?.split_once(' ')?;
    let number = if name.is_empty() { None } else { Some(name.parse().ok()?) };
    let mut columns = CpuColumns::default();
    for (column, text) in columns.values.iter_mut().zip(rest.split_ascii_whitespace()) {
        *column = text.parse().ok()?;
        columns.len += 1;
    }
    Some((number, columns))
}

/// As many columns as the line had, up to [`CPU_COLUMNS`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuColumns {
    values: [u64; CPU_COLUMNS],
    len: usize,
}

impl CpuColumns {
    pub fn iter(&self) -> impl Iterator<Item = u64> {
        self.values.iter().copied().take(self.len)
    }

    /// Both together.
    pub fn plus(mut self, other: &CpuColumns) -> CpuColumns {
        self.values.iter_mut().zip(other.values).for_each(|(sum, more)| *sum = sum.saturating_add(more));
        self.len = self.len.max(other.len);
        self
    }
}

/// How many CPUs have a line of their own in /proc/stat.
pub fn cpu_count(text: &str) -> u64 {
    let is_of_one =
        |line: &&str| line.strip_prefix("cpu").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    text.lines().filter(is_of_one).count() as u64
}

/// How many CPUs a list such as `0-3,8` names (cpu lists of /sys/devices/system/cpu). `None` for anything else.
pub fn cpu_list(text: &str) -> Option<u64> {
    text.trim().split(',').try_fold(0_u64, |sum, part| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (first.parse::<u32>().ok()?, last.parse::<u32>().ok()?);
        Some(sum + u64::from(last.checked_sub(first)?) + 1)
    })
}

/// A line of /proc/diskstats (Documentation/admin-guide/iostats.rst): the device where that can be read, its name, and its
/// numbers as text.
pub fn diskstats(line: &str) -> Option<(Option<Device>, &str, &str)> {
    let (major, rest) = line.trim_ascii_start().split_once(' ')?;
    let (minor, rest) = rest.trim_ascii_start().split_once(' ')?;
    let (name, numbers) = rest.trim_ascii_start().split_once(' ')?;
    Some((major.parse().ok().zip(minor.parse().ok()), name, numbers))
}

/// A line of /proc/net/dev: the interface's name and its numbers as text. `None` for the two lines of headings.
pub fn net_dev(line: &str) -> Option<(&str, &str)> {
    let (name, numbers) = line.rsplit_once(':')?;
    Some((name.trim_ascii(), numbers))
}

/// The row of that name in /proc/net/snmp or /proc/net/netstat (proc(5)): a line with the names of its columns, and below
/// it one with their numbers. Empty where it is missing.
pub fn paired<'a>(text: &'a str, name: &str) -> Row<'a> {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let (names, numbers) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    Row::of(names.split_ascii_whitespace().zip(numbers.split_ascii_whitespace()))
}

/// The `name 1 other 2` pairs of the line of that label in /proc/net/sockstat. Empty where it is missing.
pub fn sockstat<'a>(text: &'a str, label: &str) -> Row<'a> {
    let line = text.lines().find_map(|line| line.strip_prefix(label)?.strip_prefix(':')).unwrap_or_default();
    let mut words = line.split_ascii_whitespace();
    Row::of(std::iter::from_fn(|| Some((words.next()?, words.next()?))))
}

/// /proc/net/stat/nf_conntrack: names, and below them a line of hexadecimal numbers for each CPU; those that count events,
/// added up over all CPUs. Empty where nothing can be read.
pub fn per_cpu(text: &str) -> Row<'_> {
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next().unwrap_or_default().split_ascii_whitespace().collect();
    let mut sums = vec![0_u64; names.len()];
    for line in lines {
        for (sum, word) in sums.iter_mut().zip(line.split_ascii_whitespace()) {
            *sum = sum.wrapping_add(u64::from_str_radix(word, 16).unwrap_or(0));
        }
    }
    Row::of(names.into_iter().zip(sums))
}

/// A column of /proc/net/stat/nf_conntrack that every CPU has the same number in. `None` where it cannot be read.
pub fn of_any_cpu(text: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines();
    let place = lines.next()?.split_ascii_whitespace().position(|column| column == name)?;
    u64::from_str_radix(lines.next()?.split_ascii_whitespace().nth(place)?, 16).ok()
}

/// A line of /proc/pressure (Documentation/accounting/psi.rst): `some` or `full`, and the pairs behind it.
pub fn pressure(line: &str) -> Option<(&str, Row<'_>)> {
    let (word, pairs) = line.split_once(' ')?;
    Some((word, Row::of(pairs.split_ascii_whitespace().filter_map(|pair| pair.split_once('=')))))
}

/// Major and minor number of a block device.
pub type Device = (u64, u64);

/// `8:0`
pub fn device(text: &str) -> Option<Device> {
    let (major, minor) = text.split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// The `8:0 rbytes=1 wbytes=2` lines of a cgroup's io.stat: each number with its device and name. Some kernels leave out the
/// end of the line of a device without numbers.
pub fn io_stat(text: &str) -> impl Iterator<Item = (Device, &str, u64)> {
    let mut now = None;
    text.split_ascii_whitespace().filter_map(move |word| {
        now = device(word).or(now);
        let (name, number) = word.split_once('=')?;
        Some((now?, name, number.parse().ok()?))
    })
}

/// A TCP socket that listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listening {
    pub address: IpAddr,
    pub port: u16,
    pub inode: u64,
}

/// A line of /proc/net/tcp or tcp6 (proc(5)): `None` for the heading, and for a socket that does not listen. Addresses are words of
/// four bytes, each written as the number that it is on this machine.
pub fn listening(line: &str) -> Option<Listening> {
    const LISTEN: &str = "0A";
    let mut words = line.split_ascii_whitespace();
    let (address, port) = words.nth(1)?.split_once(':')?;
    words.nth(1).filter(|state| *state == LISTEN)?;
    let inode = words.nth(5)?.parse().ok()?;
    let mut bytes = Vec::with_capacity(16);
    for at in (0..address.len()).step_by(8) {
        bytes.extend(u32::from_str_radix(address.get(at..at + 8)?, 16).ok()?.to_ne_bytes());
    }
    let address = match <[u8; 4]>::try_from(&*bytes) {
        Ok(four) => IpAddr::from(four),
        Err(_) => Ipv6Addr::from(<[u8; 16]>::try_from(&*bytes).ok()?).to_canonical(),
    };
    Some(Listening { address, port: u16::from_str_radix(port, 16).ok()?, inode })
}
