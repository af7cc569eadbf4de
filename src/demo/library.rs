//! The seeded library: sections and what is in them. Facts only; `metadata` turns them into JSON.

use super::dice::Dice;
use super::words;

/// Rating key of the first item. Items are numbered without gaps, as a fresh scan would.
const FIRST_ID: u64 = 1001;
const DAY: i64 = 86_400;
const MINUTE_MS: u64 = 60_000;

/// What an item is; the names and numbers are Plex's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Movie,
    Show,
    Season,
    Episode,
    Artist,
    Album,
    Track,
}

impl Kind {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Movie => "movie",
            Self::Show => "show",
            Self::Season => "season",
            Self::Episode => "episode",
            Self::Artist => "artist",
            Self::Album => "album",
            Self::Track => "track",
        }
    }

    /// The value of the `type` parameter of `/all`.
    pub(super) const fn number(self) -> u64 {
        match self {
            Self::Movie => 1,
            Self::Show => 2,
            Self::Season => 3,
            Self::Episode => 4,
            Self::Artist => 8,
            Self::Album => 9,
            Self::Track => 10,
        }
    }

    /// What can be played in a section of this kind.
    pub(super) const fn leaf(self) -> Self {
        match self {
            Self::Show | Self::Season | Self::Episode => Self::Episode,
            Self::Artist | Self::Album | Self::Track => Self::Track,
            Self::Movie => Self::Movie,
        }
    }
}

/// A library of the server, a "section" in Plex's words.
pub(super) struct Section {
    pub(super) key: u64,
    pub(super) kind: Kind,
    pub(super) title: &'static str,
    pub(super) path: &'static str,
    items: u64,
}

const fn section(
    key: u64,
    kind: Kind,
    title: &'static str,
    path: &'static str,
    items: u64,
) -> Section {
    Section {
        key,
        kind,
        title,
        path,
        items,
    }
}

pub(super) const SECTIONS: [Section; 5] = [
    section(1, Kind::Movie, "Films", "/data/films", 48),
    section(2, Kind::Movie, "Documentaries", "/data/documentaries", 16),
    section(3, Kind::Show, "TV Shows", "/data/tv", 8),
    section(4, Kind::Show, "Cartoons & 子供", "/data/cartoons", 4),
    section(5, Kind::Artist, "Music", "/data/music", 6),
];

pub(super) fn find_section(key: u64) -> Option<&'static Section> {
    SECTIONS.iter().find(|section| section.key == key)
}

/// One entry of the library.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) id: u64,
    pub(super) kind: Kind,
    pub(super) section: u64,
    pub(super) parent: Option<u64>,
    pub(super) title: String,
    /// Number of the season, episode or track.
    pub(super) index: Option<u64>,
    pub(super) year: Option<u64>,
    /// 0 for containers, and for the one film whose analysis failed.
    pub(super) duration_ms: u64,
    pub(super) has_thumb: bool,
    pub(super) added_at: i64,
}

/// Everything the server has, parents before their children.
#[derive(Clone)]
pub(super) struct Library {
    pub(super) seed: u64,
    /// When the simulated server came to life, in epoch seconds; all dates lie before it.
    pub(super) born_at: i64,
    items: Vec<Item>,
    /// The sections that something was added to, in order.
    grown: Vec<u64>,
}

impl Library {
    pub(super) fn new(seed: u64, born_at: i64) -> Self {
        let mut library = Self {
            seed,
            born_at,
            items: Vec::new(),
            grown: Vec::new(),
        };
        for section in &SECTIONS {
            for position in 0..section.items {
                library.add_to(section, position);
            }
        }
        library
    }

    /// Adds a film, a show or an artist that came in at `now`; nothing to a section that there
    /// is not.
    pub(super) fn grow(&mut self, section: u64, now: i64) {
        let Some(section) = find_section(section) else {
            return;
        };
        let first = self.items.len();
        self.add_to(section, section.items + self.changes(section.key));
        self.grown.push(section.key);
        for item in &mut self.items[first..] {
            item.added_at = now;
        }
    }

    /// How often something was added to a section.
    pub(super) fn changes(&self, section: u64) -> u64 {
        self.grown.iter().filter(|grown| **grown == section).count() as u64
    }

    fn add_to(&mut self, section: &Section, position: u64) {
        match section.kind {
            Kind::Movie => self.add_film(section, position),
            Kind::Show => self.add_show(section, position),
            _ => self.add_artist(section, position),
        }
    }

    pub(super) fn find(&self, id: u64) -> Option<&Item> {
        let position = usize::try_from(id.checked_sub(FIRST_ID)?).ok()?;
        self.items.get(position)
    }

    pub(super) fn parent(&self, item: &Item) -> Option<&Item> {
        self.find(item.parent?)
    }

    /// The items of one kind, of one section or of all.
    pub(super) fn list(&self, kind: Kind, section: Option<u64>) -> Vec<&Item> {
        let wanted = |item: &&Item| {
            item.kind == kind && section.is_none_or(|section| section == item.section)
        };
        self.items.iter().filter(wanted).collect()
    }

    /// The items of a section by Plex's number of their kind; none for an unknown number.
    pub(super) fn of_number(&self, number: u64, section: u64) -> Vec<&Item> {
        let wanted = |item: &&Item| item.kind.number() == number && item.section == section;
        self.items.iter().filter(wanted).collect()
    }

    pub(super) fn children(&self, id: u64) -> Vec<&Item> {
        self.items
            .iter()
            .filter(|item| item.parent == Some(id))
            .collect()
    }

    /// Choices about one item beyond its plain facts (genres, cast, encoding, …).
    pub(super) fn dice(&self, id: u64, about: u64) -> Dice {
        Dice::new(self.seed, &[id, about])
    }

    fn add(
        &mut self,
        section: &Section,
        kind: Kind,
        parent: Option<u64>,
        title: String,
    ) -> &mut Item {
        let id = FIRST_ID + self.items.len() as u64;
        let mut dice = Dice::new(self.seed, &[id]);
        let age = i64::try_from(dice.below(900)).unwrap_or(0) * DAY;
        let within_day = i64::try_from(dice.below(80_000)).unwrap_or(0);
        let at = self.items.len();
        self.items.push(Item {
            id,
            kind,
            section: section.key,
            parent,
            title,
            index: None,
            year: Some(dice.between(1968, 2025)),
            duration_ms: 0,
            has_thumb: true,
            added_at: self.born_at - age - within_day - 3600,
        });
        &mut self.items[at]
    }

    /// Positions 5, 9 and 13 of the first section are the odd ones every library has.
    fn add_film(&mut self, section: &Section, position: u64) {
        let odd = (section.key == 1 && position % 4 == 3)
            .then(|| usize::try_from(position / 4).ok())
            .flatten()
            .and_then(|at| words::ODD_FILMS.get(at));
        let title = odd.map_or_else(
            || film_title(self.seed, position + section.key * 100),
            |title| (*title).to_owned(),
        );
        let first = section.key == 1;
        let film = self.add(section, Kind::Movie, None, title);
        film.duration_ms = (78 + film.id * 37 % 70) * MINUTE_MS + film.id * 7919 % 60_000;
        if first && position == 5 {
            film.year = None;
        } else if first && position == 9 {
            film.has_thumb = false;
        } else if first && position == 13 {
            film.duration_ms = 0;
        }
    }

    fn add_show(&mut self, section: &Section, position: u64) {
        let offset = if section.key == 3 { 0 } else { 8 };
        let title = nth(&words::SHOWS, position + offset);
        let show = self.add(section, Kind::Show, None, title);
        let id = show.id;
        let mut dice = self.dice(id, 1);
        let seasons = dice.between(1, 4);
        // The first show has specials, which Plex files under season 0.
        let first = u64::from(section.key != 3 || position != 0);
        for number in first..=seasons {
            let title = if number == 0 {
                "Specials".to_owned()
            } else {
                format!("Season {number}")
            };
            let season = self.add(section, Kind::Season, Some(id), title);
            season.index = Some(number);
            let season = season.id;
            let minutes = if section.key == 3 {
                dice.between(24, 58)
            } else {
                22
            };
            for episode in 1..=dice.between(4, 10) {
                let name = nth(&words::EPISODES, season * 11 + episode * 5);
                let item = self.add(section, Kind::Episode, Some(season), name);
                item.duration_ms = minutes * MINUTE_MS + item.id * 6151 % 90_000;
                // An extra dropped into the folder: Plex keeps it, but has no number for it.
                item.index = (number != 0 || episode != 2).then_some(episode);
            }
        }
    }

    fn add_artist(&mut self, section: &Section, position: u64) {
        let artist = self.add(section, Kind::Artist, None, nth(&words::ARTISTS, position));
        artist.year = None;
        let artist = artist.id;
        let mut dice = self.dice(artist, 1);
        for number in 0..dice.between(1, 3) {
            let title = nth(&words::ALBUMS, position * 3 + number);
            let album = self.add(section, Kind::Album, Some(artist), title);
            album.index = Some(1);
            let album = album.id;
            for track in 1..=dice.between(6, 11) {
                let name = nth(&words::TRACKS, album + track * 3);
                let item = self.add(section, Kind::Track, Some(album), name);
                item.index = Some(track);
                item.year = None;
                item.duration_ms = 95_000 + item.id * 7919 % 240_000;
            }
        }
    }
}

fn nth(list: &[&str], number: u64) -> String {
    let at = usize::try_from(number % list.len() as u64).unwrap_or(0);
    list[at].to_owned()
}

/// Lists of 24 and 23 words walked in step: no title twice within 552 films.
fn film_title(seed: u64, number: u64) -> String {
    let adjective = nth(&words::ADJECTIVES, number + seed % 97);
    let noun = nth(&words::NOUNS, number);
    match number % 3 {
        0 => format!("The {adjective} {noun}"),
        1 => format!("{adjective} {noun}"),
        _ => format!("{noun}: The {adjective} Year"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn the_same_seed_gives_the_same_library() {
        let titles = |seed| {
            let library = Library::new(seed, 1_700_000_000);
            library
                .items
                .iter()
                .map(|item| item.title.clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(titles(1), titles(1));
        assert_ne!(titles(1), titles(2));
    }

    #[test]
    fn every_item_is_found_by_its_id_and_below_its_parent() {
        let library = Library::new(3, 1_700_000_000);
        for item in &library.items {
            assert_eq!(library.find(item.id).unwrap().id, item.id);
            assert!(item.added_at < library.born_at);
            if let Some(parent) = item.parent {
                assert!(
                    library
                        .children(parent)
                        .iter()
                        .any(|child| child.id == item.id)
                );
            }
        }
        assert!(library.find(0).is_none());
        assert!(library.find(999_999).is_none());
    }

    #[test]
    fn the_oddities_of_real_libraries_are_there() {
        let library = Library::new(3, 1_700_000_000);
        let films = library.list(Kind::Movie, Some(1));
        assert_eq!(films.len(), 48);
        assert!(films.iter().any(|film| film.year.is_none()));
        assert!(films.iter().any(|film| !film.has_thumb));
        assert!(films.iter().any(|film| film.duration_ms == 0));
        assert!(
            library
                .list(Kind::Season, None)
                .iter()
                .any(|season| season.index == Some(0))
        );
        assert!(
            library
                .list(Kind::Episode, None)
                .iter()
                .any(|episode| episode.index.is_none())
        );
        let titles: HashSet<_> = films.iter().map(|film| &film.title).collect();
        assert_eq!(titles.len(), films.len());
    }
}
