//! One call of Telegram's API.

use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use serde::Deserialize;
use serde_json::json;
use url::Url;

use crate::integrations::outside::{CallError, Outside, Reply};
use crate::settings::TelegramSettings;

/// For one try in all, as in 3.3.0.
const DEADLINE: Duration = Duration::from_secs(10);
/// An answer repeats the message; ours are a few hundred bytes.
const LARGEST_ANSWER: usize = 64 * 1024;
/// Of what Telegram says, so much goes into the log.
const SHOWN: usize = 200;

/// Why a message was not sent. Its text holds no address, for the token is part of that.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// Telegram does not want it.
    #[error("Telegram API error: {status} - {said}")]
    Refused {
        /// Of HTTP.
        status: u16,
        /// Telegram's words.
        said: String,
        /// What it asks to wait.
        retry_after: Option<Duration>,
    },
    /// There was no answer.
    #[error("Failed to send Telegram notification: {0}")]
    Unanswered(#[from] CallError),
}

impl Failure {
    /// Whether another try would end in the same way.
    pub(super) const fn is_final(&self) -> bool {
        // Too much at a time, too slow, and faults of the server pass; a wrong token does not.
        matches!(self, Self::Refused { status, .. } if *status < 500 && !matches!(*status, 408 | 429))
    }

    /// How long Telegram wants to be left alone.
    pub(super) const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            Self::Unanswered(_) => None,
        }
    }

    #[cfg(test)]
    pub(super) fn refused(status: u16, retry_after: Option<Duration>) -> Self {
        Self::Refused {
            status,
            said: String::new(),
            retry_after,
        }
    }
}

/// What Telegram answers to what it does not like.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Refusal {
    description: String,
    parameters: Parameters,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Parameters {
    /// Seconds.
    retry_after: Option<u64>,
}

/// Sends `html` to the chat of the settings, once.
///
/// # Errors
/// It did not arrive, or nobody knows.
pub(super) async fn send(
    outside: &Outside,
    telegram: &TelegramSettings,
    html: &str,
) -> Result<(), Failure> {
    let token = telegram.bot_token.expose();
    let url = address(&telegram.api_url, token).ok_or(CallError::Connect)?;
    let message = json!({
        "chat_id": telegram.chat_id,
        "text": html,
        "parse_mode": "HTML",
        "disable_web_page_preview": true,
    });
    let request = outside
        .client()
        .post(url)
        .header(CONTENT_TYPE, "application/json")
        .body(message.to_string());
    let reply = outside.call(request, DEADLINE, LARGEST_ANSWER).await?;
    if reply.status == 200 {
        Ok(())
    } else {
        Err(refusal(&reply, token))
    }
}

/// `…/bot<token>/sendMessage` below the address of the API, which may have a path of its own.
fn address(api: &Url, token: &str) -> Option<Url> {
    let mut url = api.clone();
    url.path_segments_mut()
        .ok()?
        .pop_if_empty()
        .push(&format!("bot{token}"))
        .push("sendMessage");
    Some(url)
}

fn refusal(reply: &Reply, token: &str) -> Failure {
    let Refusal {
        description,
        parameters,
    } = serde_json::from_slice(&reply.body).unwrap_or_default();
    // A proxy in between may repeat the path, in which the token stands.
    let said = description.replace(token, "***");
    let asked = parameters.retry_after.map(Duration::from_secs);
    Failure::Refused {
        status: reply.status,
        said: said.chars().take(SHOWN).collect(),
        retry_after: asked.or(reply.retry_after),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_keeps_the_path_of_the_api() {
        for (api, expected) in [
            ("https://t.org", "https://t.org/bot1:A-b_c/sendMessage"),
            ("https://t.org/", "https://t.org/bot1:A-b_c/sendMessage"),
            ("http://t/own/", "http://t/own/bot1:A-b_c/sendMessage"),
            (
                "http://t/own/api",
                "http://t/own/api/bot1:A-b_c/sendMessage",
            ),
        ] {
            let url = address(&api.parse().unwrap(), "1:A-b_c").unwrap();
            assert_eq!(url.as_str(), expected);
        }
        let odd = address(&"http://t".parse().unwrap(), "../x?y#z").unwrap();
        assert_eq!(odd.as_str(), "http://t/bot..%2Fx%3Fy%23z/sendMessage");
        assert_eq!(address(&"mailto:a@b".parse().unwrap(), "1"), None);
    }

    fn refused(status: u16, body: &str, header: Option<u64>) -> Failure {
        let reply = Reply {
            status,
            is_json: true,
            retry_after: header.map(Duration::from_secs),
            body: body.to_owned().into(),
        };
        refusal(&reply, "1:geheim")
    }

    #[test]
    fn a_refusal_is_told_without_the_token() {
        let body = r#"{"ok":false,"error_code":404,"description":"no /bot1:geheim/sendMessage"}"#;
        assert_eq!(
            refused(404, body, None).to_string(),
            "Telegram API error: 404 - no /bot***/sendMessage"
        );
        let page = refused(502, "<html>/bot1:geheim/sendMessage", None);
        assert_eq!(page.to_string(), "Telegram API error: 502 - ");
        let long = format!(r#"{{"description":"{}"}}"#, "é".repeat(5000));
        assert!(refused(400, &long, None).to_string().chars().count() < 250);
    }

    #[test]
    fn what_passes_is_tried_again() {
        for status in [408, 429, 500, 502, 503] {
            assert!(!refused(status, "", None).is_final(), "{status}");
        }
        for status in [204, 301, 400, 401, 403, 404] {
            assert!(refused(status, "", None).is_final(), "{status}");
        }
        assert!(!Failure::from(CallError::Timeout).is_final());
    }

    #[test]
    fn a_pause_is_asked_for_in_the_body_or_in_a_header() {
        let seconds = |failure: Failure| failure.retry_after().map(|pause| pause.as_secs());
        let body = r#"{"ok":false,"parameters":{"retry_after":5}}"#;
        assert_eq!(seconds(refused(429, body, Some(9))), Some(5));
        assert_eq!(seconds(refused(429, "{}", Some(9))), Some(9));
        assert_eq!(seconds(refused(429, "", None)), None);
    }
}
