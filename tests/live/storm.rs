//! The check of Storm's workers against two virtual machines with Jolokia, as workers have it, compared with what their beans say.

use crate::jolokia::numbers;
use crate::maven::{file, java};
use crate::server::{Program, free_port, wait};
use crate::watched::Watched;
use std::fs;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

const START: Duration = Duration::from_secs(30);
/// A program that does nothing for long.
const WORKER: &str = "class Worker { public static void main(String[] a) throws Exception { Thread.sleep(1000000); } }";
const THREADS: &str = "java.lang:type=Threading";

/// A virtual machine whose Jolokia answers at that port.
fn worker(folder: &TempDir, port: u16) -> Result<Program, String> {
    let agent = file("org.jolokia:jolokia-agent-jvm:2.2.9:jar:javaagent")?;
    let source = folder.path().join("Worker.java");
    fs::write(&source, WORKER).unwrap();
    let mut command = Command::new(java()?);
    command.args(["-Xmx64m", &format!("-javaagent:{}=port={port},host=127.0.0.1", agent.display())]).arg(source);
    let running = Program::start(&mut command, &folder.path().join(format!("{port}.log")));
    wait("Jolokia", START, || !numbers(port, THREADS, "ThreadCount").is_empty());
    Ok(running)
}

pub fn workers() -> Result<(), String> {
    let (folder, ports) = (TempDir::new().unwrap(), [free_port(), free_port()]);
    let [first, second] = [worker(&folder, ports[0])?, worker(&folder, ports[1])?];
    let section = format!("[Storm]\nhost: 127.0.0.1\nport: {}, {}\npath: /jolokia/read\n", ports[0], ports[1]);
    let watched = Watched::start("check_storm_workers", "bigdata.ini", &section);
    let own = ports.map(|port| port.to_string());
    for (port, own) in ports.into_iter().zip(&own) {
        let tags = [("workerport", own.as_str())];
        watched.until("storm_threadcount", &tags, |count| numbers(port, THREADS, "ThreadCount") == [count]);
        watched.until("storm_heap_max", &tags, |most| most == f64::from(64 << 20));
    }
    assert!(watched.said().is_empty(), "{:#?}", watched.said());
    second.end();
    wait("a line about the worker that went", START, || !watched.said().is_empty());
    assert!(watched.said()[0].contains(&format!("{}: ", own[1])), "{:#?}", watched.said());
    watched.until("storm_uptime", &[("workerport", &own[0])], |seconds| seconds > 0.0);
    first.end();
    Ok(())
}
