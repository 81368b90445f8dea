//! check_zookeeper against a server that answers mntr, and one that is queried through its AdminServer.

use crate::maven::{Artifact, class_path, java};
use crate::server::{Program, free_port, http, wait};
use crate::watched::Watched;
use std::cell::RefCell;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

const START: Duration = Duration::from_secs(60);
const JARS: &[Artifact] = &[
    ("org.apache.zookeeper:zookeeper:3.9.4", &[]),
    ("io.dropwizard.metrics:metrics-core:4.2.28", &[]),
    ("org.xerial.snappy:snappy-java:1.1.10.7", &[]),
    ("commons-cli:commons-cli:1.5.0", &[]),
    ("org.eclipse.jetty:jetty-server:9.4.57.v20241219", &[]),
    ("org.eclipse.jetty:jetty-servlet:9.4.57.v20241219", &[]),
    ("com.fasterxml.jackson.core:jackson-databind:2.15.2", &[]),
];

/// A standalone server, in its own folder.
struct ZooKeeper {
    folder: TempDir,
    jars: String,
    port: u16,
    admin: u16,
    running: RefCell<Option<Program>>,
}

impl ZooKeeper {
    /// A server that answers these commands.
    fn start(words: &str) -> Result<ZooKeeper, String> {
        let jars = class_path("zookeeper-3.9.4", JARS)?;
        let folder = TempDir::new().unwrap();
        let (port, admin) = (free_port(), free_port());
        let conf = format!(
            "dataDir={}\nclientPort={port}\nclientPortAddress=127.0.0.1\n4lw.commands.whitelist={words}\n\
             admin.serverAddress=127.0.0.1\nadmin.serverPort={admin}\n",
            folder.path().join("data").display()
        );
        fs::write(folder.path().join("zoo.cfg"), conf).unwrap();
        let server = ZooKeeper { folder, jars, port, admin, running: RefCell::new(None) };
        server.run()?;
        Ok(server)
    }

    fn run(&self) -> Result<(), String> {
        let mut command = self.java()?;
        command.arg("org.apache.zookeeper.server.quorum.QuorumPeerMain").arg(self.folder.path().join("zoo.cfg"));
        *self.running.borrow_mut() = Some(Program::start(&mut command, &self.folder.path().join("log")));
        wait("ZooKeeper", START, || self.says("srvr").contains("Node count: "));
        // Its first response takes long.
        wait("its AdminServer", START, || http(self.admin, "GET", "/commands/monitor").is_some());
        Ok(())
    }

    fn java(&self) -> Result<Command, String> {
        let mut command = Command::new(java()?);
        command.args(["-Xmx96m", "-cp", &self.jars]);
        Ok(command)
    }

    fn stop(&self) {
        self.running.borrow_mut().take().unwrap().end();
    }

    /// The response to a four-letter command; empty while there is none.
    fn says(&self, word: &str) -> String {
        let mut answer = String::new();
        if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port)) {
            // A client that connects while it starts may wait forever.
            let _ = stream.set_read_timeout(Some(Duration::from_secs(2)));
            let _ = stream.write_all(word.as_bytes()).and_then(|()| stream.read_to_string(&mut answer));
        }
        answer
    }

    /// The number of nodes, as the server itself reports.
    fn nodes(&self) -> f64 {
        let answer = self.says("srvr");
        answer.lines().find_map(|line| line.strip_prefix("Node count: ")?.parse().ok()).unwrap()
    }

    /// Creates this many nodes with the server's own client.
    fn make_nodes(&self, count: usize) -> Result<(), String> {
        let script = self.folder.path().join("script");
        let lines: String = (0..count).map(|number| format!("create /n{number} x\n")).collect();
        fs::write(&script, lines + "quit\n").unwrap();
        let mut command = self.java()?;
        command.args(["org.apache.zookeeper.ZooKeeperMain", "-server", &format!("127.0.0.1:{}", self.port)]);
        let output = command.stdin(fs::File::open(&script).unwrap()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }
}

pub fn zookeeper() -> Result<(), String> {
    let open = ZooKeeper::start("mntr,srvr")?;
    let closed = ZooKeeper::start("srvr")?;
    let first = format!("[ZooKeeper]\nport: {}\nhost: 127.0.0.1\nmore: zk_p99_readlatency\n", open.port);
    let second = format!("port: {}\nhost: 127.0.0.1\nadmin: http://127.0.0.1:{}\n", closed.port, closed.admin);
    let both = format!("{first}[ZooKeeper:closed]\n{second}");
    let watched = Watched::start("check_zookeeper", "hadoop.ini", &both);
    for (server, tags) in [(&open, &[][..]), (&closed, &[("instance", "closed")][..])] {
        watched.until("zk_is_leader", tags, |leads| leads == 1.0);
        let nodes = server.nodes();
        watched.until("zk_znode_count", tags, |count| count == nodes);
        server.make_nodes(40)?;
        watched.until("zk_znode_count", tags, |count| count == nodes + 40.0);
        wait("rates of packets", START, || {
            watched.points("zk_packets_received", tags).iter().any(|(_, rate)| *rate > 0.0)
        });
        watched.until("zk_max_latency", tags, |longest| longest > 0.0);
    }
    watched.until("zk_p99_readlatency", &[], |time| time >= 0.0);
    assert!(watched.said().is_empty(), "{:#?}", watched.said());
    drop(watched);

    // While it starts it says that it does not serve: one or two log lines until it is back.
    let watched = Watched::start("check_zookeeper", "hadoop.ini", &first);
    watched.now("zk_znode_count", &[]);
    open.stop();
    wait("a line about the server that went", START, || !watched.said().is_empty());
    let gone = watched.points("zk_znode_count", &[]).len();
    open.run()?;
    wait("points when the server is back", START, || watched.points("zk_znode_count", &[]).len() > gone);
    wait("a line that it is back", START, || watched.said().last().is_some_and(|line| line.contains("works again")));
    assert!(watched.said().len() <= 3, "{:#?}", watched.said());
    Ok(())
}
