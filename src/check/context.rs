//! The only door to the world that a check has.

use crate::fetch::file::KernelFile;
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

/// The most of a tick that is kept for what is done with an answer, and for ending a program.
const SPARE: Duration = Duration::from_millis(500);

/// The only door to the world that a check has. Every call is bounded by the tick's deadline.
pub struct Context<'a> {
    pub tick: Tick,
    pub roots: &'a Roots,
    pub programs: &'a Programs,
}

/// What all checks of a daemon find around them.
pub struct World {
    pub roots: Roots,
    pub programs: Arc<Programs>,
}

impl World {
    /// As a check sees it in that tick.
    pub fn at(&self, tick: Tick) -> Context<'_> {
        Context { tick, roots: &self.roots, programs: &self.programs }
    }
}

impl Context<'_> {
    /// The whole text of a kernel file, which stays open from tick to tick.
    pub fn read<'f>(&self, file: &'f mut KernelFile) -> Result<&'f str> {
        file.read(self.roots)
    }

    /// What is mounted on the watched machine; `None` when that has not changed.
    pub fn mounts<'m>(&self, mounts: &'m mut Mounts) -> Result<Option<Mounted<'m>>> {
        mounts.read(self.roots)
    }

    /// The whole text of a kernel file that is not worth keeping open.
    pub fn text(&self, path: &str) -> Result<String> {
        tree::text(self.roots, path)
    }

    /// The names in a folder, sorted.
    pub fn names(&self, path: &str) -> Result<Vec<String>> {
        tree::names(self.roots, path)
    }

    /// The names of the folders in a folder, sorted.
    pub fn folders(&self, path: &str) -> Result<Vec<String>> {
        tree::folders(self.roots, path)
    }

    /// Where a symbolic link points to; `None` for anything else, and where it may not be read.
    pub fn target(&self, link: &str) -> Option<String> {
        tree::target(self.roots, link)
    }

    /// Whether the network that is watched is another than that of this process: that of the host around its container.
    pub fn watches_another_network(&self) -> bool {
        tree::is_of_reader(self.roots)
    }

    /// Where the kernel tells that network interfaces have changed.
    pub fn link_news(&self) -> LinkNews {
        LinkNews::listen(self.roots)
    }

    /// Those of these block devices of this host that lie on no other; all where there is none of these.
    pub fn lowest(&self, stacks: &Stacks, devices: HashSet<Device>) -> HashSet<Device> {
        stacks.lowest(self.roots, devices)
    }

    /// The page of that path and query on a server; `""` for its address itself.
    pub fn get(&self, http: &mut Http, path: &str) -> Result<Answer> {
        http.ask(Question::get(path), self.due())
    }

    /// The same of a page that may be long: `read` is given it while it comes.
    pub fn stream<T>(&self, http: &mut Http, path: &str, read: impl FnOnce(&mut Body) -> Result<T>) -> Result<T> {
        http.stream(Question::get(path), self.due(), read)
    }

    /// What a server answers to a body.
    pub fn post(&self, http: &mut Http, path: &str, json: String) -> Result<Answer> {
        http.ask(Question::post(path, json), self.due())
    }

    /// Many pages of a server at once: `tell` is given each with its place in `questions` as soon as it is there or has failed.
    pub fn ask_all(&self, http: &mut Http, questions: &[Question], tell: impl FnMut(usize, Result<Answer>)) {
        http.ask_all(questions, self.due(), tell);
    }

    /// The same, by their places in `questions`, when all are there or have failed.
    pub fn answers(&self, http: &mut Http, questions: &[Question]) -> HashMap<usize, Result<Answer>> {
        let mut answers = HashMap::new();
        self.ask_all(http, questions, |at, answer| {
            answers.insert(at, answer);
        });
        answers
    }

    /// What a server with a protocol of its own answers, until that is whole.
    pub fn ask(&self, server: &mut Server, question: &[u8], is_whole: impl Fn(&[u8]) -> bool) -> Result<Vec<u8>> {
        server.ask(question, self.due(), is_whole)
    }

    /// Asks all agents at the same time.
    #[cfg(feature = "snmp")]
    pub fn snmp(&self, agents: Vec<&mut Agent>) -> Vec<Asked> {
        snmp::ask_all(agents, self.due())
    }

    /// When an answer from outside must be there, a little before the deadline: a run that ends with that would miss the next
    /// tick, and what did answer would be late.
    pub fn due(&self) -> Instant {
        let now = Instant::now();
        let left = self.tick.left(now);
        now + (left - SPARE.min(left / 10))
    }

    /// The host that a node of a cluster names itself after; `None`: that of the daemon.
    pub fn host_of(&self, names: &mut HostNames, node: &str) -> Option<String> {
        names.of(node, self.due())
    }

    /// Whether that is a file.
    pub fn is_file(&self, path: &str) -> bool {
        self.roots.resolve(path).is_file()
    }

    /// Whether that is a folder, `sys/block/sda`.
    pub fn is_folder(&self, path: &str) -> bool {
        self.roots.resolve(path).is_dir()
    }
}
