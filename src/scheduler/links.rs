//! `checks_enabled`: which checks are switched on, by links or copies whose stem names a compiled-in check.

use crate::check::Spec;
use crate::checks;
use crate::model::error::{Error, Result};
use crate::sys::folder;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Folder of the links below home, and of the descriptors that they point to.
pub const ENABLED: &str = "checks_enabled";
pub const AVAILABLE: &str = "checks_available";

/// Time stamps of folders are coarse: a change this young may not show in them yet.
const SETTLED: Duration = Duration::from_secs(2);

/// One entry of the folder. A dangling link counts: the original's links end in `.py` and point to nothing here.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Link {
    /// What names the check: the file name up to its last dot.
    pub stem: String,
    pub file_name: String,
}

impl Link {
    /// The check that it switches on; `None` when there is none of that name.
    pub fn spec(&self) -> Option<&'static Spec> {
        checks::find(&self.stem)
    }
}

/// What a file name says of the check: all but its ending.
pub fn stem(file_name: &str) -> &str {
    file_name.rsplit_once('.').map_or(file_name, |(stem, _)| stem)
}

/// All checks that the folder names, in the order of their names; of two links for one check the first. A missing folder
/// holds none.
pub fn read(home: &Path) -> Result<Vec<Link>> {
    let mut links = entries(home)?;
    links.dedup_by(|one, other| one.stem == other.stem);
    Ok(links)
}

/// Everything in the folder that names a check, sorted by that name.
fn entries(home: &Path) -> Result<Vec<Link>> {
    let folder = home.join(ENABLED);
    // A check's name without its beginning, as the commands take it, is none here, but somebody meant it.
    let short =
        folder::names(&folder)?.into_iter().filter(|name| checks::find(&format!("check_{}", stem(name))).is_some());
    let names = folder::check_names(&folder)?.into_iter().chain(short);
    let mut links: Vec<Link> = names.map(|file_name| Link { stem: stem(&file_name).into(), file_name }).collect();
    links.sort();
    Ok(links)
}

/// Makes the link of a check. `Ok(false)`: it is switched on already.
pub fn enable(home: &Path, spec: &Spec) -> Result<bool> {
    if read(home)?.iter().any(|link| link.stem == spec.name) {
        return Ok(false);
    }
    folder::link(home, ENABLED, AVAILABLE, &format!("{}.ini", spec.name)).map(|()| true)
}

/// Removes all links of that stem. `Ok(false)`: there was none.
///
/// # Errors
/// One of them is no link but a file, which may be the only copy of somebody's work: nothing is removed.
pub fn disable(home: &Path, stem: &str) -> Result<bool> {
    let folder = home.join(ENABLED);
    let entries = entries(home)?.into_iter().filter(|link| link.stem == stem);
    let paths: Vec<PathBuf> = entries.map(|link| folder.join(link.file_name)).collect();
    for path in &paths {
        folder::check_link(path, &home.join(AVAILABLE))?;
    }
    for path in &paths {
        fs::remove_file(path).map_err(Error::file("remove", path))?;
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
