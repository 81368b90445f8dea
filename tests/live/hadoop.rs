//! The checks of HDFS against a NameNode and a DataNode from Maven Central, compared with their own pages.

use crate::maven::{Artifact, class_path, java};
use crate::server::{Program, free_port, http, user, wait};
use crate::watched::Watched;
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

const START: Duration = Duration::from_secs(90);
const JARS: &[Artifact] = &[
    ("org.apache.hadoop:hadoop-hdfs:3.4.1", &[]),
    ("org.apache.hadoop:hadoop-common:3.4.1", &[]),
    ("org.apache.hadoop:hadoop-hdfs-client:3.4.1", &[]),
];
/// The number of folders to create.
const MADE: usize = 30;

/// A file system with one of each.
struct Hdfs {
    folder: TempDir,
    jars: String,
    /// The ports of their pages.
    namenode: u16,
    datanode: u16,
}

impl Hdfs {
    fn new() -> Result<Hdfs, String> {
        let (folder, jars) = (TempDir::new().unwrap(), class_path("hadoop-hdfs-3.4.1", JARS)?);
        let hdfs = Hdfs { folder, jars, namenode: free_port(), datanode: free_port() };
        for server in ["hdfs", "datanode"] {
            fs::create_dir_all(hdfs.folder.path().join("webapps").join(server)).unwrap();
        }
        let [calls, data, others] = [free_port(), free_port(), free_port()];
        let tmp = hdfs.folder.path().join("data").display().to_string();
        let core = [("fs.defaultFS", format!("hdfs://127.0.0.1:{calls}")), ("hadoop.tmp.dir", tmp)];
        let own = [
            ("dfs.replication", "1".into()),
            ("dfs.heartbeat.interval", "1".into()),
            ("dfs.namenode.http-address", format!("127.0.0.1:{}", hdfs.namenode)),
            ("dfs.datanode.address", format!("127.0.0.1:{data}")),
            ("dfs.datanode.ipc.address", format!("127.0.0.1:{others}")),
            ("dfs.datanode.http.address", format!("127.0.0.1:{}", hdfs.datanode)),
            ("dfs.datanode.hostname", "localhost".into()),
            ("dfs.namenode.datanode.registration.ip-hostname-check", "false".into()),
        ];
        for (file, lines) in [("core-site.xml", &core[..]), ("hdfs-site.xml", &own[..])] {
            configure(&hdfs.folder.path().join(file), lines);
        }
        let formatted = hdfs.command("namenode.NameNode")?.args(["-format", "-nonInteractive"]).output().unwrap();
        assert!(formatted.status.success(), "{}", String::from_utf8_lossy(&formatted.stderr));
        Ok(hdfs)
    }

    fn command(&self, class: &str) -> Result<Command, String> {
        let mut command = Command::new(java()?);
        command.args(["-Xmx192m", "--add-opens=java.base/java.lang=ALL-UNNAMED", "-cp"]);
        command.arg(format!("{}:{}", self.folder.path().display(), self.jars));
        command.arg(format!("org.apache.hadoop.hdfs.server.{class}"));
        Ok(command)
    }

    /// Starts a NameNode or DataNode, which is ready as soon as this bean is on its page.
    fn run(&self, class: &str, port: u16, bean: &str) -> Result<Program, String> {
        let program = Program::start(&mut self.command(class)?, &self.folder.path().join("log"));
        wait(class, START, || number(port, bean, "Capacity").or(number(port, bean, "FilesTotal")).is_some());
        Ok(program)
    }

    fn make_folders(&self) {
        for folder in 0..MADE {
            let path = format!("/webhdfs/v1/live%20one/{folder}?op=MKDIRS&user.name={}", user());
            assert_eq!(http(self.namenode, "PUT", &path).map(|(status, _)| status), Some(200), "{path}");
        }
    }
}

/// Writes a properties file in the format of Hadoop.
pub fn configure(file: &Path, properties: &[(&str, String)]) {
    let line =
        |(name, value): &(&str, String)| format!("<property><name>{name}</name><value>{value}</value></property>");
    let text: String = properties.iter().map(line).collect();
    fs::write(file, format!("<configuration>{text}</configuration>")).unwrap();
}

/// The value of this attribute on a page; `None` while there is none.
pub fn number(port: u16, bean: &str, attribute: &str) -> Option<f64> {
    let (_, page) = http(port, "GET", &format!("/jmx?qry=Hadoop:{bean}"))?;
    serde_json::from_str::<Value>(&page).ok()?["beans"][0][attribute].as_f64()
}

const NAMESYSTEM: &str = "service=NameNode,name=FSNamesystemState";
const DATASET: &str = "service=DataNode,name=FSDatasetState";

pub fn hdfs() -> Result<(), String> {
    let hdfs = Hdfs::new()?;
    let namenode = hdfs.run("namenode.NameNode", hdfs.namenode, NAMESYSTEM)?;
    let datanode = hdfs.run("datanode.DataNode", hdfs.datanode, DATASET)?;
    let address = |port: u16| format!("http://127.0.0.1:{port}");

    let section = format!("[Hadoop-Datanode]\njmx: {}/jmx\n", address(hdfs.datanode));
    let watched = Watched::start("check_hadoop_datanode", "hadoop.ini", &section);
    watched.until("datanode_capacity", &[], |bytes| Some(bytes) == number(hdfs.datanode, DATASET, "Capacity"));
    watched.until("datanode_du_percent", &[], |percent| percent < 50.0);
    watched.outage("datanode_heap_used", &[], datanode, Program::end, || {
        hdfs.run("datanode.DataNode", hdfs.datanode, DATASET).unwrap()
    });
    drop(watched);

    let section = format!("[Hadoop-NameNode]\njmx: {}/jmx\n", address(hdfs.namenode));
    let watched = Watched::start("check_hadoop_namenode", "hadoop.ini", &section);
    watched.until("namenode_is_active", &[], |active| active == 1.0);
    // Once there is a rate, the next one covers only later events.
    watched.now("namenode_transactionsnumops", &[]);
    hdfs.make_folders();
    watched.until("namenode_filestotal", &[], |files| {
        files >= MADE as f64 && Some(files) == number(hdfs.namenode, NAMESYSTEM, "FilesTotal")
    });
    wait("transactions", START, || watched.counted("namenode_transactionsnumops", &[]) >= MADE as f64 - 0.5);
    assert!(watched.said().is_empty(), "{:#?}", watched.said());
    drop(watched);

    let both = format!("{}, {}", address(free_port()), address(hdfs.namenode));
    let section = format!("[HDFS-Directory]\nnamenodes: {both}\nfolders: /live one, /nosuch\nuser: {}\n", user());
    let watched = Watched::start("check_hdfs_dirsize", "hadoop.ini", &section);
    let tags = [("hadoop_dir", "live one")];
    watched.until("hdfs_dir_directorycount", &tags, |folders| folders == MADE as f64 + 1.0);
    wait("a line about the other folder", START, || watched.said().iter().any(|line| line.contains("/nosuch")));
    namenode.end();
    wait("a line about the NameNode", START, || watched.said().iter().any(|line| line.contains("no NameNode")));
    Ok(())
}
