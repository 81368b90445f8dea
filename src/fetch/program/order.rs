//! The orders that this program gets from itself: to be a guard, or to become a user and then a program.
//!
//! A first word that no command line has, and fixed places behind it. What follows these are the words of the program that
//! is to be run: nobody reads them but that program.

use super::{Privileges, Program};
use crate::sys::process;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

const GUARD: &str = "@guard";
const RUN_AS: &str = "@run-as";

#[derive(Debug)]
pub enum Order {
    /// See [`super::guard::guard`].
    Guard {
        limit: Duration,
        /// How many files the program may have open; `None`: as many as the daemon.
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
    /// Reads a command line, the program's own name included; `None`: it is no order.
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

/// The words of an order to guard that program, and to end it after `limit`.
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

/// Its place in an order; an empty one where there is none.
fn number(number: Option<impl ToString>) -> String {
    number.map(|number| number.to_string()).unwrap_or_default()
}

/// The words of an order to become that user and then that program, but for the program's own.
pub fn run_as<'a>(user: &'a str, path: &'a OsStr) -> [&'a OsStr; 3] {
    [RUN_AS.as_ref(), user.as_ref(), path]
}
