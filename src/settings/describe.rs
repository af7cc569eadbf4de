//! Which value of each setting is in force, and where it comes from.

use std::path::Path;

use serde_json::Value;

use super::file::Document;
use super::variables::{GROUPS, Variable};
use super::{Environment, Overrides};

/// One setting as people see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// The name of its variable.
    pub name: &'static str,
    /// The value given, not yet checked; `***` for a secret.
    pub value: String,
    /// Who gave it.
    pub source: Source,
}

/// Where a value comes from, the strongest last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Nobody chose it.
    Default,
    /// A variable of the process or of `.env`.
    Environment,
    /// `config.json`.
    ConfigJson,
    /// An option.
    CommandLine,
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Default => "default",
            Self::Environment => "environment",
            Self::ConfigJson => "config.json",
            Self::CommandLine => "command line",
        })
    }
}

/// Every variable of the table, in its order.
pub(super) fn describe(
    env: &Environment,
    overrides: &Overrides,
    document: &Document,
) -> Vec<Described> {
    let variables = GROUPS.iter().flat_map(|group| group.variables);
    variables
        .map(|variable| {
            let (value, source) = given(variable, env, overrides, document);
            let hidden = variable.secret && !value.is_empty();
            let value = if hidden { "***".to_owned() } else { value };
            Described {
                name: variable.name,
                value,
                source,
            }
        })
        .collect()
}

fn given(
    variable: &Variable,
    env: &Environment,
    overrides: &Overrides,
    document: &Document,
) -> (String, Source) {
    if let Some(value) = option(variable.name, overrides) {
        return (value, Source::CommandLine);
    }
    let stored = variable
        .stored
        .and_then(|(section, key)| document.get(section)?.get(key));
    if let Some(value) = stored.filter(|value| !value.is_null()) {
        let text = match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        return (text, Source::ConfigJson);
    }
    match env.get(variable.name) {
        Some(value) => (value.to_owned(), Source::Environment),
        None => (variable.default.to_owned(), Source::Default),
    }
}

fn option(name: &str, overrides: &Overrides) -> Option<String> {
    let path = |path: &Path| path.display().to_string();
    match name {
        "HOST" => overrides.host.clone(),
        "PORT" => overrides.port.map(|port| port.to_string()),
        "DATA_DIR" => overrides.data_dir.as_deref().map(path),
        "FRONTEND_DIR" => overrides.frontend_dir.as_deref().map(path),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_value_has_its_source_and_secrets_are_masked() {
        let env = Environment::from_pairs([
            ("TZ", "Asia/Tokyo"),
            ("PLEX_SERVER_TOKEN", "geheim"),
            ("REDIS_URL", "redis://:geheim@cache"),
        ]);
        let overrides = Overrides {
            port: Some(9),
            ..Overrides::default()
        };
        let document =
            json!({"plex": {"server_name": "", "server_url": null}, "auth": {"enabled": true}});
        let described = describe(&env, &overrides, document.as_object().unwrap());
        let of = |name: &str| {
            let one = described.iter().find(|one| one.name == name).unwrap();
            (one.value.as_str(), one.source)
        };
        assert_eq!(of("PORT"), ("9", Source::CommandLine));
        assert_eq!(of("TZ"), ("Asia/Tokyo", Source::Environment));
        assert_eq!(of("PLEX_SERVER_TOKEN"), ("***", Source::Environment));
        assert_eq!(of("PLEX_SERVER_NAME"), ("", Source::ConfigJson));
        assert_eq!(of("PLEX_SERVER_URL"), ("", Source::Default));
        assert_eq!(of("ENABLE_AUTH"), ("true", Source::ConfigJson));
        assert_eq!(of("AUTH_PASSWORD"), ("***", Source::Default));
        assert_eq!(of("REDIS_URL"), ("***", Source::Environment));
        assert_eq!(of("REDIS_PASSWORD"), ("", Source::Default));
    }
}
