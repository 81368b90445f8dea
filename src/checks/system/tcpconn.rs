//! tcpconn: TCP sockets by state, UDP sockets, and retransmissions, errors and drops of TCP and UDP.

use super::{CONF, TYPE};
use crate::check::chart::Chart;
use crate::check::{Check, Context, Out, Runs, Spec};
use crate::config::section::Section;
use crate::fetch::file::KernelFile;
use crate::fetch::sockets::{self, Protocol, STATES};
use crate::model::error::Result;
use crate::model::parse::procfs;
use crate::model::point::Tags;
use crate::model::table::{Field, gauge, rate};

pub static SPEC: Spec = Spec {
    name: "check_tcpconn",
    purpose: "TCP sockets by state, UDP sockets, and what TCP and UDP had to repeat or drop",
    check_type: TYPE,
    conf: CONF,
    section: "TCP Connections",
    keys: &[],
    runs: Runs::Kernel,
    fields: &[SOCKETS, TCP, OVERFLOWS, UDP, MEMORY],
    charts: CHARTS,
    build,
};

const CHARTS: &[Chart] = &[
    Chart::new("TCP connections").of(&["tcp_connections"]).each("flag").first(90),
    Chart::new("Connections opened").of(&["tcp_active_opens", "tcp_passive_opens"]),
    Chart::new("Connections that failed").of(&[
        "tcp_attempt_fails",
        "tcp_resets",
        "tcp_listen_overflows",
        "tcp_listen_drops",
    ]),
    Chart::new("Segments sent").of(&["tcp_segments_out"]),
    Chart::new("Segments sent again").of(&["tcp_retransmits"]),
    Chart::new("Sockets").of(&["tcp_allocated", "tcp_orphans", "udp_clients"]),
    Chart::new("Memory of buffers").of(&["tcp_memory_pages"]),
    Chart::new("Datagrams lost").of(&["udp_receive_errors", "udp_receive_buffer_errors", "udp_no_ports"]),
];

/// The names of the kernel's TCP states from 1 on (net/tcp_states.h).
const FLAGS: [&str; STATES] = [
    "established",
    "syn_sent",
    "syn_recv",
    "fin_wait1",
    "fin_wait2",
    "time_wait",
    "close",
    "close_wait",
    "last_ack",
    "listen",
    "closing",
    "new_syn_recv",
];
/// A flag that older dashboards show; its value is always 0.
const MAX_STATES: &str = "max_states";

const TCP_SOCKETS: Field = gauge("", "tcp_connections", "sockets").int();
const UDP_SOCKETS: Field = gauge("", "udp_clients", "sockets").int();
const SOCKETS: &[Field] = &[TCP_SOCKETS, UDP_SOCKETS];

/// Columns of `Tcp` in /proc/net/snmp (RFC 1213).
const TCP: &[Field] = &[
    rate("ActiveOpens", "tcp_active_opens", "1/s").optional().reaction(-3),
    rate("PassiveOpens", "tcp_passive_opens", "1/s").optional().reaction(-3),
    rate("AttemptFails", "tcp_attempt_fails", "1/s").optional().reaction(-3),
    rate("EstabResets", "tcp_resets", "1/s").optional().reaction(-3),
    rate("OutSegs", "tcp_segments_out", "1/s").optional().reaction(-3),
    rate("RetransSegs", "tcp_retransmits", "1/s").optional(),
];

/// Columns of `TcpExt` in /proc/net/netstat.
const OVERFLOWS: &[Field] = &[
    rate("ListenOverflows", "tcp_listen_overflows", "1/s").optional(),
    rate("ListenDrops", "tcp_listen_drops", "1/s").optional(),
];

/// Columns of `Udp` in /proc/net/snmp.
const UDP: &[Field] = &[
    rate("InErrors", "udp_receive_errors", "1/s").optional().reaction(-3),
    rate("NoPorts", "udp_no_ports", "1/s").optional().reaction(-3),
    rate("RcvbufErrors", "udp_receive_buffer_errors", "1/s").optional(),
];

/// Pairs of `TCP` in /proc/net/sockstat.
const MEMORY: &[Field] = &[
    gauge("orphan", "tcp_orphans", "sockets").int().optional().reaction(-3),
    gauge("alloc", "tcp_allocated", "sockets").int().optional().reaction(-3),
    gauge("mem", "tcp_memory_pages", "pages").int().optional().reaction(-3),
];

fn build(_section: &Section) -> Result<Box<dyn Check>> {
    let flag = |flag| Tags::one("flag", flag);
    Ok(Box::new(TcpConn {
        states: FLAGS.map(flag),
        max_states: flag(MAX_STATES),
        udp: flag("udp"),
        snmp: KernelFile::new("proc/net/snmp"),
        netstat: KernelFile::new("proc/net/netstat"),
        sockstat: KernelFile::new("proc/net/sockstat"),
    }))
}

struct TcpConn {
    states: [Tags; STATES],
    max_states: Tags,
    udp: Tags,
    snmp: KernelFile,
    netstat: KernelFile,
    sockstat: KernelFile,
}

impl Check for TcpConn {
    fn run(&mut self, cx: &Context, out: &mut Out) -> Result<()> {
        let none = Tags::default();
        match sockets::count(cx.roots, Protocol::Tcp) {
            Ok(counts) => {
                for (count, tags) in counts.states.into_iter().zip(&self.states) {
                    out.put(&TCP_SOCKETS, count, tags);
                }
                out.put(&TCP_SOCKETS, 0_u64, &self.max_states);
            }
            Err(error) => out.fault(error.to_string()),
        }
        match sockets::count(cx.roots, Protocol::Udp) {
            Ok(counts) => out.put(&UDP_SOCKETS, counts.all(), &self.udp),
            Err(error) => out.fault(error.to_string()),
        }
        let mut tell = |file: &mut KernelFile, parts: &[(&str, &'static [Field])]| match cx.read(file) {
            Ok(text) => {
                out.read_now();
                for (name, fields) in parts {
                    let row = if *name == "TCP" { procfs::sockstat(text, name) } else { procfs::paired(text, name) };
                    out.pick(&row, fields, &none);
                }
            }
            // Some containers hide these files.
            Err(error) if error.is_gone() => {}
            Err(error) => out.fault(error.to_string()),
        };
        tell(&mut self.snmp, &[("Tcp", TCP), ("Udp", UDP)]);
        tell(&mut self.netstat, &[("TcpExt", OVERFLOWS)]);
        tell(&mut self.sockstat, &[("TCP", MEMORY)]);
        Ok(())
    }
}
