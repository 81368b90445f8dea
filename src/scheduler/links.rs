//! `checks_enabled`: which checks are switched on, by links or copies whose stem names a compiled-in check, and own modules.

use crate::check::Spec;
use crate::checks;
use crate::model::error::Result;
use crate::sys::folder;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Folder of the links below home, and of the descriptors that they point to.
pub const ENABLED: &str = "checks_enabled";
pub const AVAILABLE: &str = "checks_available";

/// Time stamps of folders are coarse: a change this young may not show in them yet.
const SETTLED: Duration = Duration::from_secs(2);

/// Knows the check of a name.
pub type Find = fn(&str) -> Option<&'static Spec>;

/// One entry of the folder. A dangling link counts: the original's links end in `.py` and point to nothing here.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Link {
    /// What it switches on: a check, which has the name of the file up to its last dot, or an own module by the name of its file.
    pub name: String,
    pub file_name: String,
}

impl Link {
    fn new(file_name: String, find: Find) -> Link {
        let is_own = is_module(&file_name) && find(stem(&file_name)).is_none();
        Link { name: if is_own { file_name.clone() } else { stem(&file_name).into() }, file_name }
    }
}

/// Whether a name, as a [`Link`] has it, is that of an own module.
pub fn is_module(name: &str) -> bool {
    name.starts_with("check_") && name.ends_with(".py")
}

/// The own modules of a folder below home: what no compiled-in check has the name of.
pub fn modules(home: &Path, folder: &str) -> Result<Vec<String>> {
    let mut names = folder::check_names(&home.join(folder))?;
    names.retain(|name| is_module(name) && checks::find(stem(name)).is_none());
    Ok(names)
}

/// What a file name says of the check: all but its ending.
pub fn stem(file_name: &str) -> &str {
    file_name.rsplit_once('.').map_or(file_name, |(stem, _)| stem)
}

/// All that the folder switches on, in the order of their names; of two links for one check the first. A missing folder holds
/// none.
pub fn read(home: &Path, find: Find) -> Result<Vec<Link>> {
    let mut links = entries(home, find)?;
    links.dedup_by(|one, other| one.name == other.name);
    Ok(links)
}

/// Everything in the folder that names something, sorted by that name.
fn entries(home: &Path, find: Find) -> Result<Vec<Link>> {
    let folder = home.join(ENABLED);
    // A check's name without its beginning, as the commands take it, is none here, but somebody meant it.
    let short = folder::names(&folder)?.into_iter().filter(|name| find(&format!("check_{}", stem(name))).is_some());
    let names = folder::check_names(&folder)?.into_iter().chain(short);
    let mut links: Vec<Link> = names.map(|file_name| Link::new(file_name, find)).collect();
    links.sort();
    Ok(links)
}

/// Makes the link of a check or an own module, as a [`Link`] has it. `Ok(false)`: it is switched on already.
pub fn enable(home: &Path, name: &str) -> Result<bool> {
    if read(home, checks::find)?.iter().any(|link| link.name == name) {
        return Ok(false);
    }
    let file_name = if is_module(name) { name.into() } else { format!("{name}.ini") };
    folder::link(home, ENABLED, AVAILABLE, &file_name).map(|()| true)
}

/// Removes all links of that name. `Ok(false)`: there was none.
///
/// # Errors
/// One of them is no link but a file, which may be the only copy of somebody's work: nothing is removed, or with `moves` that
/// file goes to [`AVAILABLE`].
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

/// Notices when the folder has changed, for the price of one `stat` a look.
pub struct Watch {
    folder: PathBuf,
    seen: Option<SystemTime>,
}

impl Watch {
    pub fn new(folder: &Path) -> Watch {
        Watch { folder: folder.into(), seen: None }
    }

    /// Lets the next call say that it has changed.
    pub fn forget(&mut self) {
        self.seen = None;
    }

    /// Whether the folder may differ from what it was at the last call; true at the first.
    pub fn changed(&mut self) -> bool {
        let modified = fs::metadata(&self.folder).and_then(|meta| meta.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
        let settled = modified.elapsed().is_ok_and(|age| age > SETTLED);
        let same = self.seen == Some(modified);
        self.seen = settled.then_some(modified);
        !same
    }
}
