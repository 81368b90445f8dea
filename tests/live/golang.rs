//! Servers that are Go modules: built from source.

use crate::cache::{kept, output};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// How the source of a module must be changed before it can be built.
#[derive(Default)]
pub struct Changes<'a> {
    /// Files that it lacks, with their text.
    pub files: &'a [(&'a str, &'a str)],
    /// Files, and a line of each that is left out.
    pub without: &'a [(&'a str, &'a str)],
    /// Modules that it replaces by folders of its repository, which are not part of it: they are fetched like the others.
    pub neighbours: &'a [String],
}

/// The program of this package of a module, `path@version`.
pub fn program(module: &str, package: &str, changes: &Changes) -> Result<PathBuf, String> {
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
        for (file, text) in changes.files {
            fs::write(source.join(file), text).map_err(|error| format!("{file}: {error}"))?;
        }
        for (file, line) in changes.without {
            let text = fs::read_to_string(source.join(file)).map_err(|error| format!("{file}: {error}"))?;
            let kept: Vec<&str> = text.lines().filter(|own| own.trim() != *line).collect();
            fs::write(source.join(file), kept.join("\n")).map_err(|error| format!("{file}: {error}"))?;
        }
        for neighbour in changes.neighbours {
            output(Command::new("go").args(["mod", "edit", "-dropreplace", neighbour]).current_dir(&source))?;
        }
        // Without the folder's name in it, the compiled code can be reused next time. Go 1.23 and later refuse what old
        // versions of golang.org/x/net take from the standard library, unless told not to check it.
        let mut build = Command::new("go");
        build
            .args(["build", "-mod=mod", "-trimpath", "-ldflags=-s -w -checklinkname=0", "-o"])
            .arg(folder.join("program"))
            .arg(package);
        output(build.current_dir(&source))?;
        fs::remove_dir_all(&source).map_err(|error| error.to_string())
    })?;
    Ok(folder.join("program"))
}
