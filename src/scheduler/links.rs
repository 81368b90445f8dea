//! `checks_enabled`: which built-in checks (by the stem of a link or copy) and own modules are switched on.

use crate::check::Spec;
use crate::checks;
use crate::model::error::Result;
use crate::sys::folder;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// The folder of the links below home, and the folder of the files that they point to.
pub const ENABLED: &str = "checks_enabled";
pub const AVAILABLE: &str = "checks_available";

/// Timestamps of folders are coarse: a change may not be visible if the timestamp is younger than this.
const SETTLED: Duration = Duration::from_secs(2);

/// Looks up a check by name.
pub type Find = fn(&str) -> Option<&'static Spec>;

/// One entry of the folder. A dangling link counts: links of the original end in `.py` and point to nothing here.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Link {
    /// What it switches on: a check (the file name up to its last dot), or an own module (the whole file name).
    pub name: String,
    pub file_name: String,
}

impl Link {
    fn new(file_name: String, find: Find) -> Link {
        let is_own = is_module(&file_name) && find(stem(&file_name)).is_none();
        Link { name: if is_own { file_name.clone() } else { stem(&file_name).into() }, file_name }
    }
}

/// Whether the name of a [`Link`] is that of an own module.
pub fn is_module(name: &str) -> bool {
    name.starts_with("check_") && name.ends_with(".py")
}

/// The own modules of a folder below home: Python files, or links, that do not have a built-in check's name.
pub fn modules(home: &Path, folder: &str) -> Result<Vec<String>> {
    let folder = home.join(folder);
    let is_file =
        |name: &str| fs::symlink_metadata(folder.join(name)).is_ok_and(|about| about.is_file() || about.is_symlink());
    let mut names = folder::check_names(&folder)?;
    names.retain(|name| is_module(name) && checks::find(stem(name)).is_none() && is_file(name));
    Ok(names)
}

/// A file name without its extension.
pub fn stem(file_name: &str) -> &str {
    file_name.rsplit_once('.').map_or(file_name, |(stem, _)| stem)
}

/// Everything that the folder switches on, sorted by name; of two links for one check only the first. A missing folder
/// counts as empty.
pub fn read(home: &Path, find: Find) -> Result<Vec<Link>> {
    let mut links = entries(home, find)?;
    links.dedup_by(|one, other| one.name == other.name);
    Ok(links)
}

/// All entries of the folder that name something, sorted by that name.
fn entries(home: &Path, find: Find) -> Result<Vec<Link>> {
    let folder = home.join(ENABLED);
    // A check's short name, without `check_`, is only valid in commands, but it is clear what was meant.
    let short = folder::names(&folder)?.into_iter().filter(|name| find(&format!("check_{}", stem(name))).is_some());
    let names = folder::check_names(&folder)?.into_iter().chain(short);
    let mut links: Vec<Link> = names.map(|file_name| Link::new(file_name, find)).collect();
    links.sort();
    Ok(links)
}

/// Makes the link for a check or an own module, named as in a [`Link`]. `Ok(false)`: it is enabled already.
pub fn enable(home: &Path, name: &str) -> Result<bool> {
    if read(home, checks::find)?.iter().any(|link| link.name == name) {
        return Ok(false);
    }
    let file_name = if is_module(name) { name.into() } else { format!("{name}.ini") };
    folder::link(home, ENABLED, AVAILABLE, &file_name).map(|()| true)
}

/// Removes all links with that name. `Ok(false)`: there was none.
///
/// # Errors
/// One of them is not a link but a file, which may be the only copy of somebody's work: nothing is removed. With
/// `moves` that file is moved to [`AVAILABLE`] instead.
pub fn disable(home: &Path, name: &str, moves: bool) -> Result<bool> {
    let folder = home.join(ENABLED);
    let entries = entries(home, checks::find)?.into_iter().filter(|link| link.name == name);
    let paths: Vec<PathBuf> = entries.map(|link| folder.join(link.file_name)).collect();
    for path in &paths {
        folder::check_removal(path, &home.join(AVAILABLE), moves)?;
    }
    for path in &paths {
        folder::remove(path, &home.join(AVAILABLE))?;
    }
    Ok(!paths.is_empty())
}

/// Notices changes of a folder, at the price of one `stat` per call.
pub struct Watch {
    folder: PathBuf,
    seen: Option<SystemTime>,
}

impl Watch {
    pub fn new(folder: &Path) -> Watch {
        Watch { folder: folder.into(), seen: None }
    }

    /// Makes the next call report a change.
    pub fn forget(&mut self) {
        self.seen = None;
    }

    /// Whether the folder may have changed since the last call; true at the first call.
    pub fn changed(&mut self) -> bool {
        let modified = fs::metadata(&self.folder).and_then(|meta| meta.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
        let settled = modified.elapsed().is_ok_and(|age| age > SETTLED);
        let same = self.seen == Some(modified);
        self.seen = settled.then_some(modified);
        !same
    }
}
