//! Checks of a Java server through Jolokia: a list of MBeans to request, and a function that emits their points.
//!
//! All MBeans are requested in one POST per tick (Jolokia reference, "Bulk requests"). If the server or Jolokia's
//! policy refuses POST, each MBean is requested with a GET.

use super::{Check, Context, Out};
use crate::config::section::Section;
use crate::fetch::http::{Endpoint, Http, Question};
use crate::model::error::{Error, Result};
use crate::model::parse::jolokia::{Bean, Found, get_path, post_body, read_bulk, read_one};

/// The path at the end of the addresses that the Python original used; it is cut off.
const READ: &str = "read";
/// HTTP statuses with which a server refuses POST.
const REFUSED: [u16; 4] = [403, 404, 405, 501];

/// A check that requests `beans` from the Jolokia agent whose address is in `key`, with or without `/read` at its end.
///
/// # Errors
/// A mistake in the section.
pub fn jolokia<T>(section: &Section, key: &str, beans: &'static [Bean], tell: T) -> Result<Box<dyn Check>>
where
    T: FnMut(&Beans, &mut Out) -> Result<()> + Send + 'static,
{
    let http = Http::new(Endpoint::read(section, &[key])?.above(READ).with_origin());
    Ok(Box::new(Jolokia { http, beans, uses_get: false, tell }))
}

/// The MBeans found for each entry of the request list, in the order of that list.
pub struct Beans {
    found: Vec<Result<Vec<Found>, String>>,
}

impl Beans {
    /// The MBeans found for the entry at this index: none, one, or several if the entry is a pattern.
    pub fn at(&self, place: usize) -> &[Found] {
        self.found.get(place).and_then(|found| found.as_deref().ok()).unwrap_or_default()
    }
}

struct Jolokia<T> {
    http: Http,
    beans: &'static [Bean],
    /// POST was refused, so GET is used. Reset when a run fails, because the server may have changed.
    uses_get: bool,
    tell: T,
}

impl<T: FnMut(&Beans, &mut Out) -> Result<()> + Send> Check for Jolokia<T> {
    fn run(&mut self, cx: &Context, out: &mut Out) -> Result<()> {
        let asked = self.ask(cx);
        let found = asked.inspect_err(|_| self.uses_get = false)?;
        let failed: Vec<_> =
            self.beans.iter().zip(&found).filter_map(|(bean, found)| Some((bean, found.as_ref().err()?))).collect();
        if let Some((bean, why)) = failed.first().filter(|_| failed.len() == found.len()) {
            self.uses_get = false;
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
        if !self.uses_get {
            match cx.post(&mut self.http, "/", post_body(self.beans)) {
                Ok(answer) => match read_bulk(&answer.text, self.beans) {
                    Ok(found) if found.iter().any(Result::is_ok) => return Ok(found),
                    Err(error @ Error::Parse { .. }) => return Err(answer.unread(&error)),
                    // Jolokia may refuse POST as a whole, or for each MBean.
                    Ok(_) => {}
                    Err(error) => refusal = Some(answer.unread(&error)),
                },
                Err(error @ Error::Status { status, .. }) if REFUSED.contains(&status) => refusal = Some(error),
                Err(error) => return Err(error),
            }
            self.uses_get = true;
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
