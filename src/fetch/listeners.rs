//! Who listens on TCP in this network namespace, and which processes there are: of the kernel, once, for whoever looks around.
//!
//! *Invariant:* what hangs, a process whose command line cannot be read, costs the processes behind it and never more than the limit.

use crate::model::parse::procfs::{self, Listening};
use crate::model::roots::Roots;
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::net::IpAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Instant;

/// Longest command line that is looked at.
const WORDS: u64 = 64 << 10;
const STACK: usize = 256 << 10;

/// A process by what it was started with.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Process {
    /// As the kernel calls it: at most 15 bytes of the name of its program, or what it calls itself.
    pub comm: String,
    pub words: Vec<String>,
}

/// A socket that listens.
#[derive(Debug)]
pub struct Listener {
    pub address: IpAddr,
    pub port: u16,
    /// Whose it is; `None`: another user's, which only root can see.
    pub owner: Option<Arc<Process>>,
}

/// What is to be seen of a machine.
#[derive(Debug, Default)]
pub struct Machine {
    /// In the order of their ports.
    pub listeners: Vec<Listener>,
    pub processes: Vec<Arc<Process>>,
    /// Not all processes could be looked at in the time there was.
    pub is_partial: bool,
}

/// Looks until then at most. The sockets are those that this process itself could reach, wherever the tree of /proc is from.
pub fn look(roots: &Roots, until: Instant) -> Machine {
    let (sender, found) = channel();
    let proc = roots.proc.clone();
    let began = thread::Builder::new().name("processes".into()).stack_size(STACK).spawn(move || walk(&proc, &sender));
    let mut machine = Machine { is_partial: began.is_err(), ..Machine::default() };
    let mut owners = HashMap::new();
    loop {
        match found.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok((process, sockets)) => {
                let process = Arc::new(process);
                owners.extend(sockets.into_iter().map(|socket| (socket, Arc::clone(&process))));
                machine.processes.push(process);
            }
            Err(error) => {
                machine.is_partial |= error == RecvTimeoutError::Timeout;
                break;
            }
        }
    }
    let mut listeners = BTreeMap::new();
    for table in ["net/tcp", "net/tcp6"] {
        let text = fs::read_to_string(roots.proc.join(table)).unwrap_or_default();
        for Listening { address, port, inode } in text.lines().filter_map(procfs::listening) {
            let owner = owners.get(&inode).cloned();
            listeners.entry((port, address)).or_insert(Listener { address, port, owner });
        }
    }
    machine.listeners = listeners.into_values().collect();
    machine
}

/// Each process with the numbers of its sockets.
fn walk(proc: &Path, found: &Sender<(Process, Vec<u64>)>) {
    let is_number = |name: &str| name.bytes().all(|byte| byte.is_ascii_digit());
    for entry in fs::read_dir(proc).into_iter().flatten().flatten() {
        if !entry.file_name().to_str().is_some_and(is_number) {
            continue;
        }
        let folder = entry.path();
        let comm = read(&folder.join("comm")).trim_end().to_string();
        let words = read(&folder.join("cmdline")).split_terminator('\0').map(String::from).collect();
        if found.send((Process { comm, words }, sockets(&folder))).is_err() {
            return;
        }
    }
}

/// At most [`WORDS`] bytes; empty where the process has gone, or is a thread of the kernel.
fn read(path: &Path) -> String {
    let mut bytes = Vec::new();
    let _ = fs::File::open(path)
        .and_then(|file| std::io::Read::read_to_end(&mut std::io::Read::take(file, WORDS), &mut bytes));
    String::from_utf8_lossy(&bytes).into_owned()
}

/// None where it is another user's.
fn sockets(folder: &Path) -> Vec<u64> {
    let number = |target: &[u8]| -> Option<u64> {
        let number = target.strip_prefix(b"socket:[")?.strip_suffix(b"]")?;
        std::str::from_utf8(number).ok()?.parse().ok()
    };
    let open = fs::read_dir(folder.join("fd")).into_iter().flatten().flatten();
    let targets = open.filter_map(|descriptor| fs::read_link(descriptor.path()).ok());
    targets.filter_map(|target| number(target.as_os_str().as_bytes())).collect()
}

impl Process {
    /// What people call it: the name of its program.
    pub fn name(&self) -> &str {
        if self.comm.is_empty() { base(self.words.first().map_or("", String::as_str)) } else { &self.comm }
    }

    /// Whether it runs a program of that name, with or without a version behind it: `php-fpm8.2`; or, for Java, whether that is a class or
    /// an archive in its command line.
    pub fn runs(&self, name: &str) -> bool {
        let program = base(self.words.first().map_or("", String::as_str));
        let is = |own: &str| {
            own == name || own.trim_end_matches(|letter: char| letter.is_ascii_digit() || letter == '.') == name
        };
        is(&self.comm)
            || is(program)
            || program == "java" && self.words.iter().any(|word| word == name || base(word) == name)
    }
}

/// The last part of a path.
fn base(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}
