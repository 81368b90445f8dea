//! The daemon against real servers: installed if root may do so, started on loopback, and compared through their own
//! query interfaces. `cargo test --test live` runs the cases that are set up within a minute, `-- --all` runs all, `--
//! NAME` those with NAME in their names. Cases that cannot run are skipped with a message; the last line counts all,
//! and names those that did not pass.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod activemq;
#[cfg(feature = "local")]
mod browser;
mod cache;
mod carbon;
mod cases;
mod cassandra;
mod ceph;
mod coredns;
#[cfg(all(feature = "local", feature = "mongodb", feature = "mysql"))]
mod databases;
mod docker;
#[path = "../support/documents.rs"]
mod documents;
mod exposition;
mod golang;
mod grafana;
mod hadoop;
mod hashicorp;
mod hbase;
mod influxdb;
mod java;
mod jolokia;
mod k8s;
mod kafka;
mod kairosdb;
mod kube_state_metrics;
mod loadbalancer;
mod maven;
mod modules;
mod nagios;
mod opentsdb;
#[path = "../support/ports.rs"]
mod ports;
mod postgres;
mod prometheus;
mod pypi;
mod rabbitmq;
mod search;
mod server;
#[cfg(feature = "snmp")]
mod snmp;
mod solr;
mod spark;
mod sql_cache;
mod store;
mod storm;
mod victoria;
mod voip;
mod watched;
mod webservers;
mod zookeeper;

use std::sync::Mutex;
use std::thread;
use std::time::Instant;

/// The name of the server, and its case; `Err` says why it cannot run.
type Case = (&'static str, fn() -> Result<(), String>);

const CASES: &[Case] = &[
    ("InfluxDB: an outage of ten ticks", influxdb::outage),
    ("InfluxDB: hostile points read back", influxdb::round_trip),
    ("InfluxDB: killed under load", influxdb::restart),
    ("InfluxDB: one bad point", influxdb::one_bad),
    ("InfluxDB: the way back", influxdb::way_back),
    ("own modules: a fresh clone, by the words of the original's text, into InfluxDB", modules::as_the_text_says),
    ("Dashboard of InfluxDB: every panel has data", influxdb::dashboard),
    ("Carbon: hostile points read back", carbon::round_trip),
    ("Carbon: stopped under load", carbon::restart),
    ("Dashboard of Graphite: every panel has data", carbon::dashboard),
    ("VictoriaMetrics as OpenTSDB: hostile points read back", victoria::opentsdb_round_trip),
    ("VictoriaMetrics as OpenTSDB: killed under load", victoria::opentsdb_restart),
    ("VictoriaMetrics as InfluxDB2: hostile points read back", victoria::influxdb2_round_trip),
    ("VictoriaMetrics as InfluxDB2: killed under load", victoria::influxdb2_restart),
    ("Dashboard of VictoriaMetrics: every panel has data", victoria::dashboard),
    ("Prometheus: asks the daemon", prometheus::scrape),
    ("Dashboard of Prometheus: every panel has data", prometheus::dashboard),
    ("KairosDB: hostile points read back", kairosdb::round_trip),
    ("KairosDB: killed under load", kairosdb::restart),
    ("KairosDB 1.1: one bad point", kairosdb::one_bad),
    ("monitoring-plugins: states, measures and /nag", nagios::plugins),
    ("PostgreSQL: what check_postgres.sh tells", postgres::script),
    ("Docker: what its own command shows, and who may ask", docker::docker),
    ("Podman: what its own command shows", docker::podman),
    #[cfg(all(feature = "local", feature = "mongodb", feature = "mysql"))]
    ("MariaDB: every kind of login, what its own client says, stopped", databases::mariadb),
    ("etcd: in the open and with certificates, what its page tells, and an outage", k8s::etcd),
    ("HAProxy: what its own socket shows, and an outage", loadbalancer::haproxy),
    ("Twemproxy: what it writes itself, and an outage", loadbalancer::twemproxy),
    ("Envoy: what its own page shows in another form, and an outage", loadbalancer::envoy),
    ("ZooKeeper: by mntr, through its AdminServer, an outage", zookeeper::zookeeper),
    ("Janus: sessions and handles, an outage, a wrong secret", voip::janus),
    ("Redis: rates, databases, logins, an outage", sql_cache::redis),
    ("memcached: rates, a login, an outage", sql_cache::memcached),
    ("RabbitMQ: queues, users, nodes, an outage", rabbitmq::rabbitmq),
    ("ActiveMQ 5.18: what its own tools sent and took, and an outage", activemq::shipped),
    ("Kafka 4: what its own tool sent, and an outage", kafka::newest),
    ("Storm: two workers, and one of them stopped", storm::workers),
    ("OpenTSDB: hostile points, a death under load, a storage that stands still, a bad point", opentsdb::all),
    ("OpenTSDB: the way back", opentsdb::way_back),
    ("nginx: what its page tells, and an outage", webservers::nginx),
    ("Apache: what its page tells, and an outage", webservers::apache),
    ("lighttpd: what its page tells, and an outage", webservers::lighttpd),
    ("PHP-FPM: as text and as JSON, and an outage", webservers::phpfpm),
    ("Varnish: what varnishstat tells, and an outage", webservers::varnish),
    ("Tomcat: what its manager tells, and an outage", webservers::tomcat),
    ("Jetty: through Jolokia, and an outage", webservers::jetty),
    ("pages of choice: a page, an error, and an outage", webservers::pages),
    #[cfg(feature = "snmp")]
    ("SNMP: every version, digest and cipher", snmp::every_kind),
    #[cfg(feature = "snmp")]
    ("SNMP: what is wrong is told", snmp::what_is_wrong),
    #[cfg(feature = "snmp")]
    ("SNMP: an agent restarted in between", snmp::restarted),
    #[cfg(feature = "local")]
    ("the page: drawn, light and dark, narrow, drag, keys, search, hostile names", browser::page),
    #[cfg(feature = "local")]
    ("the page: another database, which is away", browser::storeless),
    ("the page: the daemon killed, and back", browser::outage),
];

/// The cases that need more than a minute for their first setup: run with `--all`, or by name.
const LONG: &[Case] = &[
    ("CoreDNS: a file, the cache and a server behind it, and an outage", coredns::coredns),
    ("kube-state-metrics: what its own page tells, a change, and an outage", kube_state_metrics::kube_state_metrics),
    ("Consul: what its API tells, a wrong token, and an outage", hashicorp::consul),
    ("Nomad: jobs, what its API tells, and an outage", hashicorp::nomad),
    ("Vault: sealed, leases, a wrong token, and an outage", hashicorp::vault),
    ("Ceph: traffic, an OSD that goes, a monitor that hangs", ceph::ceph),
    ("ActiveMQ 5.16 and 6.1: the same", activemq::others),
    ("Kafka 1.1, 2.8 and 3.7: the same", kafka::older),
    ("HDFS: what its own pages say, folders, an outage", hadoop::hdfs),
    ("Jolokia, agents 1.7 and 2.2: what jcmd shows, and an outage", java::jolokia),
    ("JMX: an agent of Jolokia loaded into a running machine, and again when that is started anew", java::jmx),
    ("HBase 2.6: a region server and the REST gateway, what that did, and its outage", hbase::all),
    ("Cassandra 4.1: what its client did and nodetool shows, and an outage", cassandra::three),
    ("Solr 9: what its other pages say, and an outage", solr::solr),
    ("Elasticsearch 7 and OpenSearch 2: what their other pages say, and an outage", search::all),
    ("Spark 4: a master and a worker with an application, and their outages", spark::standalone),
    #[cfg(all(feature = "local", feature = "mongodb", feature = "mysql"))]
    ("FerretDB: every kind of login, stopped", databases::ferretdb),
    #[cfg(all(feature = "local", feature = "mongodb", feature = "mysql"))]
    ("MySQL 5.5: what its own client says, stopped", databases::mysql),
    #[cfg(feature = "local")]
    ("the page: ten minutes live", browser::soak),
];

/// Cases that run at the same time: most of a case is waiting.
const LANES: usize = 2;

/// The results of the cases, by name.
#[derive(Default)]
struct Outcome {
    passed: usize,
    failed: Vec<&'static str>,
    skipped: Vec<&'static str>,
    left_out: Vec<&'static str>,
}

impl Outcome {
    fn add(&mut self, name: &'static str, result: thread::Result<Result<(), String>>, begun: Instant) {
        match result {
            Ok(Ok(())) => {
                println!("live: {name}: ok, {} s", begun.elapsed().as_secs());
                self.passed += 1;
            }
            Ok(Err(why)) => {
                println!("live: {name}: SKIPPED, {why}");
                self.skipped.push(name);
            }
            Err(_) => {
                println!("live: {name}: FAILED");
                self.failed.push(name);
            }
        }
    }

    /// As one line.
    fn told(&self) -> String {
        let part = |word: &str, names: &[&str], more: &str| match names {
            [] => format!("0 {word}"),
            names => format!("{} {word} ({}{more})", names.len(), names.join("; ")),
        };
        let failed = part("failed", &self.failed, "");
        let skipped = part("skipped", &self.skipped, "");
        let left_out = part("left out", &self.left_out, "; --all runs them");
        format!("{} passed, {failed}, {skipped}, {left_out}", self.passed)
    }
}

/// Runs these cases, so many at the same time.
fn run(cases: impl Iterator<Item = Case> + Send, lanes: usize, outcome: &Mutex<Outcome>) {
    let waiting = Mutex::new(cases);
    let next = || waiting.lock().unwrap().next();
    thread::scope(|scope| {
        for _ in 0..lanes {
            scope.spawn(|| {
                while let Some((name, case)) = next() {
                    println!("live: {name} ...");
                    let begun = Instant::now();
                    // The thread's name stands before the message of a panic.
                    let result = thread::Builder::new().name(name.into()).spawn(case).unwrap().join();
                    outcome.lock().unwrap().add(name, result, begun);
                }
            });
        }
    });
}

fn main() {
    let (options, names): (Vec<_>, Vec<_>) = std::env::args().skip(1).partition(|word| word.starts_with('-'));
    let is_known = options.iter().all(|option| option == "--all");
    let is_named = |(name, _): &Case| names.iter().all(|part| name.contains(part.as_str()));
    if !is_known || !CASES.iter().chain(LONG).any(is_named) {
        println!("live: expected --all, or a part of one of these names:");
        CASES.iter().chain(LONG).for_each(|(name, _)| println!("  {name}"));
        std::process::exit(2);
    }
    let outcome = Mutex::new(Outcome::default());
    let long = LONG.iter().copied().filter(is_named);
    run(CASES.iter().copied().filter(is_named), LANES, &outcome);
    match options.is_empty() && names.is_empty() {
        true => outcome.lock().unwrap().left_out = long.map(|(name, _)| name).collect(),
        false => run(long, 1, &outcome),
    }
    let outcome = outcome.into_inner().unwrap();
    println!("{}", outcome.told());
    std::process::exit(i32::from(!outcome.failed.is_empty()));
}
