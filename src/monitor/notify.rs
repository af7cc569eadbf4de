//! Who is told of what (contract 03, section 7).

use super::check::status;
use super::model::{Form, Status};
use super::probe::Outcome;
use crate::compat::Stamp;
use crate::settings::TelegramSettings;

/// The message about a check, if there is one to be sent. `before` is how the service was, by its
/// last check: of this run or of an earlier one; the first check of all says nothing.
pub(super) fn notice(
    form: &Form,
    before: Option<Status>,
    outcome: &Outcome,
    at: Stamp,
    telegram: &TelegramSettings,
) -> Option<String> {
    let (before, after) = (before?, status(outcome));
    let (wanted, head) = match (before, after) {
        (Status::Problem | Status::Offline, Status::Online) => {
            (telegram.notify_recovery, "✅ <b>Service RECOVERED</b>")
        }
        (Status::Online | Status::Problem, Status::Offline) => {
            (telegram.notify_offline, "🔴 <b>Service OFFLINE</b>")
        }
        (Status::Online, Status::Problem) => (telegram.notify_problem, "⚠️ <b>Service PROBLEM</b>"),
        // It is as it was, or neither worse nor well.
        _ => return None,
    };
    if !wanted || !telegram.is_active() {
        return None;
    }
    let (name, url) = (escaped(&form.name), escaped(&form.url));
    let (before, after) = (before.name(), after.name());
    let details = details(outcome);
    let at = at.utc().format("%Y-%m-%d %H:%M:%S UTC");
    Some(format!(
        "{head}\n\n📌 <b>Service:</b> {name}\n🔗 <b>URL:</b> {url}\n\
         📊 <b>Status:</b> {before} → {after}\nℹ️ <b>Details:</b> {details}\n\n<i>{at}</i>"
    ))
}

fn details(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Answered {
            status,
            milliseconds,
        } if *status < 400 => format!("Response time: {milliseconds:.0}ms"),
        Outcome::Answered { status, .. } => format!("HTTP status {status}"),
        Outcome::TimedOut => "Service has issues".to_owned(),
        Outcome::Failed(_) => "Service is not responding".to_owned(),
    }
}

/// Telegram refuses a message whose HTML it does not understand.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Secret;

    const fn answered(status: u16) -> Outcome {
        Outcome::Answered {
            status,
            milliseconds: 41.5,
        }
    }

    fn failed() -> Outcome {
        Outcome::Failed("Connection refused".to_owned())
    }

    fn telegram() -> TelegramSettings {
        TelegramSettings {
            api_url: "http://127.0.0.1".parse().unwrap(),
            enabled: true,
            bot_token: Secret::new("t"),
            chat_id: "1".to_owned(),
            notify_offline: true,
            notify_problem: true,
            notify_recovery: true,
        }
    }

    fn told(
        before: Option<Status>,
        outcome: &Outcome,
        telegram: &TelegramSettings,
    ) -> Option<String> {
        let form = Form {
            name: "<Wiki> & more".to_owned(),
            url: "http://nas.lan/?a=1&b=2".to_owned(),
            kind: "app".to_owned(),
            description: None,
            icon: None,
            group: None,
        };
        let at = Stamp::from_sql("2026-11-22 13:13:05.119983").unwrap();
        notice(&form, before, outcome, at, telegram)
    }

    #[test]
    fn a_message_says_which_service_is_how_and_since_when() {
        let message = |head: &str, status: &str, details: &str| {
            format!(
                "{head}</b>\n\n📌 <b>Service:</b> &lt;Wiki&gt; &amp; more\n\
                 🔗 <b>URL:</b> http://nas.lan/?a=1&amp;b=2\n\
                 📊 <b>Status:</b> {status}\nℹ️ <b>Details:</b> {details}\n\n\
                 <i>2026-11-22 13:13:05 UTC</i>"
            )
        };
        let all = telegram();
        for (before, outcome, expected) in [
            (
                Status::Offline,
                answered(200),
                message(
                    "✅ <b>Service RECOVERED",
                    "offline → online",
                    "Response time: 42ms",
                ),
            ),
            (
                Status::Problem,
                answered(302),
                message(
                    "✅ <b>Service RECOVERED",
                    "problem → online",
                    "Response time: 42ms",
                ),
            ),
            (
                Status::Online,
                answered(503),
                message(
                    "⚠️ <b>Service PROBLEM",
                    "online → problem",
                    "HTTP status 503",
                ),
            ),
            (
                Status::Online,
                Outcome::TimedOut,
                message(
                    "⚠️ <b>Service PROBLEM",
                    "online → problem",
                    "Service has issues",
                ),
            ),
            (
                Status::Online,
                failed(),
                message(
                    "🔴 <b>Service OFFLINE",
                    "online → offline",
                    "Service is not responding",
                ),
            ),
            (
                Status::Problem,
                failed(),
                message(
                    "🔴 <b>Service OFFLINE",
                    "problem → offline",
                    "Service is not responding",
                ),
            ),
        ] {
            assert_eq!(told(Some(before), &outcome, &all), Some(expected));
        }
    }

    #[test]
    fn what_is_as_it_was_or_was_never_known_is_no_news() {
        let all = telegram();
        for (before, outcome) in [
            (Some(Status::Online), answered(204)),
            (Some(Status::Problem), answered(404)),
            (Some(Status::Problem), Outcome::TimedOut),
            (Some(Status::Offline), failed()),
            (Some(Status::Offline), answered(500)),
            (None, answered(200)),
            (None, answered(500)),
            (None, failed()),
        ] {
            assert_eq!(told(before, &outcome, &all), None, "{before:?} {outcome:?}");
        }
    }

    #[test]
    fn each_kind_can_be_switched_off() {
        let kinds = [
            (Status::Online, failed()),
            (Status::Online, answered(500)),
            (Status::Offline, answered(200)),
        ];
        let heard = |telegram: &TelegramSettings| {
            kinds
                .each_ref()
                .map(|(before, outcome)| told(Some(*before), outcome, telegram).is_some())
        };
        assert_eq!(heard(&telegram()), [true, true, true]);
        let mut settings = telegram();
        settings.notify_offline = false;
        assert_eq!(heard(&settings), [false, true, true]);
        settings.notify_problem = false;
        assert_eq!(heard(&settings), [false, false, true]);
        settings.notify_recovery = false;
        assert_eq!(heard(&settings), [false, false, false]);
        let mut settings = telegram();
        settings.enabled = false;
        assert_eq!(heard(&settings), [false, false, false]);
        let mut settings = telegram();
        settings.bot_token = Secret::default();
        assert_eq!(heard(&settings), [false, false, false]);
    }
}
