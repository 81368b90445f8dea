//! check_elasticsearch against a node of Elasticsearch and one of OpenSearch, compared with their other pages.

use crate::maven::{Artifact, class_path, java};
use crate::server::{Program, free_port, http, json, wait};
use crate::watched::Watched;
use serde_json::Value;
use std::fs;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

const START: Duration = Duration::from_secs(90);
const MEGABYTES: u32 = 384;
/// The numbers of stored documents and of searches.
const COUNT: usize = 40;

/// The differences between the two: the folder and package names, and the artifacts.
struct Kind {
    name: &'static str,
    package: &'static str,
    jars: &'static [Artifact],
}

const KINDS: [Kind; 2] = [
    Kind {
        name: "elasticsearch-7.17.28",
        package: "elasticsearch",
        jars: &[
            ("org.elasticsearch:elasticsearch:7.17.28", &[]),
            ("org.elasticsearch.plugin:transport-netty4-client:7.17.28", &[]),
            ("org.apache.logging.log4j:log4j-core:2.17.1", &[]),
        ],
    },
    Kind {
        name: "opensearch-2.19.1",
        package: "opensearch",
        jars: &[
            ("org.opensearch:opensearch:2.19.1", &[]),
            ("org.opensearch.plugin:transport-netty4-client:2.19.1", &[]),
            ("org.apache.logging.log4j:log4j-core:2.21.0", &[]),
        ],
    },
];

/// A node without the scripts of its distribution.
const SOURCE: &str = r#"
import java.util.*;
import org.PACKAGE.common.settings.Settings;
import org.PACKAGE.env.Environment;
import org.PACKAGE.node.*;
import org.PACKAGE.plugins.Plugin;
import org.PACKAGE.transport.Netty4Plugin;

public class Alone extends Node {
    Alone(Environment environment, Collection<Class<? extends Plugin>> plugins) {
        super(environment, plugins, false);
    }

    public static void main(String[] words) throws Exception {
        Settings.Builder settings = Settings.builder().put("path.home", words[0]).put("http.port", words[1]);
        settings.put("transport.port", words[2]).put("network.host", "127.0.0.1").put("node.name", "one");
        settings.put("discovery.type", "single-node").put("http.type", "netty4").put("transport.type", "netty4");
        Environment environment =
            InternalSettingsPreparer.prepareEnvironment(settings.build(), Map.of(), null, () -> "one");
        Alone node = new Alone(environment, List.of(Netty4Plugin.class));
        node.start();
        Runtime.getRuntime().addShutdownHook(new Thread(() -> { try { node.close(); } catch (Exception unused) {} }));
        Thread.currentThread().join();
    }
}
"#;

struct Node {
    folder: TempDir,
    jars: String,
    port: u16,
    transport: u16,
}

impl Node {
    fn new(kind: &Kind) -> Result<Node, String> {
        let (folder, jars) = (TempDir::new().unwrap(), class_path(kind.name, kind.jars)?);
        for name in ["config", "modules", "plugins"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        fs::write(folder.path().join("Alone.java"), SOURCE.replace("PACKAGE", kind.package)).unwrap();
        Ok(Node { folder, jars, port: free_port(), transport: free_port() })
    }

    fn run(&self) -> Result<Program, String> {
        let mut command = Command::new(java()?);
        command.arg(format!("-Xmx{MEGABYTES}m")).args(["-XX:+UseG1GC", "-Dlog4j2.disable.jmx=true", "-cp", &self.jars]);
        command.arg(self.folder.path().join("Alone.java")).arg(self.folder.path());
        command.args([self.port, self.transport].map(|port| port.to_string()));
        let running = Program::start(&mut command, &self.folder.path().join("log"));
        wait("the node", START, || self.number("/_cluster/health", "/number_of_nodes") == Some(1.0));
        Ok(running)
    }

    /// The number at this place of a page.
    fn number(&self, page: &str, place: &str) -> Option<f64> {
        json(self.port, "GET", page, "")?.1.pointer(place).and_then(Value::as_f64)
    }

    /// How many lines of this list contain the word.
    fn lines(&self, list: &str, word: &str) -> Option<f64> {
        let (_, told) = http(self.port, "GET", list)?;
        Some(told.lines().filter(|line| line.contains(word)).count() as f64)
    }
}

fn watch(kind: &Kind) -> Result<(), String> {
    let node = Node::new(kind)?;
    let running = node.run()?;
    let section = format!("[ElasticSearch]\nhost: http://127.0.0.1:{}\nthreadpoolstats: yes\n", node.port);
    let watched = Watched::start("check_elasticsearch", "bigdata.ini", &section);
    watched.until("elasticsearch_is_master", &[], |is_master| is_master == 1.0);
    let made = json(node.port, "PUT", "/books", "{\"settings\": {\"number_of_shards\": 2, \"number_of_replicas\": 1}}");
    assert_eq!(made.map(|(status, _)| status), Some(200));
    for metric in ["elasticsearch_index_total", "elasticsearch_search_total"] {
        watched.until(metric, &[], |rate| rate == 0.0);
    }
    for number in 0..COUNT {
        let stored = json(node.port, "PUT", &format!("/books/_doc/{number}?refresh=true"), "{\"name\": \"one\"}");
        assert_eq!(stored.map(|(status, _)| status), Some(201));
        assert_eq!(node.number("/books/_search?q=name:one", "/hits/total/value"), Some(number as f64 + 1.0));
    }
    // Each search queries both shards.
    watched.counts("elasticsearch_index_total", &[], COUNT);
    watched.counts("elasticsearch_search_total", &[], COUNT * 2);
    watched.until("elasticsearch_cluster_docs", &[], |count| Some(count) == node.number("/_count", "/count"));
    let shards = |state: &str| node.lines("/_cat/shards?h=state", state);
    watched.until("elasticsearch_active_shards", &[], |count| count == 2.0 && Some(count) == shards("STARTED"));
    watched.until("elasticsearch_unassigned_shards", &[], |count| count == 2.0 && Some(count) == shards("UNASSIGNED"));
    watched.until("elasticsearch_nodes", &[], |count| Some(count) == node.lines("/_cat/nodes?h=name", "one"));
    watched.until("elasticsearch_heap_commited", &[], |bytes| bytes > 0.0 && bytes <= f64::from(MEGABYTES << 20));
    watched.until("elasticsearch_gc_young_count", &[], |rate| rate >= 0.0);
    watched.until("elasticsearch_thread_pool", &[("pool", "write")], |tasks| tasks >= 0.0);
    watched.outage("elasticsearch_heap_used", &[], running, Program::end, || node.run().unwrap());
    Ok(())
}

pub fn all() -> Result<(), String> {
    KINDS.iter().try_for_each(watch)
}
