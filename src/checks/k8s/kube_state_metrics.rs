//! kube_state_metrics: replicas, addresses of services, containers and nodes, from kube-state-metrics' Prometheus page
//! (its documentation, "Exposed metrics"). Lines are processed as they arrive, because the page may have hundreds of
//! megabytes.

use super::CONF;
use crate::check::chart::Chart;
use crate::check::samples::{Sums, streamed};
use crate::check::{Out, Runs, Spec, long_page};
use crate::config::section::Section;
use crate::fetch::http::{self, Endpoint};
use crate::model::error::Result;
use crate::model::parse::prometheus::Sample;
use crate::model::point::Tags;
use crate::model::table::{Field, counter, gauge};
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};

pub static SPEC: Spec = Spec {
    name: "check_kube_state_metrics",
    purpose: "replicas, addresses of services, containers and nodes of Kubernetes",
    check_type: "kube-state-metrics",
    conf: CONF,
    section: "kube-state-metrics",
    keys: &[&["metrics", "podinfo", "namespace_tag", "namespaces", "nodes", "token"], http::KEYS],
    runs: Runs::Own,
    fields: &[REPLICAS, STATEFULSETS, DAEMONSETS, AUTOSCALERS, ADDRESSES, CONTAINERS, PODS, WAITING, NODES, CONDITIONS],
    charts: CHARTS,
    build: |section| {
        let wanted = Wanted::read(section)?;
        // Large clusters need more time than the default.
        let section = if section.text("timeout_seconds").is_some() {
            section.clone()
        } else {
            section.with("timeout_seconds", "30")
        };
        let login = "token, or auth, user and pass";
        let endpoint = Endpoint::read(&section, &["metrics"])?.with_secret(&section, "token", "Bearer", login)?;
        Ok(long_page(endpoint, move |body, out| {
            let (mut sums, mut addresses) = (Sums::default(), Addresses::default());
            let is_wanted = |name: &str| wanted.names.contains(name);
            streamed(body, "kube-state-metrics", is_wanted, out, |sample, out| {
                wanted.tell(&sample, &mut sums, &mut addresses, out);
            })?;
            sums.put(out);
            addresses.put(&wanted, out);
            Ok(())
        }))
    },
};

const CHARTS: &[Chart] = &[
    Chart::new("Replicas that are missing").of(&["kube_deployment_status_replicas_unavailable"]).each("deployment"),
    Chart::new("Replicas").of(&["kube_deployment_status_replicas_available"]).each("deployment"),
    Chart::new("Ready in stateful sets").of(&["kube_statefulset_status_replicas_ready"]).each("statefulset"),
    Chart::new("Missing in daemon sets").of(&["kube_daemonset_status_number_unavailable"]).each("daemonset"),
    Chart::new("Replicas of autoscalers")
        .of(&["kube_horizontalpodautoscaler_status_current_replicas"])
        .each("horizontalpodautoscaler"),
    Chart::new("Addresses of services").of(&["kube_endpoint_address_available"]).each("endpoint"),
    Chart::new("Pods").of(&["kube_namespace_pods"]).each("phase"),
    Chart::new("Containers that wait").of(&["kube_namespace_containers_waiting"]).each("reason"),
    Chart::new("Restarts of containers").of(&["kube_pod_container_status_restarts_total"]).each("pod"),
    Chart::new("Conditions of nodes").of(&["kube_node_status_condition"]).each("condition"),
    Chart::new("Nodes that take no pods").of(&["kube_node_spec_unschedulable"]).each("node"),
];

const REPLICAS: &[Field] = &[
    gauge("kube_deployment_status_replicas", "kube_deployment_status_replicas", "replicas"),
    gauge("kube_deployment_status_replicas_available", "kube_deployment_status_replicas_available", "replicas"),
    gauge("kube_deployment_status_replicas_unavailable", "kube_deployment_status_replicas_unavailable", "replicas"),
    gauge("kube_deployment_status_replicas_updated", "kube_deployment_status_replicas_updated", "replicas"),
    gauge("kube_deployment_status_replicas_ready", "kube_deployment_status_replicas_ready", "replicas"),
    gauge("kube_deployment_spec_replicas", "kube_deployment_spec_replicas", "replicas"),
];

const STATEFULSETS: &[Field] = &[
    gauge("kube_statefulset_replicas", "kube_statefulset_replicas", "replicas"),
    gauge("kube_statefulset_status_replicas_ready", "kube_statefulset_status_replicas_ready", "replicas"),
];

const DAEMONSETS: &[Field] = &[
    gauge("kube_daemonset_status_desired_number_scheduled", "kube_daemonset_status_desired_number_scheduled", "pods"),
    gauge("kube_daemonset_status_number_ready", "kube_daemonset_status_number_ready", "pods"),
    gauge("kube_daemonset_status_number_unavailable", "kube_daemonset_status_number_unavailable", "pods"),
];

const AUTOSCALERS: &[Field] = &[
    gauge(
        "kube_horizontalpodautoscaler_status_current_replicas",
        "kube_horizontalpodautoscaler_status_current_replicas",
        "replicas",
    ),
    gauge(
        "kube_horizontalpodautoscaler_status_desired_replicas",
        "kube_horizontalpodautoscaler_status_desired_replicas",
        "replicas",
    ),
];

/// Reported until 2.13. Newer versions have samples that are counted: endpoints, or else slices.
const ADDRESSES: &[Field] = &[
    gauge("kube_endpoint_address_available", "kube_endpoint_address_available", "addresses"),
    gauge("kube_endpoint_address", "kube_endpoint_address_available", "addresses"),
    gauge("kube_endpointslice_endpoints", "kube_endpoint_address_available", "addresses"),
];

/// After the slash is the label `resource`. The limits had names of their own until 1.9.
const CONTAINERS: &[Field] = &[
    gauge("kube_pod_container_status_waiting", "kube_pod_container_status_waiting", "0 or 1").reaction(-3),
    gauge(
        "kube_pod_container_resource_limits_memory_bytes",
        "kube_pod_container_resource_limits_memory_bytes",
        "bytes",
    )
    .reaction(-3),
    gauge("kube_pod_container_resource_limits/memory", "kube_pod_container_resource_limits_memory_bytes", "bytes")
        .reaction(-3),
    gauge("kube_pod_container_resource_limits_cpu_cores", "kube_pod_container_resource_limits_cpu_cores", "cores")
        .reaction(-3),
    gauge("kube_pod_container_resource_limits/cpu", "kube_pod_container_resource_limits_cpu_cores", "cores")
        .reaction(-3),
    counter("kube_pod_container_status_restarts_total", "kube_pod_container_status_restarts_total", "times").float(),
];

const PODS: &[Field] = &[gauge("kube_pod_status_phase", "kube_namespace_pods", "pods")];

const WAITING: &[Field] =
    &[gauge("kube_pod_container_status_waiting_reason", "kube_namespace_containers_waiting", "containers")];

const NODES: &[Field] = &[
    gauge("kube_node_spec_unschedulable", "kube_node_spec_unschedulable", "0 or 1"),
    gauge("kube_node_status_allocatable/cpu", "kube_node_status_allocatable_cpu_cores", "cores"),
    gauge("kube_node_status_allocatable/memory", "kube_node_status_allocatable_memory_bytes", "bytes"),
    gauge("kube_node_status_allocatable_cpu_cores", "kube_node_status_allocatable_cpu_cores", "cores"),
    gauge("kube_node_status_allocatable_memory_bytes", "kube_node_status_allocatable_memory_bytes", "bytes"),
];

/// Each condition has three lines, one per status; the line of `true` is emitted.
const CONDITIONS: &[Field] = &[gauge("kube_node_status_condition", "kube_node_status_condition", "0 or 1")];

/// Tables of metrics that are emitted as they are, and the labels that become tags besides the namespace.
const FAMILIES: &[(&[Field], &[&str])] = &[
    (REPLICAS, &["deployment"]),
    (STATEFULSETS, &["statefulset"]),
    (DAEMONSETS, &["daemonset"]),
    (AUTOSCALERS, &["horizontalpodautoscaler"]),
    (NODES, &["node"]),
    (CONDITIONS, &["node", "condition"]),
];
/// The same, for tables switched by `podinfo`.
const OF_PODS: &[(&[Field], &[&str])] = &[(CONTAINERS, &["container", "pod"])];
/// The same, for tables that are summed up.
const SUMMED: &[(&[Field], &[&str])] = &[(PODS, &["phase"]), (WAITING, &["reason"])];

/// Samples about an endpoint or an endpoint slice, and those that name the service of a slice.
const ENDPOINT: &str = "kube_endpoint_info";
const SLICE: &str = "kube_endpointslice_info";
const SLICE_LABELS: &str = "kube_endpointslice_labels";
const SERVICE: &str = "label_kubernetes_io_service_name";

/// The options of the section.
struct Wanted {
    /// Names of the wanted samples.
    names: HashSet<&'static str>,
    /// How to emit the sample of a cell.
    lines: HashMap<&'static str, Line>,
    has_namespace: bool,
    /// Empty: all namespaces.
    namespaces: Vec<String>,
    nodes: Vec<String>,
}

struct Line {
    field: &'static Field,
    tags: &'static [&'static str],
    is_summed: bool,
}

impl Wanted {
    fn read(section: &Section) -> Result<Wanted> {
        let list = |key: &str| section.list(key).into_iter().map(String::from).collect();
        let of_pods = if section.flag("podinfo", true)? { OF_PODS } else { &[] };
        let plain = FAMILIES.iter().chain(of_pods).map(|family| (family, false));
        let mut lines = HashMap::new();
        for ((table, tags), is_summed) in plain.chain(SUMMED.iter().map(|family| (family, true))) {
            lines.extend(table.iter().map(|field| (field.cell, Line { field, tags, is_summed })));
        }
        let cells = lines.keys().copied().chain(ADDRESSES.iter().map(|field| field.cell));
        let names = cells.map(|cell| cell.split('/').next().unwrap_or(cell));
        let names = names.chain([ENDPOINT, SLICE, SLICE_LABELS]).collect();
        let has_namespace = section.flag("namespace_tag", true)?;
        Ok(Wanted { names, lines, has_namespace, namespaces: list("namespaces"), nodes: list("nodes") })
    }

    fn tell(&self, sample: &Sample, sums: &mut Sums, addresses: &mut Addresses, out: &mut Out) {
        let is_among = |wanted: &[String], name: &str| {
            wanted.is_empty() || sample.labels.get(name).is_none_or(|text| wanted.iter().any(|own| own == text))
        };
        if !is_among(&self.namespaces, "namespace") || !is_among(&self.nodes, "node") {
            return;
        }
        let line = self.lines.get(&*sample.name).or_else(|| {
            let resource = sample.labels.get("resource")?;
            self.lines.get(&*format!("{}/{resource}", sample.name))
        });
        let Some(Line { field, tags: names, is_summed }) = line else { return addresses.add(sample) };
        if sample.labels.get("status").is_some_and(|status| status != "true") {
            return;
        }
        let namespace = self.has_namespace.then_some("namespace");
        let tags = Tags::of(sample.labels.of(&names.iter().copied().chain(namespace).collect::<Vec<_>>()));
        match is_summed {
            true => sums.add(field, tags, &sample.labels, sample.value),
            false => out.put(field, sample.value, &tags),
        }
    }
}

/// The addresses of services, as far as the page reports them. Keys are a namespace and the name of an endpoint or
/// slice.
#[derive(Default)]
struct Addresses {
    told: HashMap<(String, String), f64>,
    endpoints: HashMap<(String, String), Ready>,
    slices: HashMap<(String, String), Ready>,
    services: HashMap<(String, String), String>,
    hashes: RandomState,
}

/// Hashes of the ready addresses. Only hashes are kept, because a cluster may have hundreds of thousands of addresses.
type Ready = HashSet<u64>;

impl Addresses {
    fn add(&mut self, sample: &Sample) {
        let place = |name: &str| {
            let namespace = sample.labels.get("namespace").unwrap_or_default();
            (namespace.to_string(), sample.labels.get(name).unwrap_or_default().to_string())
        };
        let is_ready = sample.labels.get("ready") == Some("true");
        let address =
            |name: &str| sample.labels.get(name).filter(|_| is_ready).map(|address| self.hashes.hash_one(address));
        match &*sample.name {
            "kube_endpoint_address_available" => _ = self.told.insert(place("endpoint"), sample.value),
            ENDPOINT | "kube_endpoint_address" => {
                let found = address("ip");
                self.endpoints.entry(place("endpoint")).or_default().extend(found);
            }
            SLICE | "kube_endpointslice_endpoints" => {
                let found = address("address");
                self.slices.entry(place("endpointslice")).or_default().extend(found);
            }
            SLICE_LABELS => {
                if let Some(service) = sample.labels.get(SERVICE) {
                    self.services.insert(place("endpointslice"), service.into());
                }
            }
            _ => {}
        }
    }
}

impl Addresses {
    /// Emits the numbers that old versions report; else the number of addresses of each endpoint; else that of all
    /// slices of each service.
    fn put(self, wanted: &Wanted, out: &mut Out) {
        let Some(field) = ADDRESSES.first() else { return };
        let Addresses { told, endpoints, slices, services, .. } = self;
        let counts = |ready: HashMap<(String, String), Ready>| {
            ready.into_iter().map(|(place, ready)| (place, ready.len() as f64)).collect()
        };
        let counted: HashMap<(String, String), f64> = if !told.is_empty() {
            told
        } else if !endpoints.is_empty() {
            counts(endpoints)
        } else {
            let mut of_services: HashMap<(String, String), Ready> = HashMap::new();
            for (place, ready) in slices {
                let service = services.get(&place).map_or(service(&place.1), String::as_str).to_string();
                of_services.entry((place.0, service)).or_default().extend(ready);
            }
            counts(of_services)
        };
        for ((namespace, endpoint), count) in counted {
            let tags = Tags::one("endpoint", &endpoint);
            let tags = if wanted.has_namespace { tags.with("namespace", &namespace) } else { tags };
            out.put(field, count, &tags);
        }
    }
}

/// The service of a slice. Kubernetes names a slice after its service, with a dash and five letters or digits at the
/// end.
fn service(slice: &str) -> &str {
    let is_made =
        |end: &str| end.len() == 5 && end.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    slice.rsplit_once('-').filter(|(_, end)| is_made(end)).map_or(slice, |(service, _)| service)
}
