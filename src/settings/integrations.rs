//! The services that this one talks to besides Plex, and who is told what.

use serde_json::Value;
use url::Url;

use super::lists::{arr_instances, external_apps};
use super::sources::{Sources, flag};
use super::{ArrInstance, ExternalApp, Secret, SettingsError};

/// GitHub, which knows the releases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GithubSettings {
    /// Where its API is.
    pub api_url: Url,
    /// For more requests per hour; may be empty.
    pub token: Secret,
}

/// Who is told by Telegram, and of what (contract 02, section 7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TelegramSettings {
    /// Where its API is.
    pub api_url: Url,
    /// Whether anybody is told anything.
    pub enabled: bool,
    /// The bot that speaks.
    pub bot_token: Secret,
    /// The chat that it speaks in.
    pub chat_id: String,
    /// Of services that do not answer any more.
    pub notify_offline: bool,
    /// Of services that answer with an error or too late.
    pub notify_problem: bool,
    /// Of services that are well again.
    pub notify_recovery: bool,
}

impl TelegramSettings {
    /// Whether messages are sent at all.
    pub fn is_active(&self) -> bool {
        self.enabled && !self.bot_token.expose().is_empty() && !self.chat_id.is_empty()
    }
}

/// A service with an address and a key; either may be empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceForm {
    /// Its address as stored.
    pub url: String,
    /// Its key.
    pub api_key: Secret,
}

/// The services as the settings page shows them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntegrationSettings {
    /// Releases.
    pub github: GithubSettings,
    /// Messages.
    pub telegram: TelegramSettings,
    /// Pictures behind the invite page.
    pub tmdb_api_key: Secret,
    /// Overseerr or Jellyseerr.
    pub overseerr: ServiceForm,
    /// The domain of mail addresses that are made up for it.
    pub overseerr_email_domain: String,
    /// The uploader's address.
    pub uploader_url: String,
    /// The VPN proxy manager.
    pub vpn_proxy: ServiceForm,
    /// Posterizarr.
    pub posterizarr: ServiceForm,
    /// Sonarr and Radarr; `None`: nobody has ever said which.
    pub arr: Option<Vec<ArrInstance>>,
    /// Links to other pages.
    pub external_apps: Vec<ExternalApp>,
}

/// Collects them.
///
/// # Errors
/// An address of an API that is none.
pub(super) fn integrations(
    sources: &mut Sources<'_>,
) -> Result<IntegrationSettings, SettingsError> {
    let env = sources.env;
    let github_api = env.parsed(
        "GITHUB_API_URL",
        "an address such as https://api.github.com",
    )?;
    let telegram_api = env.parsed(
        "TELEGRAM_API_URL",
        "an address such as https://api.telegram.org",
    )?;
    let mut text = |section, key, name| sources.text(section, key, name);
    let github_token = text("api", "github_token", "GITHUB_TOKEN");
    let tmdb = text("api", "tmdb_api_key", "TMDB_API_KEY");
    let mut form = |section, url, key| ServiceForm {
        url: text(section, "url", url),
        api_key: Secret::new(text(section, "api_key", key)),
    };
    let overseerr = form("overseerr", "OVERSEERR_URL", "OVERSEERR_API_KEY");
    let vpn_proxy = form("vpn_proxy", "VPN_PROXY_URL", "VPN_PROXY_API_KEY");
    let posterizarr = form("posterizarr", "POSTERIZARR_URL", "POSTERIZARR_API_KEY");
    Ok(IntegrationSettings {
        github: GithubSettings {
            api_url: github_api,
            token: Secret::new(github_token),
        },
        telegram: telegram(sources, telegram_api),
        tmdb_api_key: Secret::new(tmdb),
        overseerr,
        overseerr_email_domain: sources.text("overseerr", "email_domain", "DEFAULT_EMAIL_DOMAIN"),
        uploader_url: sources.text("uploader", "base_url", "UPLOADER_BASE_URL"),
        vpn_proxy,
        posterizarr,
        arr: arr_instances(sources),
        external_apps: external_apps(sources),
    })
}

/// Only `config.json` has these.
fn telegram(sources: &mut Sources<'_>, api_url: Url) -> TelegramSettings {
    let section = sources.document.get("notifications");
    let section = section.and_then(|notifications| notifications.get("telegram"));
    let value = |key: &str| section.and_then(|s| s.get(key)).filter(|v| !v.is_null());
    let mut odd = Vec::new();
    let mut text = |key| match value(key) {
        None => String::new(),
        Some(Value::String(text)) => text.clone(),
        // People write the number of a chat as a number.
        Some(Value::Number(number)) => number.to_string(),
        Some(_) => {
            odd.push(key);
            String::new()
        }
    };
    let (bot_token, chat_id) = (Secret::new(text("bot_token")), text("chat_id"));
    let mut switch = |key, default| match value(key).map(flag) {
        None => default,
        Some(Some(flag)) => flag,
        Some(None) => {
            odd.push(key);
            default
        }
    };
    let settings = TelegramSettings {
        api_url,
        enabled: switch("enabled", false),
        bot_token,
        chat_id,
        notify_offline: switch("notify_offline", true),
        notify_problem: switch("notify_problem", true),
        notify_recovery: switch("notify_recovery", true),
    };
    for key in odd {
        sources.warn(format!(
            "config.json: notifications.telegram.{key} has a wrong type and is ignored"
        ));
    }
    settings
}
