//! A check, own module or script, built from its configuration and ready to run.

use super::families;
use super::links;
use crate::check::{Check, CommonSettings, Runs, Spec, instances};
use crate::config::section::Section;
use crate::model::error::Result;
use crate::model::point::Text;
use crate::scripts::config::Mode;
use crate::scripts::module::{self, Module, ModuleConfig};
use crate::scripts::{self, Permits, Script, ScriptConfig};
use crate::state::Kind;
use std::path::Path;
use std::sync::Arc;

/// The two folders whose entries switch something on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Folder {
    Checks,
    Scripts,
}

impl Folder {
    pub const ALL: [Folder; 2] = [Folder::Checks, Folder::Scripts];

    /// Its name below home.
    pub fn name(self) -> &'static str {
        match self {
            Folder::Checks => links::ENABLED,
            Folder::Scripts => scripts::ENABLED,
        }
    }
}

/// Identifies a check by its name, or a script or own module by its file name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    pub folder: Folder,
    pub name: String,
}

impl Key {
    pub fn kind(&self) -> Kind {
        match self.folder {
            Folder::Scripts => Kind::Script,
            Folder::Checks if links::is_module(&self.name) => Kind::Module,
            Folder::Checks => Kind::Check,
        }
    }
}

/// A check, module or script, ready to run. `W` does the work: a check, or something else in a test.
pub struct Prepared<W = Box<dyn Check>> {
    pub key: Key,
    /// Value of the `type` tag.
    pub check_type: Text,
    pub common: CommonSettings,
    pub runs: Runs,
    /// It collects data between ticks, so it is asked once more at shutdown.
    pub is_stream: bool,
    /// Warnings to be logged when it is switched on.
    pub warnings: Vec<String>,
    /// The section that it was built from.
    pub section: Section,
    pub work: W,
}

/// Warnings about secrets of that section that other users can read.
fn exposed(section: &Section) -> Vec<String> {
    section.exposed().iter().map(ToString::to_string).collect()
}

/// Builds a check from its section.
///
/// # Errors
/// A mistake in the section or its files.
pub fn check(home: &Path, spec: &'static Spec) -> Result<Prepared> {
    let mut section = families::section_for(home, spec)?;
    section.look_at_certificates();
    let (common, work) = (CommonSettings::read(&section)?, instances::build(spec, &section)?);
    let key = Key { folder: Folder::Checks, name: spec.name.into() };
    let mut warnings = exposed(&section);
    warnings.extend(section.unverified("verify", false).filter(|_| spec.has_key("verify")));
    Ok(Prepared {
        key,
        check_type: spec.check_type.into(),
        common,
        runs: spec.runs,
        is_stream: false,
        warnings,
        section,
        work,
    })
}

/// Builds the script of that name in a folder below home from its section.
///
/// # Errors
/// A mistake in the section or its file, or there is no program at that path.
pub fn script(home: &Path, folder: &str, name: &str, permits: &Arc<Permits>) -> Result<Prepared> {
    let path = home.join(folder).join(name);
    scripts::check_file(&path)?;
    let section = ScriptConfig::section(home, name)?;
    let config = ScriptConfig::read(&section)?;
    let (common, is_stream) = (config.common, config.mode == Mode::Stream);
    let work = Box::new(Script::new(path, config, Arc::clone(permits)));
    let key = Key { folder: Folder::Scripts, name: name.into() };
    Ok(Prepared {
        key,
        check_type: scripts::TYPE.into(),
        common,
        runs: Runs::Own,
        is_stream,
        warnings: exposed(&section),
        section,
        work,
    })
}

/// Builds the own module of that name in a folder below home from its section.
///
/// # Errors
/// A mistake in the section or its file, or there is no module at that path.
pub fn module(home: &Path, folder: &str, name: &str) -> Result<Prepared> {
    let path = home.join(folder).join(name);
    module::check_file(&path)?;
    let section = ModuleConfig::section(home, name)?;
    let config = ModuleConfig::read(&section)?;
    let (common, check_type) = (config.common, Text::Owned(Module::check_type(name).into()));
    let work = Box::new(Module::new(path, config));
    let key = Key { folder: Folder::Checks, name: name.into() };
    Ok(Prepared {
        key,
        check_type,
        common,
        runs: Runs::Own,
        is_stream: false,
        warnings: exposed(&section),
        section,
        work,
    })
}
