//! Past plays: `/status/sessions/history/all`.

use serde_json::Value;

use super::dice::Dice;
use super::library::{Item, Kind, Library};
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
        let pools = Pools::of(library);
        let mut viewed_at = library.born_at - 300;
        let mut list: Vec<Play> = (0..plays)
            .map(|back| {
                let mut dice = Dice::new(library.seed, &[back as u64, 30]);
                let item = pools.pick(&mut dice);
                // Two plays in one second happen: order by time alone is not unique.
                if !dice.chance(3) {
                    viewed_at -= i64::try_from(dice.between(240, 14_400)).unwrap_or(0);
                }
                Play::new((plays - back) as u64, item, viewed_at, &mut dice)
            })
            .collect();
        list.reverse();
        Self(list)
    }

    /// More plays, in the seconds after the newest.
    pub(super) fn add(&mut self, library: &Library, plays: usize) {
        let pools = Pools::of(library);
        for _ in 0..plays {
            let id = self.0.len() as u64 + 1;
            let mut dice = Dice::new(library.seed, &[id, 31]);
            let item = pools.pick(&mut dice);
            let newest = self.0.last().map_or(library.born_at, |play| play.viewed_at);
            let viewed_at = newest + i64::from(!dice.chance(10));
            self.0.push(Play::new(id, item, viewed_at, &mut dice));
        }
    }

    /// The page the request asks for, in the order it asks for, and how many entries there are
    /// in all. Only that page is written, however long the history is.
    pub(super) fn page(&self, library: &Library, ask: &Ask) -> (usize, Vec<Value>) {
        let plays = self.since_until(ask);
        let number = |name| ask.number::<i64>(name);
        let account = number("accountID");
        let section = number("librarySectionID");
        let metadata = number("metadataItemID");
        let newest_first = ask.value("sort") == Some("viewedAt:desc");
        if account.or(section).or(metadata).is_none() {
            let total = plays.len();
            let range = ask.range(total);
            let list: Vec<Value> = if newest_first {
                let plays = &plays[total - range.end..total - range.start];
                plays.iter().rev().map(|play| play.entry(library)).collect()
            } else {
                plays[range]
                    .iter()
                    .map(|play| play.entry(library))
                    .collect()
            };
            return (total, list);
        }
        let is = |wanted: Option<i64>, value: Option<u64>| {
            wanted.is_none_or(|wanted| u64::try_from(wanted).ok() == value)
        };
        let mut chosen: Vec<&Play> = plays
            .iter()
            .filter(|play| is(account, Some(play.account)))
            .filter(|play| is(section, library.find(play.item).map(|item| item.section)))
            .filter(|play| is(metadata, (!play.is_deleted).then_some(play.item)))
            .collect();
        if newest_first {
            chosen.reverse();
        }
        let page = chosen[ask.range(chosen.len())].iter();
        (chosen.len(), page.map(|play| play.entry(library)).collect())
    }

    /// The plays between the times the request names. `viewedAt>=1700000000` splits at the equals
    /// sign like any other parameter.
    fn since_until(&self, ask: &Ask) -> &[Play] {
        let since = ask.number("viewedAt>").unwrap_or(i64::MIN);
        let until = ask.number("viewedAt<").unwrap_or(i64::MAX);
        let start = self.0.partition_point(|play| play.viewed_at < since);
        let end = self.0.partition_point(|play| play.viewed_at <= until);
        self.0.get(start..end).unwrap_or_default()
    }
}

/// What is played: films and episodes mostly.
struct Pools<'a>([Vec<&'a Item>; 3]);

impl<'a> Pools<'a> {
    fn of(library: &'a Library) -> Self {
        Self([Kind::Movie, Kind::Episode, Kind::Track].map(|kind| library.list(kind, None)))
    }

    fn pick(&self, dice: &mut Dice) -> &'a Item {
        let pool = match dice.below(100) {
            0..45 => &self.0[0],
            45..90 => &self.0[1],
            _ => &self.0[2],
        };
        pool[dice.index(pool.len())]
    }
}

impl Play {
    fn new(id: u64, item: &Item, viewed_at: i64, dice: &mut Dice) -> Self {
        let account = dice.pick(&PEOPLE).id;
        Self {
            id,
            item: item.id,
            device: dice.between(1, 14),
            viewed_at,
            is_deleted: dice.chance(5),
            // Somebody on the server's own network without an account.
            account: if dice.chance(2) { 0 } else { account },
        }
    }

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

    fn time(entry: &Value) -> i64 {
        entry["viewedAt"].as_i64().unwrap()
    }

    #[test]
    fn plays_are_listed_oldest_first_unless_sorted() {
        let library = library();
        let history = History::new(&library, 400);
        let times = |query| -> Vec<i64> {
            let (_, list) = history.page(&library, &Ask::from_query(query));
            list.iter().map(time).collect()
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
        let select = |query: &str| history.page(&library, &Ask::from_query(query)).1;
        let middle = history.0[200].viewed_at;
        for query in [
            format!("viewedAt>={middle}"),
            format!("viewedAt%3E={middle}"),
        ] {
            let later = select(&query);
            assert!((200..=205).contains(&later.len()), "{}", later.len());
            assert!(later.iter().all(|entry| time(entry) >= middle));
        }
        let own = select("accountID=1");
        assert!(!own.is_empty());
        assert!(own.iter().all(|entry| entry["accountID"] == 1));
        assert!(select("accountID=77").is_empty());
        assert!(select("librarySectionID=3").len() < 400);
    }

    #[test]
    fn pages_are_cut_from_the_right_end_and_added_plays_are_the_newest() {
        let library = library();
        let mut history = History::new(&library, 400);
        let page = |history: &History, query: &str| history.page(&library, &Ask::from_query(query));
        let newest = "sort=viewedAt:desc&X-Plex-Container-Start=10&X-Plex-Container-Size=5";
        let (total, list) = page(&history, newest);
        let (_, all) = page(&history, "sort=viewedAt:desc");
        assert_eq!((total, &list[..]), (400, &all[10..15]));
        let (_, own) = page(&history, &format!("{newest}&accountID=1"));
        assert!(own.len() <= 5 && own.iter().all(|entry| entry["accountID"] == 1));
        history.add(&library, 30);
        let (total, list) = page(&history, "sort=viewedAt:desc");
        assert_eq!((total, &list[30..]), (430, &all[..]));
        assert!(list.iter().map(time).rev().is_sorted());
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
