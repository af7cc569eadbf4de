//! `/api/notifications`: who is told of what (contract 02, section 7).

use axum::Json;
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::call::send;
use crate::app::AppState;
use crate::compat::validation::{Fields, FromFields, JsonBody, ValidationError};
use crate::settings::{TelegramSettings, change_object};
use crate::web::error::{ApiError, ApiResult, Detail};

/// Where it is stored in `config.json`.
const SECTION: &str = "notifications";
/// Of a token so many characters are shown.
const SHOWN_OF_TOKEN: usize = 4;

/// The answer of the two endpoints for the form.
#[derive(Serialize, ToSchema)]
struct TelegramForm {
    telegram: TelegramShown,
}

#[derive(Serialize, ToSchema)]
struct TelegramShown {
    enabled: bool,
    /// Masked but for its end.
    bot_token: String,
    chat_id: String,
    notify_offline: bool,
    notify_problem: bool,
    notify_recovery: bool,
}

/// The body of a change. What is missing stays as it is: in 3.3.0 `{}` wiped the token.
#[derive(ToSchema)]
struct TelegramChange {
    #[schema(nullable = false)]
    enabled: Option<bool>,
    /// One that begins with `*` is a masked one that comes back: the stored one stays.
    #[schema(nullable = false)]
    bot_token: Option<String>,
    #[schema(nullable = false)]
    chat_id: Option<String>,
    #[schema(nullable = false)]
    notify_offline: Option<bool>,
    #[schema(nullable = false)]
    notify_problem: Option<bool>,
    #[schema(nullable = false)]
    notify_recovery: Option<bool>,
}

/// The answer to a test.
#[derive(Serialize, ToSchema)]
struct TestResult {
    success: bool,
    message: &'static str,
}

/// The answer to status.
#[derive(Serialize, ToSchema)]
struct NotificationStatus {
    telegram: TelegramStatus,
}

#[derive(Serialize, ToSchema)]
struct TelegramStatus {
    /// Whether messages are sent.
    enabled: bool,
    /// Whether there is a bot.
    configured: bool,
}

impl TelegramForm {
    fn of(settings: &TelegramSettings) -> Self {
        Self {
            telegram: TelegramShown {
                enabled: settings.enabled,
                bot_token: masked(settings.bot_token.expose()),
                chat_id: settings.chat_id.clone(),
                notify_offline: settings.notify_offline,
                notify_problem: settings.notify_problem,
                notify_recovery: settings.notify_recovery,
            },
        }
    }
}

fn masked(token: &str) -> String {
    let length = token.chars().count();
    match length {
        0 => String::new(),
        1..=SHOWN_OF_TOKEN => "*".repeat(SHOWN_OF_TOKEN),
        _ => {
            let hidden = length - SHOWN_OF_TOKEN;
            let end: String = token.chars().skip(hidden).collect();
            format!("{}{end}", "*".repeat(hidden))
        }
    }
}

impl FromFields for TelegramChange {
    fn from_fields(fields: &mut Fields) -> Self {
        Self {
            enabled: fields.given("enabled", Fields::boolean),
            bot_token: fields.given("bot_token", Fields::string),
            chat_id: fields.given("chat_id", Fields::string),
            notify_offline: fields.given("notify_offline", Fields::boolean),
            notify_problem: fields.given("notify_problem", Fields::boolean),
            notify_recovery: fields.given("notify_recovery", Fields::boolean),
        }
    }
}

impl TelegramChange {
    /// Changes the stored form.
    fn apply(self, telegram: &mut Map<String, Value>) {
        let token = self.bot_token.filter(|token| !token.starts_with('*'));
        let values: [(&str, Option<Value>); 6] = [
            ("enabled", self.enabled.map(Value::from)),
            ("bot_token", token.map(Value::from)),
            ("chat_id", self.chat_id.map(Value::from)),
            ("notify_offline", self.notify_offline.map(Value::from)),
            ("notify_problem", self.notify_problem.map(Value::from)),
            ("notify_recovery", self.notify_recovery.map(Value::from)),
        ];
        for (name, value) in values {
            if let Some(value) = value {
                telegram.insert(name.to_owned(), value);
            }
        }
    }
}

/// Who is told of what, with the token masked.
#[utoipa::path(get, path = "/api/notifications/telegram", tag = "notifications",
    responses((status = 200, body = TelegramForm)))]
async fn get_telegram(app: AppState) -> Json<TelegramForm> {
    let settings = app.settings.current();
    Json(TelegramForm::of(&settings.integrations.telegram))
}

/// Changes the fields that are given.
#[utoipa::path(put, path = "/api/notifications/telegram", tag = "notifications",
    request_body = TelegramChange,
    responses((status = 200, body = TelegramForm), (status = 422, body = ValidationError),
        (status = 500, body = Detail)))]
async fn set_telegram(
    app: AppState,
    JsonBody(change): JsonBody<TelegramChange>,
) -> ApiResult<Json<TelegramForm>> {
    let store = |document: &mut Map<String, Value>| {
        let before = document.get(SECTION).cloned();
        change_object(document, SECTION, |section| {
            change_object(section, "telegram", |telegram| change.apply(telegram));
        });
        before.as_ref() != document.get(SECTION)
    };
    let saved = app.settings.save(store).await;
    if saved.map_err(ApiError::unsaved_settings)? {
        tracing::info!("Settings changed: {SECTION}");
    }
    Ok(get_telegram(app).await)
}

/// Sends a message at once, and says whether it was taken. Always 200.
#[utoipa::path(post, path = "/api/notifications/telegram/test", tag = "notifications",
    responses((status = 200, body = TestResult)))]
async fn test_telegram(app: AppState) -> Json<TestResult> {
    let settings = app.settings.current();
    let telegram = &settings.integrations.telegram;
    if !telegram.is_active() {
        return Json(TestResult {
            success: false,
            message: "Telegram notifications are not enabled or not configured properly",
        });
    }
    let at = chrono::Utc::now().format("%Y-%m-%d %H:%M:%S UTC");
    let html = format!(
        "🔔 <b>Komandorr Test Notification</b>\n\n\
         ✅ Your Telegram notifications are configured correctly!\n\n\
         <i>Sent at {at}</i>"
    );
    Json(match send(&app.outside, telegram, &html).await {
        Ok(()) => TestResult {
            success: true,
            message: "Test notification sent successfully! Check your Telegram.",
        },
        Err(failure) => {
            tracing::error!("{failure}");
            TestResult {
                success: false,
                message: "Failed to send notification. Check your bot token and chat ID.",
            }
        }
    })
}

/// Whether anybody is told anything.
#[utoipa::path(get, path = "/api/notifications/status", tag = "notifications",
    responses((status = 200, body = NotificationStatus)))]
async fn status(app: AppState) -> Json<NotificationStatus> {
    let settings = app.settings.current();
    let telegram = &settings.integrations.telegram;
    Json(NotificationStatus {
        telegram: TelegramStatus {
            enabled: telegram.is_active(),
            configured: !telegram.bot_token.expose().is_empty(),
        },
    })
}

/// The routes of this file.
pub(crate) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(get_telegram, set_telegram))
        .routes(routes!(test_telegram))
        .routes(routes!(status))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn of_a_token_only_the_end_is_shown() {
        for (token, shown) in [
            ("", ""),
            ("a", "****"),
            ("abcd", "****"),
            ("abcde", "*bcde"),
            ("123:äöüß", "****äöüß"),
        ] {
            assert_eq!(masked(token), shown);
        }
    }

    fn none() -> TelegramChange {
        TelegramChange {
            enabled: None,
            bot_token: None,
            chat_id: None,
            notify_offline: None,
            notify_problem: None,
            notify_recovery: None,
        }
    }

    #[test]
    fn what_is_not_given_and_a_masked_token_stay_as_they_are() {
        let before = json!({"enabled": true, "bot_token": "1:abc", "chat_id": 7, "own": 1});
        let after = |change: TelegramChange| {
            let mut stored = before.as_object().unwrap().clone();
            change.apply(&mut stored);
            Value::from(stored)
        };
        assert_eq!(after(none()), before);
        let masked = TelegramChange {
            bot_token: Some("*:abc".to_owned()),
            notify_offline: Some(false),
            ..none()
        };
        let expected = json!({"enabled": true, "bot_token": "1:abc", "chat_id": 7, "own": 1,
                              "notify_offline": false});
        assert_eq!(after(masked), expected);
        let emptied = TelegramChange {
            bot_token: Some(String::new()),
            ..none()
        };
        assert_eq!(after(emptied)["bot_token"], "");
    }
}
