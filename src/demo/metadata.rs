//! Items of the library as Plex writes them.

use serde_json::{Map, Value, json};

use super::dice::Dice;
use super::library::{Item, Kind, Library, find_section};
use super::media::{Encoding, Ids, Subject, Way};
use super::words;

/// How much of an item an answer shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Detail {
    /// Lists: tags by name only, no streams.
    List,
    /// A single item or a session: everything.
    Full,
}

/// An object under construction; Plex leaves out what it does not know.
#[derive(Default)]
pub(super) struct Fields(Map<String, Value>);

impl Fields {
    pub(super) fn put(&mut self, name: &str, value: impl Into<Value>) {
        self.0.insert(name.to_owned(), value.into());
    }

    pub(super) fn put_some(&mut self, name: &str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.put(name, value);
        }
    }

    pub(super) fn finish(self) -> Value {
        Value::Object(self.0)
    }
}

/// Address of a picture of an item; the number at the end changes with the picture.
pub(super) fn picture_path(item: &Item, kind: &str) -> String {
    format!(
        "/library/metadata/{}/{kind}/{}",
        item.id,
        item.added_at + 60
    )
}

fn thumb_path(item: &Item) -> Option<String> {
    item.has_thumb.then(|| picture_path(item, "thumb"))
}

/// An item of the library.
pub(super) fn library_item(library: &Library, item: &Item, detail: Detail) -> Value {
    let mut fields = facts(library, item, Ids::Numbers);
    add_media(&mut fields, library, item, Ids::Numbers, detail, None);
    add_tags(&mut fields, library, item, Ids::Numbers, detail);
    fields.finish()
}

/// An item as it stands in a session; the caller adds who plays it.
pub(super) fn session_item(library: &Library, item: &Item, way: Way) -> Fields {
    let mut fields = facts(library, item, Ids::Text);
    add_media(
        &mut fields,
        library,
        item,
        Ids::Text,
        Detail::Full,
        Some(way),
    );
    add_tags(&mut fields, library, item, Ids::Text, Detail::Full);
    fields
}

fn facts(library: &Library, item: &Item, ids: Ids) -> Fields {
    let mut dice = library.dice(item.id, 4);
    let mut fields = Fields::default();
    let top = library
        .parent(item)
        .and_then(|parent| library.parent(parent));
    let art = top.or_else(|| library.parent(item)).unwrap_or(item);
    fields.put("addedAt", item.added_at);
    fields.put("art", picture_path(art, "art"));
    let is_container = matches!(
        item.kind,
        Kind::Show | Kind::Season | Kind::Artist | Kind::Album
    );
    let has_text = !matches!(item.kind, Kind::Track | Kind::Season);
    if has_text {
        fields.put("audienceRating", tenths(dice.between(42, 94)));
        fields.put("audienceRatingImage", "themoviedb://image.rating");
        fields.put("contentRating", *dice.pick(&words::RATINGS));
    }
    if item.kind == Kind::Movie {
        fields.put("chapterSource", "media");
    }
    if !is_container {
        fields.put("duration", item.duration_ms);
    }
    fields.put(
        "guid",
        format!("plex://{}/{}", item.kind.name(), dice.hex(24)),
    );
    fields.put_some("index", item.index);
    let tail = if is_container && item.kind != Kind::Album {
        "/children"
    } else {
        ""
    };
    fields.put("key", format!("/library/metadata/{}{tail}", item.id));
    if let Some(section) = find_section(item.section) {
        fields.put("librarySectionID", ids.write(section.key));
        fields.put(
            "librarySectionKey",
            format!("/library/sections/{}", section.key),
        );
        fields.put("librarySectionTitle", section.title);
    }
    if let Some(year) = item.year.filter(|_| has_text) {
        let (month, day) = (dice.between(1, 12), dice.between(1, 28));
        fields.put(
            "originallyAvailableAt",
            format!("{year}-{month:02}-{day:02}"),
        );
    }
    add_ancestors(&mut fields, library, item);
    if item.kind == Kind::Movie {
        fields.put("rating", tenths(dice.between(38, 96)));
        fields.put("ratingImage", "themoviedb://image.rating");
        fields.put("tagline", *dice.pick(&words::TAGLINES));
    }
    fields.put("ratingKey", item.id.to_string());
    if has_text {
        add_text(&mut fields, item, &mut dice);
    }
    fields.put_some("thumb", thumb_path(item));
    fields.put("title", item.title.as_str());
    fields.put("type", item.kind.name());
    fields.put("updatedAt", item.added_at + 60);
    if is_container {
        add_counts(&mut fields, library, item);
    }
    fields.put_some("year", item.year.filter(|_| item.kind != Kind::Season));
    fields
}

/// What a person would read about it.
fn add_text(fields: &mut Fields, item: &Item, dice: &mut Dice) {
    fields.put("slug", slug(&item.title));
    fields.put("studio", *dice.pick(&words::STUDIOS));
    let first = dice.index(words::SENTENCES.len());
    let second = (first + 1 + dice.index(words::SENTENCES.len() - 1)) % words::SENTENCES.len();
    fields.put(
        "summary",
        format!("{} {}", words::SENTENCES[first], words::SENTENCES[second]),
    );
}

/// How much a show, season, artist or album holds.
fn add_counts(fields: &mut Fields, library: &Library, item: &Item) {
    let children = library.children(item.id);
    let leaves = if matches!(item.kind, Kind::Show | Kind::Artist) {
        fields.put("childCount", children.len());
        children
            .iter()
            .map(|part| library.children(part.id).len())
            .sum()
    } else {
        children.len()
    };
    fields.put("leafCount", leaves);
    fields.put("viewedLeafCount", 0);
}

/// Season and show of an episode, album and artist of a track.
fn add_ancestors(fields: &mut Fields, library: &Library, item: &Item) {
    let Some(parent) = library.parent(item) else {
        return;
    };
    fields.put_some("parentIndex", parent.index);
    fields.put("parentKey", format!("/library/metadata/{}", parent.id));
    fields.put("parentRatingKey", parent.id.to_string());
    fields.put_some("parentThumb", thumb_path(parent));
    fields.put("parentTitle", parent.title.as_str());
    if let Some(top) = library.parent(parent) {
        fields.put("grandparentArt", picture_path(top, "art"));
        fields.put("grandparentKey", format!("/library/metadata/{}", top.id));
        fields.put("grandparentRatingKey", top.id.to_string());
        fields.put_some("grandparentThumb", thumb_path(top));
        fields.put("grandparentTitle", top.title.as_str());
    }
}

fn add_media(
    fields: &mut Fields,
    library: &Library,
    item: &Item,
    ids: Ids,
    detail: Detail,
    way: Option<Way>,
) {
    if item.kind.leaf() != item.kind {
        return;
    }
    let path = find_section(item.section).map_or("/data", |section| section.path);
    let file = format!("{path}/{0}/{0}", item.title.replace('/', "-"));
    let subject = Subject {
        id: item.id,
        duration_ms: item.duration_ms,
        file: &file,
        encoding: Encoding::stored(library, item),
        ids,
        way,
    };
    // Every fifth film also has a second version; a session shows only the one that plays.
    let versions = if way.is_none() && item.kind == Kind::Movie && item.id.is_multiple_of(5) {
        2
    } else {
        1
    };
    let media: Vec<Value> = (0..versions)
        .map(|version| subject.media(version, detail == Detail::Full))
        .collect();
    fields.put("Media", media);
}

fn add_tags(fields: &mut Fields, library: &Library, item: &Item, ids: Ids, detail: Detail) {
    // As in Plex, episodes and tracks leave genres to what they belong to.
    let is_music = item.kind.leaf() == Kind::Track;
    if item.kind == Kind::Season || item.kind == Kind::Track {
        return;
    }
    let mut dice = library.dice(item.id, 5);
    let tag = |at: usize, base: u64, filter: &str, name: &str| match detail {
        Detail::List => json!({ "tag": name }),
        Detail::Full => {
            let id = base + at as u64;
            json!({ "id": ids.write(id), "filter": format!("{filter}={id}"), "tag": name })
        }
    };
    if item.kind != Kind::Episode {
        let (names, base) = if is_music {
            (&words::MUSIC_GENRES[..], 80)
        } else {
            (&words::GENRES[..], 60)
        };
        let first = dice.index(names.len());
        let second = (first + 1 + dice.index(names.len() - 1)) % names.len();
        let genres = [first, second].map(|at| tag(at, base, "genre", names[at]));
        fields.put("Genre", genres.to_vec());
    }
    if is_music {
        return;
    }
    if item.kind == Kind::Movie {
        let country = dice.index(words::COUNTRIES.len());
        fields.put(
            "Country",
            vec![tag(country, 90, "country", words::COUNTRIES[country])],
        );
    }
    for (name, filter) in [("Director", "director"), ("Writer", "writer")] {
        let (at, person) = person(&mut dice);
        fields.put(name, vec![tag(at, 1000, filter, &person)]);
    }
    let count = if detail == Detail::List { 3 } else { 4 };
    let roles: Vec<Value> = (0..count)
        .map(|_| {
            let (at, person) = person(&mut dice);
            let mut role = tag(at, 1000, "actor", &person);
            if detail == Detail::Full {
                role["role"] = (*dice.pick(&words::ROLES)).into();
            }
            role
        })
        .collect();
    fields.put("Role", roles);
    if detail == Detail::Full {
        fields.put(
            "Guid",
            json!([
                { "id": format!("tmdb://{}", 9_000_000 + item.id) },
                { "id": format!("tvdb://{}", 9_500_000 + item.id) },
            ]),
        );
    }
}

/// A name and its number among all possible ones.
fn person(dice: &mut Dice) -> (usize, String) {
    let first = dice.index(words::FIRST_NAMES.len());
    let last = dice.index(words::LAST_NAMES.len());
    let name = format!("{} {}", words::FIRST_NAMES[first], words::LAST_NAMES[last]);
    (first * words::LAST_NAMES.len() + last, name)
}

fn tenths(number: u64) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(0)) / 10.0
}

fn slug(title: &str) -> String {
    let lower = title.to_lowercase();
    let words: Vec<&str> = lower
        .split(|letter: char| !letter.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .collect();
    words.join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_have_native_numbers_and_text_keys() {
        let library = Library::new(1, 1_700_000_000);
        let film = library_item(&library, library.list(Kind::Movie, None)[0], Detail::List);
        assert!(film["ratingKey"].is_string());
        assert!(film["librarySectionID"].is_u64());
        assert!(film["duration"].is_u64());
        assert!(film["Media"][0]["id"].is_u64());
        assert!(film["Media"][0]["Part"][0].get("Stream").is_none());
        assert!(film["Genre"][0].get("id").is_none());
    }

    #[test]
    fn sessions_have_ids_as_text() {
        let library = Library::new(1, 1_700_000_000);
        let film = library.list(Kind::Movie, None)[0];
        let film = session_item(&library, film, Way::DirectPlay).finish();
        for id in [
            &film["librarySectionID"],
            &film["Media"][0]["id"],
            &film["Media"][0]["aspectRatio"],
            &film["Media"][0]["Part"][0]["id"],
            &film["Media"][0]["Part"][0]["Stream"][0]["id"],
            &film["Genre"][0]["id"],
            &film["Role"][0]["id"],
        ] {
            assert!(id.is_string(), "{id}");
        }
        assert!(film["duration"].is_u64());
    }

    #[test]
    fn an_episode_names_its_season_and_show() {
        let library = Library::new(1, 1_700_000_000);
        let episode = library.list(Kind::Episode, None)[0];
        let json = library_item(&library, episode, Detail::Full);
        assert_eq!(
            json["parentIndex"], 0,
            "the first show starts with its specials"
        );
        assert_eq!(json["grandparentTitle"], words::SHOWS[0]);
        assert!(json["grandparentThumb"].is_string());
    }
}
