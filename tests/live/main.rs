//! The daemon against real servers: installed where root may do so, started on loopback, watched through their own query
//! interface. `cargo test --test live`; what cannot be had is skipped aloud and counted in the last line.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod carbon;
mod cases;
#[cfg(all(feature = "local", feature = "mongodb", feature = "mysql"))]
mod databases;
mod delivered;
mod docker;
#[path = "../support/documents.rs"]
mod documents;
mod grafana;
mod influxdb;
mod kairosdb;
mod loadbalancer;
mod maven;
mod modules;
mod mq;
mod nagios;
mod opentsdb;
mod postgres;
mod prometheus;
mod server;
#[cfg(feature = "snmp")]
mod snmp;
mod sql_cache;
mod store;
mod victoria;
mod voip;
mod watched;
mod webservers;

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Name of the server, and what is done with it; `Err` says why it cannot be had.
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
    #[cfg(all(feature = "local", feature = "mongodb", feature = "mysql"))]
    ("FerretDB: every kind of login, stopped", databases::ferretdb),
    ("HAProxy: what its own socket shows, and an outage", loadbalancer::haproxy),
    ("Twemproxy: what it writes itself, and an outage", loadbalancer::twemproxy),
    ("Janus: sessions and handles, an outage, a wrong secret", voip::janus),
    ("Redis: rates, databases, logins, an outage", sql_cache::redis),
    ("memcached: rates, a login, an outage", sql_cache::memcached),
    ("RabbitMQ: queues, users, an outage", mq::rabbitmq),
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
];

fn main() {
    let wanted = std::env::args().skip(1).find(|word| !word.starts_with('-')).unwrap_or_default();
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    for (name, case) in CASES.iter().filter(|(name, _)| name.contains(&wanted)) {
        println!("live: {name} ...");
        match catch_unwind(AssertUnwindSafe(case)) {
            Ok(Ok(())) => {
                println!("live: {name}: ok");
                passed += 1;
            }
            Ok(Err(why)) => {
                println!("live: {name}: SKIPPED, {why}");
                skipped += 1;
            }
            Err(_) => {
                println!("live: {name}: FAILED");
                failed += 1;
            }
        }
    }
    println!("{passed} passed, {failed} failed, {skipped} skipped");
    std::process::exit(i32::from(failed > 0));
}
