//! Responses read as streams: broken off anywhere, in any chunks, longer than any limit; and responses of Elasticsearch
//! that are not recorded.

use super::machine::{Measurement, Worker, spec};
use crate::support::pages::{Page, Pages};
use crate::support::server::{Server, Step, answer};
use puypuy::model::roots::Roots;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const PAGE: &str = "# TYPE kube_endpoint_address gauge\n\
    kube_deployment_status_replicas{namespace=\"d\",deployment=\"wäb\"} 3\n\
    kube_endpoint_address{namespace=\"d\",endpoint=\"web\",ip=\"10.0.0.1\",ready=\"true\"} 1\n\
    kube_endpoint_address{namespace=\"d\",endpoint=\"web\",ip=\"10.0.0.2\",ready=\"true\"} 1\n\
    kube_pod_status_phase{namespace=\"d\",pod=\"a\",phase=\"Running\"} 1\n\
    kube_pod_status_phase{namespace=\"d\",pod=\"b\",phase=\"Running\"} 1\n";
const NODES: &str = r#"{"_nodes":{"failed":0},"nodes":{"a":{"name":"n1","indices":{"search":{"query_total":9}},
    "jvm":{"mem":{"heap_used_in_bytes":1234}}},"b":{"name":"n2","http":{"current_open":12},"x":[{"ö":"\u00e9\"{"},1.5e-7,null]}}}"#;

fn state_metrics(server: &str) -> Measurement {
    let section = [("metrics", server), ("timeout_seconds", "5")];
    Worker::new(spec("check_kube_state_metrics"), &section).tick(&Roots::default())
}

fn search(server: &str) -> Measurement {
    let section = [("host", server), ("stats", "/_nodes/stats"), ("cluster_stats", "no"), ("timeout_seconds", "60")];
    Worker::new(spec("check_elasticsearch"), &section).tick_of(&Roots::default(), 60)
}

fn names(told: &Measurement) -> Vec<&str> {
    let mut names: Vec<&str> = told.points.iter().map(|point| &*point.name).collect();
    names.sort_unstable();
    names
}

#[test]
fn a_response_gives_the_same_points_in_any_chunks() {
    for (body, tell) in [(PAGE, state_metrics as fn(&str) -> Measurement), (NODES, search)] {
        let whole = Server::start(vec![Step::answer(200, &[], body)]);
        let wanted = tell(&whole.url());
        assert!(wanted.faults.is_empty() && wanted.points.len() >= 2, "{:?}", wanted.faults);
        for piece in [1, 7, 100] {
            let (bytes, every) = (answer(200, &[], body.as_bytes()), Duration::ZERO);
            let server = Server::start(vec![Step::Drip { bytes, piece, every }]);
            let told = tell(&server.url());
            let shown = |told: &Measurement| {
                let mut lines: Vec<_> = told.points.iter().map(|point| format!("{point:?}")).collect();
                lines.sort();
                lines
            };
            assert_eq!((shown(&told), &told.faults), (shown(&wanted), &wanted.faults), "in pieces of {piece}");
        }
    }
}

/// From half a page, complete values are right, and sums over the page are not.
#[test]
fn a_truncated_response_only_costs_incomplete_values() {
    let cut = |body: &str| {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len() + 1);
        Server::start(vec![Step::AnswerAndClose(head.into())])
    };
    let server = cut(PAGE);
    let told = state_metrics(&server.url());
    assert_eq!(names(&told), ["kube_deployment_status_replicas"]);
    assert!(matches!(&told.faults[..], [fault] if fault.contains("the answer broke off")), "{:?}", told.faults);

    for end in [NODES.len(), NODES.len() - 40] {
        let server = cut(&NODES[..end - 1]);
        let told = search(&server.url());
        let both = if end == NODES.len() { vec!["n1", "n2"] } else { vec!["n1"] };
        let nodes: Vec<_> = told.points.iter().flat_map(|point| point.tags.iter()).map(|(_, name)| name).collect();
        assert_eq!(nodes, both);
        assert!(matches!(&told.faults[..], [fault] if fault.contains("the answer broke off")), "{:?}", told.faults);
    }
    // With a Content-Length that matches.
    let pages = Pages::on_port(|_| Page::body(&NODES[..NODES.len() - 40]));
    let told = search(&pages.address());
    let why = "expected statistics of nodes as JSON: it ends in the middle";
    assert!(matches!(&told.faults[..], [fault] if fault.contains(why)), "{:?}", told.faults);
}

#[test]
fn no_part_of_a_response_may_be_endless() {
    let long = |begin: &str, letters: usize| [begin.as_bytes(), &vec![b'x'; letters]].concat();
    let page = long("kube_deployment_status_replicas{deployment=\"", 1 << 20);
    let pages = Pages::on_port(move |_| Page::body(page.clone()));
    let told = state_metrics(&pages.address());
    assert!(told.faults[0].ends_with("a line of it is longer than 1 MiB"), "{:?}", told.faults);

    let document = long("{\"nodes\":{\"a\":{\"name\":\"", 5 << 20);
    let pages = Pages::on_port(move |_| Page::body(document.clone()));
    let told = search(&pages.address());
    assert!(told.faults[0].contains("a part of it is longer than 4 MiB"), "{:?}", told.faults);
}

#[test]
fn an_unreadable_line_only_affects_itself() {
    let pages = Pages::on_port(|_| Page::body(PAGE.replace("} 3", "} three")));
    let told = state_metrics(&pages.address());
    assert_eq!(names(&told), ["kube_endpoint_address_available", "kube_namespace_pods"]);
    let wrong =
        "the value is no number: \"kube_deployment_status_replicas{namespace=\\\"d\\\",deployment=\\\"wäb\\\"} three\"";
    assert_eq!(told.faults, [wrong]);
}

#[test]
fn a_document_is_read_strictly() {
    for (document, why) in [
        ("[]", "expected an object, at byte 0: \"[]\""),
        ("", "it ends in the middle"),
        ("{\"nodes\":{}}  {", "there is more behind its end, at byte 14: \"{\""),
        ("{\"nodes\" {}}", "expected a colon, at byte 9: \"{}}\""),
        ("{\"nodes\":{\"a\":{}\"b\":{}}}", "expected a comma or the end of an object, at byte 16: \"\\\"b\\\":{}}}\""),
        ("{\"nodes\":{\"a\":{\"name\":nan}}}", "it is no JSON, at byte 14: \"{\\\"name\\\":nan}}}\""),
    ] {
        let pages = Pages::on_port(move |_| Page::body(document));
        let told = search(&pages.address());
        assert!(matches!(&told.faults[..], [fault] if fault.ends_with(why)), "{:?}", told.faults);
    }
}

/// A cluster of two nodes with these responses, which can be replaced.
struct Cluster {
    pages: Pages,
    answers: Arc<Mutex<Vec<(&'static str, Page)>>>,
}

const WHOLE: &[(&str, &str)] = &[
    (
        "/_nodes/_local/stats",
        r#"{"_nodes":{"failed":0},"nodes":{"a":{"name":"n1","http":{"current_open":1},"jvm":{"uptime_in_millis":9}}}}"#,
    ),
    ("/_cluster/state/master_node", r#"{"master_node":"a"}"#),
    ("/_cluster/health", r#"{"cluster_name":"c","status":"green","active_shards":4}"#),
    (
        "/_stats/docs,store",
        r#"{"_shards":{"total":4,"failed":0},"_all":{"primaries":{"docs":{"count":100}},"total":{"store":{"size_in_bytes":7}}}}"#,
    ),
];

impl Cluster {
    fn start() -> Cluster {
        let whole: Vec<_> = WHOLE.iter().map(|(path, body)| (*path, Page::body(*body))).collect();
        let answers = Arc::new(Mutex::new(whole));
        let told = Arc::clone(&answers);
        let pages = Pages::on_port(move |path| {
            let asked = path.split('?').next().unwrap();
            let answers: Vec<(&str, Page)> = told.lock().unwrap().clone();
            let found = answers.into_iter().find(|(path, _)| *path == asked);
            found.map_or(Page::Status(404, String::new()), |(_, page)| page)
        });
        Cluster { pages, answers }
    }

    fn set(&self, path: &'static str, page: Page) {
        self.answers.lock().unwrap().insert(0, (path, page));
    }

    fn worker(&self, more: &[(&str, &str)]) -> Worker {
        let address = self.pages.address();
        let mut section = vec![("host", &*address), ("stats", "/_nodes/_local/stats"), ("timeout_seconds", "5")];
        section.extend(more);
        Worker::new(spec("check_elasticsearch"), &section)
    }
}

const CLUSTER: [&str; 4] = [
    "elasticsearch_active_shards",
    "elasticsearch_cluster_docs",
    "elasticsearch_cluster_shards",
    "elasticsearch_cluster_storage_usage",
];

#[test]
fn metrics_of_a_cluster_are_reported_by_its_elected_master() {
    let cluster = Cluster::start();
    let (mut by_master, mut here) = (cluster.worker(&[]), cluster.worker(&[("cluster_stats", "True")]));
    let tick = |worker: &mut Worker| {
        let told = worker.tick(&Roots::default());
        let names: Vec<String> = names(&told).iter().map(|name| name.to_string()).collect();
        let of_cluster = CLUSTER.iter().filter(|name| names.iter().any(|own| own == *name)).count();
        (
            of_cluster,
            told.number("elasticsearch_is_master", ""),
            told.event("ElasticSearch-Health").is_some(),
            told.faults,
        )
    };
    assert_eq!(tick(&mut by_master), (4, Some(1.0), true, vec![]));
    cluster.set("/_cluster/state/master_node", Page::body(r#"{"master_node":"b"}"#));
    let (count, is_master, has_event, faults) = tick(&mut by_master);
    assert_eq!((count, is_master, has_event), (0, Some(0.0), false));
    assert!(matches!(&faults[..], [fault] if fault.contains("cluster_stats: True tells it here")), "{faults:?}");
    assert_eq!(tick(&mut here), (4, None, true, vec![]));
    assert_eq!(tick(&mut cluster.worker(&[("cluster_stats", "False")])), (0, None, false, vec![]));
}

#[test]
fn a_failing_part_of_elasticsearch_only_affects_itself() {
    let cluster = Cluster::start();
    let mut worker = cluster.worker(&[]);
    worker.tick(&Roots::default());
    let mut tick = || worker.tick(&Roots::default());

    // The response of Elasticsearch while the size of an index is wrong.
    let jvm = r#"{"nodes":{"a":{"name":"n1","http":{"current_open":5}}}}"#;
    cluster.set("/_nodes/_local/stats", Page::Status(400, String::new()));
    cluster.set("/_nodes/_local/stats/jvm,process,http,thread_pool", Page::body(jvm));
    let told = tick();
    assert_eq!(told.number("elasticsearch_http_connections", ""), Some(5.0));
    assert!(
        matches!(&told.faults[..], [fault] if fault.contains("HTTP 400") && fault.contains("jvm,")),
        "{:?}",
        told.faults
    );

    let none = r#"{"_nodes":{"failed":1,"failures":[{"reason":"Failed node [a]"}]},"nodes":{}}"#;
    cluster.set("/_nodes/_local/stats", Page::body(none));
    let told = tick();
    assert_eq!((told.points.len(), told.event("ElasticSearch-Health").is_some()), (6, true), "{:?}", names(&told));
    assert!(matches!(&told.faults[..], [fault] if fault.ends_with("Failed node [a]")), "{:?}", told.faults);

    cluster.set("/_stats/docs,store", Page::Status(403, String::new()));
    let told = tick();
    assert_eq!(told.number("elasticsearch_cluster_docs", ""), None);
    assert!(told.faults[1].contains("needs the index privilege monitor on *"), "{:?}", told.faults);

    // After documents were deleted the number is below 0.
    for (count, rate) in [(100, None), (70, Some(-3.0)), (90, Some(2.0))] {
        let size =
            format!(r#"{{"_shards":{{"total":4,"failed":0}},"_all":{{"primaries":{{"docs":{{"count":{count}}}}}}}}}"#);
        cluster.set("/_stats/docs,store", Page::body(size));
        if rate.is_none() {
            worker = cluster.worker(&[]);
        }
        assert_eq!(worker.tick(&Roots::default()).number("elasticsearch_cluster_ingest_rate", ""), rate);
    }
}

#[test]
fn secrets_are_sent_and_never_shown() {
    for (check, key, address, scheme, login) in [
        ("check_elasticsearch", "apikey", "host", "ApiKey", "check apikey, or auth, user and pass"),
        ("check_kube_state_metrics", "token", "metrics", "Bearer", "check token, or auth, user and pass"),
    ] {
        let pages = Pages::on_port(|_| Page::Status(401, String::new()));
        let told =
            Worker::new(spec(check), &[(address, &pages.address()), (key, "Zaubertrank")]).tick(&Roots::default());
        let said = told.faults.join("\n");
        assert!(said.contains("HTTP 401") && said.contains(login) && !said.contains("Zaubertrank"), "{said}");
        let head = &pages.heads()[0];
        assert!(head.contains(&format!("\r\nauthorization: {scheme} Zaubertrank\r\n")), "{head}");
    }
    let section = super::machine::section(spec("check_elasticsearch"), &[("host", "x"), ("apikey", "Zauber\ntrank")]);
    let error = (spec("check_elasticsearch").build)(&section).err().unwrap().to_string();
    assert!(error.ends_with("apikey: has letters that cannot be sent"), "{error}");
}

#[test]
fn a_server_that_is_away_is_reported_once() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let section = [("host", &*format!("http://{closed}")), ("stats", "/_nodes/_local/stats")];
    let told = Worker::new(spec("check_elasticsearch"), &section).tick(&Roots::default());
    assert_eq!(told.faults, [format!("error: http://{closed}: cannot connect: connection refused")]);
}

#[test]
fn thread_pools_keep_the_types_that_dashboards_know() {
    let cluster = Cluster::start();
    let pools = r#"{"nodes":{"a":{"name":"n1","thread_pool":{"get":{"active":3,"queue":5,"rejected":1},"odd":{"active":-1}}}}}"#;
    cluster.set("/_nodes/_local/stats", Page::body(pools));
    for (word, wanted) in [("Yes", vec![("active", 3.0), ("queue", 5.0)]), ("no", vec![])] {
        let told = cluster.worker(&[("threadpoolstats", word)]).tick(&Roots::default());
        let pools = told.points.iter().filter(|point| point.name == "elasticsearch_thread_pool");
        let mut pools: Vec<_> = pools.map(|point| (&*point.check_type, point.value.as_f64())).collect();
        pools.sort_by_key(|(check_type, _)| *check_type);
        assert_eq!(pools, wanted);
    }
}
