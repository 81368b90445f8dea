//! The checks of a standalone Spark against a master and a worker from Maven Central that run an application, compared
//! with their own pages.

use crate::jolokia::{AGENT_1, AGENT_2, numbers, option};
use crate::maven::{Artifact, class_path, java};
use crate::server::{Program, free_port, http, wait};
use crate::watched::Watched;
use serde_json::Value;
use std::fs;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

const START: Duration = Duration::from_secs(120);
const JARS: &[Artifact] = &[("org.apache.spark:spark-core_2.13:4.0.1", &[])];
/// The `--add-opens` options of Java for Spark.
const OPEN: &[&str] = &["java.lang", "java.lang.invoke", "java.nio", "java.util", "java.net", "sun.nio.ch"];
/// The cores that the worker offers and the application uses.
const MEGABYTES: u32 = 512;

/// An application that counts endlessly.
const APPLICATION: &str = r#"
import java.util.List;
import org.apache.spark.SparkConf;
import org.apache.spark.api.java.JavaSparkContext;

class Application {
    public static void main(String[] words) throws Exception {
        SparkConf conf = new SparkConf().setMaster(words[0]).setAppName("live");
        conf.set("spark.driver.host", "127.0.0.1").set("spark.executor.memory", words[1]).set("spark.ui.enabled", "false");
        try (JavaSparkContext context = new JavaSparkContext(conf)) {
            for (;;) context.parallelize(List.of(1, 2, 3)).count();
        }
    }
}
"#;

/// A master or worker in its own folder.
struct Kind {
    class: &'static str,
    /// The ports of its page and of its Jolokia.
    page: u16,
    jolokia: u16,
    agent: &'static str,
    words: Vec<String>,
}

struct Spark {
    folder: TempDir,
    jars: String,
    master: Kind,
    worker: Kind,
    address: String,
}

impl Spark {
    fn new() -> Result<Spark, String> {
        let (folder, jars) = (TempDir::new().unwrap(), class_path("spark-4.0.1", JARS)?);
        // Where a worker looks for what it needs to start executors.
        std::os::unix::fs::symlink(jars.trim_end_matches("/*"), folder.path().join("jars")).unwrap();
        fs::write(folder.path().join("RELEASE"), "").unwrap();
        fs::write(folder.path().join("Application.java"), APPLICATION).unwrap();
        let port = free_port();
        let (address, work) = (format!("spark://127.0.0.1:{port}"), folder.path().join("work").display().to_string());
        let kind = |class, agent, words: &[&str]| {
            let words = words.iter().map(|word| word.to_string()).collect();
            Kind { class, page: free_port(), jolokia: free_port(), agent, words }
        };
        let memory = format!("{MEGABYTES}m");
        let master = kind("master.Master", AGENT_1, &["--port", &port.to_string()]);
        let worker = kind("worker.Worker", AGENT_2, &["-c", "1", "-m", &memory, "-d", &work, &address]);
        Ok(Spark { folder, jars, master, worker, address })
    }

    fn command(&self) -> Result<Command, String> {
        let mut command = Command::new(java()?);
        command.args(["-Xmx192m", "-XX:+UseG1GC", "-cp", &self.jars]).current_dir(self.folder.path());
        command.args(OPEN.iter().map(|package| format!("--add-opens=java.base/{package}=ALL-UNNAMED")));
        command.env("SPARK_LOCAL_IP", "127.0.0.1").env("SPARK_HOME", self.folder.path());
        // Otherwise it looks for the folders of a build.
        command.env("SPARK_SCALA_VERSION", "2.13");
        Ok(command)
    }

    fn run(&self, kind: &Kind) -> Result<Program, String> {
        let mut command = self.command()?;
        command.arg(option(kind.agent, kind.jolokia)?).arg(format!("org.apache.spark.deploy.{}", kind.class));
        command.args(["--host", "127.0.0.1", "--webui-port", &kind.page.to_string()]).args(&kind.words);
        let running = Program::start(&mut command, &self.folder.path().join("log"));
        let is_there = || !numbers(kind.jolokia, "java.lang:type=Threading", "ThreadCount").is_empty();
        wait(kind.class, START, || kind.own("/cores").is_some() && is_there());
        Ok(running)
    }
}

impl Kind {
    /// The number at this place of its own page, or the length of the list there.
    fn own(&self, place: &str) -> Option<f64> {
        let (_, page) = http(self.page, "GET", "/json/")?;
        let page: Value = serde_json::from_str(&page).ok()?;
        let found = page.pointer(place)?;
        found.as_array().map(|list| list.len() as f64).or_else(|| found.as_f64())
    }

    fn section(&self, name: &str) -> String {
        let (jolokia, page) = (self.jolokia, self.page);
        format!("[{name}]\nstats: http://127.0.0.1:{jolokia}/jolokia/read\nwebui: http://127.0.0.1:{page}\n")
    }

    /// The numbers of the page are reported, under names with this prefix.
    fn compare(&self, watched: &Watched, prefix: &str, names: &[&str]) {
        for name in names {
            let unit = if name.starts_with("memory") { f64::from(1 << 20) } else { 1.0 };
            let own = || self.own(&format!("/{name}")).map(|number| number * unit);
            watched.until(&format!("{prefix}_{name}"), &[], |number| Some(number) == own());
        }
        watched.until(&format!("{prefix}_heap_max"), &[], |most| most == f64::from(192 << 20));
        watched.until(&format!("{prefix}_g1_young_collectioncount"), &[], |count| {
            let own =
                numbers(self.jolokia, "java.lang:type=GarbageCollector,name=G1 Young Generation", "CollectionCount");
            own.iter().any(|own| count > 0.0 && count <= *own)
        });
        assert!(watched.said().is_empty(), "{:#?}", watched.said());
    }
}

pub fn standalone() -> Result<(), String> {
    let spark = Spark::new()?;
    let (master, worker) = (spark.run(&spark.master)?, spark.run(&spark.worker)?);
    let watched = Watched::start("check_spark_master", "bigdata.ini", &spark.master.section("Spark-Master"));
    watched.until("spark_master_aliveworkers", &[], |count| count == 1.0);
    watched.until("spark_master_coresused", &[], |count| count == 0.0);
    let mut command = spark.command()?;
    // It does not run with less.
    command.arg(format!("-Xmx{MEGABYTES}m"));
    command.arg(spark.folder.path().join("Application.java")).args([&spark.address, &format!("{MEGABYTES}m")]);
    let application = Program::start(&mut command, &spark.folder.path().join("application.log"));
    wait("the application", START, || spark.worker.own("/executors") == Some(1.0));
    watched.until("spark_master_alive", &[], |leads| leads == 1.0);
    watched.until("spark_master_memoryused", &[], |bytes| bytes == f64::from(MEGABYTES << 20));
    let names = ["activeapps", "activedrivers", "aliveworkers", "cores", "coresused", "memory", "memoryused"];
    spark.master.compare(&watched, "spark_master", &names);
    drop(watched);

    let watched = Watched::start("check_spark_worker", "bigdata.ini", &spark.worker.section("Spark-Worker"));
    watched.until("spark_worker_executors", &[], |count| count == 1.0);
    let names = ["executors", "cores", "coresused", "memory", "memoryused"];
    spark.worker.compare(&watched, "spark_worker", &names);
    application.end();
    watched.until("spark_worker_coresused", &[], |count| count == 0.0);
    watched.outage("spark_worker_heap_used", &[], worker, Program::end, || spark.run(&spark.worker).unwrap());
    drop(watched);

    let watched = Watched::start("check_spark_master", "bigdata.ini", &spark.master.section("Spark-Master"));
    watched.outage("spark_master_heap_used", &[], master, Program::end, || spark.run(&spark.master).unwrap());
    Ok(())
}
