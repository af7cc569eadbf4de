//! The simulated Telegram: takes messages for any bot, keeps them for tests, and refuses some when
//! told so. It listens where the server does, below a path of its own.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::{Response, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};

use super::locked;
use super::plex::{Plex, Shared};

/// Where it is on the simulator.
pub(super) const PATH: &str = "/telegram";
/// Messages that are kept, the newest. A demo may run for weeks.
const MOST_KEPT: usize = 1000;
/// What a message in HTML may hold between angle brackets, of what we send.
const TAGS: [&str; 6] = ["<b>", "</b>", "<i>", "</i>", "<code>", "</code>"];

/// A message that has arrived.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// The token of the bot.
    pub token: String,
    /// The chat that it was for.
    pub chat_id: String,
    /// What it says.
    pub text: String,
    /// All that was sent.
    pub body: Value,
}

/// A number of answers that are no.
#[derive(Clone, Copy, Debug)]
struct Refusals {
    times: usize,
    status: u16,
    retry_after: Option<u64>,
}

/// What it remembers.
#[derive(Debug, Default)]
pub(super) struct Telegram {
    messages: Mutex<VecDeque<Message>>,
    refusals: Mutex<Option<Refusals>>,
}

impl Telegram {
    pub(super) fn messages(&self) -> Vec<Message> {
        locked(&self.messages).iter().cloned().collect()
    }

    pub(super) fn refuse(&self, times: usize, status: u16, retry_after: Option<u64>) {
        *locked(&self.refusals) = Some(Refusals {
            times,
            status,
            retry_after,
        });
    }

    /// The refusal that is due, if any.
    fn refusal(&self) -> Option<Refusals> {
        let mut next = locked(&self.refusals);
        let due = next.take().filter(|refusals| refusals.times > 0);
        *next = due.map(|refusals| Refusals {
            times: refusals.times - 1,
            ..refusals
        });
        drop(next);
        due
    }

    fn keep(&self, message: Message) -> usize {
        let mut messages = locked(&self.messages);
        if messages.len() == MOST_KEPT {
            messages.pop_front();
        }
        messages.push_back(message);
        messages.len()
    }
}

/// The one method of its API that we use.
pub(super) fn router() -> Router<Arc<Plex>> {
    let path = format!("{PATH}/{{bot}}/sendMessage");
    Router::new().route(&path, post(send_message))
}

/// The token is part of the path.
pub(super) fn is_public(path: &str) -> bool {
    path.starts_with(PATH)
}

async fn send_message(State(plex): Shared, Path(bot): Path<String>, body: Bytes) -> Response<Body> {
    let telegram = &plex.telegram;
    if let Some(refusal) = telegram.refusal() {
        return refused(refusal.status, "Told to refuse", refusal.retry_after);
    }
    let Some(token) = bot.strip_prefix("bot").filter(|token| token.contains(':')) else {
        return refused(404, "Not Found", None);
    };
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    let (chat_id, text) = (text("chat_id"), text("text"));
    if chat_id.is_empty() {
        return refused(400, "Bad Request: chat_id is empty", None);
    }
    if text.is_empty() {
        return refused(400, "Bad Request: message text is empty", None);
    }
    if body["parse_mode"] == "HTML" && !is_html(&text) {
        return refused(400, "Bad Request: can't parse entities", None);
    }
    let id = telegram.keep(Message {
        token: token.to_owned(),
        chat_id: chat_id.clone(),
        text: text.clone(),
        body,
    });
    let message = json!({ "message_id": id, "chat": { "id": chat_id }, "text": text });
    Json(json!({ "ok": true, "result": message })).into_response()
}

/// Telegram refuses what it can't parse, so names have to be escaped.
fn is_html(text: &str) -> bool {
    let mut opened = text.match_indices('<');
    opened.all(|(at, _)| TAGS.iter().any(|tag| text[at..].starts_with(tag)))
}

fn refused(status: u16, why: &str, retry_after: Option<u64>) -> Response<Body> {
    let mut body = json!({ "ok": false, "error_code": status, "description": why });
    if let Some(seconds) = retry_after {
        body["parameters"] = json!({ "retry_after": seconds });
    }
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::NOT_IMPLEMENTED);
    let kind = [(header::CONTENT_TYPE, "application/json")];
    (status, kind, body.to_string()).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn html_is_what_telegram_takes() {
        assert!(is_html("✅ <b>a</b> &lt;x&gt;\n<i>b</i>"));
        assert!(!is_html("<b>a <x></b>") && !is_html("1 < 2"));
    }

    #[test]
    fn refusals_are_counted() {
        let telegram = Telegram::default();
        assert!(telegram.refusal().is_none());
        telegram.refuse(2, 500, None);
        assert!(telegram.refusal().is_some() && telegram.refusal().is_some());
        assert!(telegram.refusal().is_none());
    }
}
