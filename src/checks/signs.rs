//! How `puypuy discover` recognises what each check watches, where the check can reach it, and what to advise if that
//! fails.

/// Where to reach what a check watches.
pub enum Place {
    /// Nothing to configure: the check reads the kernel or starts a program.
    Here,
    /// An HTTP page. The key `key` is set to `http://ADDRESS:PORT` and `path`; `more` has further keys with their
    /// values.
    Page { key: &'static str, path: &'static str, more: &'static [(&'static str, &'static str)] },
    /// A TCP port; the keys are `host` and `port`.
    Port,
    /// A Unix socket: `key` is set to `unix://PATH` with the first of these paths that exists.
    Socket { key: &'static str, paths: &'static [&'static str] },
    /// The user must configure it; the text says how.
    ByHand(&'static str),
}

/// How a trial run failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// An HTTP status other than those of [`Wrong::Login`].
    Status(u16),
    /// Credentials are missing or wrong: HTTP status 401 or 403, or a refused login.
    Login,
    /// Any other error.
    Otherwise,
}

/// How to recognise what one check watches.
pub struct Sign {
    pub check: &'static str,
    /// Names of the processes; for Java the main class or the jar file. Empty: it has no process to look for.
    pub programs: &'static [&'static str],
    /// Programs that listen on behalf of these processes; empty: they listen themselves.
    pub behind: &'static [&'static str],
    /// Ports on which it usually listens; tried first.
    pub ports: &'static [u16],
    /// Whether other ports on which its processes listen are tried, too. `false` for programs that serve something else
    /// there.
    pub is_anywhere: bool,
    pub place: Place,
    /// What to advise for each kind of failure.
    pub remedies: &'static [(Wrong, &'static str)],
}

/// The sign for the check with this name.
pub fn sign(check: &str) -> Option<&'static Sign> {
    SIGNS.iter().find(|sign| sign.check == check)
}

const BARE: Sign =
    Sign { check: "", programs: &[], behind: &[], ports: &[], is_anywhere: false, place: Place::Here, remedies: &[] };

const fn here(check: &'static str) -> Sign {
    Sign { check, ..BARE }
}

const fn by_hand(check: &'static str, words: &'static str) -> Sign {
    Sign { check, place: Place::ByHand(words), ..BARE }
}

const fn page(key: &'static str, path: &'static str) -> Place {
    Place::Page { key, path, more: &[] }
}

const fn split(path_key: &'static [(&'static str, &'static str)]) -> Place {
    Place::Page { key: "address", path: "", more: path_key }
}

/// Ports on which Jolokia usually listens: those of the shipped configuration, and Jolokia's default.
const JOLOKIA: &[u16] = &[7777, 7778, 7771, 8778, 8888];
const NO_JOLOKIA: &[(Wrong, &str)] = &[
    (Wrong::Login, "set auth, user and pass in its section"),
    (Wrong::Otherwise, "start it with -javaagent:jolokia-agent-jvm.jar=port=7777,host=127.0.0.1"),
];
const PASSWORD: (Wrong, &str) = (Wrong::Login, "set auth, user and pass in its section");
const LOGIN: (Wrong, &str) = (Wrong::Login, "set user and pass in its section");
const TOKEN: (Wrong, &str) = (Wrong::Login, "set token in its section");
const STUB_STATUS: &str =
    "add to a server block: location = /nginx_status { stub_status; allow 127.0.0.1; allow ::1; deny all; }";
const MOD_STATUS: &str =
    "switch mod_status on (a2enmod status): <Location /server-status> SetHandler server-status, Require local";
const HAPROXY_STATS: &str = "add: listen stats, bind 127.0.0.1:8888, mode http, stats enable, stats uri /haproxy";
const FPM_STATUS: &str =
    "set pm.status_path = /fpm-status in the pool, and have the web server pass that path on to it for 127.0.0.1";
const LIGHTTPD_STATUS: &str = "add mod_status to server.modules and status.status-url = \"/server-status\"";
const MANAGEMENT: &str = "switch the management plugin on: rabbitmq-plugins enable rabbitmq_management";
const VAULT_TELEMETRY: &str =
    "set token in its section, or unauthenticated_metrics_access in the telemetry of Vault's listener";

/// All signs, in the order of the registry.
pub const SIGNS: &[Sign] = &[
    by_hand("check_cassandra", "is for Cassandra 2.0 and 2.1; later ones are found by check_cassandra3"),
    Sign {
        check: "check_cassandra3",
        programs: &["org.apache.cassandra.service.CassandraDaemon"],
        ports: JOLOKIA,
        place: page("jolokia", "/jolokia/read"),
        remedies: NO_JOLOKIA,
        ..BARE
    },
    Sign { check: "check_ceph", programs: &["ceph-mon", "ceph-mgr", "ceph-osd"], ..BARE },
    by_hand("check_couchbase_4x", "is for Couchbase 4; later ones are found by check_couchbase_5x"),
    Sign {
        check: "check_couchbase_5x",
        programs: &["beam.smp"],
        ports: &[8091],
        place: page("stats", "/pools/default/buckets"),
        remedies: &[LOGIN],
        ..BARE
    },
    by_hand("check_couchdb_1x", "is for CouchDB 1; later ones are found by check_couchdb_2x"),
    Sign {
        check: "check_couchdb_2x",
        programs: &["beam.smp"],
        ports: &[5984],
        place: page("stats", ""),
        remedies: &[(Wrong::Login, "set user and pass in its section, of a server admin")],
        ..BARE
    },
    Sign {
        check: "check_elasticsearch",
        programs: &[
            "elasticsearch",
            "opensearch",
            "org.elasticsearch.bootstrap.Elasticsearch",
            "org.opensearch.bootstrap.OpenSearch",
        ],
        ports: &[9200],
        place: page("host", ""),
        remedies: &[
            (Wrong::Login, "set auth, user and pass, or apikey, in its section"),
            (
                Wrong::Otherwise,
                "it may speak TLS only: set host to https://127.0.0.1:9200, ca_file, auth, user and pass",
            ),
        ],
        ..BARE
    },
    by_hand("check_elasticsearch1x", "is for Elasticsearch 1; later ones are found by check_elasticsearch"),
    Sign {
        check: "check_foundationdb",
        programs: &["fdbserver"],
        remedies: &[(
            Wrong::Otherwise,
            "set fdbclipath in its section to the whole path of fdbcli, and -C to a cluster file that the user of the daemon can read",
        )],
        ..BARE
    },
    Sign {
        check: "check_lizardfs",
        programs: &["mfsmaster", "sfsmaster"],
        ports: &[9421],
        place: Place::Port,
        remedies: &[(
            Wrong::Otherwise,
            "install lizardfs-adm or saunafs-adm, or set admin in its section to the path of its program",
        )],
        ..BARE
    },
    Sign { check: "check_riak", programs: &["beam.smp"], ports: &[8098], place: page("stats", "/stats"), ..BARE },
    Sign {
        check: "check_scylla",
        programs: &["scylla"],
        ports: &[9180],
        place: page("stats", "/metrics"),
        remedies: &[(Wrong::Otherwise, "write prometheus_address: 127.0.0.1 into scylla.yaml")],
        ..BARE
    },
    Sign {
        check: "check_solr",
        programs: &["start.jar"],
        ports: &[8983],
        place: page("stats", "/solr/admin/metrics?group=all&wt=json"),
        remedies: &[PASSWORD],
        ..BARE
    },
    Sign {
        check: "check_spark_master",
        programs: &["org.apache.spark.deploy.master.Master"],
        ports: JOLOKIA,
        place: page("stats", "/jolokia/read"),
        remedies: NO_JOLOKIA,
        ..BARE
    },
    Sign {
        check: "check_spark_worker",
        programs: &["org.apache.spark.deploy.worker.Worker"],
        ports: JOLOKIA,
        place: page("stats", "/jolokia/read"),
        remedies: NO_JOLOKIA,
        ..BARE
    },
    Sign {
        check: "check_storm_api",
        programs: &["org.apache.storm.ui.core", "org.apache.storm.daemon.ui.UIServer"],
        ports: &[8080],
        place: Place::Port,
        ..BARE
    },
    Sign {
        check: "check_storm_workers",
        programs: &["org.apache.storm.daemon.worker", "org.apache.storm.daemon.worker.Worker"],
        ports: &[46700, 46701, 46702, 46703],
        place: Place::Port,
        remedies: &[(
            Wrong::Otherwise,
            "add to worker.childopts: -javaagent:jolokia-agent-jvm.jar=port=4%ID%,host=127.0.0.1",
        )],
        ..BARE
    },
    Sign {
        check: "check_docker_stats",
        place: Place::Socket { key: "stats", paths: &["/var/run/docker.sock", "/run/podman/podman.sock"] },
        remedies: &[
            (Wrong::Login, "add the user of the daemon to the group of that socket, usually docker"),
            (Wrong::Otherwise, "the user of the daemon must be in the group of that socket, usually docker"),
        ],
        ..BARE
    },
    Sign {
        check: "check_hadoop_datanode",
        programs: &["org.apache.hadoop.hdfs.server.datanode.DataNode"],
        ports: &[9864, 50075],
        place: page("jmx", "/jmx"),
        ..BARE
    },
    Sign {
        check: "check_hadoop_namenode",
        programs: &["org.apache.hadoop.hdfs.server.namenode.NameNode"],
        ports: &[9870, 50070],
        place: page("jmx", "/jmx"),
        ..BARE
    },
    Sign {
        check: "check_hbase_master",
        programs: &["org.apache.hadoop.hbase.master.HMaster"],
        ports: &[16010, 60010],
        place: page("jmx", "/jmx"),
        ..BARE
    },
    Sign {
        check: "check_hbase_regionserver",
        programs: &["org.apache.hadoop.hbase.regionserver.HRegionServer"],
        ports: &[16030, 60030],
        place: page("jmx", "/jmx"),
        ..BARE
    },
    Sign {
        check: "check_hbase_rest",
        programs: &["org.apache.hadoop.hbase.rest.RESTServer"],
        ports: &[8085],
        place: page("jmx", "/jmx"),
        ..BARE
    },
    Sign {
        check: "check_hbase_thrift",
        programs: &["org.apache.hadoop.hbase.thrift.ThriftServer", "org.apache.hadoop.hbase.thrift2.ThriftServer"],
        ports: &[9095],
        place: page("jmx", "/jmx"),
        ..BARE
    },
    by_hand("check_hdfs_dirsize", "write the folders under folders of [HDFS-Directory] in conf/hadoop.ini"),
    Sign {
        check: "check_zookeeper",
        programs: &[
            "org.apache.zookeeper.server.quorum.QuorumPeerMain",
            "org.apache.zookeeper.server.ZooKeeperServerMain",
        ],
        ports: &[2181],
        place: Place::Port,
        remedies: &[(Wrong::Otherwise, "write 4lw.commands.whitelist=mntr into zoo.cfg")],
        ..BARE
    },
    Sign {
        check: "check_hashicorp_consul",
        programs: &["consul"],
        ports: &[8500],
        place: page("telemetery", "/v1/agent/metrics"),
        remedies: &[TOKEN],
        ..BARE
    },
    Sign {
        check: "check_hashicorp_nomad",
        programs: &["nomad"],
        ports: &[4646],
        place: page("telemetery", "/v1/metrics"),
        remedies: &[TOKEN],
        ..BARE
    },
    Sign {
        check: "check_hashicorp_vault",
        programs: &["vault", "bao", "openbao"],
        ports: &[8200],
        place: page("telemetery", "/v1/sys/metrics"),
        remedies: &[(Wrong::Login, VAULT_TELEMETRY), (Wrong::Status(400), VAULT_TELEMETRY)],
        ..BARE
    },
    by_hand("check_jmx", "set agent, class and user in [JMX] of conf/java.ini"),
    by_hand("check_jolokia", "set jolokia in [Jolokia] of conf/java.ini: any Java virtual machine may be meant"),
    Sign {
        check: "check_coredns",
        programs: &["coredns"],
        ports: &[9153, 9253],
        place: page("metrics", "/metrics"),
        remedies: &[(Wrong::Otherwise, "write prometheus 127.0.0.1:9153 into the Corefile")],
        ..BARE
    },
    Sign {
        check: "check_etcd",
        programs: &["etcd"],
        ports: &[2381, 2379],
        place: page("metrics", "/metrics"),
        remedies: &[(Wrong::Otherwise, "start it with --listen-metrics-urls=http://127.0.0.1:2381")],
        ..BARE
    },
    Sign {
        check: "check_kube_state_metrics",
        programs: &["kube-state-metrics"],
        ports: &[6868, 8080],
        place: page("metrics", "/metrics"),
        ..BARE
    },
    Sign { check: "check_aralez", programs: &["aralez"], ports: &[3000], place: page("metrics", "/metrics"), ..BARE },
    Sign {
        check: "check_envoy",
        programs: &["envoy"],
        ports: &[8001, 9901, 19000],
        place: page("metrics", "/stats/prometheus"),
        remedies: &[(Wrong::Otherwise, "give it an admin address of 127.0.0.1 with port_value 8001")],
        ..BARE
    },
    Sign {
        check: "check_haproxy",
        programs: &["haproxy"],
        ports: &[8888, 8404],
        is_anywhere: true,
        place: page("url", "/haproxy?stats;csv"),
        remedies: &[PASSWORD, (Wrong::Otherwise, HAPROXY_STATS)],
        ..BARE
    },
    Sign {
        check: "check_traefik",
        programs: &["traefik"],
        ports: &[8080, 8081, 8082],
        is_anywhere: true,
        place: page("metrics", "/metrics"),
        remedies: &[(
            Wrong::Otherwise,
            "start it with --metrics.prometheus=true and an entry point for it on 127.0.0.1",
        )],
        ..BARE
    },
    Sign {
        check: "check_mesos_chronos",
        programs: &["org.apache.mesos.chronos.scheduler.Main"],
        ports: &[9988, 4400],
        place: page("stats", "/metrics"),
        ..BARE
    },
    Sign {
        check: "check_mesos_marathon",
        programs: &["mesosphere.marathon.Main"],
        ports: &[7777, 8080],
        place: page("stats", "/metrics"),
        ..BARE
    },
    Sign {
        check: "check_mesos_master",
        programs: &["mesos-master"],
        ports: &[5050],
        place: page("stats", "/metrics/snapshot"),
        remedies: &[LOGIN],
        ..BARE
    },
    Sign {
        check: "check_mesos_slave",
        programs: &["mesos-agent", "mesos-slave"],
        ports: &[5051],
        place: page("stats", "/metrics/snapshot"),
        remedies: &[LOGIN],
        ..BARE
    },
    Sign {
        check: "check_activemq",
        programs: &["activemq.jar"],
        ports: &[8161],
        place: page("stats", "/api/jolokia/read"),
        remedies: &[PASSWORD],
        ..BARE
    },
    Sign {
        check: "check_kafka",
        programs: &["kafka.Kafka"],
        ports: JOLOKIA,
        place: page("jolokia", "/jolokia/read"),
        remedies: NO_JOLOKIA,
        ..BARE
    },
    Sign {
        check: "check_rabbitmq",
        programs: &["beam.smp", "rabbitmq-server"],
        ports: &[15672],
        place: page("stats", ""),
        remedies: &[
            (Wrong::Login, "set user and pass in its section, of a user with the tag monitoring"),
            (Wrong::Otherwise, MANAGEMENT),
        ],
        ..BARE
    },
    by_hand("check_rabbitmq_368", "is for RabbitMQ before 3.7; later ones are found by check_rabbitmq"),
    by_hand("check_nagios", "write a line for each plugin into conf/nagios.ini"),
    by_hand("check_snmp", "write a section for each device into conf/snmp.ini"),
    Sign {
        check: "check_memcached",
        programs: &["memcached"],
        ports: &[11211],
        is_anywhere: true,
        place: Place::Port,
        ..BARE
    },
    Sign {
        check: "check_mongodb",
        programs: &["mongod", "mongos"],
        ports: &[27017],
        is_anywhere: true,
        place: Place::Port,
        remedies: &[
            PASSWORD,
            (Wrong::Otherwise, "set auth, user and pass in its section, of a user with the role clusterMonitor"),
        ],
        ..BARE
    },
    Sign {
        check: "check_mysql",
        programs: &["mysqld", "mariadbd"],
        ports: &[3306],
        is_anywhere: true,
        place: Place::Port,
        remedies: &[(
            Wrong::Otherwise,
            "CREATE USER puypuy@localhost IDENTIFIED BY '...'; GRANT PROCESS, REPLICATION CLIENT ON *.* TO puypuy@localhost; and set \
             user and pass in its section",
        )],
        ..BARE
    },
    Sign {
        check: "check_redis",
        programs: &["redis-server", "valkey-server", "keydb-server", "dragonfly"],
        ports: &[6379],
        is_anywhere: true,
        place: Place::Port,
        ..BARE
    },
    Sign {
        check: "check_twemproxy",
        programs: &["nutcracker", "twemproxy"],
        ports: &[22222],
        place: Place::Port,
        ..BARE
    },
    here("check_btrfs"),
    here("check_cgroups"),
    here("check_cpustats"),
    here("check_disks"),
    here("check_ipconntrack"),
    here("check_load_average"),
    here("check_memory"),
    here("check_network_bytes"),
    here("check_nvidia_gpu"),
    by_hand("check_oddeye", "set url in [OddEye] of conf/system.ini to a page for a heartbeat"),
    by_hand("check_openfiles", "write a line for each process into [Open Files] of conf/system.ini"),
    here("check_pressure"),
    here("check_tcpconn"),
    Sign {
        check: "check_coturn",
        programs: &["turnserver"],
        ports: &[9641],
        place: page("metrics", "/metrics"),
        remedies: &[(Wrong::Otherwise, "write prometheus into turnserver.conf")],
        ..BARE
    },
    Sign {
        check: "check_janus",
        programs: &["janus"],
        ports: &[7088],
        place: page("adminapi", "/admin"),
        remedies: &[
            (Wrong::Status(404), "set admin_http = true in janus.transport.http.jcfg"),
            (Wrong::Otherwise, "set secret in its section to the admin_secret of janus.jcfg"),
        ],
        ..BARE
    },
    Sign {
        check: "check_apache",
        programs: &["apache2", "httpd"],
        ports: &[80, 8080],
        is_anywhere: true,
        place: page("url", "/server-status?auto"),
        remedies: &[(Wrong::Otherwise, MOD_STATUS), (Wrong::Login, MOD_STATUS)],
        ..BARE
    },
    by_hand("check_http_api", "write the addresses under upstream in [HTTP] of conf/webservers.ini"),
    Sign {
        check: "check_jetty",
        programs: &["org.eclipse.jetty.start.Main", "start.jar"],
        ports: JOLOKIA,
        place: page("stats", "/jolokia/read"),
        remedies: NO_JOLOKIA,
        ..BARE
    },
    Sign {
        check: "check_lighttpd",
        programs: &["lighttpd"],
        ports: &[80, 8080],
        is_anywhere: true,
        place: split(&[("stats", "/server-status?auto")]),
        remedies: &[(Wrong::Otherwise, LIGHTTPD_STATUS)],
        ..BARE
    },
    Sign {
        check: "check_nginx",
        programs: &["nginx", "tengine", "openresty", "angie"],
        ports: &[8088, 80, 8080],
        is_anywhere: true,
        place: split(&[("stats", "/nginx_status")]),
        remedies: &[(Wrong::Otherwise, STUB_STATUS), (Wrong::Login, STUB_STATUS)],
        ..BARE
    },
    Sign {
        check: "check_phpfpm",
        programs: &["php-fpm"],
        behind: &["nginx", "apache2", "httpd", "lighttpd", "caddy"],
        ports: &[8888, 80, 8080],
        place: split(&[("stats", "/fpm-status")]),
        remedies: &[(Wrong::Otherwise, FPM_STATUS), (Wrong::Login, FPM_STATUS)],
        ..BARE
    },
    Sign {
        check: "check_tomcat",
        programs: &["org.apache.catalina.startup.Bootstrap"],
        ports: &[8080],
        place: page("url", "/manager/jmxproxy"),
        remedies: &[
            (Wrong::Login, "set user and pass in its section, of a user with the role manager-jmx"),
            (Wrong::Otherwise, "install the application manager (tomcat-admin)"),
        ],
        ..BARE
    },
    Sign {
        check: "check_varnish",
        programs: &["varnishd"],
        remedies: &[(
            Wrong::Otherwise,
            "the user of the daemon must be in the group varnish, or may run varnishstat by sudo",
        )],
        ..BARE
    },
];
