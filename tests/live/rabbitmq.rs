//! The checks of RabbitMQ against Debian's package, compared with its management API.

use crate::cache::output;
use crate::server::{Program, free_port, program, wait};
use crate::watched::Watched;
use serde_json::Value;
use std::cell::RefCell;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

const START: Duration = Duration::from_secs(180);
/// Not those in the search path, which change the user.
const SERVER: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";
const CONF: &str = "mq.ini";
const JSON: &str = "{\"auto_delete\":false,\"durable\":true}";

/// A broker in its own folder.
struct Broker {
    folder: TempDir,
    /// The ports of messages, of its cluster, and of the management plugin.
    ports: [u16; 3],
    epmd: (u16, Program),
    running: RefCell<Option<Program>>,
}

impl Broker {
    fn start() -> Result<Broker, String> {
        let epmd = program("epmd", "rabbitmq-server")?;
        if !Path::new(SERVER).exists() {
            return Err("the package rabbitmq-server cannot be installed here".into());
        }
        let (folder, port) = (TempDir::new().unwrap(), free_port());
        let mut command = Command::new(epmd);
        command.args(["-address", "127.0.0.1", "-port", &port.to_string()]);
        let epmd = (port, Program::start(&mut command, &folder.path().join("epmd.log")));
        let ports = [free_port(), free_port(), free_port()];
        let broker = Broker { folder, ports, epmd, running: RefCell::new(None) };
        broker.run();
        Ok(broker)
    }

    fn run(&self) {
        let inside = |name: &str| self.folder.path().join(name);
        let [messages, cluster, management] = self.ports.map(|port| port.to_string());
        fs::write(inside("plugins"), "[rabbitmq_management].").unwrap();
        let conf = format!("management.tcp.ip = 127.0.0.1\nmanagement.tcp.port = {management}\n");
        fs::write(inside("rabbitmq.conf"), conf).unwrap();
        let mut command = Command::new(SERVER);
        command
            .env("HOME", self.folder.path())
            .env("RABBITMQ_NODENAME", format!("live{management}@localhost"))
            .env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_NODE_PORT", messages)
            .env("RABBITMQ_DIST_PORT", cluster)
            .env("RABBITMQ_CONF_ENV_FILE", "/dev/null")
            .env("RABBITMQ_MNESIA_BASE", inside("mnesia"))
            .env("RABBITMQ_LOG_BASE", inside("logs"))
            .env("RABBITMQ_PID_FILE", inside("pid"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", inside("plugins"))
            .env("RABBITMQ_CONFIG_FILE", inside("rabbitmq"))
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env("ERL_EPMD_PORT", self.epmd.0.to_string())
            .env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "-kernel inet_dist_use_interface {127,0,0,1}");
        *self.running.borrow_mut() = Some(Program::start(&mut command, &inside("log")));
        wait("RabbitMQ", START, || self.ask("GET", "/api/overview", "").is_some());
    }

    /// Runs its own tool with these arguments.
    fn control(&self, words: &[&str]) {
        let mut command = Command::new("/usr/lib/rabbitmq/bin/rabbitmqctl");
        command.env("HOME", self.folder.path()).env("ERL_EPMD_PORT", self.epmd.0.to_string());
        command.args(["-n", &format!("live{}@localhost", self.ports[2])]).args(words);
        output(&mut command).unwrap();
    }

    /// The server is a child of the started process.
    fn stop(&self) {
        let pid = fs::read_to_string(self.folder.path().join("pid")).unwrap_or_default();
        if let Some(mut running) = self.running.borrow_mut().take() {
            let _ = Command::new("kill").args(["-KILL", pid.trim()]).status();
            let _ = running.0.wait();
        }
    }

    /// The response of the management API for the user guest.
    fn ask(&self, method: &str, path: &str, body: &str) -> Option<Value> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.ports[2])).ok()?;
        stream.set_read_timeout(Some(START)).ok()?;
        let head = format!(
            "{method} {path} HTTP/1.0\r\nHost: x\r\nAuthorization: Basic Z3Vlc3Q6Z3Vlc3Q=\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all((head + body).as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        let is_well = head.split(' ').nth(1)?.starts_with('2');
        is_well.then(|| serde_json::from_str(body).unwrap_or(Value::Null))
    }

    fn declare(&self, vhost: &str, queue: &str) {
        self.ask("PUT", &format!("/api/queues/{vhost}/{queue}"), JSON).unwrap();
    }

    fn publish(&self, vhost: &str, queue: &str) {
        let body = format!(
            "{{\"properties\":{{}},\"routing_key\":\"{queue}\",\"payload\":\"x\",\"payload_encoding\":\"string\"}}"
        );
        let told = self.ask("POST", &format!("/api/exchanges/{vhost}/amq.default/publish"), &body).unwrap();
        assert_eq!(told["routed"], true);
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.stop();
    }
}

pub fn rabbitmq() -> Result<(), String> {
    let broker = Broker::start()?;
    broker.ask("PUT", "/api/vhosts/shop", "").unwrap();
    broker.ask("PUT", "/api/permissions/shop/guest", r#"{"configure":".*","write":".*","read":".*"}"#).unwrap();
    broker.ask("PUT", "/api/users/small", r#"{"password":"small","tags":"management"}"#).unwrap();
    broker.ask("PUT", "/api/permissions/%2F/small", r#"{"configure":".*","write":".*","read":".*"}"#).unwrap();
    for (vhost, queue) in [("%2F", "beer-queue"), ("%2F", "all"), ("shop", "beer-queue"), ("%2F", "deer.queue")] {
        broker.declare(vhost, queue);
        (0..5).for_each(|_| broker.publish(vhost, queue));
    }
    // The list is an error until RabbitMQ has counted each queue once.
    wait("the list of queues", START, || {
        let queues = broker.ask("GET", "/api/queues", "").unwrap_or_default();
        queues.as_array().is_some_and(|queues| queues.len() == 4 && queues.iter().all(|one| one["messages"] == 5))
    });
    let stats = format!("stats: http://127.0.0.1:{}\nuser: guest\npass: guest\nqueue_details: True\n", broker.ports[2]);
    let small = stats.replace("guest", "small");
    let watched = Watched::start(
        "check_rabbitmq",
        CONF,
        &format!("[RabbitMQ]\n{stats}[RabbitMQ:small]\n{small}plain_tags: on\n"),
    );
    watched.until("rabbitmq_messages", &[], |count| count == 20.0);
    watched.until("rabbitmq_messages", &[("instance", "small")], |count| count == 15.0);
    watched.until("rabbitmq_perqueue_messages", &[("queue", "deer_queue")], |count| count == 5.0);
    watched.until("rabbitmq_perqueue_messages", &[("queue", "beer_queue"), ("vhost", "shop")], |count| count == 5.0);
    let sum = |metric, tags: &[(&str, &str)]| watched.points(metric, tags).iter().map(|(_, rate)| rate).sum::<f64>();
    for _ in 0..50 {
        broker.publish("%2F", "beer-queue");
    }
    // The server's own rates over five seconds, sent every second.
    wait("rates of what was published", START, || sum("rabbitmq_publish_rate", &[]) > 0.0);
    let odd = [("queue", "rabbitmq_beer_queue_publish_details")];
    wait("the same of the queue", START, || sum("rabbitmq_perqueue_publish", &odd) > 0.0);
    wait("the same by its name", START, || {
        sum("rabbitmq_perqueue_publish", &[("queue", "beer_queue"), ("instance", "small")]) > 0.0
    });
    watched.until("rabbitmq_messages", &[], |count| count == 70.0);
    let own = broker.ask("GET", "/api/overview", "").unwrap();
    for (metric, place) in [
        ("rabbitmq_messages", "/queue_totals/messages"),
        ("rabbitmq_messages_ready", "/queue_totals/messages_ready"),
        ("rabbitmq_queues", "/object_totals/queues"),
        ("rabbitmq_exchanges", "/object_totals/exchanges"),
    ] {
        assert_eq!(watched.now(metric, &[]), own.pointer(place).unwrap().as_f64().unwrap(), "{metric}");
    }
    let nodes = broker.ask("GET", "/api/nodes", "").unwrap();
    let name = nodes[0]["name"].as_str().unwrap();
    for (metric, place) in [
        ("rabbitmq_node_mem_limit", "/0/mem_limit"),
        ("rabbitmq_node_disk_free_limit", "/0/disk_free_limit"),
        ("rabbitmq_node_fd_total", "/0/fd_total"),
        ("rabbitmq_node_sockets_used", "/0/sockets_used"),
        ("rabbitmq_node_proc_total", "/0/proc_total"),
    ] {
        assert_eq!(watched.now(metric, &[("node", name)]), nodes.pointer(place).unwrap().as_f64().unwrap(), "{metric}");
    }
    let used = nodes[0]["mem_used"].as_f64().unwrap();
    watched.until("rabbitmq_node_mem_used", &[("node", name)], |bytes| (bytes - used).abs() < used / 4.0);
    for (metric, state) in [("running", 1.0), ("mem_alarm", 0.0), ("disk_free_alarm", 0.0), ("partitions", 0.0)] {
        assert_eq!(watched.now(&format!("rabbitmq_node_{metric}"), &[("node", name)]), state, "{metric}");
    }
    broker.control(&["set_vm_memory_high_watermark", "absolute", "1MB"]);
    watched.until("rabbitmq_node_mem_alarm", &[("node", name)], |is_on| is_on == 1.0);
    broker.control(&["set_vm_memory_high_watermark", "0.4"]);
    watched.until("rabbitmq_node_mem_alarm", &[("node", name)], |is_on| is_on == 0.0);
    assert_eq!(watched.points("rabbitmq_node_running", &[("node", name), ("instance", "small")]), []);
    let said = watched.said();
    assert!(matches!(&said[..], [line] if line.contains("small: user: needs the tag monitoring")), "{said:#?}");
    drop(watched);

    let section = format!("[RabbitMQ 3.6]\n{stats}desired_queues: deer.queue, beer-queue, nosuch\n");
    let watched = Watched::start("check_rabbitmq_368", CONF, &section);
    watched.until("rabbitmq_messages", &[("queue", "all")], |count| count == 70.0);
    watched.until("rabbitmq_messages", &[("queue", "beer_queue")], |count| count == 55.0);
    watched.until("rabbitmq_messages", &[("queue", "deer_queue")], |count| count == 5.0);

    watched.outage("rabbitmq_queues", &[("queue", "all")], (), |()| broker.stop(), || broker.run());
    Ok(())
}
