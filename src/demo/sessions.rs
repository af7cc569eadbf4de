//! The scene: who plays what at a given moment. A pure function of seed and elapsed time, so it
//! needs no task of its own and every moment can be tested without waiting for it.

use std::time::Duration;

use super::dice::Dice;
use super::library::{Kind, Library};
use super::media::Way;
use super::people::{PEOPLE, PLAYERS, SCREENS};
use super::words::CHANNELS;

/// Lanes of the living scene: each holds at most one session at a time.
const LANES: u64 = 8;
/// Lanes that are never empty, so the page is never bare.
const BUSY_LANES: u64 = 3;
/// The shortest lane; each further one takes `LANE_STEP_S` longer, so they drift apart.
const SHORTEST_LANE_S: u64 = 110;
const LANE_STEP_S: u64 = 19;
const BUFFERING: Duration = Duration::from_secs(2);

/// What a player does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Playing,
    Paused,
    Buffering,
}

impl State {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Playing => "playing",
            Self::Paused => "paused",
            Self::Buffering => "buffering",
        }
    }
}

/// What is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Programme {
    /// Rating key of a film, episode or track.
    Item(u64),
    /// Index into the list of channels.
    Channel(usize),
}

/// One session at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Playing {
    pub(super) key: u64,
    pub(super) person: usize,
    /// Index into the clients for pictures, or those for sound.
    pub(super) device: usize,
    pub(super) programme: Programme,
    pub(super) state: State,
    pub(super) way: Way,
    pub(super) offset_ms: u64,
    pub(super) duration_ms: u64,
}

#[derive(Clone, Copy)]
enum Genre {
    Film,
    Episode,
    Music,
    Live,
}

/// Ten sessions with everything a dashboard has to cope with; repeated for more.
const PROGRAMME: [(Genre, Way, State); 10] = [
    (Genre::Film, Way::Transcode, State::Playing),
    (Genre::Episode, Way::DirectPlay, State::Playing),
    (Genre::Music, Way::DirectPlay, State::Playing),
    (Genre::Live, Way::Transcode, State::Playing),
    (Genre::Film, Way::DirectPlay, State::Paused),
    (Genre::Episode, Way::Transcode, State::Playing),
    (Genre::Episode, Way::DirectStream, State::Buffering),
    (Genre::Film, Way::DirectPlay, State::Playing),
    (Genre::Episode, Way::DirectPlay, State::Playing),
    (Genre::Film, Way::Transcode, State::Playing),
];

/// Exactly `count` sessions. Nobody comes, goes or changes state; playing ones advance with the
/// clock and start over when their item ends.
pub(super) fn fixed(library: &Library, count: usize, elapsed: Duration) -> Vec<Playing> {
    (0..count)
        .map(|at| {
            let (genre, way, state) = PROGRAMME[at % PROGRAMME.len()];
            let played = if state == State::Playing {
                elapsed
            } else {
                Duration::ZERO
            };
            play(library, at as u64 + 1, at, (genre, way, state), played)
        })
        .collect()
}

/// The sessions of the living scene, three to eight, in the order of their keys.
pub(super) fn living(library: &Library, elapsed: Duration) -> Vec<Playing> {
    let mut sessions: Vec<Playing> = (0..LANES)
        .filter_map(|lane| in_lane(library, lane, elapsed))
        .collect();
    sessions.sort_by_key(|session| session.key);
    sessions
}

fn in_lane(library: &Library, lane: u64, elapsed: Duration) -> Option<Playing> {
    let period = Duration::from_secs(SHORTEST_LANE_S + LANE_STEP_S * lane);
    // Lanes start somewhere in their first round: a new server already has guests.
    let head_start = Dice::new(library.seed, &[lane, 10]).below(period.as_secs());
    let time = elapsed + Duration::from_secs(head_start);
    let round = time.as_secs() / period.as_secs();
    let since_start = time.saturating_sub(Duration::from_secs(round * period.as_secs()));

    let mut dice = Dice::new(library.seed, &[lane, round, 11]);
    let percent = if lane < BUSY_LANES {
        100
    } else {
        dice.between(55, 85)
    };
    let length = Duration::from_millis(period.as_secs() * 10 * percent);
    if since_start >= length {
        return None;
    }
    let (state, played) = progress(&mut dice, length, since_start);
    let key = round * LANES + lane + 1;
    let turn = library.seed % 10 + key * 7;
    let (genre, way, _) = PROGRAMME[usize::try_from(turn % 10).unwrap_or(0)];
    // Two halves of the guest list take turns, so nobody is in two lanes at once.
    let person = usize::try_from(lane + LANES * (round % 2)).unwrap_or(0);
    Some(play(library, key, person, (genre, way, state), played))
}

/// State and time played of a session of the given length: it buffers, plays, perhaps pauses.
fn progress(dice: &mut Dice, length: Duration, since_start: Duration) -> (State, Duration) {
    let Some(running) = since_start.checked_sub(BUFFERING) else {
        return (State::Buffering, Duration::ZERO);
    };
    if !dice.chance(45) {
        return (State::Playing, running);
    }
    let from = length * u32::try_from(dice.between(25, 60)).unwrap_or(0) / 100;
    let pause = Duration::from_secs(dice.between(12, 35));
    match running.checked_sub(from) {
        None => (State::Playing, running),
        Some(after) if after < pause => (State::Paused, from),
        Some(after) => (State::Playing, from + after.saturating_sub(pause)),
    }
}

fn play(
    library: &Library,
    key: u64,
    person: usize,
    (genre, way, state): (Genre, Way, State),
    played: Duration,
) -> Playing {
    let mut dice = Dice::new(library.seed, &[key, 12]);
    let devices = if matches!(genre, Genre::Music) {
        PLAYERS.len()
    } else {
        SCREENS.len()
    };
    let device = dice.index(devices);
    let played_ms = u64::try_from(played.as_millis()).unwrap_or(0);
    let (programme, offset_ms, duration_ms) = match genre {
        Genre::Live => {
            let duration = dice.between(30, 90) * 60_000;
            let offset = duration * dice.between(10, 60) / 100 + played_ms;
            (
                Programme::Channel(dice.index(CHANNELS.len())),
                offset % duration,
                duration,
            )
        }
        Genre::Music => listen(library, &mut dice, played_ms),
        Genre::Film => watch(library, &mut dice, Kind::Movie, played_ms),
        Genre::Episode => watch(library, &mut dice, Kind::Episode, played_ms),
    };
    Playing {
        key,
        person: person % PEOPLE.len(),
        device,
        programme,
        state,
        way,
        // Players report whole seconds.
        offset_ms: offset_ms / 1000 * 1000,
        duration_ms,
    }
}

fn watch(library: &Library, dice: &mut Dice, kind: Kind, played_ms: u64) -> (Programme, u64, u64) {
    let items: Vec<_> = library
        .list(kind, None)
        .into_iter()
        .filter(|item| item.duration_ms > 0)
        .collect();
    let item = *dice.pick(&items);
    let offset = item.duration_ms * dice.between(10, 60) / 100 + played_ms;
    (
        Programme::Item(item.id),
        offset % item.duration_ms,
        item.duration_ms,
    )
}

/// An album: when a track ends, the same session goes on with the next one.
fn listen(library: &Library, dice: &mut Dice, played_ms: u64) -> (Programme, u64, u64) {
    let album = *dice.pick(&library.list(Kind::Album, None));
    let tracks = library.children(album.id);
    let whole: u64 = tracks.iter().map(|track| track.duration_ms).sum();
    let mut offset = (whole * dice.between(5, 40) / 100 + played_ms) % whole.max(1);
    for track in tracks {
        if offset < track.duration_ms {
            return (Programme::Item(track.id), offset, track.duration_ms);
        }
        offset -= track.duration_ms;
    }
    (Programme::Item(album.id), 0, whole)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn library(seed: u64) -> Library {
        Library::new(seed, 1_700_000_000)
    }

    fn keys(sessions: &[Playing]) -> HashSet<u64> {
        sessions.iter().map(|session| session.key).collect()
    }

    #[test]
    fn a_living_scene_has_three_to_eight_sessions_of_different_people() {
        for seed in 0..5 {
            let library = library(seed);
            for second in (0..3600).step_by(7) {
                let sessions = living(&library, Duration::from_secs(second));
                assert!(
                    (3..=8).contains(&sessions.len()),
                    "{} at {second}",
                    sessions.len()
                );
                let people: HashSet<_> = sessions.iter().map(|session| session.person).collect();
                assert_eq!(people.len(), sessions.len());
                assert!(
                    sessions
                        .iter()
                        .all(|session| session.offset_ms < session.duration_ms)
                );
            }
        }
    }

    #[test]
    fn within_two_minutes_sessions_start_and_stop() {
        let library = library(1);
        for start in (0..1200).step_by(60) {
            let before = keys(&living(&library, Duration::from_secs(start)));
            let after = keys(&living(&library, Duration::from_secs(start + 120)));
            assert!(
                after.difference(&before).next().is_some(),
                "none started after {start} s"
            );
            assert!(
                before.difference(&after).next().is_some(),
                "none stopped after {start} s"
            );
        }
    }

    #[test]
    fn playing_advances_with_time_and_pausing_does_not() {
        let library = library(4);
        let (mut advanced, mut stood) = (0, 0);
        for second in 0..900 {
            let now = living(&library, Duration::from_secs(second));
            let next = living(&library, Duration::from_secs(second + 1));
            for one in &now {
                let Some(same) = next.iter().find(|other| other.key == one.key) else {
                    continue;
                };
                if same.programme != one.programme {
                    continue;
                }
                match (one.state, same.state) {
                    (State::Playing, State::Playing) => {
                        assert_eq!(same.offset_ms - one.offset_ms, 1000);
                        advanced += 1;
                    }
                    (State::Paused, State::Paused) => {
                        assert_eq!(same.offset_ms, one.offset_ms);
                        stood += 1;
                    }
                    _ => {}
                }
            }
        }
        assert!(advanced > 1000, "{advanced}");
        assert!(stood > 20, "{stood}");
    }

    #[test]
    fn a_session_keeps_its_person_and_programme() {
        let library = library(2);
        let mut seen = std::collections::HashMap::new();
        for second in 0..1800 {
            for session in living(&library, Duration::from_secs(second)) {
                let who = (session.person, session.device, session.way);
                assert_eq!(*seen.entry(session.key).or_insert(who), who);
            }
        }
    }

    #[test]
    fn a_fixed_scene_only_advances() {
        let library = library(1);
        let start = fixed(&library, 25, Duration::ZERO);
        let later = fixed(&library, 25, Duration::from_mins(1));
        assert_eq!(start.len(), 25);
        assert_eq!(keys(&start), keys(&later));
        assert_ne!(start, later);
        for (before, after) in start.iter().zip(&later) {
            assert_eq!(before.state, after.state);
        }
        assert!(fixed(&library, 0, Duration::ZERO).is_empty());
    }
}
