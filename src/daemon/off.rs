//! What of all that is switched on runs, and what stays off and why.

use crate::check::Pace;
use crate::checks;
use crate::config::spelling;
use crate::scheduler::families::section_for;
use crate::scheduler::links::{self, Link};
use crate::scripts::{self, Manner};
use std::path::Path;

/// What becomes of the checks and scripts that are switched on.
#[derive(Clone, Debug, Default)]
pub struct Taken {
    /// So many run.
    pub on: usize,
    /// A sentence for each that stays off.
    pub off: Vec<String>,
}

impl Taken {
    /// Something is switched on, and none of it runs.
    pub fn is_nothing(&self) -> bool {
        self.on == 0 && !self.off.is_empty()
    }

    fn count(&mut self, name: &str, why: Option<String>) {
        match why {
            None => self.on += 1,
            Some(why) => self.off.push(format!("{name}: {why}; it stays off")),
        }
    }
}

/// Looks at all that is switched on, as the scheduler does.
pub fn look(home: &Path) -> Taken {
    let mut taken = Taken::default();
    match links::read(home) {
        Ok(links) => links.iter().for_each(|link| taken.count(&link.file_name, why_not(home, link))),
        Err(error) => taken.off.push(error.to_string()),
    }
    match scripts::names(home, scripts::ENABLED) {
        Ok(names) => {
            for name in names {
                let why = Manner::configure(home, &name).err();
                taken.count(&name, why.map(|error| error.to_string()));
            }
        }
        Err(error) => taken.off.push(error.to_string()),
    }
    taken
}

fn why_not(home: &Path, link: &Link) -> Option<String> {
    let Some(spec) = link.spec() else {
        let near = spelling::hint(&link.stem, checks::all().map(|spec| spec.name));
        return Some(format!("there is no check of that name{near}"));
    };
    let built = section_for(home, spec).and_then(|section| {
        Pace::read(&section)?;
        (spec.build)(&section).map(|_| ())
    });
    built.err().map(|error| error.to_string())
}
