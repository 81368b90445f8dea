//! check_jmx before anything answers: into which virtual machine the agent is loaded, how often, and the messages about
//! it.

use super::machine::{Worker, section, spec};
use crate::support::free_port;
use crate::support::server::answer;
use nix::unistd::geteuid;
use puypuy::model::roots::Roots;
use puypuy::sys::users;
use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::thread;
use tempfile::TempDir;

const JAR: &str = "/opt/jolokia agent.jar";

/// A launcher that knows these virtual machines, fails at every start, and writes down its arguments.
struct Launcher {
    folder: TempDir,
    port: u16,
}

impl Launcher {
    fn new(list: &str) -> Launcher {
        let folder = TempDir::new().unwrap();
        let (java, own) = (folder.path().join("java"), folder.path().display());
        fs::write(folder.path().join("list"), list).unwrap();
        let script = format!(
            "#!/bin/sh\nfor word; do echo \"$word\"; done >> {own}/asked\ncase \"$*\" in *list) cat {own}/list;; *) echo 'no good' >&2; exit 1;; esac\n"
        );
        fs::write(&java, script).unwrap();
        fs::set_permissions(&java, Permissions::from_mode(0o755)).unwrap();
        // Nothing listens on this port any more.
        let port = free_port();
        Launcher { folder, port }
    }

    fn worker(&self, agent: &str) -> Worker {
        let (address, java) = (format!("http://127.0.0.1:{}/puypuy/read", self.port), self.folder.path().join("java"));
        let (java, user) = (java.display().to_string(), users::name_of(geteuid()));
        let lines = [("jmx", &*address), ("java", &java), ("user", &user), ("class", "Bootstrap"), ("agent", agent)];
        Worker::new(spec("check_jmx"), &lines)
    }

    fn asked(&self) -> String {
        fs::read_to_string(self.folder.path().join("asked")).unwrap_or_default().replace('\n', "|")
    }
}

#[test]
fn the_agent_is_loaded_into_the_machine_that_runs_the_class() {
    let launcher = Launcher::new(
        "  41   org.example.NotBootstrap\n42 org.apache.catalina.startup.Bootstrap start\n43 x Bootstrap\n",
    );
    let (port, roots) = (launcher.port, Roots::default());
    let mut worker = launcher.worker(JAR);
    let told = worker.tick(&roots);
    let options = format!("--host|127.0.0.1|--port|{port}|--agentContext|/puypuy/|--discoveryEnabled|false");
    let wanted = format!("-jar|{JAR}|list|-jar|{JAR}|{options}|start|42|");
    assert_eq!(launcher.asked(), wanted, "{:?}", told.faults);
    assert!(told.points.is_empty() && told.faults[0].contains("no good"), "{:?}", told.faults);
    // Not at every tick.
    let told = worker.tick(&roots);
    assert_eq!(
        (launcher.asked(), told.faults[0].contains("the next attempt comes later")),
        (wanted, true),
        "{:?}",
        told.faults
    );
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let serving = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 8192]).unwrap();
        let memory = r#"{"status":200,"value":{"HeapMemoryUsage":{"used":7}}}"#;
        let others = [r#"{"status":404}"#; 6].join(",");
        let body = format!(r#"[{{"status":404}},{memory},{others}]"#);
        stream.write_all(&answer(200, &[], body.as_bytes())).unwrap();
    });
    let told = worker.tick(&roots);
    serving.join().unwrap();
    assert_eq!(told.number("jmx_heap_used", ""), Some(7.0), "{:?}", told.faults);
}

#[test]
fn the_reason_why_the_agent_cannot_be_loaded_is_reported() {
    for (list, agent, why) in [
        ("", "", "name the jar of that agent under agent in [JMX] of conf/java.ini"),
        ("", JAR, "runs \"Bootstrap\": set user and class in [JMX]"),
        ("7 Bootstrap\n8 a.Bootstrap\n", JAR, "several virtual machines run \"Bootstrap\" (processes 7, 8)"),
    ] {
        let launcher = Launcher::new(list);
        let told = launcher.worker(agent).tick(&Roots::default());
        assert!(told.faults[0].contains(why) && !launcher.asked().contains("start"), "{:?}", told.faults);
    }
}

#[test]
fn an_impossible_agent_is_a_mistake_in_the_section() {
    let good =
        [("jmx", "http://127.0.0.1:7771/puypuy/read"), ("java", "/usr/bin/java"), ("class", "A"), ("agent", JAR)];
    for (key, value) in
        [("jmx", "http://192.0.2.1:7771/p"), ("agent", "a.jar"), ("user", "-a"), ("user", "a;b"), ("java", "java")]
    {
        let spec = spec("check_jmx");
        let lines: Vec<_> = good.into_iter().filter(|(own, _)| *own != key).chain([(key, value)]).collect();
        let error = (spec.build)(&section(spec, &lines)).err().unwrap().to_string();
        assert!(error.contains("conf/java.ini") && error.contains(key), "{error}");
    }
}
