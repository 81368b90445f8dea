//! check_storm_workers against two JVMs with Jolokia, set up like workers, compared with their beans.

use crate::jolokia::{AGENT_2, HEAP, answering, numbers};
use crate::server::{free_port, wait};
use crate::watched::Watched;
use std::time::Duration;
use tempfile::TempDir;

const START: Duration = Duration::from_secs(30);
const THREADS: &str = "java.lang:type=Threading";

pub fn workers() -> Result<(), String> {
    let (folder, ports) = (TempDir::new().unwrap(), [free_port(), free_port()]);
    let worker = |port| answering(folder.path(), "Worker", AGENT_2, port);
    let [first, second] = [worker(ports[0])?, worker(ports[1])?];
    let section = format!("[Storm]\nhost: 127.0.0.1\nport: {}, {}\npath: /jolokia/read\n", ports[0], ports[1]);
    let watched = Watched::start("check_storm_workers", "bigdata.ini", &section);
    let own = ports.map(|port| port.to_string());
    for (port, own) in ports.into_iter().zip(&own) {
        let tags = [("workerport", own.as_str())];
        watched.until("storm_threadcount", &tags, |count| numbers(port, THREADS, "ThreadCount") == [count]);
        watched.until("storm_heap_max", &tags, |most| most == HEAP);
    }
    assert!(watched.said().is_empty(), "{:#?}", watched.said());
    second.end();
    wait("a line about the worker that went", START, || !watched.said().is_empty());
    assert!(watched.said()[0].contains(&format!("{}: ", own[1])), "{:#?}", watched.said());
    watched.until("storm_uptime", &[("workerport", &own[0])], |seconds| seconds > 0.0);
    first.end();
    Ok(())
}
