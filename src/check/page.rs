//! Checks of HTTP pages: the addresses to request, and a function that emits the points of an answer.

use super::{Check, Context, Out};
use crate::config::section::Section;
use crate::fetch::http::{Answer, Body, Endpoint, Http, Question};
use crate::model::error::Result;

/// A check of one page. Its address is the value of the first key; the values of the other keys are appended to it.
///
/// # Errors
/// A mistake in the section.
pub fn page<T>(section: &Section, keys: &[&str], tell: T) -> Result<Box<dyn Check>>
where
    T: FnMut(&Answer, &mut Out) -> Result<()> + Send + 'static,
{
    Ok(Box::new(Page { http: Http::new(Endpoint::read(section, keys)?), tell }))
}

struct Page<T> {
    http: Http,
    tell: T,
}

impl<T: FnMut(&Answer, &mut Out) -> Result<()> + Send> Check for Page<T> {
    fn run(&mut self, cx: &Context, out: &mut Out) -> Result<()> {
        let answer = cx.get(&mut self.http, "")?;
        (self.tell)(&answer, out).map_err(|error| answer.unread(&error))
    }
}

/// A check of one page that may be long: `tell` consumes the body while it arrives.
pub fn long_page<T>(endpoint: Endpoint, tell: T) -> Box<dyn Check>
where
    T: FnMut(&mut Body, &mut Out) -> Result<()> + Send + 'static,
{
    Box::new(LongPage { http: Http::new(endpoint), tell })
}

struct LongPage<T> {
    http: Http,
    tell: T,
}

impl<T: FnMut(&mut Body, &mut Out) -> Result<()> + Send> Check for LongPage<T> {
    fn run(&mut self, cx: &Context, out: &mut Out) -> Result<()> {
        cx.stream(&mut self.http, "", |body| (self.tell)(body, out).map_err(|error| body.head.unread(&error)))
    }
}

/// A check of several pages below one address, requested at the same time. `tell` gets each answer with its index in
/// `paths`. If a page fails, only its points are missing; if all fail, the run fails.
///
/// # Errors
/// A mistake in the section.
pub fn pages<T>(section: &Section, keys: &[&str], paths: &'static [&'static str], tell: T) -> Result<Box<dyn Check>>
where
    T: FnMut(usize, &Answer, &mut Out) -> Result<()> + Send + 'static,
{
    let questions = paths.iter().map(|path| Question::get(path)).collect();
    Ok(Box::new(Pages { http: Http::new(Endpoint::read(section, keys)?), questions, tell }))
}

struct Pages<T> {
    http: Http,
    questions: Vec<Question>,
    tell: T,
}

impl<T: FnMut(usize, &Answer, &mut Out) -> Result<()> + Send> Check for Pages<T> {
    fn run(&mut self, cx: &Context, out: &mut Out) -> Result<()> {
        let Pages { http, questions, tell } = self;
        let mut errors = Vec::new();
        cx.ask_all(http, questions, |at, answer| {
            let result = answer.and_then(|answer| tell(at, &answer, out).map_err(|error| answer.unread(&error)));
            errors.extend(result.err().map(|error| (at, error)));
        });
        if errors.len() == questions.len()
            && let Some((_, first)) = errors.pop()
        {
            return Err(first);
        }
        for (at, error) in errors {
            out.failure_of(questions.get(at).map_or("", |question| &question.path), &error);
        }
        Ok(())
    }
}
