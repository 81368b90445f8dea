//! network_bytes: traffic, errors and link of every network interface.

use super::{CONF, Ignore, TYPE, Unreadable};
use crate::check::{Check, Context, Out, Runs, Spec};
use crate::config::section::Section;
use crate::fetch::file::KernelFile;
use crate::model::error::{Error, Result};
use crate::model::parse::procfs;
use crate::model::point::Tags;
use crate::model::table::{Field, counter, delta, gauge, rate};
use std::collections::HashMap;
use std::time::Instant;

pub static SPEC: Spec = Spec {
    name: "check_network_bytes",
    purpose: "traffic, errors and link of every network interface",
    check_type: TYPE,
    conf: CONF,
    section: "Network Stats",
    keys: &["localhost", "rated", "ignore"],
    runs: Runs::Kernel,
    fields: &[RATED, RAW, LINK],
    build,
};

/// Columns of /proc/net/dev, see proc(5).
const COLUMNS: &[&str] = &[
    "rx_bytes",
    "rx_packets",
    "rx_errs",
    "rx_drop",
    "rx_fifo",
    "rx_frame",
    "rx_compressed",
    "rx_multicast",
    "tx_bytes",
    "tx_packets",
    "tx_errs",
    "tx_drop",
];

const RATED: &[Field] = &[
    rate("rx_bytes", "bytes_rx"),
    rate("tx_bytes", "bytes_tx"),
    rate("rx_packets", "packets_rx").reaction(-3),
    rate("tx_packets", "packets_tx").reaction(-3),
    rate("rx_errs", "errors_rx").reaction(-3),
    rate("tx_errs", "errors_tx").reaction(-3),
    rate("rx_drop", "drops_rx").reaction(-3),
    rate("tx_drop", "drops_tx").reaction(-3),
    rate("rx_multicast", "multicast_rx").reaction(-3),
];

/// The same with `rated: False`.
const RAW: &[Field] = &[
    counter("rx_bytes", "bytes_rx"),
    counter("tx_bytes", "bytes_tx"),
    counter("rx_packets", "packets_rx").reaction(-3),
    counter("tx_packets", "packets_tx").reaction(-3),
    counter("rx_errs", "errors_rx").reaction(-3),
    counter("tx_errs", "errors_tx").reaction(-3),
    counter("rx_drop", "drops_rx").reaction(-3),
    counter("tx_drop", "drops_tx").reaction(-3),
    counter("rx_multicast", "multicast_rx").reaction(-3),
];

/// Files of /sys/class/net/<interface>, see Documentation/ABI/testing/sysfs-class-net.
const LINK: &[Field] = &[
    gauge("carrier", "link_carrier").int(),
    gauge("speed", "link_speed").int().reaction(-3),
    gauge("mtu", "link_mtu").int().reaction(-3),
    delta("carrier_changes", "link_carrier_changes").reaction(-3),
];

/// Interfaces that come and go with containers and virtual machines.
const IGNORED: &[&str] =
    &["veth*", "br-<hex>", "docker*", "cali*", "cni*", "flannel*", "lxc*", "tap*", "virbr*-nic", "ifb*"];

fn build(section: &Section) -> Result<Box<dyn Check>> {
    Ok(Box::new(NetworkBytes {
        loopback: section.flag("localhost", false)?,
        fields: if section.flag("rated", true)? { RATED } else { RAW },
        ignore: Ignore::read(section, IGNORED),
        dev: KernelFile::new("proc/net/dev"),
        interfaces: HashMap::new(),
    }))
}

struct NetworkBytes {
    loopback: bool,
    fields: &'static [Field],
    ignore: Ignore,
    dev: KernelFile,
    interfaces: HashMap<Box<str>, Interface>,
}

struct Interface {
    tags: Tags,
    link: Vec<(&'static Field, KernelFile)>,
    seen: Instant,
}

impl Check for NetworkBytes {
    fn run(&mut self, cx: &Context, out: &mut Out) -> Result<()> {
        let at = cx.tick.at;
        let text = cx.read(&mut self.dev)?;
        let mut told = false;
        let mut unreadable = Unreadable::default();
        for (name, numbers) in text.lines().filter_map(procfs::net_dev) {
            told = true;
            if (name == "lo" && !self.loopback) || self.ignore.covers(name) {
                continue;
            }
            let row = procfs::columns(COLUMNS, numbers);
            if COLUMNS.last().is_some_and(|last| row.get(last).is_none()) {
                unreadable.add(name);
                continue;
            }
            let interface = match self.interfaces.get_mut(name) {
                Some(interface) => interface,
                None => self.interfaces.entry(name.into()).or_insert_with(|| Interface::new(name, at)),
            };
            interface.seen = at;
            out.pick(&row, self.fields, &interface.tags);
            interface.tell_link(cx, out);
        }
        unreadable.tell("/proc/net/dev", out);
        let error = (!told).then(|| Error::parse("network interfaces", text));
        self.interfaces.retain(|_, interface| {
            let here = interface.seen == at;
            if !here {
                out.forget(&interface.tags);
            }
            here
        });
        error.map_or(Ok(()), Err)
    }
}

impl Interface {
    fn new(name: &str, seen: Instant) -> Interface {
        let file = |field: &'static Field| (field, KernelFile::new(format!("sys/class/net/{name}/{}", field.cell)));
        Interface { tags: Tags::one("interface", name), link: LINK.iter().map(file).collect(), seen }
    }

    /// Older kernels lack some of the files; those are not tried again. Carrier and speed refuse to be read while the
    /// interface is down, speed also where there is none, and a speed of -1 is unknown.
    fn tell_link(&mut self, cx: &Context, out: &mut Out) {
        let tags = &self.tags;
        self.link.retain_mut(|(field, file)| match cx.read(file).map(str::trim_ascii) {
            Ok("-1") => true,
            Ok(text) => {
                out.put(field, text, tags);
                true
            }
            Err(error) => !error.is_gone(),
        });
    }
}
