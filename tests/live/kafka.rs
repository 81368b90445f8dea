//! check_kafka against brokers from Maven Central with the Jolokia agent, compared with Kafka's own tool and its beans.

use crate::cache::output;
use crate::jolokia::numbers;
use crate::maven::{Artifact, class_path, file, java};
use crate::server::{Program, free_port, wait};
use crate::watched::Watched;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

const START: Duration = Duration::from_secs(90);
const MEGABYTES: u32 = 256;
/// The number of messages to send.
const SENT: usize = 500;

/// The differences between versions.
struct Version {
    artifacts: (&'static str, &'static [Artifact]),
    agent: &'static str,
    /// The class that sends messages, and its option for the server.
    producer: (&'static str, &'static str),
    /// Before version 3.3 it keeps its metadata in a ZooKeeper.
    has_zookeeper: bool,
}

const V1: Version = Version {
    artifacts: ("kafka-1.1.1", &[("org.apache.kafka:kafka_2.12:1.1.1", &[]), ("org.slf4j:slf4j-log4j12:1.7.25", &[])]),
    agent: "org.jolokia:jolokia-jvm:1.7.2",
    producer: ("kafka.tools.ConsoleProducer", "--broker-list"),
    has_zookeeper: true,
};
const V2: Version = Version {
    artifacts: ("kafka-2.8.2", &[("org.apache.kafka:kafka_2.13:2.8.2", &[])]),
    producer: ("kafka.tools.ConsoleProducer", "--bootstrap-server"),
    ..V1
};
const V3: Version = Version {
    artifacts: ("kafka-3.7.1", &[("org.apache.kafka:kafka_2.13:3.7.1", &[])]),
    agent: "org.jolokia:jolokia-agent-jvm:2.2.9:jar:javaagent",
    has_zookeeper: false,
    ..V2
};
const V4: Version = Version {
    artifacts: (
        "kafka-4.1.0",
        &[("org.apache.kafka:kafka_2.13:4.1.0", &[]), ("org.apache.kafka:kafka-tools:4.1.0", &[])],
    ),
    producer: ("org.apache.kafka.tools.ConsoleProducer", "--bootstrap-server"),
    ..V3
};

struct Broker {
    version: Version,
    java: PathBuf,
    jars: String,
    agent: PathBuf,
    folder: TempDir,
    /// The ports of messages and of Jolokia.
    port: u16,
    jolokia: u16,
    _zookeeper: Option<Program>,
}

impl Broker {
    fn new(version: Version) -> Result<Broker, String> {
        let (name, artifacts) = version.artifacts;
        let (java, jars, agent) = (java()?, class_path(name, artifacts)?, file(version.agent)?);
        let (folder, port, other) = (TempDir::new().unwrap(), free_port(), free_port());
        let inside = |name: &str| folder.path().join(name);
        let logs = "log4j.rootLogger=WARN, out\nlog4j.appender.out=org.apache.log4j.ConsoleAppender\n\
                    log4j.appender.out.layout=org.apache.log4j.SimpleLayout\n";
        fs::write(inside("log4j.properties"), logs).unwrap();
        let own = match version.has_zookeeper {
            true => {
                format!("broker.id=1\nzookeeper.connect=127.0.0.1:{other}\nlisteners=PLAINTEXT://127.0.0.1:{port}\n")
            }
            false => format!(
                "process.roles=broker,controller\nnode.id=1\ncontroller.quorum.voters=1@127.0.0.1:{other}\n\
                 listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{other}\n\
                 controller.listener.names=CONTROLLER\n"
            ),
        };
        let common = format!(
            "log.dirs={}\noffsets.topic.replication.factor=1\nnum.partitions=3\n\
             advertised.listeners=PLAINTEXT://127.0.0.1:{port}\n",
            inside("data").display()
        );
        fs::write(inside("server.properties"), own + &common).unwrap();
        let mut broker = Broker { version, java, jars, agent, folder, port, jolokia: free_port(), _zookeeper: None };
        match broker.version.has_zookeeper {
            true => {
                let place = broker.inside("zookeeper");
                let own = format!(
                    "dataDir={place}\nclientPort={other}\nclientPortAddress=127.0.0.1\nadmin.enableServer=false\n"
                );
                fs::write(broker.inside("zookeeper.properties"), own).unwrap();
                let mut command = broker.command("org.apache.zookeeper.server.quorum.QuorumPeerMain");
                command.arg(broker.inside("zookeeper.properties"));
                broker._zookeeper = Some(Program::start(&mut command, broker.inside("zookeeper.log").as_ref()));
                wait("ZooKeeper", START, || std::net::TcpStream::connect(("127.0.0.1", other)).is_ok());
            }
            false => {
                let mut command = broker.command("kafka.tools.StorageTool");
                command.args(["format", "-t", "AAAAAAAAAAAAAAAAAAAAAQ", "-c", &broker.inside("server.properties")]);
                output(&mut command)?;
            }
        }
        Ok(broker)
    }

    fn inside(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// A class of Kafka as a program.
    fn command(&self, class: &str) -> Command {
        let mut command = Command::new(&self.java);
        command
            .arg(format!("-Xmx{MEGABYTES}m"))
            .arg(format!("-Dlog4j.configuration=file:{}", self.inside("log4j.properties")));
        command.args(["-cp", &self.jars, class]).current_dir(self.folder.path());
        command
    }

    fn start(&self) -> Program {
        let agent = self.agent.display();
        let agent = format!("-javaagent:{agent}=port={},host=127.0.0.1,agentContext=/jolokia", self.jolokia);
        let mut command = self.command("kafka.Kafka");
        command.env("JDK_JAVA_OPTIONS", agent).arg(self.inside("server.properties"));
        let running = Program::start(&mut command, self.inside("broker.log").as_ref());
        wait("Kafka", START, || {
            let state = "kafka.server:type=KafkaServer,name=BrokerState";
            numbers(self.jolokia, state, "Value") == [3.0]
        });
        running
    }

    /// Sends this many messages with its own tool, which creates the topic.
    fn send(&self, count: usize) {
        let (class, word) = self.version.producer;
        let lines: String = (0..count).map(|at| format!("message {at}\n")).collect();
        fs::write(self.inside("messages"), lines).unwrap();
        let mut command = self.command(class);
        command.args([word, &format!("127.0.0.1:{}", self.port), "--topic", "t1"]);
        let said = command.stdin(File::open(self.inside("messages")).unwrap()).output().unwrap();
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    }

    fn sum(&self, bean: &str, attribute: &str) -> f64 {
        numbers(self.jolokia, bean, attribute).iter().sum()
    }
}

/// The sent messages and the resulting partitions are reported; then the broker is stopped.
fn watch(version: Version) -> Result<(), String> {
    let broker = Broker::new(version)?;
    let running = broker.start();
    let section = format!("[Kafka]\njolokia: http://127.0.0.1:{}/jolokia/read\n", broker.jolokia);
    let watched = Watched::start("check_kafka", "mq.ini", &section);
    let heap = watched.now("kafka_heap_max", &[]);
    assert_eq!(heap, f64::from(MEGABYTES << 20));
    // The bean of a kind of request may appear with the first request, and a rate with the second value.
    broker.send(1);
    let produced = || broker.sum("kafka.network:type=RequestMetrics,name=RequestsPerSec,request=Produce,*", "Count");
    wait("the first requests", START, || produced() > 0.0);
    watched.now("kafka_produce", &[]);
    let told = || watched.counted("kafka_produce", &[]);
    let (before, begun) = (told(), produced());
    broker.send(SENT);
    // Rates of a second each: they add up to its own counts, whatever the versions of the requests.
    let counted = produced() - begun;
    assert!(counted > 0.0);
    wait("the rates of the requests", START, || (told() - before - counted).abs() < counted / 5.0 + 0.6);
    // A message that an old producer resends arrives twice.
    assert!(broker.sum("kafka.server:type=BrokerTopicMetrics,name=MessagesInPerSec", "Count") > SENT as f64);
    let rate = || broker.sum("kafka.server:type=BrokerTopicMetrics,name=MessagesInPerSec", "OneMinuteRate");
    watched.until("kafka_messagesinpersec", &[], |told| told > 0.0 && (told - rate()).abs() < rate() / 4.0);
    watched.until("kafka_partitioncount", &[], |count| count == 3.0);
    if broker.version.artifacts.0 == V4.artifacts.0 {
        let mut command = broker.command("org.apache.kafka.tools.TopicCommand");
        command.args(["--bootstrap-server", &format!("127.0.0.1:{}", broker.port), "--describe"]);
        assert_eq!(output(&mut command)?.matches("Partition: ").count(), 3);
    }
    watched.until("kafka_leadercount", &[], |count| count == 3.0);
    watched.until("kafka_underreplicatedpartitions", &[], |count| count == 0.0);
    watched.until("kafka_activecontrollercount", &[], |count| count == 1.0);
    watched.outage("kafka_partitioncount", &[], running, Program::end, || broker.start());
    Ok(())
}

pub fn newest() -> Result<(), String> {
    watch(V4)
}

pub fn older() -> Result<(), String> {
    [V1, V2, V3].into_iter().try_for_each(watch)
}
