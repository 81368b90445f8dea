//! Servers that are Go modules: built from source.

use crate::cache::{kept, output};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// The program of this package of a module, `path@version`, with files that its source lacks. `neighbours` are modules
/// that it replaces by folders of its repository, which are not part of it: they are fetched like the others.
pub fn program(module: &str, package: &str, files: &[(&str, &str)], neighbours: &[String]) -> Result<PathBuf, String> {
    let (path, version) = module.split_once('@').unwrap();
    // The last part may be the major version, as in `/v2`.
    let is_name = |part: &&str| part.strip_prefix('v').is_none_or(|rest| rest.parse::<u32>().is_err());
    let last = path.rsplit('/').find(is_name).unwrap().to_lowercase();
    let name = format!("{last}-{}", version.trim_start_matches('v'));
    let folder = kept(&name, |folder| {
        let told = output(Command::new("go").args(["mod", "download", "-json", module]).current_dir(folder))?;
        let told: serde_json::Value = serde_json::from_str(&told).map_err(|error| format!("go: {error}"))?;
        let source = folder.join("source");
        output(Command::new("cp").arg("-r").arg(told["Dir"].as_str().unwrap_or_default()).arg(&source))?;
        output(Command::new("chmod").args(["-R", "u+w"]).arg(&source))?;
        for (file, text) in files {
            fs::write(source.join(file), text).map_err(|error| format!("{file}: {error}"))?;
        }
        for neighbour in neighbours {
            output(Command::new("go").args(["mod", "edit", "-dropreplace", neighbour]).current_dir(&source))?;
        }
        // Without the folder's name in it, the compiled code can be reused next time.
        let mut build = Command::new("go");
        build.args(["build", "-mod=mod", "-trimpath", "-ldflags=-s -w", "-o"]).arg(folder.join("program")).arg(package);
        output(build.current_dir(&source))?;
        fs::remove_dir_all(&source).map_err(|error| error.to_string())
    })?;
    Ok(folder.join("program"))
}
