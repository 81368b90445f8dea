//! coturn: traffic by realm, STUN requests and allocations of coturn, from its Prometheus page (coturn,
//! docs/Prometheus.md).

use super::CONF;
use crate::check::chart::Chart;
use crate::check::samples::{Sums, samples};
use crate::check::{Runs, Spec, page};
use crate::fetch::http;
use crate::model::parse::prometheus::Sample;
use crate::model::table::{Field, counter, gauge, rate};

pub static SPEC: Spec = Spec {
    name: "check_coturn",
    purpose: "traffic, STUN requests and allocations of coturn",
    check_type: "coturn",
    conf: CONF,
    section: "Cotrun",
    keys: &[&["metrics", "users"], http::KEYS],
    runs: Runs::Own,
    fields: &[TRAFFIC, FIELDS],
    charts: CHARTS,
    build: |section| {
        let by_user = section.flag("users", false)?;
        page(section, &["metrics"], move |page, out| {
            let mut sums = Sums::default();
            let is_wanted = |name: &str| TRAFFIC.iter().chain(FIELDS).any(|field| field.cell == name);
            samples(page, "coturn", is_wanted, out, |Sample { name, labels, value, .. }, out| {
                if let Some(field) = TRAFFIC.iter().find(|field| field.cell == name) {
                    let told = labels.iter().filter(|(label, _)| by_user || *label != "user");
                    let told = told.map(|(label, text)| (label.to_string(), text));
                    sums.add(field, told.collect(), &labels, value);
                    return;
                }
                // Old versions also have a sample for all types together.
                if labels.get("type") == Some("all") {
                    return;
                }
                let tag = |label: &str| if label == "type" { "transport" } else { label }.to_string();
                let tags = labels.iter().map(|(label, text)| (tag(label), text)).collect();
                FIELDS.iter().filter(|field| field.cell == name).for_each(|field| out.put(field, value, &tags));
            })?;
            sums.put(out);
            Ok(())
        })
    },
};

const CHARTS: &[Chart] = &[
    Chart::new("Allocations").of(&["coturn_turn_total_allocations"]).each("transport"),
    Chart::new("Traffic of clients").mirror(&["coturn_turn_total_traffic_rcvb"], &["coturn_turn_total_traffic_sentb"]),
    Chart::new("Traffic of peers")
        .mirror(&["coturn_turn_total_traffic_peer_rcvb"], &["coturn_turn_total_traffic_peer_sentb"]),
    Chart::new("Packets of clients").mirror(&["coturn_turn_total_traffic_rcvp"], &["coturn_turn_total_traffic_sentp"]),
    Chart::new("Packets of peers")
        .mirror(&["coturn_turn_total_traffic_peer_rcvp"], &["coturn_turn_total_traffic_peer_sentp"]),
    Chart::new("Requests of STUN").of(&[
        "coturn_stun_binding_request",
        "coturn_stun_binding_response",
        "coturn_stun_binding_error",
    ]),
    Chart::new("Traffic of clients by realm")
        .mirror(&["coturn_turn_traffic_rcvb"], &["coturn_turn_traffic_sentb"])
        .each("realm"),
    Chart::new("Traffic of peers by realm")
        .mirror(&["coturn_turn_traffic_peer_rcvb"], &["coturn_turn_traffic_peer_sentb"])
        .each("realm"),
    Chart::new("Packets of clients by realm")
        .mirror(&["coturn_turn_traffic_rcvp"], &["coturn_turn_traffic_sentp"])
        .each("realm"),
    Chart::new("Packets of peers by realm")
        .mirror(&["coturn_turn_traffic_peer_rcvp"], &["coturn_turn_traffic_peer_sentp"])
        .each("realm"),
    Chart::new("Memory").of(&["coturn_process_resident_memory_bytes", "coturn_process_virtual_memory_bytes"]),
    Chart::new("Open files").of(&["coturn_process_open_fds"]),
    Chart::new("Processor time").of(&["coturn_process_cpu_seconds_total"]),
];

/// For each realm, summed over its users unless `users` is on, and for all realms.
const TRAFFIC: &[Field] = &[
    rate("turn_traffic_rcvp", "coturn_turn_traffic_rcvp", "packets/s"),
    rate("turn_traffic_rcvb", "coturn_turn_traffic_rcvb", "bytes/s"),
    rate("turn_traffic_sentp", "coturn_turn_traffic_sentp", "packets/s"),
    rate("turn_traffic_sentb", "coturn_turn_traffic_sentb", "bytes/s"),
    rate("turn_traffic_peer_rcvp", "coturn_turn_traffic_peer_rcvp", "packets/s"),
    rate("turn_traffic_peer_rcvb", "coturn_turn_traffic_peer_rcvb", "bytes/s"),
    rate("turn_traffic_peer_sentp", "coturn_turn_traffic_peer_sentp", "packets/s"),
    rate("turn_traffic_peer_sentb", "coturn_turn_traffic_peer_sentb", "bytes/s"),
    rate("turn_total_traffic_rcvp", "coturn_turn_total_traffic_rcvp", "packets/s"),
    rate("turn_total_traffic_rcvb", "coturn_turn_total_traffic_rcvb", "bytes/s"),
    rate("turn_total_traffic_sentp", "coturn_turn_total_traffic_sentp", "packets/s"),
    rate("turn_total_traffic_sentb", "coturn_turn_total_traffic_sentb", "bytes/s"),
    rate("turn_total_traffic_peer_rcvp", "coturn_turn_total_traffic_peer_rcvp", "packets/s"),
    rate("turn_total_traffic_peer_rcvb", "coturn_turn_total_traffic_peer_rcvb", "bytes/s"),
    rate("turn_total_traffic_peer_sentp", "coturn_turn_total_traffic_peer_sentp", "packets/s"),
    rate("turn_total_traffic_peer_sentb", "coturn_turn_total_traffic_peer_sentb", "bytes/s"),
];

const FIELDS: &[Field] = &[
    rate("stun_binding_request", "coturn_stun_binding_request", "1/s"),
    rate("stun_binding_response", "coturn_stun_binding_response", "1/s"),
    rate("stun_binding_error", "coturn_stun_binding_error", "1/s"),
    gauge("turn_total_allocations", "coturn_turn_total_allocations", "allocations"),
    gauge("process_open_fds", "coturn_process_open_fds", "files"),
    gauge("process_virtual_memory_bytes", "coturn_process_virtual_memory_bytes", "bytes"),
    gauge("process_resident_memory_bytes", "coturn_process_resident_memory_bytes", "bytes"),
    counter("process_cpu_seconds_total", "coturn_process_cpu_seconds_total", "s").float(),
];
