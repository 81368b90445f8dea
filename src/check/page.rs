//! Checks of pages: each is where its pages are, and what it tells of an answer.

use super::{Check, Context, Out};
use crate::config::section::Section;
use crate::fetch::http::{Answer, Body, Endpoint, Http, Question};
use crate::model::error::Result;

/// A check of one page. Its address is the value of the first of these keys, with the values of the others behind it.
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

/// A check of one page that may be long: `tell` is given it while it comes.
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

/// A check of several pages below one address, which are asked for at the same time: `tell` is given each with its place in
/// `paths`. A page that fails costs what it would have told; where all fail, so does the run.
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
            let told = answer.and_then(|answer| tell(at, &answer, out).map_err(|error| answer.unread(&error)));
            errors.extend(told.err().map(|error| (at, error)));
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
