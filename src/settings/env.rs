//! The environment: variables of the process and of `.env`, read once and typed on demand.

use std::collections::BTreeMap;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use super::{SettingsError, dotenv, variables};

/// Longer is a mistake of units, not a wish.
const LONGEST: f64 = 10.0 * 365.0 * 86_400.0;
/// Shorter intervals would keep a processor busy.
const SHORTEST: f64 = 0.001;

/// A snapshot of the environment. Empty variables count as unset.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<String, String>);

impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The values hold secrets of other programs too.
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Environment {
    /// The variables of the process, and below them those of `.env` in the working directory.
    ///
    /// # Errors
    /// A `.env` that is there but can't be read or has a malformed line.
    pub fn from_process() -> Result<Self, SettingsError> {
        let mut all = Self::from_pairs(dotenv::read(Path::new(".env"))?);
        all.0.extend(Self::from_variables().0);
        Ok(all)
    }

    /// The variables of the process alone.
    pub fn from_variables() -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "the one place that reads the environment"
        )]
        let process = std::env::vars_os();
        Self::from_pairs(process.filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        }))
    }

    /// An environment of exactly these variables.
    pub fn from_pairs<N: Into<String>, V: Into<String>>(
        pairs: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        Self(
            pairs
                .into_iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
        )
    }

    /// What a demonstration may see: where to listen and how to log. It must not touch the real
    /// Plex server that the environment may name.
    #[must_use]
    pub fn for_demo(&self) -> Self {
        let kept = |name: &str| matches!(name, "HOST" | "PORT") || name.starts_with("LOG_");
        let pairs = self.0.iter().filter(|(name, _)| kept(name));
        Self(
            pairs
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
        )
    }

    /// The same with these variables set.
    #[must_use]
    pub fn with<'a>(mut self, pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let pairs = pairs
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        self.0.extend(pairs);
        self
    }

    /// The value of a variable of the table; `None` when unset or empty.
    pub fn get(&self, name: &'static str) -> Option<&str> {
        debug_assert!(
            variables::find(name).is_some(),
            "{name} is not in settings/variables.rs"
        );
        self.0
            .get(name)
            .map(|value| value.trim())
            .filter(|value| !value.is_empty())
    }

    /// The value, or the table's default.
    pub(super) fn text(&self, name: &'static str) -> &str {
        let default = || variables::find(name).map_or("", |variable| variable.default);
        self.get(name).unwrap_or_else(default)
    }

    /// A boolean in any of pydantic's spellings.
    pub(super) fn flag(&self, name: &'static str) -> Result<bool, SettingsError> {
        parse_flag(self.text(name))
            .ok_or_else(|| self.refused(name, "true or false (also 1/0, yes/no, on/off)"))
    }

    /// As [`Self::flag`], `None` when unset.
    pub(super) fn optional_flag(&self, name: &'static str) -> Result<Option<bool>, SettingsError> {
        self.get(name).map(|_| self.flag(name)).transpose()
    }

    /// Anything that parses from text; `allowed` tells people what does.
    pub(super) fn parsed<T: FromStr>(
        &self,
        name: &'static str,
        allowed: &'static str,
    ) -> Result<T, SettingsError> {
        self.text(name)
            .parse()
            .map_err(|_| self.refused(name, allowed))
    }

    /// Seconds, fractions allowed, zero too.
    pub(super) fn seconds(&self, name: &'static str) -> Result<Duration, SettingsError> {
        self.bounded_seconds(name, 0.0, "seconds, 0 or more (fractions allowed)")
    }

    /// Seconds, fractions allowed, more than zero.
    pub(super) fn positive_seconds(&self, name: &'static str) -> Result<Duration, SettingsError> {
        self.bounded_seconds(name, SHORTEST, "seconds, 0.001 or more (fractions allowed)")
    }

    fn bounded_seconds(
        &self,
        name: &'static str,
        least: f64,
        allowed: &'static str,
    ) -> Result<Duration, SettingsError> {
        let seconds: f64 = self.parsed(name, allowed)?;
        if seconds.is_finite() && (least..=LONGEST).contains(&seconds) {
            return Ok(Duration::from_secs_f64(seconds));
        }
        Err(self.refused(name, allowed))
    }

    pub(super) fn refused(&self, name: &'static str, allowed: &'static str) -> SettingsError {
        let secret = variables::find(name).is_some_and(|variable| variable.secret);
        let value = if secret {
            "***".to_owned()
        } else {
            self.text(name).to_owned()
        };
        SettingsError::Variable {
            name,
            value,
            allowed,
        }
    }
}

/// Pydantic's spellings of a boolean, in any case.
pub(super) fn parse_flag(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "y" | "on" | "t" => Some(true),
        "false" | "0" | "no" | "n" | "off" | "f" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only(name: &str, value: &str) -> Environment {
        Environment::from_pairs([(name, value)])
    }

    #[test]
    fn an_empty_variable_is_unset() {
        assert_eq!(only("PORT", "  ").get("PORT"), None);
        assert_eq!(only("PORT", " ").text("PORT"), "8000");
    }

    #[test]
    fn seconds_allow_fractions_and_refuse_nonsense() {
        let name = "CACHE_ACTIVITIES_TTL";
        assert_eq!(
            only(name, "0.25").seconds(name).unwrap(),
            Duration::from_millis(250)
        );
        assert_eq!(only(name, "0").seconds(name).unwrap(), Duration::ZERO);
        for bad in ["-1", "NaN", "inf", "five", "1e12", "5s"] {
            let error = only(name, bad).seconds(name).unwrap_err().to_string();
            assert_eq!(
                error,
                format!("{name}={bad:?}: expected seconds, 0 or more (fractions allowed)")
            );
        }
        let interval = "HISTORY_SYNC_INTERVAL";
        assert!(only(interval, "0").positive_seconds(interval).is_err());
    }

    #[test]
    fn booleans_are_those_of_pydantic() {
        for (text, flag) in [("True", true), ("ON", true), ("0", false), ("no", false)] {
            assert_eq!(only("DEBUG", text).flag("DEBUG").unwrap(), flag);
        }
        let error = only("DEBUG", "maybe")
            .flag("DEBUG")
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("DEBUG=\"maybe\": expected true or false"),
            "{error}"
        );
    }

    #[test]
    fn debug_output_shows_no_values() {
        let shown = format!("{:?}", only("PLEX_SERVER_TOKEN", "geheim"));
        assert!(!shown.contains("geheim"), "{shown}");
    }

    #[test]
    fn the_demo_sees_only_where_to_listen_and_how_to_log() {
        let all = [
            "HOST",
            "PORT",
            "LOG_LEVEL",
            "PLEX_SERVER_URL",
            "TZ",
            "APP_PORT",
            "DATA_DIR",
        ];
        let demo = Environment::from_pairs(all.map(|name| (name, "x"))).for_demo();
        assert_eq!(
            demo.0.keys().collect::<Vec<_>>(),
            ["HOST", "LOG_LEVEL", "PORT"]
        );
    }
}
