//! Things that are downloaded or built once, in a folder that is kept between runs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

/// One case at a time fetches.
static FETCHES: Mutex<()> = Mutex::new(());

/// The folder with this name, which is created at its first use.
pub fn kept(name: &str, make: impl FnOnce(&Path) -> Result<(), String>) -> Result<PathBuf, String> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
    let folder = cache.unwrap_or_else(std::env::temp_dir).join("puypuy-live").join(name);
    let _fetches = FETCHES.lock().unwrap_or_else(PoisonError::into_inner);
    if !folder.exists() {
        println!("live: fetching {name}");
        let unfinished = folder.with_extension(format!("{}.unfinished", std::process::id()));
        fs::create_dir_all(&unfinished).map_err(|error| format!("{}: {error}", unfinished.display()))?;
        let made = make(&unfinished)
            .and_then(|()| fs::rename(&unfinished, &folder).map_err(|error| format!("{}: {error}", folder.display())));
        if let Err(why) = made {
            let _ = fs::remove_dir_all(&unfinished);
            return Err(format!("{name} cannot be had: {why}"));
        }
    }
    Ok(folder)
}

/// The output of the command; `Err` has the first lines of its error message.
pub fn output(command: &mut Command) -> Result<String, String> {
    let name = Path::new(command.get_program()).display().to_string();
    let ended = command.stdin(Stdio::null()).output().map_err(|error| format!("{name}: {error}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if ended.status.success() {
        return Ok(text(&ended.stdout));
    }
    let said = text(&ended.stdout) + &text(&ended.stderr);
    Err(format!("{name}: {}", said.lines().filter(|line| !line.is_empty()).take(3).collect::<Vec<_>>().join(" ")))
}
