//! The checks of the Python daemon: each is built in under its old name, and the migration document lists it.

use std::fs;
use std::path::Path;

const NAMES: [&str; 75] = [
    "check_activemq",
    "check_apache",
    "check_aralez",
    "check_btrfs",
    "check_cassandra",
    "check_cassandra3",
    "check_ceph",
    "check_coredns",
    "check_coturn",
    "check_couchbase_4x",
    "check_couchbase_5x",
    "check_couchdb_1x",
    "check_couchdb_2x",
    "check_cpustats",
    "check_disks",
    "check_docker_stats",
    "check_elasticsearch",
    "check_elasticsearch1x",
    "check_envoy",
    "check_etcd",
    "check_foundationdb",
    "check_hadoop_datanode",
    "check_hadoop_namenode",
    "check_haproxy",
    "check_hashicorp_consul",
    "check_hashicorp_nomad",
    "check_hashicorp_vault",
    "check_hbase_master",
    "check_hbase_regionserver",
    "check_hbase_rest",
    "check_hbase_thrift",
    "check_hdfs_dirsize",
    "check_http_api",
    "check_ipconntrack",
    "check_janus",
    "check_jetty",
    "check_jmx",
    "check_jolokia",
    "check_kafka",
    "check_kube_state_metrics",
    "check_lighttpd",
    "check_lizardfs",
    "check_load_average",
    "check_memcached",
    "check_memory",
    "check_mesos_chronos",
    "check_mesos_marathon",
    "check_mesos_master",
    "check_mesos_slave",
    "check_mongodb",
    "check_mysql",
    "check_nagios",
    "check_network_bytes",
    "check_nginx",
    "check_nvidia_gpu",
    "check_oddeye",
    "check_openfiles",
    "check_phpfpm",
    "check_rabbitmq",
    "check_rabbitmq_368",
    "check_redis",
    "check_riak",
    "check_scylla",
    "check_snmp",
    "check_solr",
    "check_spark_master",
    "check_spark_worker",
    "check_storm_api",
    "check_storm_workers",
    "check_tcpconn",
    "check_tomcat",
    "check_traefik",
    "check_twemproxy",
    "check_varnish",
    "check_zookeeper",
];

#[test]
fn every_check_of_the_original_is_built_in_and_found() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/migrating.md");
    let page = fs::read_to_string(page).unwrap();
    for name in NAMES {
        let spec = puypuy::checks::find(name).unwrap_or_else(|| panic!("{name} is not built in"));
        let row = format!("| [{name}](checks.md#{name}) | `conf/{}` | ", spec.conf);
        let rows: Vec<_> = page.lines().filter_map(|line| line.strip_prefix(&row)).collect();
        assert!(matches!(rows.as_slice(), [differs] if differs.len() > " |".len()), "{row}: {rows:?}");
    }
    assert_eq!(page.lines().filter(|line| line.starts_with("| [check_")).count(), NAMES.len());
}
