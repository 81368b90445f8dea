//! What differs between the checks and scripts as they were taken up and as their folders and sections are now. Pure: what
//! was seen comes in as data. A reload is this difference, taken up as a whole or not at all.

use super::prepared::{Folder, Key, Prepared};
use crate::check::Check;
use crate::config::section::Section;
use std::collections::BTreeMap;

/// Names that a line shows of many.
const SHOWN: usize = 3;

/// What is to be taken up, let go and told.
pub struct Difference<W = Box<dyn Check>> {
    pub added: Vec<Prepared<W>>,
    /// On, and built anew because its section says something else.
    pub changed: Vec<Prepared<W>>,
    pub gone: Vec<Key>,
    /// Told to be broken before, and no more.
    pub mended: Vec<Key>,
    pub broken: Vec<Broken>,
    /// Everything was looked at; more of the same look follows otherwise.
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

/// Entries of one folder that cannot be taken up as they are, for one reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    pub folder: Folder,
    /// File names.
    pub names: Vec<String>,
    /// What these would switch on, in the same order.
    pub keys: Vec<Key>,
    pub reason: String,
    /// They go on as they were taken up before; the others are off.
    pub are_on: bool,
}

impl Broken {
    /// One line, however many they are.
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

/// What has become of all that is switched on.
#[derive(Clone, Debug, Default)]
pub struct Taken {
    /// So many run.
    pub on: usize,
    /// A sentence for those that stay off.
    pub off: Vec<String>,
}

impl Taken {
    /// By the differences that the first look has brought.
    pub fn of<W>(first: &[Difference<W>]) -> Taken {
        Taken {
            on: first.iter().map(|difference| difference.added.len()).sum(),
            off: first.iter().flat_map(|difference| &difference.broken).map(Broken::line).collect(),
        }
    }

    /// Something is switched on, and none of it runs.
    pub fn is_nothing(&self) -> bool {
        self.on == 0 && !self.off.is_empty()
    }
}

/// An entry of a folder.
struct Entry {
    file_name: String,
    /// What it was taken up with, where it was.
    on: Option<Section>,
    /// What was told to be wrong with it.
    reason: Option<String>,
}

/// All entries as they were seen last, and what differs since the last difference.
pub struct Comparison<W> {
    entries: BTreeMap<Key, Entry>,
    added: Vec<Prepared<W>>,
    changed: Vec<Prepared<W>>,
    gone: Vec<Key>,
    mended: Vec<Key>,
    /// By folder, reason and whether they are on, so that 5,000 of a kind are one line. With their file names.
    broken: BTreeMap<(Folder, String, bool), BTreeMap<Key, String>>,
}

impl<W> Default for Comparison<W> {
    fn default() -> Comparison<W> {
        let (added, changed, gone, mended) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Comparison { entries: BTreeMap::new(), added, changed, gone, mended, broken: BTreeMap::new() }
    }
}

impl<W> Comparison<W> {
    /// What a folder lists now, by what it switches on. An entry that is not listed any more is off.
    pub fn list(&mut self, folder: Folder, listed: BTreeMap<Key, String>) {
        let Comparison { entries, added, changed, gone, mended, broken } = self;
        entries.retain(|key, entry| {
            let stays = key.folder != folder || listed.contains_key(key);
            if !stays {
                // What was not handed over yet never will be.
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

    /// Whom to look at: everybody, or those that are not on or had something wrong with them.
    pub fn due(&self, everybody: bool) -> Vec<Key> {
        let is_due = |entry: &Entry| everybody || entry.on.is_none() || entry.reason.is_some();
        self.entries.iter().filter(|(_, entry)| is_due(entry)).map(|(key, _)| key.clone()).collect()
    }

    /// Whether that entry was not told to be broken for that reason.
    pub fn is_news(&self, key: &Key, reason: &str) -> bool {
        self.entries.get(key).is_none_or(|entry| entry.reason.as_deref() != Some(reason))
    }

    /// What a look at an entry has brought: what it would be now, or why it cannot be.
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

    /// What differs since this was asked last. What is broken is told when all was looked at, so that many of a kind are one.
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

/// What was not handed over yet of an entry is not so any more.
fn forget(broken: &mut BTreeMap<(Folder, String, bool), BTreeMap<Key, String>>, key: &Key) {
    broken.retain(|_, entries| {
        entries.remove(key);
        !entries.is_empty()
    });
}
