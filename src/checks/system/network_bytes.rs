//! network_bytes: traffic, errors and link state of each network interface.

use super::{CONF, Ignore, TYPE, Unreadable};
use crate::check::chart::{Chart, Tile};
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
    charts: CHARTS,
    build,
};

/// Interfaces whose traffic is counted on other interfaces, too, or does not leave the machine.
const LIE_ON_OTHERS: &[&str] = &[
    "lo",
    "bond",
    "team",
    "br",
    "vlan",
    "macvlan",
    "ipvlan",
    "vxlan",
    "virbr",
    "vnet",
    "veth",
    "docker",
    "dummy",
    "tap",
    "tun",
    "wg",
    "ppp",
    "gre",
    "sit",
    "ip6tnl",
    "tailscale",
    "zt",
    "*.",
    "*@",
];

const CHARTS: &[Chart] = &[
    Chart::new("Network")
        .mirror(&["bytes_rx"], &["bytes_tx"])
        .without("interface", LIE_ON_OTHERS)
        .sum()
        .first(70)
        .tile(Tile::Network),
    Chart::new("Traffic by interface").mirror(&["bytes_rx"], &["bytes_tx"]).each("interface"),
    Chart::new("Packets by interface").mirror(&["packets_rx"], &["packets_tx"]).each("interface"),
    Chart::new("Errors by interface").mirror(&["errors_rx"], &["errors_tx"]).each("interface"),
    Chart::new("Drops by interface").mirror(&["drops_rx"], &["drops_tx"]).each("interface"),
    Chart::new("Multicast by interface").of(&["multicast_rx"]).each("interface"),
    Chart::new("Link").of(&["link_carrier"]).each("interface").full(1.0),
    Chart::new("Link lost or found").of(&["link_carrier_changes"]).each("interface"),
    Chart::new("Speed of the link").of(&["link_speed"]).each("interface"),
    Chart::new("Largest packet").of(&["link_mtu"]).each("interface"),
];

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
    rate("rx_bytes", "bytes_rx", "bytes/s"),
    rate("tx_bytes", "bytes_tx", "bytes/s"),
    rate("rx_packets", "packets_rx", "1/s").reaction(-3),
    rate("tx_packets", "packets_tx", "1/s").reaction(-3),
    rate("rx_errs", "errors_rx", "1/s").reaction(-3),
    rate("tx_errs", "errors_tx", "1/s").reaction(-3),
    rate("rx_drop", "drops_rx", "1/s").reaction(-3),
    rate("tx_drop", "drops_tx", "1/s").reaction(-3),
    rate("rx_multicast", "multicast_rx", "1/s").reaction(-3),
];

/// The same metrics for `rated: False`.
const RAW: &[Field] = &[
    counter("rx_bytes", "bytes_rx", "bytes"),
    counter("tx_bytes", "bytes_tx", "bytes"),
    counter("rx_packets", "packets_rx", "packets").reaction(-3),
    counter("tx_packets", "packets_tx", "packets").reaction(-3),
    counter("rx_errs", "errors_rx", "packets").reaction(-3),
    counter("tx_errs", "errors_tx", "packets").reaction(-3),
    counter("rx_drop", "drops_rx", "packets").reaction(-3),
    counter("tx_drop", "drops_tx", "packets").reaction(-3),
    counter("rx_multicast", "multicast_rx", "packets").reaction(-3),
];

/// Files of /sys/class/net/<interface>, see Documentation/ABI/testing/sysfs-class-net.
const LINK: &[Field] = &[
    gauge("carrier", "link_carrier", "0 or 1").int(),
    gauge(SPEED, "link_speed", "Mbit/s").int().reaction(-3),
    gauge("mtu", "link_mtu", "bytes").int().reaction(-3),
    delta("carrier_changes", "link_carrier_changes", "changes").reaction(-3),
];

/// Default of `ignore`: interfaces of containers and virtual machines, which come and go.
const IGNORED: &[&str] =
    &["veth*", "br-<hex>", "docker*", "cali*", "cni*", "flannel*", "lxc*", "tap*", "virbr*-nic", "ifb*"];

/// The file with the interface index, which identifies an interface that is renamed.
const INDEX: &str = "ifindex";

const SPEED: &str = "speed";
/// Values of `speed` that mean unknown (ethtool(8)); drivers use different widths.
const UNKNOWN_SPEEDS: [&str; 4] = ["-1", "0", "65535", "4294967295"];

/// How often the counters are read again in a tick if the kernel reports changed interfaces at the same time.
const READINGS: usize = 3;

/// All links are read again after this time, because the kernel does not report every change, such as a speed that was
/// set by hand.
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
    /// When all links were last marked to be read again.
    looked: Option<Instant>,
    interfaces: HashMap<Box<str>, Interface>,
}

struct Interface {
    tags: Tags,
    link: Option<Link>,
    seen: Instant,
}

/// The interface index, or the name if there is no index; then the texts in the files of [`LINK`], in their order and
/// empty where there is none. A line each, in one string: a host may have thousands of interfaces.
struct Link(Box<str>);

impl Check for NetworkBytes {
    fn run(&mut self, cx: &Context, out: &mut Out) -> Result<()> {
        let at = cx.tick.at;
        let NetworkBytes { dev, interfaces, ignore, looked, loopback, .. } = self;
        let news = self.news.get_or_insert_with(|| cx.link_news());
        let is_wanted = |name: &str| (name != "lo" || *loopback) && !ignore.covers(name);
        let is_old = looked.is_none_or(|looked| at.saturating_duration_since(looked) >= LINK_AGE);
        let mut has_changed = news.has_come() || is_old;
        let mut text = "";
        for _ in 0..READINGS {
            if has_changed {
                *looked = Some(at);
                interfaces.values_mut().for_each(|interface| interface.link = None);
            }
            text = cx.read(dev)?;
            out.read_now();
            for (name, _) in text.lines().filter_map(procfs::net_dev).filter(|(name, _)| is_wanted(name)) {
                look_at(name, interfaces, cx);
            }
            // An interface that changed after it was looked at may be another one than that of the counters.
            has_changed = news.is_heard() && news.has_come();
            if !has_changed {
                break;
            }
        }
        if has_changed {
            *looked = None;
        }
        let mut has_interfaces = false;
        let mut unreadable = Unreadable::default();
        for (name, numbers) in text.lines().filter_map(procfs::net_dev) {
            has_interfaces = true;
            let Some(interface) = interfaces.get_mut(name).filter(|_| is_wanted(name)) else { continue };
            let row = procfs::columns(COLUMNS, numbers);
            if COLUMNS.last().is_some_and(|last| row.get(last).is_none()) {
                unreadable.add(name);
                continue;
            }
            interface.seen = at;
            let Some(link) = &interface.link else { continue };
            let mut out = out.of(link.index());
            out.pick(&row, self.fields, &interface.tags);
            for (field, text) in LINK.iter().zip(link.texts()).filter(|(_, text)| !text.is_empty()) {
                out.put(field, text, &interface.tags);
            }
        }
        unreadable.tell("/proc/net/dev", out);
        interfaces.retain(|_, interface| interface.seen == at);
        if has_interfaces { Ok(()) } else { Err(Error::parse("network interfaces", text)) }
    }
}

/// Reads the link of an interface unless it is known. With hundreds of interfaces, the files are too many to be read at
/// every tick.
fn look_at(name: &str, interfaces: &mut HashMap<Box<str>, Interface>, cx: &Context) {
    let new = || Interface { tags: Tags::one("interface", name), link: None, seen: cx.tick.at };
    let interface = match interfaces.get_mut(name) {
        Some(interface) => interface,
        None => interfaces.entry(name.into()).or_insert_with(new),
    };
    interface.link.get_or_insert_with(|| Link::of(name, cx));
}

impl Link {
    /// Older kernels lack some of the files. Reading carrier or speed fails while the interface is down; speed also
    /// fails if the interface has none.
    fn of(interface: &str, cx: &Context) -> Link {
        let mut lines = String::new();
        for file in [INDEX].into_iter().chain(LINK.iter().map(|field| field.cell)) {
            let text = cx.text(&format!("sys/class/net/{interface}/{file}")).unwrap_or_default();
            let value = text.trim_ascii().lines().next().unwrap_or_default();
            let is_known = file != SPEED || !UNKNOWN_SPEEDS.contains(&value);
            lines += match value {
                "" if file == INDEX => interface,
                known if is_known => known,
                _ => "",
            };
            lines.push('\n');
        }
        Link(lines.into())
    }

    fn index(&self) -> &str {
        self.0.lines().next().unwrap_or_default()
    }

    fn texts(&self) -> impl Iterator<Item = &str> {
        self.0.lines().skip(1)
    }
}
