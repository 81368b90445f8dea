//! What differs between the checks and scripts that run and their folders and sections. Pure.
//!
//! What was read is an argument. A reload applies one such difference as a whole, or not at all.

use super::prepared::{Folder, Key, Prepared};
use crate::check::Check;
use crate::config::section::Section;
use std::collections::BTreeMap;

/// Most names in a log line.
const SHOWN: usize = 3;

/// What is to be started, stopped and logged.
pub struct Difference<W = Box<dyn Check>> {
    pub added: Vec<Prepared<W>>,
    /// Running, and to be replaced because its section has changed.
    pub changed: Vec<Prepared<W>>,
    pub gone: Vec<Key>,
    /// Was reported as broken, and is not any more.
    pub mended: Vec<Key>,
    pub broken: Vec<Broken>,
    /// The look has finished; otherwise more differences of the same look follow.
    pub is_whole: bool,
}

impl<W> Default for Difference<W> {
    fn default() -> Difference<W> {
        let (added, changed, gone) = (Vec::new(), Vec::new(), Vec::new());
        Difference { added, changed, gone, mended: Vec::new(), broken: Vec::new(), is_whole: false }
    }
}

impl<W> Difference<W> {
    pub fn is_empty(&self) -> bool {
        let are_keys = !self.gone.is_empty() || !self.mended.is_empty();
        self.added.is_empty() && self.changed.is_empty() && self.broken.is_empty() && !are_keys
    }
}

/// Entries of one folder that cannot be used, for the same reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    pub folder: Folder,
    /// File names.
    pub names: Vec<String>,
    /// What these would switch on, in the same order.
    pub keys: Vec<Key>,
    pub reason: String,
    /// They still run as configured before; otherwise they are off.
    pub are_on: bool,
}

impl Broken {
    /// One log line, whatever the number of entries.
    pub fn line(&self) -> String {
        let (folder, reason) = (self.folder.name(), &self.reason);
        match self.names.as_slice() {
            [name] => {
                let state = if self.are_on { "goes on as before" } else { "stays off" };
                format!("{folder}/{name}: {reason}; it {state} until that is mended")
            }
            names => {
                let state = if self.are_on { "go on as before" } else { "stay off" };
                let shown = names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
                let more = if names.len() > SHOWN { ", …" } else { "" };
                format!("{folder}: {} entries {state} until that is mended: {reason}: {shown}{more}", names.len())
            }
        }
    }
}

/// The result of switching on everything at the start.
#[derive(Clone, Debug, Default)]
pub struct Taken {
    /// Number of those that run.
    pub on: usize,
    /// A message for those that stay off.
    pub off: Vec<String>,
}

impl Taken {
    /// Computed from the differences of the first look.
    pub fn of<W>(first: &[Difference<W>]) -> Taken {
        Taken {
            on: first.iter().map(|difference| difference.added.len()).sum(),
            off: first.iter().flat_map(|difference| &difference.broken).map(Broken::line).collect(),
        }
    }

    /// Something is switched on, but none of it runs.
    pub fn is_nothing(&self) -> bool {
        self.on == 0 && !self.off.is_empty()
    }
}

/// An entry of a folder.
struct Entry {
    file_name: String,
    /// The section it runs with, if it runs.
    on: Option<Section>,
    /// The reason that was reported, if it is broken.
    reason: Option<String>,
}

/// All entries as they were last seen, and what has changed since the last [`Comparison::take`].
pub struct Comparison<W> {
    entries: BTreeMap<Key, Entry>,
    added: Vec<Prepared<W>>,
    changed: Vec<Prepared<W>>,
    gone: Vec<Key>,
    mended: Vec<Key>,
    /// Grouped by folder, reason and whether they run, so that 5,000 of a kind are one log line. The values are file
    /// names.
    broken: BTreeMap<(Folder, String, bool), BTreeMap<Key, String>>,
}

impl<W> Default for Comparison<W> {
    fn default() -> Comparison<W> {
        let (added, changed, gone, mended) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Comparison { entries: BTreeMap::new(), added, changed, gone, mended, broken: BTreeMap::new() }
    }
}

impl<W> Comparison<W> {
    /// The present entries of a folder, by what each switches on. An entry that is no longer there is off.
    pub fn list(&mut self, folder: Folder, listed: BTreeMap<Key, String>) {
        let Comparison { entries, added, changed, gone, mended, broken } = self;
        entries.retain(|key, entry| {
            let stays = key.folder != folder || listed.contains_key(key);
            if !stays {
                // Changes of it that were not taken yet are dropped.
                added.retain(|prepared| prepared.key != *key);
                changed.retain(|prepared| prepared.key != *key);
                mended.retain(|mended| mended != key);
                forget(broken, key);
                if entry.on.is_some() || entry.reason.is_some() {
                    gone.push(key.clone());
                }
            }
            stays
        });
        for (key, file_name) in listed {
            let new = || Entry { file_name: String::new(), on: None, reason: None };
            entries.entry(key).or_insert_with(new).file_name = file_name;
        }
    }

    /// The entries to look at: all of them, or those that do not run or were broken.
    pub fn due(&self, everybody: bool) -> Vec<Key> {
        let is_due = |entry: &Entry| everybody || entry.on.is_none() || entry.reason.is_some();
        self.entries.iter().filter(|(_, entry)| is_due(entry)).map(|(key, _)| key.clone()).collect()
    }

    /// Whether this reason for that entry was not reported yet.
    pub fn is_new_reason(&self, key: &Key, reason: &str) -> bool {
        self.entries.get(key).is_none_or(|entry| entry.reason.as_deref() != Some(reason))
    }

    /// The result of a look at an entry: what it would run now, or why it cannot run.
    pub fn see(&mut self, key: &Key, seen: Result<Prepared<W>, String>) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        match seen {
            Ok(prepared) => {
                if entry.reason.take().is_some() {
                    forget(&mut self.broken, key);
                    self.mended.push(key.clone());
                }
                let section = prepared.section.clone();
                match &entry.on {
                    Some(before) if before.says_the_same(&section) => return,
                    Some(_) => self.changed.push(prepared),
                    None => self.added.push(prepared),
                }
                entry.on = Some(section);
            }
            Err(reason) if entry.reason.as_ref() != Some(&reason) => {
                if entry.reason.replace(reason.clone()).is_some() {
                    forget(&mut self.broken, key);
                }
                let kind = (key.folder, reason, entry.on.is_some());
                self.broken.entry(kind).or_default().insert(key.clone(), entry.file_name.clone());
            }
            Err(_) => {}
        }
    }

    /// Takes the changes since the last call. Broken entries are included only when the look has finished, so that many
    /// of a kind are reported together.
    pub fn take(&mut self, is_whole: bool) -> Difference<W> {
        let broken = if is_whole { std::mem::take(&mut self.broken) } else { BTreeMap::new() }.into_iter();
        let broken = broken.map(|((folder, reason, are_on), entries)| {
            let (keys, names) = entries.into_iter().unzip();
            Broken { folder, names, keys, reason, are_on }
        });
        Difference {
            added: std::mem::take(&mut self.added),
            changed: std::mem::take(&mut self.changed),
            gone: std::mem::take(&mut self.gone),
            mended: std::mem::take(&mut self.mended),
            broken: broken.collect(),
            is_whole,
        }
    }
}

/// Removes an entry's changes that were not taken yet.
fn forget(broken: &mut BTreeMap<(Folder, String, bool), BTreeMap<Key, String>>, key: &Key) {
    broken.retain(|_, entries| {
        entries.remove(key);
        !entries.is_empty()
    });
}
