//! traefik: requests and durations by entry point, router and service, and the process of Traefik, from its Prometheus
//! page (Traefik documentation, "Metrics", "Global metrics" to "Service metrics").

use super::CONF;
use crate::check::chart::Chart;
use crate::check::samples::{Sums, samples};
use crate::check::{Out, Runs, Spec, page};
use crate::fetch::http::{self, Answer};
use crate::model::error::Result;
use crate::model::parse::prometheus::Sample;
use crate::model::point::Tags;
use crate::model::table::{Field, counter, gauge, rate};

pub static SPEC: Spec = Spec {
    name: "check_traefik",
    purpose: "requests and durations of Traefik, and its process",
    check_type: "traefik",
    conf: CONF,
    section: "Traefik",
    keys: &[&["metrics"], http::KEYS],
    runs: Runs::Own,
    fields: &[FIELDS, DURATIONS, &[TOTAL, SERVICE]],
    charts: CHARTS,
    build: |section| page(section, &["metrics"], tell),
};

const CHARTS: &[Chart] = &[
    Chart::new("Requests").of(&["traefik_totalrequests"]),
    Chart::new("Requests by service").of(&["traefik_service_requests"]).each("service"),
    Chart::new("Traffic of entry points")
        .mirror(&["traefik_entrypoint_requests_bytes"], &["traefik_entrypoint_responses_bytes"]),
    Chart::new("Requests of entry points, routers and services")
        .of(&["traefik_{level}_{protocol}_duration_seconds_count"]),
    Chart::new("Time spent on these").of(&["traefik_{level}_{protocol}_duration_seconds_sum"]),
    Chart::new("Open connections").of(&["traefik_open_connections"]).each("entrypoint"),
    Chart::new("Open connections of entry points").of(&["traefik_entrypoint_open_connections"]).each("entrypoint"),
    Chart::new("Open connections of services").of(&["traefik_service_open_connections"]).each("service"),
    Chart::new("Servers that are up").of(&["traefik_service_server_up"]).each("url").full(1.0),
    Chart::new("Requests tried again").of(&["traefik_service_retries_total"]).each("service"),
    Chart::new("Open files").of(&["traefik_process_open_fds", "traefik_process_max_fds"]),
    Chart::new("Memory").of(&["traefik_process_resident_memory_bytes"]),
    Chart::new("Processor time and pauses")
        .of(&["traefik_process_cpu_seconds_total", "traefik_go_gc_duration_seconds_sum"]),
    Chart::new("Network of the machine")
        .mirror(&["traefik_process_network_receive_bytes_total"], &["traefik_process_network_transmit_bytes_total"]),
    Chart::new("Configuration read").of(&["traefik_config_reloads_total", "traefik_config_reloads_failure_total"]),
];

/// Emitted with their labels as tags.
const FIELDS: &[Field] = &[
    counter("go_gc_duration_seconds_sum", "traefik_go_gc_duration_seconds_sum", "s").float(),
    counter("go_gc_duration_seconds_count", "traefik_go_gc_duration_seconds_count", "times").float(),
    counter("process_cpu_seconds_total", "traefik_process_cpu_seconds_total", "s").float(),
    gauge("process_max_fds", "traefik_process_max_fds", "files"),
    gauge("process_open_fds", "traefik_process_open_fds", "files"),
    gauge("process_resident_memory_bytes", "traefik_process_resident_memory_bytes", "bytes"),
    gauge("process_start_time_seconds", "traefik_process_start_time_seconds", "unix s"),
    gauge("process_virtual_memory_bytes", "traefik_process_virtual_memory_bytes", "bytes"),
    gauge("process_virtual_memory_max_bytes", "traefik_process_virtual_memory_max_bytes", "bytes"),
    counter("process_network_receive_bytes_total", "traefik_process_network_receive_bytes_total", "bytes").float(),
    counter("process_network_transmit_bytes_total", "traefik_process_network_transmit_bytes_total", "bytes").float(),
    gauge("traefik_open_connections", "traefik_open_connections", "connections"),
    gauge("traefik_entrypoint_open_connections", "traefik_entrypoint_open_connections", "connections"),
    gauge("traefik_service_open_connections", "traefik_service_open_connections", "connections"),
    gauge("traefik_service_server_up", "traefik_service_server_up", "0 or 1"),
    counter("traefik_service_retries_total", "traefik_service_retries_total", "requests").float(),
    rate("traefik_entrypoint_requests_bytes_total", "traefik_entrypoint_requests_bytes", "bytes/s"),
    rate("traefik_entrypoint_responses_bytes_total", "traefik_entrypoint_responses_bytes", "bytes/s"),
    counter("traefik_config_reloads_total", "traefik_config_reloads_total", "times").float(),
    counter("traefik_config_reloads_failure_total", "traefik_config_reloads_failure_total", "times").float(),
    gauge("traefik_config_last_reload_success", "traefik_config_last_reload_success", "unix s"),
    gauge("traefik_tls_certs_not_after", "traefik_tls_certs_not_after", "unix s"),
];

/// By level: entry point, router, service, and backend, which is Traefik 1's name for a service. `request` in the
/// metric's name is replaced by the protocol.
const DURATIONS: &[Field] = &[
    counter("_request_duration_seconds_sum", "traefik_{level}_{protocol}_duration_seconds_sum", "s")
        .float()
        .reaction(-3),
    counter("_request_duration_seconds_count", "traefik_{level}_{protocol}_duration_seconds_count", "requests")
        .float()
        .reaction(-3),
];

const TOTAL: Field = rate("traefik_service_requests_total", "traefik_totalrequests", "1/s");
const SERVICE: Field = rate("traefik_service_requests_total", "traefik_service_requests", "1/s");

/// Metrics that count requests, and the label with the service; Traefik 1 has backends.
const REQUESTS: &[(&str, &str)] =
    &[("traefik_service_requests_total", "service"), ("traefik_backend_requests_total", "backend")];

fn tell(page: &Answer, out: &mut Out) -> Result<()> {
    let plain = |name: &str| FIELDS.iter().find(|field| field.cell == name);
    let duration =
        |name: &str| DURATIONS.iter().find(|field| name.starts_with("traefik_") && name.ends_with(field.cell));
    let of_service = |name: &str| REQUESTS.iter().find(|(own, _)| *own == name).map(|(_, label)| label);
    let is_wanted = |name: &str| plain(name).is_some() || duration(name).is_some() || of_service(name).is_some();
    let mut sums = Sums::default();
    samples(page, "Traefik", is_wanted, out, |sample, out| {
        let Sample { name, labels, value, .. } = sample;
        if let Some(service) = of_service(&name).and_then(|key| labels.get(key)) {
            sums.add(&SERVICE, Tags::one("service", service), &labels, value);
            sums.add(&TOTAL, Tags::default(), &labels, value);
        } else if let Some(field) = plain(&name) {
            out.put(field, value, &Tags::of(labels.iter()));
        } else if let Some((field, protocol)) = duration(&name).zip(labels.get("protocol")) {
            let level = name.strip_suffix(field.cell).unwrap_or_default();
            let end = field.cell.strip_prefix("_request").unwrap_or_default();
            let name = [level, "_", &protocol.replace('-', "_"), end].concat();
            let code = labels.get("code").map(|code| ("status_code", code));
            let others = labels.iter().filter(|(key, _)| !["code", "protocol"].contains(key));
            out.put_as(&name, field, value, &Tags::of(code.into_iter().chain(others)));
        }
    })?;
    sums.put(out);
    Ok(())
}
