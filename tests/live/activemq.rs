//! check_activemq against ActiveMQ from Maven Central, with its own Jolokia and with the agent, compared with what its
//! own tools sent and received and with its beans.

use crate::cache::output;
use crate::maven::{Artifact, class_path, file, java};
use crate::server::{Program, free_port, wait};
use crate::watched::Watched;
use serde_json::Value;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

const START: Duration = Duration::from_secs(90);
const BEAN: &str = "org.apache.activemq:brokerName=localhost,type=Broker";

/// A broker in its own folder.
struct Broker {
    /// The arguments before those of its tools.
    tool: Vec<String>,
    /// The arguments that start it.
    server: Vec<String>,
    java: PathBuf,
    folder: TempDir,
    /// The ports of messages and of Jolokia, and the path of Jolokia.
    port: u16,
    jolokia: (u16, &'static str),
}

impl Broker {
    /// As shipped, with its console and a login.
    fn shipped(artifact: &'static str, name: &str) -> Result<Broker, String> {
        let (java, archive) = (java()?, file(artifact)?);
        let (folder, port, jolokia) = (TempDir::new().unwrap(), free_port(), free_port());
        output(Command::new("tar").arg("-xzf").arg(archive).arg("-C").arg(folder.path()))?;
        let home = folder.path().join(name);
        let change = |file: &str, changes: &[(&str, &str)]| {
            let text = fs::read_to_string(home.join(file)).unwrap();
            let text = changes.iter().fold(text, |text, (from, to)| text.replace(from, to));
            fs::write(home.join(file), text).unwrap();
        };
        let address = format!("127.0.0.1:{port}?");
        let text = fs::read_to_string(home.join("conf/activemq.xml")).unwrap();
        let is_kept = |line: &&str| !line.contains("<transportConnector ") || line.contains("\"openwire\"");
        let text: String = text.lines().filter(is_kept).flat_map(|line| [line, "\n"]).collect();
        fs::write(home.join("conf/activemq.xml"), text).unwrap();
        change("conf/activemq.xml", &[("0.0.0.0:61616?", &address)]);
        change("conf/jetty.xml", &[("\"8161\"", &format!("\"{jolokia}\"")), ("0.0.0.0", "127.0.0.1")]);
        let at = home.display();
        let mut tool = vec!["-Xmx128m".to_string()];
        tool.extend(["home", "base"].map(|word| format!("-Dactivemq.{word}={at}")));
        tool.extend(["conf", "data"].map(|word| format!("-Dactivemq.{word}={at}/{word}")));
        tool.push(format!("-Djava.security.auth.login.config={at}/conf/login.config"));
        tool.push(format!("-Djolokia.conf=file:{at}/conf/jolokia-access.xml"));
        tool.extend(["-jar".to_string(), format!("{at}/bin/activemq.jar")]);
        let server = [&tool[..], &["start".to_string()]].concat();
        Ok(Broker { tool, server, java, folder, port, jolokia: (jolokia, "/api/jolokia/read") })
    }

    /// Without console and login, in a JVM with Jolokia's agent.
    fn with_agent(name: &str, artifacts: &[Artifact]) -> Result<Broker, String> {
        let (java, jars) = (java()?, class_path(name, artifacts)?);
        let agent = file("org.jolokia:jolokia-agent-jvm:2.2.9:jar:javaagent")?;
        let (folder, port, jolokia) = (TempDir::new().unwrap(), free_port(), free_port());
        let tool = ["-Xmx128m", "-cp", &jars, "org.apache.activemq.console.Main"].map(String::from).to_vec();
        let agent = format!("-javaagent:{}=port={jolokia},host=127.0.0.1,agentContext=/jolokia", agent.display());
        let broker = format!("broker:(tcp://127.0.0.1:{port})/localhost?persistent=false&useJmx=true");
        let server = [&[agent], &tool[..], &["start".to_string(), broker]].concat();
        Ok(Broker { tool, server, java, folder, port, jolokia: (jolokia, "/jolokia/read") })
    }

    fn start(&self) -> Program {
        let mut command = Command::new(&self.java);
        command.args(&self.server).current_dir(self.folder.path());
        let running = Program::start(&mut command, &self.folder.path().join("log"));
        wait("ActiveMQ", START, || self.own("TotalMessageCount").is_some());
        running
    }

    /// Runs one of its own tools.
    fn tool(&self, words: &[&str]) {
        let mut command = Command::new(&self.java);
        command.args(&self.tool).args(words).args(["--destination", "queue://q1", "--brokerUrl"]);
        output(command.arg(format!("tcp://127.0.0.1:{}", self.port)).current_dir(self.folder.path())).unwrap();
    }

    /// What its Jolokia returns to other clients.
    fn own(&self, attribute: &str) -> Option<f64> {
        let (port, path) = self.jolokia;
        let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
        stream.set_read_timeout(Some(START)).ok()?;
        let head = format!(
            "GET {path}/{BEAN}/{attribute} HTTP/1.0\r\nHost: 127.0.0.1\r\nAuthorization: Basic YWRtaW46YWRtaW4=\r\nOrigin: http://localhost\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (_, body) = answer.split_once("\r\n\r\n")?;
        serde_json::from_str::<Value>(body).ok()?.get("value")?.as_f64()
    }
}

fn watch(broker: Broker) {
    let running = broker.start();
    let (port, path) = broker.jolokia;
    let section = format!(
        "[ActiveMQ]\nstats: http://127.0.0.1:{port}{path}\nbrokername: localhost\nuser: admin\npass: admin\nqueue_details: True\n"
    );
    let watched = Watched::start("check_activemq", "mq.ini", &section);
    watched.until("activemq_totalmessagecount", &[], |count| count == 0.0);
    broker.tool(&["producer", "--messageCount", "300"]);
    watched.until("activemq_totalmessagecount", &[], |count| count == 300.0);
    let of_queue = [("queue", "q1")];
    watched.until("activemq_queue_dequeue", &of_queue, |rate| rate == 0.0);
    broker.tool(&["consumer", "--messageCount", "200"]);
    watched.until("activemq_queue_size", &of_queue, |count| count == 100.0);
    let taken = || watched.counted("activemq_queue_dequeue", &of_queue);
    wait("the rates of 200 messages", START, || (taken() - 200.0).abs() < 40.0);
    for (metric, attribute) in [
        ("activemq_totalmessagecount", "TotalMessageCount"),
        ("activemq_totalenqueuecount", "TotalEnqueueCount"),
        ("activemq_totaldequeuecount", "TotalDequeueCount"),
        ("activemq_totalconsumercount", "TotalConsumerCount"),
        ("activemq_totalconnectionscount", "TotalConnectionsCount"),
        ("activemq_memorypercentusage", "MemoryPercentUsage"),
        ("activemq_averagemessagesize", "AverageMessageSize"),
    ] {
        watched.until(metric, &[], |value| Some(value) == broker.own(attribute));
    }
    assert_eq!(watched.now("activemq_heap_max", &[]), f64::from(128 << 20));
    watched.outage("activemq_heap_max", &[], running, Program::end, || broker.start());
}

pub fn shipped() -> Result<(), String> {
    watch(Broker::shipped("org.apache.activemq:apache-activemq:5.18.3:tar.gz:bin", "apache-activemq-5.18.3")?);
    Ok(())
}

pub fn others() -> Result<(), String> {
    watch(Broker::shipped("org.apache.activemq:apache-activemq:5.16.6:tar.gz:bin", "apache-activemq-5.16.6")?);
    watch(Broker::with_agent(
        "activemq-6.1.7",
        &[
            ("org.apache.activemq:activemq-broker:6.1.7", &[]),
            ("org.apache.activemq:activemq-console:6.1.7", &[]),
            ("org.apache.activemq:activemq-kahadb-store:6.1.7", &[]),
        ],
    )?);
    Ok(())
}
