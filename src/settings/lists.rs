//! The lists that only `config.json` has. What can't be read of them costs itself alone, with a
//! warning; in 3.3.0 it was the end of the settings page.

use serde_json::Value;

use super::Secret;
use super::sources::Sources;

/// A Sonarr or Radarr server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArrInstance {
    /// What the dashboard knows it by.
    pub id: String,
    /// Its name for people.
    pub name: String,
    /// `sonarr` or `radarr`; other words are possible.
    pub kind: String,
    /// Its address as stored.
    pub url: String,
    /// Its key.
    pub api_key: Secret,
    /// Where people find it; empty: where we do.
    pub access_url: String,
}

/// A link to another page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalApp {
    /// What the dashboard knows it by.
    pub id: String,
    /// Its name for people.
    pub name: String,
    /// Where it leads.
    pub url: String,
    /// A picture's address or the name of a symbol; may be empty.
    pub icon: String,
}

/// The servers of `arr.instances`, or of the older forms `arr.sonarr` and `arr.radarr`, or of the
/// oldest, a list `instances` of its own (contract 02, section 2). `None` without any of them.
pub(super) fn arr_instances(sources: &mut Sources<'_>) -> Option<Vec<ArrInstance>> {
    if let Some(list) = sources.stored("arr", "instances") {
        return Some(instances(sources, "arr.instances", &list));
    }
    let older = [("sonarr", "Sonarr"), ("radarr", "Radarr")];
    let older: Vec<ArrInstance> = older
        .into_iter()
        .filter_map(|(kind, name)| older_instance(kind, name, &sources.stored("arr", kind)?))
        .collect();
    if !older.is_empty() {
        return Some(older);
    }
    let oldest = sources.document.get("instances");
    let oldest = oldest.filter(|list| !list.is_null())?;
    Some(instances(sources, "instances", oldest))
}

/// The links of `external_apps.apps`.
pub(super) fn external_apps(sources: &mut Sources<'_>) -> Vec<ExternalApp> {
    let Some(list) = sources.stored("external_apps", "apps") else {
        return Vec::new();
    };
    entries(sources, "external_apps.apps", &list, |entry| {
        Some(ExternalApp {
            id: text(entry, "id")?,
            name: text(entry, "name")?,
            url: text(entry, "url")?,
            icon: text(entry, "icon").unwrap_or_default(),
        })
    })
}

/// Servers as people write them by hand: what is missing is empty (contract 05, section 1), so that
/// the settings page shows the rest, and saving it loses nothing.
fn instances(sources: &mut Sources<'_>, place: &str, list: &Value) -> Vec<ArrInstance> {
    let mut odd = Vec::new();
    let read = entries(sources, place, list, |entry| {
        let entry = entry.as_object()?;
        let mut text = |key| match entry.get(key) {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text.clone(),
            // People write keys of digits without quotes.
            Some(Value::Number(number)) => number.to_string(),
            Some(_) => {
                odd.push(key);
                String::new()
            }
        };
        Some(ArrInstance {
            id: text("id"),
            name: text("name"),
            kind: text("type"),
            url: text("url"),
            api_key: Secret::new(text("api_key")),
            access_url: text("access_url"),
        })
    });
    for key in odd {
        sources.warn(format!(
            "config.json: {place}: a value {key} has a wrong type and is taken for an empty one"
        ));
    }
    read
}

fn older_instance(kind: &str, name: &str, form: &Value) -> Option<ArrInstance> {
    let url = text(form, "url").unwrap_or_default();
    let api_key = text(form, "api_key").unwrap_or_default();
    let is_configured = !url.is_empty() || !api_key.is_empty();
    is_configured.then(|| ArrInstance {
        id: format!("{kind}-default"),
        name: name.to_owned(),
        kind: kind.to_owned(),
        url,
        api_key: Secret::new(api_key),
        access_url: String::new(),
    })
}

fn text(entry: &Value, key: &str) -> Option<String> {
    entry.get(key)?.as_str().map(str::to_owned)
}

/// The entries of the list at `place` that can be read.
fn entries<T>(
    sources: &mut Sources<'_>,
    place: &str,
    list: &Value,
    mut read: impl FnMut(&Value) -> Option<T>,
) -> Vec<T> {
    let Some(list) = list.as_array() else {
        sources.warn(format!("config.json: {place} is not a list and is ignored"));
        return Vec::new();
    };
    let mut entries = Vec::with_capacity(list.len());
    for (at, entry) in list.iter().enumerate() {
        match read(entry) {
            Some(entry) => entries.push(entry),
            None => sources.warn(format!(
                "config.json: {place}[{at}] lacks a value or has one of a wrong type, and is left out"
            )),
        }
    }
    entries
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::settings::Environment;

    /// What is read of `document`, and the number of warnings.
    fn read<T>(document: &Value, read: impl Fn(&mut Sources<'_>) -> T) -> (T, usize) {
        let env = Environment::default();
        let mut sources = Sources {
            env: &env,
            document: document.as_object().unwrap(),
            warnings: Vec::new(),
        };
        let read = read(&mut sources);
        assert!(!format!("{:?}", sources.warnings).contains("geheim"));
        (read, sources.warnings.len())
    }

    fn ids(document: &Value) -> (Option<Vec<String>>, usize) {
        let (instances, warnings) = read(document, arr_instances);
        let ids = instances.map(|list| list.into_iter().map(|one| one.id).collect());
        (ids, warnings)
    }

    fn instance(id: &str) -> Value {
        json!({"id": id, "name": "N", "type": "sonarr", "url": "http://s", "api_key": "geheim"})
    }

    #[test]
    fn the_newest_form_of_servers_wins() {
        let older = json!({"url": "http://old", "api_key": ""});
        let all = json!({
            "arr": {"instances": [instance("new")], "sonarr": older},
            "instances": [instance("oldest")],
        });
        assert_eq!(ids(&all), (Some(vec!["new".to_owned()]), 0));
        let older = json!({"arr": {"radarr": older, "sonarr": {"url": "", "api_key": ""}},
                           "instances": [instance("oldest")]});
        let (instances, _) = read(&older, arr_instances);
        let [radarr] = &instances.unwrap()[..] else {
            panic!("one was configured")
        };
        let shown = (&*radarr.id, &*radarr.name, &*radarr.kind, &*radarr.url);
        assert_eq!(shown, ("radarr-default", "Radarr", "radarr", "http://old"));
        for arr in [json!(null), json!({}), json!({"sonarr": {"url": ""}})] {
            let oldest = json!({"arr": arr, "instances": [instance("oldest")]});
            assert_eq!(ids(&oldest), (Some(vec!["oldest".to_owned()]), 0));
        }
    }

    #[test]
    fn nothing_configured_is_told_from_an_empty_list() {
        assert_eq!(ids(&json!({})), (None, 0));
        assert_eq!(ids(&json!({"arr": {}, "instances": null})), (None, 0));
        let empty = json!({"arr": {"instances": []}});
        assert_eq!(ids(&empty), (Some(Vec::new()), 0));
    }

    #[test]
    fn what_a_server_lacks_is_empty_and_the_server_is_there() {
        let odd = json!({"id": 7, "name": null, "url": ["geheim"], "api_key": 123});
        let list = json!([instance("a"), odd, {}]);
        let (instances, warnings) = read(&json!({"instances": list}), arr_instances);
        let instances = instances.unwrap();
        assert_eq!((instances.len(), warnings), (3, 1));
        let [_, odd, empty] = &instances[..] else {
            panic!("three")
        };
        let shown = (&*odd.id, &*odd.name, &*odd.kind, &*odd.url);
        assert_eq!(shown, ("7", "", "", ""));
        assert_eq!(odd.api_key.expose(), "123");
        assert_eq!((&*empty.id, empty.api_key.expose()), ("", ""));
    }

    #[test]
    fn an_entry_that_cannot_be_read_costs_only_itself() {
        let list = json!([instance("a"), 7, instance("b")]);
        let expected = vec!["a".to_owned(), "b".to_owned()];
        assert_eq!(
            ids(&json!({"arr": {"instances": list}})),
            (Some(expected), 1)
        );
        assert_eq!(
            ids(&json!({"arr": {"instances": "none"}})),
            (Some(Vec::new()), 1)
        );
        let apps = json!([{"id": "1", "name": "A", "url": "http://a", "icon": null}, {"id": 2}]);
        let (apps, warnings) = read(&json!({"external_apps": {"apps": apps}}), external_apps);
        assert_eq!((apps.len(), &*apps[0].icon, warnings), (1, "", 1));
        assert_eq!(
            read(&json!({"external_apps": 5}), external_apps),
            (Vec::new(), 1)
        );
    }
}
