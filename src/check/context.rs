//! [`Context`]: all input and output that a check can do.

use crate::fetch::file::{self, KernelFile};
use crate::fetch::host_names::HostNames;
use crate::fetch::http::{Answer, Body, Http, Question};
use crate::fetch::link_news::LinkNews;
use crate::fetch::mounts::{Mounted, Mounts};
use crate::fetch::program::Programs;
#[cfg(feature = "snmp")]
use crate::fetch::snmp::{self, Agent, Asked};
use crate::fetch::stacks::Stacks;
use crate::fetch::tcp::Server;
use crate::fetch::tree;
use crate::model::error::Result;
use crate::model::parse::procfs::Device;
use crate::model::point::Tick;
use crate::model::roots::Roots;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Upper limit of the part of a tick that is reserved for processing an answer and for ending a program.
const SPARE: Duration = Duration::from_millis(500);

/// All input and output that a check can do. Every call returns before the deadline of the tick.
pub struct Context<'a> {
    pub tick: Tick,
    pub roots: &'a Roots,
    pub programs: &'a Programs,
}

/// What the checks of a daemon share: where to read, and how to run programs.
pub struct World {
    pub roots: Roots,
    pub programs: Arc<Programs>,
}

impl World {
    /// The context of a check for this tick.
    pub fn at(&self, tick: Tick) -> Context<'_> {
        Context { tick, roots: &self.roots, programs: &self.programs }
    }
}

impl Context<'_> {
    /// The whole text of a kernel file, which is kept open from tick to tick.
    pub fn read<'f>(&self, file: &'f mut KernelFile) -> Result<&'f str> {
        file.read(self.roots)
    }

    /// The mounts of the watched machine; `None` if they have not changed since the last call.
    pub fn mounts<'m>(&self, mounts: &'m mut Mounts) -> Result<Option<Mounted<'m>>> {
        mounts.read(self.roots)
    }

    /// The whole text of a kernel file that is read too seldom to be kept open.
    pub fn text(&self, path: &str) -> Result<String> {
        file::text(self.roots, path)
    }

    /// The names of all entries of a folder, sorted.
    pub fn names(&self, path: &str) -> Result<Vec<String>> {
        tree::names(self.roots, path)
    }

    /// The names of the subfolders of a folder, sorted.
    pub fn folders(&self, path: &str) -> Result<Vec<String>> {
        tree::folders(self.roots, path)
    }

    /// The target of a symbolic link; `None` if it is no link or cannot be read.
    pub fn target(&self, link: &str) -> Option<String> {
        tree::target(self.roots, link)
    }

    /// Whether the watched network is not the network of this process: a daemon in a container that watches its host.
    pub fn watches_another_network(&self) -> bool {
        file::is_of_reader(self.roots)
    }

    /// Subscribes to the kernel's notifications about changed network interfaces.
    pub fn link_news(&self) -> LinkNews {
        LinkNews::listen(self.roots)
    }

    /// Of these block devices, those that are not built on another device (LVM, RAID, loop); see [`Stacks::lowest`].
    pub fn lowest(&self, stacks: &Stacks, devices: HashSet<Device>) -> HashSet<Device> {
        stacks.lowest(self.roots, devices)
    }

    /// Requests a path with query from a server. An empty path means the configured address itself.
    pub fn get(&self, http: &mut Http, path: &str) -> Result<Answer> {
        http.ask(Question::get(path), self.due())
    }

    /// The same for a page that may be long: `read` consumes the body while it arrives.
    pub fn stream<T>(&self, http: &mut Http, path: &str, read: impl FnOnce(&mut Body) -> Result<T>) -> Result<T> {
        http.stream(Question::get(path), self.due(), read)
    }

    /// Sends a JSON body to a server.
    pub fn post(&self, http: &mut Http, path: &str, json: String) -> Result<Answer> {
        http.ask(Question::post(path, json), self.due())
    }

    /// Requests several pages of a server at the same time. `tell` gets each answer or error with its index in
    /// `questions`, as soon as it is complete.
    pub fn ask_all(&self, http: &mut Http, questions: &[Question], tell: impl FnMut(usize, Result<Answer>)) {
        http.ask_all(questions, self.due(), tell);
    }

    /// The same, collected: all answers and errors by their index in `questions`.
    pub fn answers(&self, http: &mut Http, questions: &[Question]) -> HashMap<usize, Result<Answer>> {
        let mut answers = HashMap::new();
        self.ask_all(http, questions, |at, answer| {
            answers.insert(at, answer);
        });
        answers
    }

    /// Sends `question` to a server that speaks its own TCP protocol, and reads until `is_whole` accepts the answer.
    pub fn ask(&self, server: &mut Server, question: &[u8], is_whole: impl Fn(&[u8]) -> bool) -> Result<Vec<u8>> {
        server.ask(question, self.due(), is_whole)
    }

    /// Asks several SNMP agents at the same time.
    #[cfg(feature = "snmp")]
    pub fn snmp(&self, agents: Vec<&mut Agent>) -> Vec<Asked> {
        snmp::ask_all(agents, self.due())
    }

    /// The deadline for an answer from outside, a little before the deadline of the tick. Otherwise a server that hangs
    /// would make the check miss the next tick, and delay what other servers answered.
    pub fn due(&self) -> Instant {
        let now = Instant::now();
        let left = self.tick.left(now);
        now + (left - SPARE.min(left / 10))
    }

    /// The host name for a node of a cluster, from the node's own name; `None` if it is the daemon's host.
    pub fn host_of(&self, names: &mut HostNames, node: &str) -> Option<String> {
        names.of(node, self.due())
    }

    /// Whether the path is a regular file.
    pub fn is_file(&self, path: &str) -> bool {
        self.roots.resolve(path).is_file()
    }

    /// Whether the path, for example `sys/block/sda`, is a folder.
    pub fn is_folder(&self, path: &str) -> bool {
        self.roots.resolve(path).is_dir()
    }
}
