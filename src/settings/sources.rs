//! Values whose oddities are worth a warning and no more: `config.json` over environment over
//! default.

use chrono_tz::Tz;
use serde_json::Value;
use tracing::Level;

use super::env::parse_flag;
use super::file::Document;
use super::{Environment, PlexForm, PlexTarget, SettingsError};

/// A boolean, or its text.
pub(super) fn flag(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(flag) => Some(*flag),
        Value::String(text) => parse_flag(text),
        _ => None,
    }
}

/// The level of this name, in Python's words and ours.
fn level_named(name: &str) -> Option<Level> {
    Some(match name.trim().to_ascii_uppercase().as_str() {
        "DEBUG" => Level::DEBUG,
        "INFO" => Level::INFO,
        "WARNING" | "WARN" => Level::WARN,
        // Python knows one level more; we have nothing above an error.
        "ERROR" | "CRITICAL" | "FATAL" => Level::ERROR,
        _ => return None,
    })
}

/// The sources of a value whose oddities are worth a warning and no more.
pub(super) struct Sources<'a> {
    pub(super) env: &'a Environment,
    pub(super) document: &'a Document,
    pub(super) warnings: Vec<String>,
}

impl Sources<'_> {
    pub(super) fn stored(&mut self, section: &str, key: &str) -> Option<Value> {
        let section_value = self
            .document
            .get(section)
            .filter(|value| !value.is_null())?;
        if !section_value.is_object() {
            let warning = format!("config.json: {section} is not an object and is ignored");
            if !self.warnings.contains(&warning) {
                self.warnings.push(warning);
            }
        }
        section_value
            .get(key)
            .filter(|value| !value.is_null())
            .cloned()
    }

    pub(super) fn text(&mut self, section: &str, key: &str, name: &'static str) -> String {
        match self.stored(section, key) {
            Some(Value::String(text)) => return text,
            // People write keys of digits without quotes.
            Some(Value::Number(number)) => return number.to_string(),
            Some(_) => self.warn(format!(
                "config.json: {section}.{key} is not a string and is ignored"
            )),
            None => {}
        }
        self.env.text(name).to_owned()
    }

    pub(super) fn warn(&mut self, warning: String) {
        self.warnings.push(warning);
    }

    pub(super) fn plex(&mut self, form: &PlexForm) -> Option<PlexTarget> {
        if form.url.trim().is_empty() || form.token.expose().trim().is_empty() {
            return None;
        }
        match PlexTarget::parse(&form.url, form.token.expose()) {
            Ok(target) => Some(target),
            Err(error) => {
                self.warn(format!("The Plex server can't be used: {error}"));
                None
            }
        }
    }

    /// The dashboard's zone, as it was typed too, and the process's. The frontend breaks on a
    /// name that is none.
    pub(super) fn zones(&mut self) -> (Tz, String, Option<Tz>) {
        let named = self.env.get("TZ");
        let process = named.map(|name| self.zone(name, "TZ").unwrap_or(Tz::UTC));
        let stored = match self.stored("general", "timezone") {
            Some(Value::String(name)) => Some(name),
            Some(_) => {
                self.warn("config.json: general.timezone is not a string and is ignored".into());
                None
            }
            None => None,
        };
        let known = stored
            .as_deref()
            .and_then(|name| self.zone(name, "general.timezone"));
        let typed = stored.unwrap_or_else(|| named.unwrap_or("UTC").to_owned());
        (known.or(process).unwrap_or(Tz::UTC), typed, process)
    }

    fn zone(&mut self, name: &str, source: &str) -> Option<Tz> {
        let zone = name.trim_start_matches(':').parse().ok();
        if zone.is_none() {
            self.warn(format!(
                "{source}: {name:?} is not the IANA name of a time zone"
            ));
        }
        zone
    }

    /// The log level, and as it was typed.
    pub(super) fn level(&mut self) -> (Level, String) {
        let typed = self.text("logging", "level", "LOG_LEVEL");
        let known = level_named(&typed);
        if known.is_none() {
            self.warn(format!("Log level {typed:?} is not known and is ignored"));
        }
        let next = || level_named(self.env.text("LOG_LEVEL"));
        (known.or_else(next).unwrap_or(Level::INFO), typed)
    }

    pub(super) fn log_to_file(&mut self) -> Result<bool, SettingsError> {
        let stored = self.stored("logging", "enable_file");
        if let Some(value) = stored {
            if let Some(flag) = flag(&value) {
                return Ok(flag);
            }
            self.warn("config.json: logging.enable_file is not true or false".into());
        }
        self.env.flag("LOG_ENABLE_FILE")
    }

    pub(super) fn cors_origins(&mut self) -> Vec<String> {
        let mut origins = Vec::new();
        for origin in self.env.text("CORS_ORIGINS").split(',').map(str::trim) {
            let is_origin =
                origin == "*" || url::Url::parse(origin).is_ok_and(|url| url.origin().is_tuple());
            if is_origin {
                origins.push(origin.trim_end_matches('/').to_owned());
            } else if !origin.is_empty() {
                self.warn(format!(
                    "CORS_ORIGINS: {origin:?} is not an origin and is ignored"
                ));
            }
        }
        origins
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_not_known_is_shown_as_typed_and_the_next_source_counts() {
        let env = Environment::from_pairs([("LOG_LEVEL", "error"), ("TZ", "Asia/Tokyo")]);
        let stored = json!({"logging": {"level": "loud"}, "general": {"timezone": "Mars/X"}});
        let none = Document::new();
        let mut sources = Sources {
            env: &env,
            document: stored.as_object().unwrap(),
            warnings: Vec::new(),
        };
        assert_eq!(sources.level(), (Level::ERROR, "loud".to_owned()));
        let tokyo = Some(Tz::Asia__Tokyo);
        assert_eq!(
            sources.zones(),
            (Tz::Asia__Tokyo, "Mars/X".to_owned(), tokyo)
        );
        assert_eq!(sources.warnings.len(), 2, "{:?}", sources.warnings);
        sources.document = &none;
        assert_eq!(sources.level(), (Level::ERROR, "error".to_owned()));
        let typed = "Asia/Tokyo".to_owned();
        assert_eq!(sources.zones(), (Tz::Asia__Tokyo, typed, tokyo));
        let env = Environment::from_pairs([("LOG_LEVEL", "CRITICAL")]);
        sources.env = &env;
        assert_eq!(sources.level(), (Level::ERROR, "CRITICAL".to_owned()));
        assert_eq!(sources.zones(), (Tz::UTC, "UTC".to_owned(), None));
        assert_eq!(sources.warnings.len(), 2, "{:?}", sources.warnings);
    }
}
