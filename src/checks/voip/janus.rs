//! janus: sessions and handles of Janus, from its admin API (Janus documentation, "Admin/Monitor API").

use super::CONF;
use crate::check::chart::Chart;
use crate::check::{Check, Context, Out, Runs, Spec};
use crate::fetch::http::{self, Answer, Endpoint, Http, Question};
use crate::model::error::{Error, Result};
use crate::model::parse::json;
use crate::model::point::Tags;
use crate::model::table::{Field, gauge};
use serde_json::{Value, json};
use std::hash::{BuildHasher, Hasher, RandomState};

pub static SPEC: Spec = Spec {
    name: "check_janus",
    purpose: "sessions and plugin handles of Janus",
    check_type: "janus",
    conf: CONF,
    section: "Janus",
    keys: &[&["adminapi", "secret", "sessions"], http::KEYS],
    runs: Runs::Own,
    fields: &[&[SESSIONS, HANDLES, OF_SESSION]],
    charts: CHARTS,
    build: |section| {
        let http = Http::new(Endpoint::read(section, &["adminapi"])?);
        let secret = section.text("secret").unwrap_or_default().into();
        Ok(Box::new(Janus { http, secret, by_session: section.flag("sessions", false)? }))
    },
};

const CHARTS: &[Chart] = &[
    Chart::new("Sessions and handles").of(&["janus_sessions", "janus_handlers_total"]),
    Chart::new("Handles of a session").of(&["janus_handlers"]).each("session"),
];

const SESSIONS: Field = gauge("/sessions", "janus_sessions", "sessions").int();
/// Summed over all sessions.
const HANDLES: Field = gauge("", "janus_handlers_total", "handles").int();
const OF_SESSION: Field = gauge("/handles", "janus_handlers", "handles").int();

/// Maximum number of sessions whose handles are requested in a tick.
const MOST: usize = 1000;
/// Error code for a session that has ended since it was listed.
const ENDED: u64 = 458;

struct Janus {
    http: Http,
    secret: String,
    by_session: bool,
}

impl Check for Janus {
    fn run(&mut self, cx: &Context, out: &mut Out) -> Result<()> {
        let word = format!("{:x}", RandomState::new().build_hasher().finish());
        let question = |what: &str, session: Option<u64>| {
            let mut body = json!({ "janus": what, "transaction": word, "admin_secret": self.secret });
            if let (Some(members), Some(session)) = (body.as_object_mut(), session) {
                members.insert("session_id".into(), session.into());
            }
            body.to_string()
        };
        let list = cx.post(&mut self.http, "", question("list_sessions", None))?;
        let sessions = numbers(&list, &word, SESSIONS.cell)?.unwrap_or_default();
        out.put(&SESSIONS, sessions.len() as u64, &Tags::default());
        if sessions.len() > MOST {
            out.absence_of("handles", format!("not counted where there are more than {MOST} sessions"));
            return Ok(());
        }
        let of_session = |session: &u64| Question::post("", question("list_handles", Some(*session)));
        let questions: Vec<_> = sessions.iter().map(of_session).collect();
        let (mut all, mut failed) = (0_u64, None);
        cx.ask_all(&mut self.http, &questions, |at, answer| {
            match answer.and_then(|answer| numbers(&answer, &word, OF_SESSION.cell)) {
                Ok(Some(handles)) => {
                    all = all.saturating_add(handles.len() as u64);
                    if let Some(session) = sessions.get(at).filter(|_| self.by_session) {
                        out.put(&OF_SESSION, handles.len() as u64, &Tags::one("session", &session.to_string()));
                    }
                }
                Ok(None) => {}
                Err(error) => failed = Some(error),
            }
        });
        match failed {
            Some(error) => out.fault_of("handles", error.to_string()),
            None => out.put(&HANDLES, all, &Tags::default()),
        }
        Ok(())
    }
}

/// The numbers in the list at `place`; `None` if the requested session has ended. `word` is the transaction id of the
/// request.
fn numbers(page: &Answer, word: &str, place: &str) -> Result<Option<Vec<u64>>> {
    let told: Value = serde_json::from_str(&page.text).unwrap_or_default();
    let is_own = json::text(&told, "/transaction").is_some_and(|own| own == word);
    page.must(is_own, "an answer of the admin API of Janus")?;
    match (json::count(&told, "/error/code"), told.pointer(place).and_then(Value::as_array)) {
        (Some(ENDED), _) => Ok(None),
        (None, Some(list)) => Ok(Some(list.iter().filter_map(|id| json::count(id, "")).collect())),
        (code, _) => {
            let reason = json::text(&told, "/error/reason").unwrap_or("no list in its answer");
            let code = code.map_or(String::new(), |code| format!("{code} "));
            Err(page.unread(&Error::daemon(format!("refused: {code}{reason}; is secret its admin_secret?"))))
        }
    }
}
