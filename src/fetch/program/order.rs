//! Orders: internal command lines with which this program starts itself as a guard, or to switch to a user and execute
//! a program.
//!
//! The first word is one that no other command line has; a fixed number of words follows. All further words are the
//! arguments of the program to be run and are not interpreted.

use super::{Privileges, Program};
use crate::sys::process;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

const GUARD: &str = "@guard";
const RUN_AS: &str = "@run-as";

/// An internal command line of this program.
#[derive(Debug)]
pub enum Order {
    /// See [`super::guard::guard`].
    Guard {
        limit: Duration,
        /// Limit of open files for the program; `None`: the daemon's limit.
        descriptors: Option<u64>,
        privileges: Privileges,
        /// See [`Program::interpreter`].
        interpreter: Option<PathBuf>,
        path: PathBuf,
        words: Vec<OsString>,
    },
    /// See [`super::guard::run_as`].
    RunAs { user: String, path: PathBuf, words: Vec<OsString> },
}

impl Order {
    /// Parses a command line, including the program name in front; `None` if it is no order.
    pub fn read(line: impl IntoIterator<Item = OsString>) -> Option<Order> {
        let mut line = line.into_iter().skip(1);
        let first = line.next()?;
        let mut text = || line.next()?.into_string().ok();
        if first == GUARD {
            let limit = Duration::from_millis(text()?.parse().ok()?);
            let descriptors = text()?.parse().ok();
            let user = text().filter(|user| !user.is_empty());
            let nice = text()?.parse().ok();
            let memory = text()?.parse().ok();
            let privileges = Privileges { user, nice, memory };
            let interpreter = Some(PathBuf::from(line.next()?)).filter(|path| !path.as_os_str().is_empty());
            return Some(Order::Guard {
                limit,
                descriptors,
                privileges,
                interpreter,
                path: line.next()?.into(),
                words: line.collect(),
            });
        }
        if first == RUN_AS {
            return Some(Order::RunAs { user: text()?, path: line.next()?.into(), words: line.collect() });
        }
        None
    }
}

/// The arguments for an order to guard this program and to end it after `limit`.
pub fn guard(program: &Program, limit: Duration) -> Vec<OsString> {
    let Program { path, interpreter, words, privileges, .. } = program;
    let Privileges { user, nice, memory } = privileges;
    let (nice, memory) = (number(*nice), number(*memory));
    let descriptors = number(process::inherited_descriptors());
    let user = user.clone().unwrap_or_default();
    let places = [GUARD.into(), limit.as_millis().to_string(), descriptors, user, nice, memory].map(OsString::from);
    let interpreter = interpreter.clone().unwrap_or_default();
    places.into_iter().chain([interpreter.into(), path.into()]).chain(words.iter().map(OsString::from)).collect()
}

/// The word for an optional number; empty for `None`.
fn number(number: Option<impl ToString>) -> String {
    number.map(|number| number.to_string()).unwrap_or_default()
}

/// The arguments for an order to switch to a user and execute a program, without the arguments of that program.
pub fn run_as<'a>(user: &'a str, path: &'a OsStr) -> [&'a OsStr; 3] {
    [RUN_AS.as_ref(), user.as_ref(), path]
}
