//! One snapshot out of defaults, environment, `config.json` and command line.
//!
//! In `config.json` a key that is present wins even when empty, `null` counts as absent, and a
//! value of the wrong type is replaced by the next source with a warning. The `auth` section is
//! the exception: what can't be understood there must not end up as "no log-in".

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::access::access;
use super::file::{ConfigFileError, Document};
use super::integrations::integrations;
use super::redis::redis;
use super::sources::{Sources, flag};
use super::{
    AuthSettings, CacheSettings, Environment, ImageSettings, LogSettings, Overrides, Place,
    PlexClientSettings, PlexForm, Secret, Settings, SettingsError, TypedSettings, WARMABLE,
    WarmSettings,
};

/// A stream that ended five minutes ago must not look alive, whatever `CACHE_MAX_STALE` says; the
/// frontend does not show staleness.
pub(super) const LIVE_DATA_MAX_STALE: Duration = Duration::from_secs(300);

/// What may stand for plex.tv.
const PLEX_TV: &str = "an address such as https://plex.tv";

/// Merges all sources. `previous` is the snapshot to be replaced.
///
/// # Errors
/// A variable with a meaningless value, or an `auth` section that can't be understood.
pub(super) fn merge(
    env: &Environment,
    overrides: &Overrides,
    document: &Document,
    path: &Path,
    previous: Option<&Settings>,
) -> Result<Settings, SettingsError> {
    let place = Place::of(env, overrides)?;
    let mut sources = Sources {
        env,
        document,
        warnings: Vec::new(),
    };
    let plex_form = PlexForm {
        url: sources.text("plex", "server_url", "PLEX_SERVER_URL"),
        token: Secret::new(sources.text("plex", "server_token", "PLEX_SERVER_TOKEN")),
        server_name: sources.text("plex", "server_name", "PLEX_SERVER_NAME"),
    };
    let plex = sources.plex(&plex_form);
    let (timezone, typed_timezone, process_timezone) = sources.zones();
    let (level, typed_level) = sources.level();
    let log = LogSettings {
        level,
        enable_file: sources.log_to_file()?,
        file: log_file(env, overrides, &place.data_dir),
        show_timestamp_console: env.flag("LOG_SHOW_TIMESTAMP_CONSOLE")?,
        show_location_file: env.flag("LOG_SHOW_LOCATION_FILE")?,
    };
    let cors_origins = sources.cors_origins();
    let auth = auth(env, document, path)?;
    if auth.enabled && matches!(auth.password.expose(), "" | "admin") {
        sources
            .warn("Log-in is on with the default password or none: choose another one".to_owned());
    }
    let redis = redis(env)?;
    if !redis.enabled && env.get("REDIS_URL").is_some() {
        sources.warn(
            "REDIS_URL is set, but Redis is not used: only REDIS_ENABLED=true switches it on"
                .to_owned(),
        );
    }
    let integrations = integrations(&mut sources)?;
    Ok(Settings {
        host: place.host,
        port: place.port,
        debug: env.flag("DEBUG")?,
        data_dir: place.data_dir,
        frontend_dir: overrides
            .frontend_dir
            .clone()
            .unwrap_or_else(|| env.text("FRONTEND_DIR").into()),
        log,
        timezone,
        process_timezone,
        cors_origins,
        auth_revision: revision(previous, |before| {
            (before.auth_revision, before.auth != auth)
        }),
        auth,
        access: access(env)?,
        monitor_interval: Some(env.seconds("MONITOR_INTERVAL")?).filter(|every| !every.is_zero()),
        typed: TypedSettings {
            log_level: typed_level,
            timezone: typed_timezone,
            has_overseerr: has_content(document, "overseerr")
                || !integrations.overseerr.url.is_empty(),
        },
        integrations,
        plex_revision: revision(previous, |before| {
            (before.plex_revision, before.plex != plex)
        }),
        plex_form,
        plex,
        plex_client: PlexClientSettings {
            timeout: env.positive_seconds("PLEX_TIMEOUT")?,
            tls_verify: env.optional_flag("PLEX_TLS_VERIFY")?,
        },
        cache: cache(env)?,
        warm: warm(env)?,
        images: images(env)?,
        plex_tv_url: env.parsed("PLEX_TV_URL", PLEX_TV)?,
        plex_clients_url: env.parsed("PLEX_CLIENTS_URL", PLEX_TV)?,
        expiry_interval: Some(env.seconds("EXPIRY_INTERVAL")?).filter(|every| !every.is_zero()),
        history_sync_interval: env.positive_seconds("HISTORY_SYNC_INTERVAL")?,
        redis,
        warnings: sources.warnings,
    })
}

/// Whether there is a section of this name with anything in it.
fn has_content(document: &Document, section: &str) -> bool {
    let section = document.get(section).and_then(Value::as_object);
    section.is_some_and(|section| !section.is_empty())
}

/// A number that rises with a change: `of` tells the last one, and whether there is one.
fn revision(previous: Option<&Settings>, of: impl FnOnce(&Settings) -> (u64, bool)) -> u64 {
    previous.map_or(1, |previous| {
        let (last, changed) = of(previous);
        last + u64::from(changed)
    })
}

fn cache(env: &Environment) -> Result<CacheSettings, SettingsError> {
    Ok(CacheSettings {
        activities_ttl: env.seconds("CACHE_ACTIVITIES_TTL")?,
        watch_history_ttl: env.seconds("CACHE_WATCH_HISTORY_TTL")?,
        library_ttl: env.seconds("CACHE_LIBRARY_TTL")?,
        sessions_ttl: env.seconds("CACHE_SESSIONS_TTL")?,
        stats_ttl: env.seconds("CACHE_STATS_TTL")?,
        stats_live_ttl: env.seconds("CACHE_STATS_LIVE_TTL")?,
        recent_media_ttl: env.seconds("CACHE_RECENT_MEDIA_TTL")?,
        stats_refresh_interval: env.seconds("STATS_REFRESH_INTERVAL")?,
        max_stale: env.seconds("CACHE_MAX_STALE")?,
        max_wait: env.seconds("CACHE_MAX_WAIT")?,
    })
}

fn warm(env: &Environment) -> Result<WarmSettings, SettingsError> {
    let idle = env.seconds("CACHE_WARM_IDLE")?;
    let listed = env.text("CACHE_WARM");
    let names = listed.split(',').map(str::trim);
    let caches: Option<Vec<&'static str>> = if listed == "none" {
        Some(Vec::new())
    } else {
        names
            .map(|name| WARMABLE.into_iter().find(|known| *known == name))
            .collect()
    };
    let allowed = "none, or some of activities, watch_history, sessions, stats, stats_live, \
                   recent_media, libraries, separated by commas";
    Ok(WarmSettings {
        caches: caches.ok_or_else(|| env.refused("CACHE_WARM", allowed))?,
        idle: (!idle.is_zero()).then_some(idle),
    })
}

fn images(env: &Environment) -> Result<ImageSettings, SettingsError> {
    const MIB: usize = 1024 * 1024;
    let mebibytes: u16 = env.parsed("IMAGE_CACHE_MB", "mebibytes, 0 to 65535")?;
    let hosts = env.text("IMAGE_HOSTS").split(',').map(str::trim);
    let hosts: Vec<String> = hosts
        .filter(|host| !host.is_empty())
        .map(str::to_ascii_lowercase)
        .collect();
    let is_name = |host: &String| {
        let mut bytes = host.bytes();
        bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'))
    };
    if !hosts.iter().all(is_name) {
        let allowed = "names of hosts (no scheme, port or path), separated by commas";
        return Err(env.refused("IMAGE_HOSTS", allowed));
    }
    Ok(ImageSettings {
        hosts,
        cache_bytes: usize::from(mebibytes) * MIB,
    })
}

/// Below the working directory as in 3.3.0, or in the data directory where that was moved.
fn log_file(env: &Environment, overrides: &Overrides, data_dir: &Path) -> PathBuf {
    let moved = overrides.data_dir.is_some() || env.get("DATA_DIR").is_some();
    match env.get("LOG_FILE") {
        Some(path) => path.into(),
        None if moved => data_dir.join("logs/komandorr.log"),
        None => env.text("LOG_FILE").into(),
    }
}

fn auth(
    env: &Environment,
    document: &Document,
    path: &Path,
) -> Result<AuthSettings, SettingsError> {
    let refused = |key: &str, expected: &str| {
        let why = format!("auth{key}: expected {expected}; refusing to run without log-in");
        SettingsError::File(ConfigFileError::Content {
            path: path.display().to_string(),
            why,
        })
    };
    let section = match document.get("auth") {
        None | Some(Value::Null) => None,
        Some(Value::Object(section)) => Some(section),
        Some(_) => return Err(refused("", "an object")),
    };
    let value = |key: &str| section.and_then(|s| s.get(key)).filter(|v| !v.is_null());
    let text = |key: &'static str, name| match value(key) {
        None => Ok(env.text(name).to_owned()),
        Some(Value::String(text)) => Ok(text.clone()),
        Some(_) => Err(refused(&format!(".{key}"), "a string")),
    };
    Ok(AuthSettings {
        enabled: match value("enabled") {
            None => env.flag("ENABLE_AUTH")?,
            Some(value) => flag(value).ok_or_else(|| refused(".enabled", "true or false"))?,
        },
        username: text("username", "AUTH_USERNAME")?,
        password: Secret::new(text("password", "AUTH_PASSWORD")?),
    })
}

impl CacheSettings {
    /// The longest age of activities and sessions that may still be served.
    pub fn live_max_stale(&self) -> Duration {
        self.max_stale.min(LIVE_DATA_MAX_STALE)
    }
}

#[cfg(test)]
mod tests {
    use chrono_tz::Tz;
    use proptest::prelude::*;
    use serde_json::json;
    use tracing::Level;

    use super::*;
    use crate::arbitrary::spoiled;

    fn merged(env: &[(&str, &str)], document: &Value) -> Result<Settings, SettingsError> {
        let env = Environment::from_pairs(env.iter().copied());
        let document = document.as_object().unwrap();
        merge(
            &env,
            &Overrides::default(),
            document,
            Path::new("config.json"),
            None,
        )
    }

    #[test]
    fn nothing_given_means_the_documented_defaults() {
        let settings = merged(&[], &json!({})).unwrap();
        assert_eq!((settings.host.as_str(), settings.port), ("0.0.0.0", 8000));
        assert_eq!(settings.cors_origins, ["http://localhost:3000"]);
        assert!(!settings.auth.enabled);
        assert_eq!(settings.plex, None);
        assert_eq!(settings.plex_form.server_name, "Plex Server");
        assert_eq!(settings.cache.activities_ttl, Duration::from_secs(5));
        assert_eq!(settings.cache.live_max_stale(), Duration::from_secs(300));
        assert_eq!(settings.log.file, Path::new("logs/komandorr.log"));
        assert_eq!(settings.process_timezone, None);
        assert!(settings.warnings.is_empty(), "{:?}", settings.warnings);
    }

    #[test]
    fn the_file_wins_over_the_environment_and_the_environment_over_defaults() {
        let env = [
            ("PLEX_SERVER_URL", "http://env"),
            ("PLEX_SERVER_TOKEN", "env"),
            ("TZ", "Asia/Tokyo"),
        ];
        let settings = merged(
            &env,
            &json!({"plex": {"server_url": "http://file/", "server_token": null}}),
        )
        .unwrap();
        let plex = settings.plex.unwrap();
        assert_eq!(plex.base_url.as_str(), "http://file/");
        assert_eq!(plex.token.expose(), "env", "null is absent");
        assert_eq!(settings.timezone, Tz::Asia__Tokyo);
        let emptied = merged(&env, &json!({"plex": {"server_url": ""}})).unwrap();
        assert_eq!(emptied.plex, None, "an empty value is present");
    }

    #[test]
    fn app_port_wins_over_port_and_the_command_line_over_both() {
        let env = [("PORT", "1"), ("APP_PORT", "2")];
        assert_eq!(merged(&env, &json!({})).unwrap().port, 2);
        let env = Environment::from_pairs(env);
        let overrides = Overrides {
            port: Some(3),
            data_dir: Some("d".into()),
            ..Overrides::default()
        };
        let settings = merge(&env, &overrides, &Document::new(), Path::new("c"), None).unwrap();
        assert_eq!(settings.port, 3);
        assert_eq!(settings.log.file, Path::new("d/logs/komandorr.log"));
    }

    #[test]
    fn wrong_types_are_replaced_with_a_warning() {
        let settings = merged(
            &[("TZ", "Mars/X")],
            &json!({"plex": [], "general": {"timezone": "bogus"},
                    "logging": {"level": "loud", "enable_file": "false"}}),
        )
        .unwrap();
        assert_eq!(settings.timezone, Tz::UTC);
        assert_eq!(settings.log.level, Level::INFO);
        assert!(!settings.log.enable_file, "text booleans are parsed");
        assert_eq!(settings.warnings.len(), 4, "{:?}", settings.warnings);
    }

    #[test]
    fn a_redis_url_alone_switches_nothing_on_and_says_so() {
        let url = ("REDIS_URL", "redis://:geheim@cache");
        let off = merged(&[url, ("REDIS_ENABLED", "yes")], &json!({})).unwrap();
        assert!(!off.redis.enabled);
        let [warning] = off.warnings.as_slice() else {
            panic!("{:?}", off.warnings)
        };
        assert!(warning.starts_with("REDIS_URL is set, but Redis is not used"));
        assert!(!format!("{off:?}").contains("geheim"));
        let on = merged(&[url, ("REDIS_ENABLED", "true")], &json!({})).unwrap();
        assert!(
            on.redis.enabled && on.warnings.is_empty(),
            "{:?}",
            on.warnings
        );
    }

    #[test]
    fn an_auth_section_that_is_not_understood_stops_the_start() {
        for (auth, place) in [
            (json!([]), "auth: expected an object"),
            (
                json!({"enabled": "maybe"}),
                "auth.enabled: expected true or false",
            ),
            (json!({"password": 5}), "auth.password: expected a string"),
        ] {
            let error = merged(&[], &json!({"auth": auth})).unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("config.json: {place}")),
                "{error}"
            );
        }
        let on = merged(&[], &json!({"auth": {"enabled": "true"}})).unwrap();
        assert!(on.auth.enabled);
    }

    #[test]
    fn an_address_that_cannot_be_used_is_a_warning_without_the_token() {
        let env = [("PLEX_SERVER_URL", "plex"), ("PLEX_SERVER_TOKEN", "geheim")];
        let settings = merged(&env, &json!({})).unwrap();
        assert_eq!(settings.plex, None);
        assert!(settings.warnings[0].contains("missing an 'http://'"));
        assert!(!format!("{settings:?}").contains("geheim"));
    }

    #[test]
    fn the_revision_rises_with_address_or_token_and_with_nothing_else() {
        let env = Environment::default();
        let with = |plex: Value, previous: Option<&Settings>| {
            let document = json!({ "plex": plex });
            let document = document.as_object().unwrap();
            merge(
                &env,
                &Overrides::default(),
                document,
                Path::new("c"),
                previous,
            )
            .unwrap()
        };
        let a = json!({"server_url": "http://a", "server_token": "1", "server_name": "A"});
        let renamed = json!({"server_url": "http://a/", "server_token": "1", "server_name": "B"});
        let other_token = json!({"server_url": "http://a", "server_token": "2"});
        let first = with(a.clone(), None);
        assert_eq!(
            with(renamed, Some(&first)).plex_revision,
            first.plex_revision
        );
        let second = with(other_token, Some(&first));
        assert!(second.plex_revision > first.plex_revision);
        let none = with(json!({}), Some(&second));
        assert!(none.plex_revision > second.plex_revision);
        assert!(
            with(a, Some(&none)).plex_revision > none.plex_revision,
            "never reused"
        );
    }

    proptest! {
        #[test]
        fn a_hand_edit_stops_nothing_but_a_log_in_that_is_not_understood(document in spoiled(json!({
            "auth": {"enabled": true, "username": "u", "password": "p"},
            "logging": {"level": "INFO", "enable_file": false}, "general": {"timezone": "UTC"},
            "api": {"github_token": "t", "tmdb_api_key": "k"}, "cors": {"origins": ["http://a"]},
            "plex": {"server_url": "http://a", "server_token": "t", "server_name": "n"},
            "overseerr": {"url": "http://a", "api_key": "k", "email_domain": "d"},
            "uploader": {"base_url": "http://a"}, "vpn_proxy": {"url": "http://a", "api_key": "k"},
            "posterizarr": {"url": "http://a", "api_key": "k"},
            "notifications": {"telegram": {"enabled": true, "bot_token": "t", "chat_id": "c",
                "notify_offline": true, "notify_problem": false, "notify_recovery": true}},
            "arr": {"instances": [{"id": "1", "name": "n", "type": "sonarr", "url": "http://a",
                "api_key": "k", "access_url": "http://a"}]},
            "external_apps": {"apps": [{"id": "1", "name": "n", "url": "http://a", "icon": "i"}]},
        }))) {
            prop_assume!(document.is_object());
            let merged = merged(&[], &document);
            let auth = &document["auth"];
            let is_open = match auth {
                Value::Null => true,
                Value::Object(auth) => {
                    let enabled = auth.get("enabled").unwrap_or(&Value::Null);
                    enabled.is_null() || flag(enabled) == Some(false)
                }
                _ => false,
            };
            match &merged {
                // Whatever else is odd, who has to log in still has to.
                Ok(settings) => prop_assert_eq!(settings.auth.enabled, !is_open),
                Err(error) => prop_assert!(error.to_string().contains("auth"), "{}", error),
            }
            let with_good_auth = {
                let mut document = document.clone();
                document["auth"] = json!({"enabled": "yes"});
                self::merged(&[], &document)
            };
            prop_assert!(with_good_auth.is_ok_and(|settings| settings.auth.enabled));
        }
    }
}
