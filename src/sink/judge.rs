//! The verdict on an answer for which a sink has no rule of its own, and its text.

use super::Verdict;
use super::answer::{Answer, Cause, Failure};
use crate::model::error::quote;
use crate::net::http::redirection;

/// Most bytes that are kept of a server's message.
const WHY_BYTES: usize = 1024;
/// How servers refuse plain HTTP on an HTTPS port: nginx, Go, Apache, Tomcat.
const WANTS_TLS: [&str; 4] = [
    "plain HTTP request was sent to HTTPS port",
    "sent an HTTP request to an HTTPS server",
    "speaking plain HTTP to an SSL-enabled server port",
    "combination of host and port requires TLS",
];

impl From<Failure> for Verdict {
    fn from(Failure { cause, why }: Failure) -> Verdict {
        match cause {
            Cause::Refused | Cause::Setup => Verdict::Pause { why },
            cause => Verdict::Retry { why, after: None, is_suspect: matches!(cause, Cause::Closed | Cause::Timeout) },
        }
    }
}

/// The verdict on an answer. `own` is the verdict by the sink's own rules, `None` if they have none for it. `key` is
/// the key of `[TSDB]` with the address, for the remedies.
pub fn judge(answer: &Answer, own: Option<Verdict>, key: &str) -> Verdict {
    let (status, address) = (answer.status, &answer.address);
    if answer.is_undecided() {
        let why = format!("{address}: HTTP {status} with an answer that broke off");
        return Verdict::Retry { why, after: None, is_suspect: true };
    }
    let why = format!("{address}: {}", describe_answer(answer));
    let pause = |remedy: &str| Verdict::Pause { why: format!("{why}; {remedy}") };
    if status == 400 && WANTS_TLS.iter().any(|known| answer.text().contains(known)) {
        return pause(&format!("use https:// in {key}"));
    }
    if let Some(verdict) = own {
        return verdict;
    }
    match status {
        408 | 425 | 429 | 499 => Verdict::Retry { why, after: answer.retry_after, is_suspect: false },
        401 => pause("check auth, user and pass"),
        402 => pause("settle the account"),
        403 => pause("the user may not write, check user and its rights"),
        407 => {
            let place = answer.proxy.as_ref().map_or("the key proxy", |proxy| &proxy.set_in);
            pause(&format!("the proxy wants user and password, set them in {place}"))
        }
        404 | 405 | 410 | 501 => pause(&format!("check {key}")),
        421 | 426 => pause(&format!("check {key}, and whether it must begin with https://")),
        431 => pause("the server or a proxy before it refuses our headers, let it take longer ones"),
        413 => Verdict::Split { status, why },
        500..=599 => Verdict::Retry { why, after: answer.retry_after, is_suspect: answer.retry_after.is_none() },
        300..=399 => {
            let to = redirection(answer.location.as_deref());
            Verdict::Pause { why: format!("{address}: HTTP {status}: redirected{to}, set {key} to the final place") }
        }
        100..=299 => pause(&format!("this is not how the database answers, {key} points at something else")),
        _ => Verdict::Reject { status, why },
    }
}

/// `HTTP 500: "the server's message"`, with the proxy if it may be the proxy's answer.
pub fn describe_answer(answer: &Answer) -> String {
    let through = match (&answer.proxy, answer.status) {
        (Some(proxy), 407) => format!(" from the proxy {}", proxy.address),
        (Some(proxy), 403 | 502..=504) => format!(" through the proxy {}", proxy.address),
        _ => String::new(),
    };
    match answer.message() {
        words if words.is_empty() => format!("HTTP {}{through}", answer.status),
        words => format!("HTTP {}{through}: {}", answer.status, quote(&words)),
    }
}

/// The part of a server's message that is kept with a refused point.
pub fn shortened(mut text: String) -> String {
    while text.len() > WHY_BYTES {
        text.pop();
    }
    text
}
