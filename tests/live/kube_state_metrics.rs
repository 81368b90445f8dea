//! check_kube_state_metrics against kube-state-metrics, which watches a small simulation of the Kubernetes API,
//! compared with its own page.

use crate::exposition::on_page;
use crate::golang::{self, Changes};
use crate::server::{Program, free_port, wait};
use crate::watched::Watched;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;
use tempfile::TempDir;

const START: Duration = Duration::from_secs(30);
const DEPLOYMENTS: &str = "/apis/apps/v1/deployments";

/// The API of a cluster in which one number changes.
#[derive(Default)]
struct Cluster {
    /// Available replicas of the deployment `web`, of three.
    available: AtomicU32,
    /// The watching connections, with what they watch.
    watching: Mutex<Vec<(String, TcpStream)>>,
}

impl Cluster {
    /// The port of the API.
    fn serve(self: &Arc<Cluster>) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (port, cluster) = (listener.local_addr().unwrap().port(), self.clone());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let cluster = cluster.clone();
                thread::spawn(move || cluster.answer(&stream));
            }
        });
        port
    }

    /// Answers one request after the other, until one is a watch.
    fn answer(&self, mut stream: &TcpStream) -> Option<()> {
        let mut lines = BufReader::new(stream.try_clone().ok()?).lines().map_while(Result::ok);
        while let Some(first) = lines.next() {
            lines.by_ref().find(|line| line.is_empty())?;
            let (path, query) = first.split(' ').nth(1)?.split_once('?').unwrap_or((first.split(' ').nth(1)?, ""));
            if query.contains("watch=true") {
                let mut watching = self.watching.lock().unwrap();
                let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
                stream.write_all(head.as_bytes()).ok()?;
                watching.push((path.into(), stream.try_clone().ok()?));
                return None;
            }
            let body = self.document(path).to_string();
            let head =
                format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", body.len());
            stream.write_all((head + &body).as_bytes()).ok()?;
        }
        None
    }

    fn document(&self, path: &str) -> Value {
        let (kind, version, items) = match path {
            "/version" => return json!({"major": "1", "minor": "31", "gitVersion": "v1.31.0"}),
            DEPLOYMENTS => ("DeploymentList", "apps/v1", vec![self.deployment()]),
            "/api/v1/pods" => ("PodList", "v1", vec![pod("web-1", None), pod("web-2", Some("CrashLoopBackOff"))]),
            "/api/v1/endpoints" => ("EndpointsList", "v1", vec![endpoints()]),
            "/apis/discovery.k8s.io/v1/endpointslices" => ("EndpointSliceList", "discovery.k8s.io/v1", vec![slice()]),
            "/api/v1/nodes" => ("NodeList", "v1", vec![node()]),
            _ => ("List", "v1", Vec::new()),
        };
        json!({"kind": kind, "apiVersion": version, "metadata": {"resourceVersion": "10"}, "items": items})
    }

    fn deployment(&self) -> Value {
        let available = self.available.load(Ordering::Relaxed);
        let template = json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": []}});
        json!({
            "kind": "Deployment", "apiVersion": "apps/v1", "metadata": named("web", 10 + available),
            "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "web"}}, "template": template},
            "status": {"replicas": 3, "updatedReplicas": 3, "readyReplicas": available, "availableReplicas": available,
                "unavailableReplicas": 3 - available},
        })
    }

    /// Reports that this many replicas are available now.
    fn change(&self, available: u32) {
        self.available.store(available, Ordering::Relaxed);
        let line = json!({"type": "MODIFIED", "object": self.deployment()}).to_string() + "\n";
        let chunk = format!("{:x}\r\n{line}\r\n", line.len());
        for (_, stream) in self.watching.lock().unwrap().iter_mut().filter(|(path, _)| path == DEPLOYMENTS) {
            // Stopped watchers hear nothing.
            let _ = stream.write_all(chunk.as_bytes());
        }
    }
}

fn named(name: &str, version: u32) -> Value {
    json!({"name": name, "namespace": "shop", "uid": name, "resourceVersion": version.to_string(),
        "creationTimestamp": "2026-01-01T00:00:00Z"})
}

/// A pod with one container that runs, or waits for this reason.
fn pod(name: &str, waits: Option<&str>) -> Value {
    let state = waits.map_or(json!({"running": {}}), |reason| json!({"waiting": {"reason": reason}}));
    let phase = if waits.is_some() { "Pending" } else { "Running" };
    json!({
        "metadata": named(name, 10),
        "spec": {"nodeName": "n1", "containers": [
            {"name": "app", "image": "app:1", "resources": {"limits": {"cpu": "500m", "memory": "1G"}}}]},
        "status": {"phase": phase, "containerStatuses": [{"name": "app", "image": "app:1", "imageID": "x",
            "ready": waits.is_none(), "restartCount": 3, "state": state}]},
    })
}

/// Two addresses that are ready and one that is not, with two ports.
fn endpoints() -> Value {
    let ports =
        json!([{"name": "http", "port": 80, "protocol": "TCP"}, {"name": "more", "port": 90, "protocol": "TCP"}]);
    let subset = json!({"addresses": [{"ip": "10.1.2.3"}, {"ip": "10.1.2.4"}],
        "notReadyAddresses": [{"ip": "10.1.2.5"}], "ports": ports});
    json!({"metadata": named("web", 10), "subsets": [subset]})
}

/// The same as an endpoint slice.
fn slice() -> Value {
    let end = |address: &str, is_ready: bool| json!({"addresses": [address], "conditions": {"ready": is_ready}});
    json!({
        "metadata": named("web-x7k2p", 10), "addressType": "IPv4",
        "endpoints": [end("10.1.2.3", true), end("10.1.2.4", true), end("10.1.2.5", false)],
        "ports": [{"name": "http", "port": 80, "protocol": "TCP"}],
    })
}

fn node() -> Value {
    let has = json!({"cpu": "4", "memory": "8Gi"});
    json!({
        "metadata": {"name": "n1", "uid": "n1", "resourceVersion": "10"}, "spec": {"unschedulable": true},
        "status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "DiskPressure", "status": "False"}],
            "allocatable": has, "capacity": has},
    })
}

pub fn kube_state_metrics() -> Result<(), String> {
    let program = golang::program("k8s.io/kube-state-metrics/v2@v2.15.0", ".", &Changes::default())?;
    let folder = TempDir::new().unwrap();
    let cluster = Arc::new(Cluster { available: AtomicU32::new(2), ..Cluster::default() });
    let api = format!("http://127.0.0.1:{}", cluster.serve());
    let (page, of_slices) = (free_port(), free_port());
    let start = |port: u16, resources: &str, first: &str| {
        let mut command = Command::new(&program);
        command.args(["--apiserver", &api, "--host", "127.0.0.1", "--telemetry-host", "127.0.0.1"]);
        command.args(["--port", &port.to_string(), "--telemetry-port", &free_port().to_string()]);
        let server = Program::start(command.args(["--resources", resources]), &folder.path().join("log"));
        wait("kube-state-metrics", START, || on_page(port, first, &[]).is_some());
        server
    };
    let start_first = || start(page, "deployments,pods,endpoints,nodes", "kube_deployment_status_replicas_available");
    let server = start_first();
    let _slices = start(of_slices, "endpointslices", "kube_endpointslice_endpoints");
    let section = format!(
        "[kube-state-metrics]\nmetrics: http://127.0.0.1:{page}/metrics\n\
         [kube-state-metrics:slices]\nmetrics: http://127.0.0.1:{of_slices}/metrics\n"
    );
    let watched = Watched::start("check_kube_state_metrics", "k8s.ini", &section);

    let of_web = [("deployment", "web"), ("namespace", "shop")];
    let of_pod = [("container", "app"), ("pod", "web-2"), ("namespace", "shop")];
    let at_pod = ["pod=\"web-2\""];
    for (metric, tags, name, labels) in [
        ("kube_deployment_status_replicas", &of_web[..], "kube_deployment_status_replicas", &[][..]),
        ("kube_deployment_status_replicas_available", &of_web, "kube_deployment_status_replicas_available", &[]),
        ("kube_deployment_status_replicas_unavailable", &of_web, "kube_deployment_status_replicas_unavailable", &[]),
        ("kube_deployment_spec_replicas", &of_web, "kube_deployment_spec_replicas", &[]),
        ("kube_pod_container_status_waiting", &of_pod, "kube_pod_container_status_waiting", &at_pod),
        ("kube_pod_container_status_restarts_total", &of_pod, "kube_pod_container_status_restarts_total", &at_pod),
        (
            "kube_pod_container_resource_limits_memory_bytes",
            &of_pod,
            "kube_pod_container_resource_limits",
            &[at_pod[0], "resource=\"memory\""],
        ),
        (
            "kube_namespace_pods",
            &[("phase", "Pending"), ("namespace", "shop")],
            "kube_pod_status_phase",
            &["phase=\"Pending\""],
        ),
        ("kube_node_spec_unschedulable", &[("node", "n1")], "kube_node_spec_unschedulable", &[]),
        (
            "kube_node_status_allocatable_memory_bytes",
            &[("node", "n1")],
            "kube_node_status_allocatable",
            &["resource=\"memory\""],
        ),
        (
            "kube_node_status_condition",
            &[("node", "n1"), ("condition", "DiskPressure")],
            "kube_node_status_condition",
            &["condition=\"DiskPressure\"", "status=\"true\""],
        ),
    ] {
        let own = on_page(page, name, labels).unwrap_or_else(|| panic!("no {name}"));
        watched.until(metric, tags, |value| value == own);
    }
    assert_eq!(watched.now("kube_pod_container_resource_limits_memory_bytes", &of_pod), 1e9);
    let waiting = [("reason", "CrashLoopBackOff"), ("namespace", "shop")];
    assert_eq!(watched.now("kube_namespace_containers_waiting", &waiting), 1.0);
    let addresses = |more: &[(&'static str, &'static str)]| {
        let tags = [&[("endpoint", "web"), ("namespace", "shop")], more].concat();
        watched.now("kube_endpoint_address_available", &tags)
    };
    assert_eq!((addresses(&[]), addresses(&[("instance", "slices")])), (2.0, 2.0));

    cluster.change(3);
    watched.until("kube_deployment_status_replicas_available", &of_web, |count| count == 3.0);
    assert_eq!(watched.now("kube_deployment_status_replicas_unavailable", &of_web), 0.0);
    assert!(watched.said().is_empty(), "{:#?}", watched.said());
    drop(watched);

    let section = format!("[kube-state-metrics]\nmetrics: http://127.0.0.1:{page}/metrics\n");
    let watched = Watched::start("check_kube_state_metrics", "k8s.ini", &section);
    watched.outage("kube_deployment_status_replicas_available", &of_web, server, Program::end, start_first);
    watched.until("kube_deployment_status_replicas_available", &of_web, |count| count == 3.0);
    Ok(())
}
