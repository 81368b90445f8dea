//! network_bytes: traffic, errors and link of every network interface.

use super::{CONF, Ignore, TYPE, Unreadable};
use crate::check::{Check, Context, Out, Runs, Spec};
use crate::config::section::Section;
use crate::fetch::file::KernelFile;
use crate::fetch::link_news::LinkNews;
use crate::model::error::{Error, Result};
use crate::model::parse::procfs;
use crate::model::point::Tags;
use crate::model::table::{Field, counter, delta, gauge, rate};
use std::collections::HashMap;
use std::time::{Duration, Instant};

pub static SPEC: Spec = Spec {
    name: "check_network_bytes",
    purpose: "traffic, errors and link of every network interface",
    check_type: TYPE,
    conf: CONF,
    section: "Network Stats",
    keys: &[&["localhost", "rated", "ignore"]],
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

/// What the kernel has no news of, a speed that was set by hand, is seen after that time at the latest.
const LINK_AGE: Duration = Duration::from_secs(60);

fn build(section: &Section) -> Result<Box<dyn Check>> {
    Ok(Box::new(NetworkBytes {
        loopback: section.flag("localhost", false)?,
        fields: if section.flag("rated", true)? { RATED } else { RAW },
        ignore: Ignore::read(section, IGNORED),
        dev: KernelFile::new("proc/net/dev"),
        news: None,
        looked: None,
        interfaces: HashMap::new(),
    }))
}

struct NetworkBytes {
    loopback: bool,
    fields: &'static [Field],
    ignore: Ignore,
    dev: KernelFile,
    news: Option<LinkNews>,
    /// When all links were last looked at.
    looked: Option<Instant>,
    interfaces: HashMap<Box<str>, Interface>,
}

struct Interface {
    tags: Tags,
    /// What the files of [`LINK`] say, in their order.
    link: Option<[Option<Box<str>>; LINK.len()]>,
    seen: Instant,
}

impl Check for NetworkBytes {
    fn run(&mut self, cx: &Context, out: &mut Out) -> Result<()> {
        let at = cx.tick.at;
        self.follow_links(cx);
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
                None => self.interfaces.entry(name.into()).or_insert_with(|| Interface {
                    tags: Tags::one("interface", name),
                    link: None,
                    seen: at,
                }),
            };
            interface.seen = at;
            out.pick(&row, self.fields, &interface.tags);
            let link = interface.link.get_or_insert_with(|| look(name, cx));
            for (field, text) in LINK.iter().zip(link) {
                if let Some(text) = text.as_deref() {
                    out.put(field, text, &interface.tags);
                }
            }
        }
        unreadable.tell("/proc/net/dev", out);
        let error = (!told).then(|| Error::parse("network interfaces", text));
        let gone = self.interfaces.extract_if(|_, interface| interface.seen != at);
        out.forget(&gone.map(|(_, interface)| interface.tags).collect::<Vec<_>>());
        error.map_or(Ok(()), Err)
    }
}

impl NetworkBytes {
    /// Has all links looked at anew when one of them has changed, and now and then. The files of hundreds of interfaces
    /// are too many to be read at every tick.
    fn follow_links(&mut self, cx: &Context) {
        let at = cx.tick.at;
        let is_old = self.looked.is_none_or(|looked| at.saturating_duration_since(looked) >= LINK_AGE);
        if self.news.get_or_insert_with(|| cx.link_news()).has_come() || is_old {
            self.looked = Some(at);
            self.interfaces.values_mut().for_each(|interface| interface.link = None);
        }
    }
}

/// Older kernels lack some of the files. Carrier and speed refuse to be read while the interface is down, speed also where
/// there is none, and a speed of -1 is unknown.
fn look(interface: &str, cx: &Context) -> [Option<Box<str>>; LINK.len()] {
    let mut texts = [const { None }; LINK.len()];
    for (field, text) in LINK.iter().zip(&mut texts) {
        let told = cx.text(&format!("sys/class/net/{interface}/{}", field.cell)).unwrap_or_default();
        *text = Some(told.trim_ascii()).filter(|told| !matches!(*told, "" | "-1")).map(Box::from);
    }
    texts
}
