//! The listening TCP sockets of this network namespace with their processes, for `puypuy discover`.
//!
//! *Invariant:* a process whose command line cannot be read, because the read hangs, hides the processes after it but
//! never delays the result past the deadline.

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

/// Maximum number of bytes read of a command line.
const WORDS: u64 = 64 << 10;
const STACK: usize = 256 << 10;

/// A process with its command line.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Process {
    /// The kernel's name for it: the first 15 bytes of the program's name, unless the process changes it.
    pub comm: String,
    pub words: Vec<String>,
}

/// A listening socket.
#[derive(Debug)]
pub struct Listener {
    pub address: IpAddr,
    pub port: u16,
    /// The process that owns it; `None` if it belongs to another user, whose processes only root can inspect.
    pub owner: Option<Arc<Process>>,
}

/// The listeners and processes of a machine.
#[derive(Debug, Default)]
pub struct Machine {
    /// Sorted by port.
    pub listeners: Vec<Listener>,
    pub processes: Vec<Arc<Process>>,
    /// Whether the time was too short to read all processes.
    pub is_partial: bool,
}

/// Reads all processes and listening sockets, at most until `until`. The sockets are those in this process's network
/// namespace, whichever /proc is read.
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

/// Sends each process with the inodes of its sockets.
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

/// At most [`WORDS`] bytes; empty if the process has ended or is a kernel thread.
fn read(path: &Path) -> String {
    let mut bytes = Vec::new();
    let _ = fs::File::open(path)
        .and_then(|file| std::io::Read::read_to_end(&mut std::io::Read::take(file, WORDS), &mut bytes));
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The inodes of the process's sockets; empty if it belongs to another user.
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
    /// The name of its program.
    pub fn name(&self) -> &str {
        if self.comm.is_empty() { base(self.words.first().map_or("", String::as_str)) } else { &self.comm }
    }

    /// Whether it runs this program. A version may follow the name: `php-fpm8.2`. For Java, whether its command line
    /// has this class or jar file.
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

/// The part of a path after the last slash.
fn base(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}
