//! Checks of a Java server through Jolokia: each is a list of MBeans, and what it tells of them.
//!
//! All are asked for in one POST a tick (Jolokia reference, "Bulk requests"); where that is refused, by the server or by the policy
//! of Jolokia, each in a GET of its own.

use super::{Check, Context, Out};
use crate::config::section::Section;
use crate::fetch::http::{Endpoint, Http, Question};
use crate::model::error::{Error, Result};
use crate::model::parse::jolokia::{Bean, Found, get_path, post_body, read_bulk, read_one};

/// What the original's addresses end with.
const READ: &str = "read";
/// Answers of who takes no POST.
const REFUSED: [u16; 4] = [403, 404, 405, 501];

/// A check of these MBeans, at the Jolokia whose address is the value of that key, with or without `/read` at its end.
///
/// # Errors
/// A mistake in the section.
pub fn jolokia<T>(section: &Section, key: &str, beans: &'static [Bean], tell: T) -> Result<Box<dyn Check>>
where
    T: FnMut(&Beans, &mut Out) -> Result<()> + Send + 'static,
{
    let http = Http::new(Endpoint::read(section, &[key])?.above(READ).with_origin());
    Ok(Box::new(Jolokia { http, beans, singly: false, tell }))
}

/// What was found of each MBean that was asked for, in that order.
pub struct Beans {
    found: Vec<Result<Vec<Found>, String>>,
}

impl Beans {
    /// The MBeans that are there for that place in the list: none, one, or for a pattern several.
    pub fn at(&self, place: usize) -> &[Found] {
        self.found.get(place).and_then(|found| found.as_deref().ok()).unwrap_or_default()
    }
}

struct Jolokia<T> {
    http: Http,
    beans: &'static [Bean],
    /// POST was refused; until the server fails once.
    singly: bool,
    tell: T,
}

impl<T: FnMut(&Beans, &mut Out) -> Result<()> + Send> Check for Jolokia<T> {
    fn run(&mut self, cx: &Context, out: &mut Out) -> Result<()> {
        let asked = self.ask(cx);
        let found = asked.inspect_err(|_| self.singly = false)?;
        let failed: Vec<_> =
            self.beans.iter().zip(&found).filter_map(|(bean, found)| Some((bean, found.as_ref().err()?))).collect();
        if let Some((bean, why)) = failed.first().filter(|_| failed.len() == found.len()) {
            self.singly = false;
            return Err(Error::Fetch { address: self.http.address(), problem: format!("{}: {why}", bean.name) });
        }
        for (bean, why) in failed {
            out.fault_of(bean.name, why);
        }
        (self.tell)(&Beans { found }, out)
    }
}

impl<T> Jolokia<T> {
    fn ask(&mut self, cx: &Context) -> Result<Vec<Result<Vec<Found>, String>>> {
        let mut refusal = None;
        if !self.singly {
            match cx.post(&mut self.http, "/", post_body(self.beans)) {
                Ok(answer) => match read_bulk(&answer.text, self.beans) {
                    Ok(found) if found.iter().any(Result::is_ok) => return Ok(found),
                    Err(error @ Error::Parse { .. }) => return Err(answer.unread(&error)),
                    // A policy that takes no POST says so once, or of each bean.
                    Ok(_) => {}
                    Err(error) => refusal = Some(answer.unread(&error)),
                },
                Err(error @ Error::Status { status, .. }) if REFUSED.contains(&status) => refusal = Some(error),
                Err(error) => return Err(error),
            }
            self.singly = true;
        }
        let questions: Vec<_> = self.beans.iter().map(|bean| Question::get(&get_path(bean))).collect();
        let mut found: Vec<_> = self.beans.iter().map(|_| Err(Error::daemon("not asked for"))).collect();
        cx.ask_all(&mut self.http, &questions, |at, answer| {
            let read = answer.and_then(|answer| match self.beans.get(at) {
                Some(bean) => Ok(read_one(&answer.text, bean).map_err(|error| answer.unread(&error))?),
                None => Ok(Ok(Vec::new())),
            });
            if let Some(place) = found.get_mut(at) {
                *place = read;
            }
        });
        if found.iter().all(Result::is_err)
            && let Some(Err(error)) = found.pop()
        {
            return Err(refusal.unwrap_or(error));
        }
        Ok(found.into_iter().map(|found| found.unwrap_or_else(|error| Err(error.to_string()))).collect())
    }
}
