//! One entry of Plex's history as a row of ours, and the details of an item.

use chrono::{DateTime, NaiveDateTime, Utc};
use chrono_tz::Tz;
use serde::Deserialize;

use crate::compat::datetime;
use crate::plex::links;
use crate::plex::wire::{self, RawItem, whole};

/// Plays after this are a server's error (the end of the year 9998): text comparison of
/// timestamps needs years of four digits, in every zone.
const LATEST: i64 = 253_370_764_799;

/// What is stored of one play.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Play {
    /// `None`: the local account, or unknown.
    pub user_id: Option<String>,
    pub kind: String,
    pub title: String,
    pub grandparent_title: Option<String>,
    pub parent_index: Option<i64>,
    pub index: Option<i64>,
    /// `None`: the item has left the library.
    pub rating_key: Option<String>,
    /// When it was played.
    pub at: DateTime<Utc>,
    /// The same on the clocks of the process's zone, as the column has it.
    pub local: NaiveDateTime,
    /// Seconds.
    pub view_offset: i64,
    pub view_count: i64,
    /// A path on the Plex server or an address, without a token.
    pub thumb: Option<String>,
    pub details: Details,
}

/// What entries of the history mostly lack and the item itself has.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Details {
    /// Seconds; 0 for unknown.
    pub duration: i64,
    pub content_rating: Option<String>,
    pub studio: Option<String>,
    pub summary: Option<String>,
    pub year: Option<i64>,
    pub rating: Option<f64>,
    /// Names joined with commas.
    pub genres: Option<String>,
}

/// Both an entry of the history and an item of the library.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct PlexItem {
    #[serde(rename = "accountID", deserialize_with = "wire::number")]
    account_id: Option<f64>,
    #[serde(rename = "type", deserialize_with = "wire::text")]
    kind: Option<String>,
    #[serde(deserialize_with = "wire::text")]
    title: Option<String>,
    #[serde(deserialize_with = "wire::text")]
    grandparent_title: Option<String>,
    #[serde(deserialize_with = "wire::number")]
    parent_index: Option<f64>,
    #[serde(deserialize_with = "wire::number")]
    index: Option<f64>,
    #[serde(deserialize_with = "wire::number")]
    rating_key: Option<f64>,
    #[serde(deserialize_with = "wire::number")]
    viewed_at: Option<f64>,
    #[serde(deserialize_with = "wire::number")]
    view_offset: Option<f64>,
    #[serde(deserialize_with = "wire::number")]
    view_count: Option<f64>,
    #[serde(deserialize_with = "wire::text")]
    thumb: Option<String>,
    #[serde(deserialize_with = "wire::text")]
    grandparent_thumb: Option<String>,
    #[serde(deserialize_with = "wire::number")]
    duration: Option<f64>,
    #[serde(deserialize_with = "wire::text")]
    content_rating: Option<String>,
    #[serde(deserialize_with = "wire::text")]
    studio: Option<String>,
    #[serde(deserialize_with = "wire::text")]
    summary: Option<String>,
    #[serde(deserialize_with = "wire::number")]
    year: Option<f64>,
    #[serde(deserialize_with = "wire::number")]
    rating: Option<f64>,
    #[serde(rename = "Genre", deserialize_with = "wire::items")]
    genres: Vec<RawItem>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PlexTag {
    #[serde(deserialize_with = "wire::text")]
    tag: Option<String>,
}

/// Reads one entry of the history (contract 07, section 3); `None` if it is not an object, or has
/// no title or no usable time.
pub(super) fn play(raw: &RawItem, zone: Option<Tz>) -> Option<Play> {
    let item: PlexItem = serde_json::from_str(raw.get()).ok()?;
    let at = item
        .viewed_at
        .and_then(whole)
        .filter(|at| (1..=LATEST).contains(at))?;
    let at = DateTime::from_timestamp(at, 0)?;
    let kind = filled(item.kind.clone()).unwrap_or_else(|| "unknown".to_owned());
    let of_show = filled(item.grandparent_thumb.clone()).filter(|_| kind == "episode");
    let thumb = of_show.or_else(|| item.thumb.clone());
    Some(Play {
        user_id: item.account_id.and_then(whole).and_then(id),
        title: filled(item.title.clone())?,
        grandparent_title: filled(item.grandparent_title.clone()),
        parent_index: item.parent_index.and_then(whole),
        index: item.index.and_then(whole),
        rating_key: item.rating_key.and_then(whole).and_then(id),
        at,
        local: datetime::local(at, zone),
        view_offset: seconds(item.view_offset),
        // Entries of the history hardly ever have a count: each is one view (contract 08, 54).
        view_count: item.view_count.and_then(whole).unwrap_or(1).max(1),
        thumb: thumb.and_then(|thumb| links::shown(&thumb)),
        kind,
        details: Details::from(item),
    })
}

/// Reads an item of the library: its rating key and its details.
pub(super) fn details(raw: &RawItem) -> Option<(String, Details)> {
    let item: PlexItem = serde_json::from_str(raw.get()).ok()?;
    let key = item.rating_key.and_then(whole).and_then(id)?;
    Some((key, item.into()))
}

impl Details {
    /// Whether the item should be asked for the rest (contract 07, section 3).
    pub(super) const fn lack_something(&self) -> bool {
        self.duration == 0 || self.content_rating.is_none() || self.genres.is_none()
    }
}

impl From<PlexItem> for Details {
    fn from(item: PlexItem) -> Self {
        let tags = item.genres.iter().filter_map(|raw| {
            let tag: PlexTag = serde_json::from_str(raw.get()).ok()?;
            filled(tag.tag)
        });
        let genres: Vec<String> = tags.collect();
        Self {
            duration: seconds(item.duration),
            content_rating: filled(item.content_rating),
            studio: filled(item.studio),
            summary: filled(item.summary),
            year: item.year.and_then(whole),
            rating: item.rating,
            genres: filled(Some(genres.join(","))),
        }
    }
}

/// Percent of the duration; 0 while one of the two is unknown.
#[expect(clippy::cast_precision_loss, reason = "a percentage of seconds")]
pub(super) fn progress(view_offset: i64, duration: i64) -> f64 {
    if view_offset <= 0 || duration <= 0 {
        return 0.0;
    }
    view_offset as f64 / duration as f64 * 100.0
}

fn filled(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

/// An identifier as the database keeps it. 0 means none.
fn id(number: i64) -> Option<String> {
    (number != 0).then(|| number.to_string())
}

/// Milliseconds in whole seconds; what is negative or unknown is 0.
fn seconds(milliseconds: Option<f64>) -> i64 {
    let seconds = milliseconds.map(|ms| ms / 1000.0).and_then(whole);
    seconds.unwrap_or_default().max(0)
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "computed from small whole numbers")]
mod tests {
    use chrono::TimeZone as _;
    use chrono_tz::TZ_VARIANTS;
    use proptest::prelude::*;
    use proptest::sample::select;
    use serde_json::{Value, json};

    use super::*;
    use crate::arbitrary::spoiled;

    fn read(value: &Value, zone: Option<Tz>) -> Option<Play> {
        play(&serde_json::value::to_raw_value(value).unwrap(), zone)
    }

    fn utc(value: &Value) -> Play {
        read(value, Some(Tz::UTC)).unwrap()
    }

    #[test]
    fn an_episode_is_read_whole() {
        let play = utc(&json!({
            "accountID": 42, "type": "episode", "title": "Pilot 🚀 <b>", "grandparentTitle": "A Show",
            "parentIndex": 1, "index": "2", "ratingKey": "100", "viewedAt": 1_700_000_000,
            "thumb": "/library/metadata/100/thumb/1", "grandparentThumb": "/library/metadata/9/thumb/1",
            "duration": 1_800_999, "viewOffset": 900_000, "rating": 7.5, "year": 1999,
            "contentRating": "TV-14", "studio": "S", "summary": "T",
            "Genre": [{"tag": "Comedy, Dark"}, {"tag": "Drama"}, {"tag": ""}, 7],
        }));
        assert_eq!(play.user_id.as_deref(), Some("42"));
        assert_eq!(play.rating_key.as_deref(), Some("100"));
        assert_eq!(play.title, "Pilot 🚀 <b>");
        assert_eq!((play.parent_index, play.index), (Some(1), Some(2)));
        assert_eq!(datetime::sql(play.local), "2023-11-14 22:13:20.000000");
        assert_eq!(play.thumb.as_deref(), Some("/library/metadata/9/thumb/1"));
        assert_eq!((play.details.duration, play.view_offset), (1800, 900));
        assert_eq!(play.view_count, 1);
        assert_eq!(play.details.genres.as_deref(), Some("Comedy, Dark,Drama"));
        assert!(!play.details.lack_something());
        assert_eq!(progress(900, 1800), 50.0);
    }

    #[test]
    fn a_play_without_anything_but_title_and_time_is_one() {
        let play = utc(&json!({"title": "T", "viewedAt": "1700000000", "accountID": 0}));
        assert_eq!(
            (play.user_id, play.rating_key, play.thumb),
            (None, None, None)
        );
        assert_eq!(play.kind, "unknown");
        assert_eq!(play.details, Details::default());
        assert!(play.details.lack_something());
    }

    #[test]
    fn what_has_no_title_or_no_time_is_none() {
        for odd in [
            json!({"viewedAt": 1_700_000_000}),
            json!({"title": "", "viewedAt": 1_700_000_000}),
            json!({"title": {}, "viewedAt": 1_700_000_000}),
            json!({"title": "T"}),
            json!({"title": "T", "viewedAt": null}),
            json!({"title": "T", "viewedAt": "yesterday"}),
            json!({"title": "T", "viewedAt": -5}),
            json!({"title": "T", "viewedAt": 1e300}),
            json!({"title": "T", "viewedAt": 253_402_300_800_i64}),
            json!([]),
            json!("T"),
            Value::Null,
        ] {
            assert_eq!(read(&odd, None), None, "{odd}");
        }
    }

    #[test]
    fn strange_numbers_are_absent_or_bounded() {
        let play = utc(&json!({
            "title": "T", "viewedAt": 1_700_000_000.9, "accountID": -7, "ratingKey": "abc",
            "index": -1, "parentIndex": 1e300, "duration": -5000, "viewOffset": 1e18, "viewCount": -3,
            "year": [], "rating": "NaN", "Genre": "Drama",
        }));
        assert_eq!(play.user_id.as_deref(), Some("-7"));
        assert_eq!(
            (play.rating_key, play.index, play.parent_index),
            (None, Some(-1), None)
        );
        assert_eq!(
            (play.details.duration, play.view_offset),
            (0, 1_000_000_000_000_000)
        );
        assert_eq!(
            (play.view_count, play.details.year, play.details.rating),
            (1, None, None)
        );
        assert_eq!(play.details.genres, None);
        assert_eq!(progress(5, 0), 0.0);
    }

    #[test]
    fn stored_links_have_no_token() {
        let thumb = |thumb: &str| utc(&json!({"title": "T", "viewedAt": 1, "thumb": thumb})).thumb;
        assert_eq!(
            thumb("http://plex:32400/photo?X-Plex-Token=geheim&a=1").as_deref(),
            Some("http://plex:32400/photo?a=1")
        );
        assert_eq!(
            thumb("/photo?x-plex-token=geheim").as_deref(),
            Some("/photo")
        );
        assert_eq!(thumb(""), None);
    }

    #[test]
    fn local_time_follows_the_zone_through_the_change_of_clocks() {
        let berlin = |at: i64| {
            let play = read(
                &json!({"title": "T", "viewedAt": at}),
                Some(Tz::Europe__Berlin),
            );
            datetime::sql(play.unwrap().local)
        };
        // 2024-10-27, 01:00 UTC: 03:00 summer time becomes 02:00.
        assert_eq!(berlin(1_729_990_799), "2024-10-27 02:59:59.000000");
        assert_eq!(berlin(1_729_990_800), "2024-10-27 02:00:00.000000");
        // 2024-03-31, 01:00 UTC: 02:00 becomes 03:00.
        assert_eq!(berlin(1_711_846_799), "2024-03-31 01:59:59.000000");
        assert_eq!(berlin(1_711_846_800), "2024-03-31 03:00:00.000000");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn whatever_plex_sends_is_a_row_that_can_be_stored_or_none(
            entry in spoiled(json!({
                "accountID": 42, "type": "episode", "title": "Pilot", "grandparentTitle": "g",
                "parentIndex": 1, "index": "2", "ratingKey": "100", "viewedAt": 1_700_000_000,
                "thumb": "/t", "grandparentThumb": "/g?X-Plex-Token=geheim", "duration": 1_800_999,
                "viewOffset": 900_000, "viewCount": 1, "rating": 7.5, "year": 1999,
                "contentRating": "TV-14", "studio": "S", "summary": "T", "Genre": [{"tag": "Drama"}],
            })),
            zone in select(&TZ_VARIANTS[..]),
        ) {
            let read = read(&entry, Some(zone));
            prop_assert!(entry.is_object() || read.is_none());
            if let Some(play) = read {
                prop_assert!(!play.title.is_empty() && !play.kind.is_empty());
                prop_assert!(play.view_count >= 1 && play.view_offset >= 0);
                prop_assert!(play.details.duration >= 0);
                prop_assert!(progress(play.view_offset, play.details.duration).is_finite());
                prop_assert_eq!(datetime::sql(play.local).len(), "2023-11-14 22:13:20.000000".len());
                prop_assert_eq!(datetime::local(play.at, Some(zone)), play.local);
                let shown = format!("{play:?}");
                prop_assert!(!shown.contains("geheim"), "{}", shown);
            }
            let raw = serde_json::value::to_raw_value(&entry).unwrap();
            if let Some((key, found)) = details(&raw) {
                prop_assert!(key != "0" && found.duration >= 0, "{} {:?}", key, found);
            }
        }

        #[test]
        fn clocks_show_each_moment_once_but_for_the_hour_that_comes_twice(
            at in 1..=LATEST, zone in select(&TZ_VARIANTS[..]),
        ) {
            let play = read(&json!({"title": "T", "viewedAt": at}), Some(zone)).unwrap();
            let back = zone.from_local_datetime(&play.local);
            let moments = [back.earliest(), back.latest()];
            prop_assert!(moments.into_iter().flatten().any(|moment| moment == play.at));
        }
    }
}
