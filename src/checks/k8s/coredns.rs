//! coredns: queries, answers, cache, forwarding and process of CoreDNS, from its Prometheus page (CoreDNS
//! documentation, plugins metrics, cache and forward).

use super::CONF;
use crate::check::chart::Chart;
use crate::check::samples::{Sums, samples};
use crate::check::{Runs, Spec, page};
use crate::fetch::http;
use crate::model::parse::prometheus::Sample;
use crate::model::point::Tags;
use crate::model::table::{Field, counter, gauge, rate};

pub static SPEC: Spec = Spec {
    name: "check_coredns",
    purpose: "queries, answers and cache of CoreDNS, and its process",
    check_type: "coredns",
    conf: CONF,
    section: "coredns",
    keys: &[&["metrics"], http::KEYS],
    runs: Runs::Own,
    fields: &[QUERIES, ANSWERS, TIME, CACHED, UNCACHED, FORWARDED, FORWARD_ANSWERS, HOSTS, FIELDS, OTHERS],
    charts: CHARTS,
    build: |section| {
        page(section, &["metrics"], |page, out| {
            let mut sums = Sums::default();
            let is_wanted = |name: &str| BEGINS.iter().any(|begin| name.starts_with(begin));
            samples(page, "CoreDNS", is_wanted, out, |Sample { name, labels, value, .. }, out| {
                if labels.is_empty() {
                    let own = HOSTS.iter().chain(FIELDS).find(|field| field.cell == name);
                    if let Some(field) = own.or_else(|| OTHERS.iter().find(|field| name.ends_with(field.cell))) {
                        out.put_as(&with_prefix(&name), field, value, &Tags::default());
                    }
                }
                // Counters of other plugins that forward queries are not those of the plugin `forward`.
                if labels.iter().any(|(label, text)| label == "proxy_name" && text != "forward") {
                    return;
                }
                for (table, kept) in SUMS {
                    for field in table.iter().filter(|field| field.cell == name && !labels.is_empty()) {
                        sums.add(field, Tags::of(labels.of(kept)), &labels, value);
                    }
                }
            })?;
            sums.put(out);
            Ok(())
        })
    },
};

const CHARTS: &[Chart] = &[
    Chart::new("Queries").of(&["coredns_dns_requests"]).each("type"),
    Chart::new("Answers").of(&["coredns_dns_responses"]).each("rcode"),
    Chart::new("Time spent on queries").of(&["coredns_dns_request_seconds"]).each("zone"),
    Chart::new("Answers of the cache").of(&["coredns_cache_hits"]).each("type"),
    Chart::new("Not in the cache").of(&["coredns_cache_misses"]),
    Chart::new("Entries of the cache").of(&["coredns_cache_entries"]).each("type"),
    Chart::new("Forwarded").of(&["coredns_forward_requests"]).each("to"),
    Chart::new("Time of servers that were asked").of(&["coredns_forward_seconds"]).each("to"),
    Chart::new("Answers of servers that were asked").of(&["coredns_forward_responses"]).each("rcode"),
    Chart::new("Servers that do not answer").of(&["coredns_forward_healthcheck_failures"]).each("to"),
    Chart::new("Failures").of(&["coredns_panics_total", "coredns_reload_failed_total"]),
    Chart::new("Memory").of(&["coredns_process_resident_memory_bytes", "coredns_go_memstats_heap_inuse_bytes"]),
    Chart::new("Goroutines").of(&["coredns_go_goroutines"]),
    Chart::new("Open files").of(&["coredns_process_open_fds", "coredns_process_max_fds"]),
    Chart::new("Processor time and pauses")
        .of(&["coredns_process_cpu_seconds_total", "coredns_go_gc_duration_seconds_sum"]),
];

const PREFIX: &str = "coredns_";
/// The prefixes of CoreDNS's metrics.
const BEGINS: &[&str] = &[PREFIX, "process_", "go_"];

fn with_prefix(name: &str) -> String {
    if name.starts_with(PREFIX) { name.into() } else { format!("{PREFIX}{name}") }
}

/// Tables of metrics with labels, and the labels that become tags.
const SUMS: &[(&[Field], &[&str])] = &[
    (QUERIES, &["zone", "type"]),
    (ANSWERS, &["zone", "rcode"]),
    (TIME, &["zone"]),
    (CACHED, &["type"]),
    (UNCACHED, &[]),
    (FORWARDED, &["to"]),
    (FORWARD_ANSWERS, &["to", "rcode"]),
    (HOSTS, &[]),
];

/// The names from 1.7 on, and before.
const QUERIES: &[Field] = &[
    rate("coredns_dns_requests_total", "coredns_dns_requests", "1/s"),
    rate("coredns_dns_request_count_total", "coredns_dns_requests", "1/s"),
];

const ANSWERS: &[Field] = &[
    rate("coredns_dns_responses_total", "coredns_dns_responses", "1/s"),
    rate("coredns_dns_response_rcode_count_total", "coredns_dns_responses", "1/s"),
];

const TIME: &[Field] = &[rate("coredns_dns_request_duration_seconds_sum", "coredns_dns_request_seconds", "s/s")];

const CACHED: &[Field] = &[
    rate("coredns_cache_hits_total", "coredns_cache_hits", "1/s"),
    gauge("coredns_cache_entries", "coredns_cache_entries", "entries"),
    gauge("coredns_cache_size", "coredns_cache_entries", "entries"),
];

const UNCACHED: &[Field] = &[rate("coredns_cache_misses_total", "coredns_cache_misses", "1/s")];

/// The names from 1.11 on, from 1.7 on, and before.
const FORWARDED: &[Field] = &[
    rate("coredns_proxy_request_duration_seconds_count", "coredns_forward_requests", "1/s"),
    rate("coredns_forward_requests_total", "coredns_forward_requests", "1/s"),
    rate("coredns_forward_request_count_total", "coredns_forward_requests", "1/s"),
    rate("coredns_proxy_request_duration_seconds_sum", "coredns_forward_seconds", "s/s"),
    rate("coredns_forward_request_duration_seconds_sum", "coredns_forward_seconds", "s/s"),
    rate("coredns_proxy_healthcheck_failures_total", "coredns_forward_healthcheck_failures", "1/s"),
    rate("coredns_forward_healthcheck_failures_total", "coredns_forward_healthcheck_failures", "1/s"),
    rate("coredns_forward_healthcheck_failure_count_total", "coredns_forward_healthcheck_failures", "1/s"),
];

const FORWARD_ANSWERS: &[Field] = &[
    rate("coredns_proxy_request_duration_seconds_count", "coredns_forward_responses", "1/s"),
    rate("coredns_forward_responses_total", "coredns_forward_responses", "1/s"),
    rate("coredns_forward_response_rcode_count_total", "coredns_forward_responses", "1/s"),
];

/// New versions have a label for each file, older ones have no label.
const HOSTS: &[Field] = &[gauge("coredns_hosts_entries", "coredns_hosts_entries", "entries")];

/// Metrics without labels.
const FIELDS: &[Field] = &[
    counter("coredns_panics_total", "coredns_panics_total", "times").float(),
    counter("coredns_panic_count_total", "coredns_panic_count_total", "times").float(),
    counter("coredns_reload_failed_total", "coredns_reload_failed_total", "times").float(),
    gauge("coredns_hosts_reload_timestamp_seconds", "coredns_hosts_reload_timestamp_seconds", "unix s"),
    counter("coredns_health_request_duration_seconds_sum", "coredns_health_request_duration_seconds_sum", "s").float(),
    counter(
        "coredns_health_request_duration_seconds_count",
        "coredns_health_request_duration_seconds_count",
        "requests",
    )
    .float(),
    counter("coredns_health_request_failures_total", "coredns_health_request_failures_total", "requests").float(),
    counter("coredns_local_localhost_requests_total", "coredns_local_localhost_requests_total", "requests").float(),
    counter("coredns_forward_healthcheck_broken_total", "coredns_forward_healthcheck_broken_total", "times").float(),
    counter("coredns_forward_max_concurrent_rejects_total", "coredns_forward_max_concurrent_rejects_total", "queries")
        .float(),
    gauge("go_goroutines", "coredns_go_goroutines", "goroutines"),
    gauge("go_threads", "coredns_go_threads", "threads"),
    counter("go_gc_duration_seconds_sum", "coredns_go_gc_duration_seconds_sum", "s").float(),
    counter("go_gc_duration_seconds_count", "coredns_go_gc_duration_seconds_count", "times").float(),
    gauge("go_memstats_alloc_bytes", "coredns_go_memstats_alloc_bytes", "bytes"),
    counter("go_memstats_alloc_bytes_total", "coredns_go_memstats_alloc_bytes_total", "bytes").float(),
    gauge("go_memstats_heap_alloc_bytes", "coredns_go_memstats_heap_alloc_bytes", "bytes"),
    gauge("go_memstats_heap_idle_bytes", "coredns_go_memstats_heap_idle_bytes", "bytes"),
    gauge("go_memstats_heap_inuse_bytes", "coredns_go_memstats_heap_inuse_bytes", "bytes"),
    gauge("go_memstats_heap_objects", "coredns_go_memstats_heap_objects", "objects"),
    gauge("go_memstats_heap_released_bytes", "coredns_go_memstats_heap_released_bytes", "bytes"),
    gauge("go_memstats_heap_sys_bytes", "coredns_go_memstats_heap_sys_bytes", "bytes"),
    gauge("go_memstats_last_gc_time_seconds", "coredns_go_memstats_last_gc_time_seconds", "unix s"),
    gauge("go_memstats_next_gc_bytes", "coredns_go_memstats_next_gc_bytes", "bytes"),
    gauge("go_memstats_stack_inuse_bytes", "coredns_go_memstats_stack_inuse_bytes", "bytes"),
    gauge("go_memstats_sys_bytes", "coredns_go_memstats_sys_bytes", "bytes"),
    counter("process_cpu_seconds_total", "coredns_process_cpu_seconds_total", "s").float(),
    gauge("process_max_fds", "coredns_process_max_fds", "files"),
    gauge("process_open_fds", "coredns_process_open_fds", "files"),
    gauge("process_resident_memory_bytes", "coredns_process_resident_memory_bytes", "bytes"),
    gauge("process_start_time_seconds", "coredns_process_start_time_seconds", "unix s"),
    gauge("process_virtual_memory_bytes", "coredns_process_virtual_memory_bytes", "bytes"),
    gauge("process_virtual_memory_max_bytes", "coredns_process_virtual_memory_max_bytes", "bytes"),
    counter("process_network_receive_bytes_total", "coredns_process_network_receive_bytes_total", "bytes").float(),
    counter("process_network_transmit_bytes_total", "coredns_process_network_transmit_bytes_total", "bytes").float(),
];

/// Further metrics without labels, by the ends of their names.
const OTHERS: &[Field] = &[
    counter("_total", "coredns_{name}_total", "").float(),
    counter("_sum", "coredns_{name}_sum", "").float(),
    counter("_count", "coredns_{name}_count", "").float(),
    gauge("", "coredns_{name}", ""),
];
