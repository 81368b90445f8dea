//! The line formats of files in /proc and /sys, each as the kernel documents it.

use crate::model::table::{Field, Row};
use core::net::{IpAddr, Ipv6Addr};

/// A line of numbers as a row: the first column becomes the cell with the first name, and so on. Columns without a name
/// (newer kernels) are ignored; names without a column (older kernels) have no cell.
pub fn columns<'a>(names: &[&'static str], text: &'a str) -> Row<'a> {
    Row::of(names.iter().copied().zip(text.split_ascii_whitespace()))
}

/// The lines `Label: 123 kB` of /proc/meminfo or `label 123` of /proc/vmstat whose label is a cell of the table. The
/// whole label must match: `Cached` does not match `SwapCached`.
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

/// A `cpu` or `cpu17` line of /proc/stat, in clock ticks: the number of the CPU (`None` for the sum of all) and the
/// columns. Older kernels have fewer columns. `None` for any other line, and if a column is no number.
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

/// The columns of the line, up to [`CPU_COLUMNS`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuColumns {
    values: [u64; CPU_COLUMNS],
    len: usize,
}

impl CpuColumns {
    pub fn iter(&self) -> impl Iterator<Item = u64> {
        self.values.iter().copied().take(self.len)
    }

    /// The sum of both, column by column.
    pub fn plus(mut self, other: &CpuColumns) -> CpuColumns {
        self.values.iter_mut().zip(other.values).for_each(|(sum, more)| *sum = sum.saturating_add(more));
        self.len = self.len.max(other.len);
        self
    }
}

/// The number of CPUs with a line in /proc/stat.
pub fn cpu_count(text: &str) -> u64 {
    let is_of_one =
        |line: &&str| line.strip_prefix("cpu").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    text.lines().filter(is_of_one).count() as u64
}

/// The number of CPUs in a list such as `0-3,8` (the CPU lists in /sys/devices/system/cpu). `None` for any other text.
pub fn cpu_list(text: &str) -> Option<u64> {
    text.trim().split(',').try_fold(0_u64, |sum, part| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (first.parse::<u32>().ok()?, last.parse::<u32>().ok()?);
        Some(sum + u64::from(last.checked_sub(first)?) + 1)
    })
}

/// A line of /proc/diskstats (Documentation/admin-guide/iostats.rst): device number, or `None` if it cannot be parsed,
/// name, and the rest of the line with the numbers.
pub fn diskstats(line: &str) -> Option<(Option<Device>, &str, &str)> {
    let (major, rest) = line.trim_ascii_start().split_once(' ')?;
    let (minor, rest) = rest.trim_ascii_start().split_once(' ')?;
    let (name, numbers) = rest.trim_ascii_start().split_once(' ')?;
    Some((major.parse().ok().zip(minor.parse().ok()), name, numbers))
}

/// A line of /proc/net/dev: the interface name, and the rest of the line with the numbers. `None` for the two header
/// lines.
pub fn net_dev(line: &str) -> Option<(&str, &str)> {
    let (name, numbers) = line.rsplit_once(':')?;
    Some((name.trim_ascii(), numbers))
}

/// The counters of one protocol in /proc/net/snmp or /proc/net/netstat (proc(5)): a line with the column names, and a
/// line with the numbers below it. Empty if the protocol is missing.
pub fn paired<'a>(text: &'a str, name: &str) -> Row<'a> {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let (names, numbers) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    Row::of(names.split_ascii_whitespace().zip(numbers.split_ascii_whitespace()))
}

/// The `name 1 other 2` pairs in the line with this label in /proc/net/sockstat. Empty if the line is missing.
pub fn sockstat<'a>(text: &'a str, label: &str) -> Row<'a> {
    let line = text.lines().find_map(|line| line.strip_prefix(label)?.strip_prefix(':')).unwrap_or_default();
    let mut words = line.split_ascii_whitespace();
    Row::of(std::iter::from_fn(|| Some((words.next()?, words.next()?))))
}

/// /proc/net/stat/nf_conntrack: a header line, then a line of hexadecimal numbers per CPU. Returns the sums over all
/// CPUs, which are only meaningful for columns that count events. Empty if nothing can be read.
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

/// A column of /proc/net/stat/nf_conntrack that has the same number for every CPU. `None` if it cannot be read.
pub fn of_any_cpu(text: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines();
    let place = lines.next()?.split_ascii_whitespace().position(|column| column == name)?;
    u64::from_str_radix(lines.next()?.split_ascii_whitespace().nth(place)?, 16).ok()
}

/// A line of /proc/pressure (Documentation/accounting/psi.rst): `some` or `full`, and the pairs after it.
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

/// The lines `8:0 rbytes=1 wbytes=2` of a cgroup's io.stat: device, name and value of each number. Words are read
/// without regard to lines, because some kernels omit the newline after a device without numbers.
pub fn io_stat(text: &str) -> impl Iterator<Item = (Device, &str, u64)> {
    let mut now = None;
    text.split_ascii_whitespace().filter_map(move |word| {
        now = device(word).or(now);
        let (name, number) = word.split_once('=')?;
        Some((now?, name, number.parse().ok()?))
    })
}

/// A listening TCP socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listening {
    pub address: IpAddr,
    pub port: u16,
    pub inode: u64,
}

/// A line of /proc/net/tcp or tcp6 (proc(5)). `None` for the header line, and for a socket that does not listen. An
/// address consists of 32-bit words, each printed as a number in the byte order of this machine.
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
