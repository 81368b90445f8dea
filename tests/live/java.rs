//! check_jolokia and check_jmx against a JVM with either Jolokia agent, compared with Java's own tool.

use crate::cache::output;
use crate::jolokia::{AGENT_1, AGENT_2, HEAP, answering, program};
use crate::maven::{file, java};
use crate::server::{Program, free_port, user, wait};
use crate::watched::Watched;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

/// The longest pause of check_jmx after one failed attempt, and a margin.
const PATIENCE: Duration = Duration::from_secs(120);

/// A number of this JVM, as shown by jcmd; `None` while it starts.
fn counter(running: &Program, name: &str) -> Option<f64> {
    let tool = java().ok()?.with_file_name("jcmd");
    let told = output(Command::new(tool).args([&running.0.id().to_string(), "PerfCounter.print"])).ok()?;
    told.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('=')?.parse().ok())
}

/// Threads, classes and collections, from the metrics with this prefix.
fn compare(watched: &Watched, prefix: &str, running: &Program) {
    let metric = |name: &str| format!("{prefix}_{name}");
    let number = |name: &str| counter(running, name).unwrap();
    watched.until(&metric("heap_max"), &[], |most| most == HEAP);
    watched.until(&metric("heap_used"), &[], |used| used > 0.0 && used < HEAP);
    // Collections started by jcmd do not count.
    watched.until(&metric("threadcount"), &[], |count| (count - number("java.threads.live")).abs() <= 2.0);
    // Java's own classes are mapped from an archive, and counted separately.
    let classes = |name: &str| number(&format!("java.cls.{name}"));
    let loaded = || classes("loadedClasses") + classes("sharedLoadedClasses") - classes("unloadedClasses");
    watched.until(&metric("loadedclasscount"), &[], |count| (count - loaded()).abs() <= loaded() / 50.0);
    let collections = || number("sun.gc.collector.0.invocations");
    let of_collector = [("gctype", "g1_young")];
    let before = collections();
    let told = watched.until(&metric("gc_collectioncount"), &of_collector, |count| count > before);
    assert!(told <= collections(), "{told} of {}", collections());
    watched.until(&metric("lastgcinfo"), &of_collector, |time| time >= 0.0);
    watched.until(&metric("pool_used"), &[("pool", "G1 Old Gen")], |used| used > 0.0);
    watched.until(&metric("processcpuload"), &[], |share| (0.0..=1.0).contains(&share));
    assert!(watched.said().is_empty(), "{:#?}", watched.said());
}

pub fn jolokia() -> Result<(), String> {
    for agent in [AGENT_1, AGENT_2] {
        let (folder, port) = (TempDir::new().unwrap(), free_port());
        let start = || answering(folder.path(), "Watched", agent, port);
        let running = start()?;
        let section = format!("[Jolokia]\njolokia: http://127.0.0.1:{port}/jolokia/read\n");
        let watched = Watched::start("check_jolokia", "java.ini", &section);
        compare(&watched, "jolokia", &running);
        watched.outage("jolokia_threadcount", &[], running, Program::end, || start().unwrap());
    }
    Ok(())
}

pub fn jmx() -> Result<(), String> {
    for agent in [AGENT_1, AGENT_2] {
        let (folder, port) = (TempDir::new().unwrap(), free_port());
        // No other JVM of this host runs a class with this name.
        let name = format!("Watched{port}");
        let start = || -> Result<Program, String> {
            let running = program(folder.path(), &name, &[])?;
            wait("the machine", PATIENCE, || counter(&running, "java.threads.live").is_some());
            Ok(running)
        };
        let running = start()?;
        // Loading takes longer than a second.
        let section = format!(
            "[JMX]\ncheck_period_seconds: 5\njmx: http://127.0.0.1:{port}/puypuy/read\nagent: {}\njava: {}\nuser: {}\nclass: {name}\n",
            file(agent)?.display(),
            java()?.display(),
            user()
        );
        let watched = Watched::start("check_jmx", "java.ini", &section);
        compare(&watched, "jmx", &running);
        running.end();
        wait("a line about the machine that went", PATIENCE, || {
            watched.said().last().is_some_and(|line| line.contains(&name))
        });
        let gone = watched.points("jmx_threadcount", &[]).len();
        let running = start()?;
        wait("points of the machine that was started again", PATIENCE, || {
            watched.points("jmx_threadcount", &[]).len() > gone
        });
        wait("a line that it is back", PATIENCE, || {
            watched.said().last().is_some_and(|line| line.contains("works again"))
        });
        // Why it cannot be loaded, that the check waits, and how often.
        assert!(watched.said().len() <= 4, "{:#?}", watched.said());
        running.end();
    }
    Ok(())
}
