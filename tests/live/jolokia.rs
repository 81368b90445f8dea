//! Jolokia in a JVM, its responses to other clients than the daemon, and a JVM for tests.

use crate::cache::output;
use crate::maven::{file, java};
use crate::server::{Program, http, wait};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// The agents of Jolokia 1 and 2.
pub const AGENT_1: &str = "org.jolokia:jolokia-jvm:1.7.2";
pub const AGENT_2: &str = "org.jolokia:jolokia-agent-jvm:2.2.9:jar:javaagent";

/// The Java option with which this agent listens on this port.
pub fn option(agent: &'static str, port: u16) -> Result<String, String> {
    let jar = file(agent)?;
    Ok(format!("-javaagent:{}=port={port},host=127.0.0.1,agentContext=/jolokia,discoveryEnabled=false", jar.display()))
}

/// The values of this attribute of the beans with this name; `None` while nothing answers.
pub fn numbers(port: u16, bean: &str, attribute: &str) -> Vec<f64> {
    let bean = bean.replace(' ', "%20");
    let Some((_, told)) = http(port, "GET", &format!("/jolokia/read/{bean}/{attribute}")) else { return Vec::new() };
    let told: Value = serde_json::from_str(&told).unwrap_or_default();
    match &told["value"] {
        Value::Object(beans) => beans.values().filter_map(|bean| bean[attribute].as_f64()).collect(),
        number => number.as_f64().into_iter().collect(),
    }
}

/// The maximum heap of [`program`].
pub const HEAP: f64 = (64_u32 << 20) as f64;
const START: Duration = Duration::from_secs(60);

/// A program with this name that produces garbage endlessly, started with these Java options.
pub fn program(folder: &Path, name: &str, options: &[String]) -> Result<Program, String> {
    let java = java()?;
    if !folder.join(format!("{name}.class")).exists() {
        let source = folder.join(format!("{name}.java"));
        let text = format!(
            "class {name} {{ public static void main(String[] unused) throws Exception {{\n\
             for (;;) {{ byte[] garbage = new byte[1 << 19]; Thread.sleep(10); }} }} }}\n"
        );
        fs::write(&source, text).unwrap();
        output(Command::new(&java).args(["-m", "jdk.compiler/com.sun.tools.javac.Main"]).arg(source))?;
    }
    let mut command = Command::new(java);
    command.args(["-Xmx64m", "-XX:+UseG1GC"]).args(options).arg("-cp").arg(folder).arg(name);
    Ok(Program::start(&mut command, &folder.join("log")))
}

/// The same with this agent, once it answers on this port.
pub fn answering(folder: &Path, name: &str, agent: &'static str, port: u16) -> Result<Program, String> {
    let running = program(folder, name, &[option(agent, port)?])?;
    wait("Jolokia", START, || !numbers(port, "java.lang:type=Threading", "ThreadCount").is_empty());
    Ok(running)
}
