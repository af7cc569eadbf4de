//! The libraries of the Plex server: films, shows, music, each with its key. Statistics, recent
//! media and invites take them from one cache.

use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::moment::{Moment, from_plex};
use super::sharing::{Need, Sharing};
use super::wire::{self, RawItem};
use crate::app::AppState;
use crate::cache::shared::Waited;
use crate::cache::{self, CacheEntry, Cached, FetchError, Fetched, Policy, SharedError};
use crate::settings::CacheSettings;

/// More than any server has; whatever claims to be one does not get more of our memory.
const MOST_LIBRARIES: usize = 500;

/// All libraries, in Plex's order.
pub(super) static LIBRARIES: Mutex<CacheEntry<Vec<Library>>> = Mutex::new(CacheEntry::new(
    "plex_libraries",
    Policy {
        ttl: Duration::from_secs(300),
        max_stale: Duration::from_secs(3600),
        max_wait: Duration::from_secs(2),
    },
));

/// The name that other instances know it by.
pub(super) static SHARING: Sharing = Sharing {
    name: "plex:libraries",
    policy,
};

/// A library of the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Library {
    /// Identifies it in paths.
    pub key: String,
    /// `movie`, `show`, `artist`, `photo`; empty if Plex named none.
    #[serde(rename = "type")]
    pub kind: String,
    /// What its owner calls it.
    pub title: String,
    /// Moves with every change of what is in it. Old servers have none; empty or 0 is none.
    pub(super) content_changed_at: Option<String>,
}

/// The kinds of libraries that are counted and shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Movie,
    Show,
}

/// `MediaContainer.Directory[]` of `/library/sections`.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Section {
    #[serde(deserialize_with = "wire::text")]
    key: Option<String>,
    #[serde(rename = "type", deserialize_with = "wire::text")]
    kind: Option<String>,
    #[serde(deserialize_with = "wire::text")]
    title: Option<String>,
    #[serde(deserialize_with = "wire::text")]
    content_changed_at: Option<String>,
}

impl Library {
    /// Films or shows; `None` for music, photos and whatever may come.
    pub(super) fn kind(&self) -> Option<Kind> {
        match self.kind.as_str() {
            "movie" => Some(Kind::Movie),
            "show" => Some(Kind::Show),
            _ => None,
        }
    }
}

impl Kind {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Movie => "movie",
            Self::Show => "TV show",
        }
    }
}

/// Reads what Plex sent; a library without a key can't be asked for anything and is left out.
pub(super) fn read_list(sections: Vec<RawItem>) -> Vec<Library> {
    static REPORTED: AtomicBool = AtomicBool::new(false);
    let sections = sections.into_iter().take(MOST_LIBRARIES).collect();
    wire::read_items::<Section>(sections, "library sections", &REPORTED)
        .into_iter()
        .filter_map(|(section, _)| {
            Some(Library {
                key: section.key.filter(|key| !key.is_empty())?,
                kind: section.kind.unwrap_or_default(),
                title: section.title.unwrap_or_default(),
                content_changed_at: section
                    .content_changed_at
                    .filter(|at| !matches!(at.as_str(), "" | "0")),
            })
        })
        .collect()
}

/// The libraries of the configured server: those in the cache, or as old ones as may be served
/// while Plex fails.
///
/// # Errors
/// There is no configured server, or it has not answered and nothing is known of it.
pub async fn libraries(app: &AppState) -> Result<Vec<Library>, SharedError> {
    let cached = cache::read(&LIBRARIES, || {
        from_plex(app, Waited::default(), &SHARING, Need::Fresh, fetch)
    });
    Ok(cached.await?.stored.value.clone())
}

/// The libraries as they were no longer than `oldest` ago, for what is made from them.
pub(super) async fn at_most(
    now: &Moment,
    oldest: Duration,
) -> Result<Cached<Vec<Library>>, SharedError> {
    cache::recent(&LIBRARIES, oldest, || {
        from_plex(
            &now.app,
            now.waited.clone(),
            &SHARING,
            Need::Within(oldest),
            fetch,
        )
    })
    .await
}

/// Asks Plex anew.
pub(super) async fn refresh(app: AppState, need: Need) -> Result<(), SharedError> {
    cache::refresh(&LIBRARIES, || {
        from_plex(&app, Waited::default(), &SHARING, need, fetch)
    })
    .await
}

/// The times that govern this cache.
pub(super) const fn policy(settings: &CacheSettings) -> Policy {
    Policy {
        ttl: settings.library_ttl,
        max_stale: settings.max_stale,
        max_wait: settings.max_wait,
    }
}

async fn fetch(now: Moment) -> Result<Fetched<Vec<Library>>, FetchError> {
    let sections = now.server().sections().await?;
    Ok(Fetched::Whole(read_list(sections)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::arbitrary::spoiled;

    fn read(sections: &[Value]) -> Vec<Library> {
        let raw = |value| serde_json::value::to_raw_value(value).unwrap();
        read_list(sections.iter().map(raw).collect())
    }

    #[test]
    fn libraries_are_read_in_either_spelling_and_broken_ones_left_out() {
        let libraries = read(&[
            json!({"key": "1", "type": "movie", "title": "Films", "contentChangedAt": 77}),
            json!({"key": 2, "type": "show", "title": null, "contentChangedAt": "78"}),
            json!({"type": "movie", "title": "without a key"}),
            json!("junk"),
            json!({"key": "3", "type": ["movie"], "contentChangedAt": 0}),
        ]);
        let keys: Vec<&str> = libraries
            .iter()
            .map(|library| library.key.as_str())
            .collect();
        assert_eq!(keys, ["1", "2", "3"]);
        let kinds: Vec<_> = libraries.iter().map(Library::kind).collect();
        assert_eq!(kinds, [Some(Kind::Movie), Some(Kind::Show), None]);
        assert_eq!(libraries[0].content_changed_at.as_deref(), Some("77"));
        assert_eq!(libraries[2].content_changed_at, None);
    }

    #[test]
    fn a_list_without_end_is_cut() {
        let section = json!({"key": "1", "type": "movie"});
        assert_eq!(read(&vec![section; 900]).len(), MOST_LIBRARIES);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn an_odd_entry_costs_only_itself(odd in spoiled(json!({
            "key": "2", "type": "movie", "title": "Films", "contentChangedAt": 77,
        }))) {
            let good = json!({"key": "1", "type": "show", "title": "Shows"});
            wire::costs_only_itself(&good, &odd, |items| {
                let libraries = read_list(items).into_iter();
                libraries.map(|library| json!([library.key, library.title])).collect()
            })?;
        }
    }
}
