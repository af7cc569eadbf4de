//! Past plays: `/status/sessions/history/all`.

use serde_json::Value;

use super::dice::Dice;
use super::library::{Kind, Library};
use super::metadata::{Fields, picture_path};
use super::pages::Ask;
use super::people::PEOPLE;

/// One play of the past.
#[derive(Clone, Debug)]
pub(super) struct Play {
    id: u64,
    item: u64,
    account: u64,
    device: u64,
    viewed_at: i64,
    /// The item has left the library since: no rating key any more.
    is_deleted: bool,
}

/// All plays, oldest first, as Plex lists them unless asked otherwise.
pub(super) struct History(Vec<Play>);

impl History {
    pub(super) fn new(library: &Library, plays: usize) -> Self {
        let pools = [Kind::Movie, Kind::Episode, Kind::Track].map(|kind| library.list(kind, None));
        let mut viewed_at = library.born_at - 300;
        let mut list: Vec<Play> = (0..plays)
            .map(|back| {
                let mut dice = Dice::new(library.seed, &[back as u64, 30]);
                let pool = match dice.below(100) {
                    0..45 => &pools[0],
                    45..90 => &pools[1],
                    _ => &pools[2],
                };
                // Two plays in one second happen: order by time alone is not unique.
                if !dice.chance(3) {
                    viewed_at -= i64::try_from(dice.between(240, 14_400)).unwrap_or(0);
                }
                Play {
                    id: (plays - back) as u64,
                    item: dice.pick(pool).id,
                    account: dice.pick(&PEOPLE).id,
                    device: dice.between(1, 14),
                    viewed_at,
                    is_deleted: dice.chance(5),
                }
            })
            .collect();
        list.reverse();
        Self(list)
    }

    /// The plays the request asks for, in the order it asks for; paging is the caller's.
    pub(super) fn select(&self, library: &Library, ask: &Ask) -> Vec<&Play> {
        let number = |name| ask.value(name).and_then(|value| value.parse::<i64>().ok());
        // `viewedAt>=1700000000` splits at the equals sign like any other parameter.
        let since = number("viewedAt>").unwrap_or(i64::MIN);
        let until = number("viewedAt<").unwrap_or(i64::MAX);
        let account = number("accountID");
        let section = number("librarySectionID");
        let metadata = number("metadataItemID");
        let is = |wanted: Option<i64>, value: Option<u64>| {
            wanted.is_none_or(|wanted| u64::try_from(wanted).ok() == value)
        };
        let mut plays: Vec<&Play> = self
            .0
            .iter()
            .filter(|play| (since..=until).contains(&play.viewed_at))
            .filter(|play| is(account, Some(play.account)))
            .filter(|play| is(section, library.find(play.item).map(|item| item.section)))
            .filter(|play| is(metadata, (!play.is_deleted).then_some(play.item)))
            .collect();
        if ask.value("sort") == Some("viewedAt:desc") {
            plays.reverse();
        }
        plays
    }
}

impl Play {
    /// The entry of one play.
    pub(super) fn entry(&self, library: &Library) -> Value {
        let mut fields = Fields::default();
        fields.put(
            "historyKey",
            format!("/status/sessions/history/{}", self.id),
        );
        let Some(item) = library.find(self.item) else {
            return fields.finish();
        };
        if !self.is_deleted {
            fields.put("key", format!("/library/metadata/{}", item.id));
            fields.put("ratingKey", item.id.to_string());
        }
        fields.put("librarySectionID", item.section.to_string());
        let parent = library.parent(item);
        let top = parent.and_then(|parent| library.parent(parent));
        if let (Some(parent), Some(top)) = (parent, top) {
            if !self.is_deleted {
                fields.put("parentKey", format!("/library/metadata/{}", parent.id));
                fields.put("grandparentKey", format!("/library/metadata/{}", top.id));
            }
            fields.put_some("index", item.index);
            fields.put_some("parentIndex", parent.index);
            fields.put("parentTitle", parent.title.as_str());
            fields.put("grandparentTitle", top.title.as_str());
            fields.put("parentThumb", picture_path(parent, "thumb"));
            fields.put("grandparentThumb", picture_path(top, "thumb"));
            fields.put("grandparentArt", picture_path(top, "art"));
        }
        fields.put("title", item.title.as_str());
        fields.put("type", item.kind.name());
        fields.put_some("thumb", item.has_thumb.then(|| picture_path(item, "thumb")));
        fields.put("viewedAt", self.viewed_at);
        fields.put("accountID", self.account);
        fields.put("deviceID", self.device);
        fields.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn library() -> Library {
        Library::new(5, 1_700_000_000)
    }

    #[test]
    fn plays_are_listed_oldest_first_unless_sorted() {
        let library = library();
        let history = History::new(&library, 400);
        let times = |query| -> Vec<i64> {
            let ask = Ask::from_query(query);
            history
                .select(&library, &ask)
                .iter()
                .map(|play| play.viewed_at)
                .collect()
        };
        let plain = times("");
        assert_eq!(plain.len(), 400);
        assert!(plain.is_sorted());
        let mut sorted = times("sort=viewedAt:desc");
        sorted.reverse();
        assert_eq!(plain, sorted);
        assert!(plain.iter().all(|time| *time < library.born_at));
    }

    #[test]
    fn filters_narrow_the_list() {
        let library = library();
        let history = History::new(&library, 400);
        let select = |query: &str| history.select(&library, &Ask::from_query(query));
        let middle = history.0[200].viewed_at;
        for query in [
            format!("viewedAt>={middle}"),
            format!("viewedAt%3E={middle}"),
        ] {
            let later = select(&query);
            assert!((200..=205).contains(&later.len()), "{}", later.len());
            assert!(later.iter().all(|play| play.viewed_at >= middle));
        }
        let own = select("accountID=1");
        assert!(!own.is_empty());
        assert!(own.iter().all(|play| play.account == 1));
        assert!(select("accountID=77").is_empty());
        assert!(select("librarySectionID=3").len() < 400);
    }

    #[test]
    fn entries_have_unique_keys_and_deleted_ones_no_rating_key() {
        let library = library();
        let history = History::new(&library, 400);
        let entries: Vec<Value> = history.0.iter().map(|play| play.entry(&library)).collect();
        let keys: HashSet<_> = entries
            .iter()
            .map(|entry| entry["historyKey"].to_string())
            .collect();
        assert_eq!(keys.len(), 400);
        let deleted = entries
            .iter()
            .filter(|entry| entry.get("ratingKey").is_none())
            .count();
        assert!((5..60).contains(&deleted), "{deleted}");
        for kind in ["movie", "episode", "track"] {
            assert!(entries.iter().any(|entry| entry["type"] == kind));
        }
    }
}
