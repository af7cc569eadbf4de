//! What the server itself is busy with: `/activities`.

use std::time::Duration;

use serde_json::{Value, json};

use super::dice::Dice;
use super::library::{Kind, Library, SECTIONS, Section};
use super::people::PEOPLE;

/// A kind of work that comes back: it takes `busy_s` of every `period_s`.
struct Work {
    label: u64,
    period_s: u64,
    busy_s: u64,
    /// Percent done in a scene that stands still.
    still: f64,
}

const SCAN: Work = Work {
    label: 40,
    period_s: 80,
    busy_s: 65,
    still: 42.0,
};
const DOWNLOAD: Work = Work {
    label: 41,
    period_s: 150,
    busy_s: 140,
    still: 63.5,
};
const BUTLER: Work = Work {
    label: 42,
    period_s: 210,
    busy_s: 120,
    still: 17.0,
};
const SUBSCRIPTIONS: Work = Work {
    label: 43,
    period_s: 60,
    busy_s: 40,
    still: -1.0,
};

/// Shown to the clients that started nothing: the owner's id.
const OWNER: u64 = PEOPLE[0].id;

struct Step {
    round: u64,
    percent: f64,
}

impl Work {
    /// The work at this moment; `elapsed` is none in a scene that stands still.
    fn step(&self, elapsed: Option<Duration>) -> Option<Step> {
        let Some(elapsed) = elapsed else {
            return Some(Step {
                round: 0,
                percent: self.still,
            });
        };
        let round = elapsed.as_secs() / self.period_s;
        let done = elapsed.saturating_sub(Duration::from_secs(round * self.period_s));
        let share = done.as_secs_f64() / Duration::from_secs(self.busy_s).as_secs_f64();
        (share < 1.0).then_some(Step {
            round,
            percent: (share * 1000.0).round() / 10.0,
        })
    }

    fn uuid(&self, library: &Library, step: &Step) -> String {
        Dice::new(library.seed, &[self.label, step.round]).uuid()
    }
}

/// The section that is being scanned.
pub(super) fn scanned_section(elapsed: Option<Duration>) -> Option<&'static Section> {
    section_of(&SCAN.step(elapsed)?)
}

fn section_of(step: &Step) -> Option<&'static Section> {
    let at = usize::try_from(step.round).ok()?;
    SECTIONS.get(at % SECTIONS.len())
}

/// All activities of this moment, at most four; a scene that stands still has all of them.
pub(super) fn activities(library: &Library, elapsed: Option<Duration>) -> Vec<Value> {
    [
        scan(library, elapsed),
        download(library, elapsed),
        butler(library, elapsed),
        subscriptions(library, elapsed),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn scan(library: &Library, elapsed: Option<Duration>) -> Option<Value> {
    let step = SCAN.step(elapsed)?;
    let section = section_of(&step)?;
    Some(json!({
        "uuid": SCAN.uuid(library, &step),
        "type": "library.update.section",
        "cancellable": true,
        "userID": OWNER,
        "title": "Scanning",
        "subtitle": section.title,
        "progress": whole(step.percent),
        "Context": {
            "accessible": true,
            "analyzed": false,
            "exists": true,
            "key": format!("/library/sections/{}", section.key),
            "librarySectionID": section.key.to_string(),
            "refreshed": false,
        },
    }))
}

fn download(library: &Library, elapsed: Option<Duration>) -> Option<Value> {
    let step = DOWNLOAD.step(elapsed)?;
    let mut dice = Dice::new(library.seed, &[step.round, 44]);
    let films = library.list(Kind::Movie, None);
    let film = *dice.pick(&films);
    let person = dice.pick(&PEOPLE);
    Some(json!({
        "uuid": DOWNLOAD.uuid(library, &step),
        "type": "media.download",
        "cancellable": true,
        "userID": person.id,
        "title": format!("Media download by {}", person.name),
        "subtitle": film.title,
        "progress": step.percent,
        "Context": { "key": format!("/library/metadata/{}", film.id) },
    }))
}

fn butler(library: &Library, elapsed: Option<Duration>) -> Option<Value> {
    let step = BUTLER.step(elapsed)?;
    let tasks = [
        "Backing up database",
        "Generating chapter thumbnails",
        "Refreshing metadata",
        "Cleaning old bundles",
    ];
    Some(json!({
        "uuid": BUTLER.uuid(library, &step),
        "type": "butler",
        "cancellable": false,
        "userID": OWNER,
        "title": "Butler tasks",
        "subtitle": *Dice::new(library.seed, &[step.round, 45]).pick(&tasks),
        "progress": whole(step.percent),
    }))
}

/// How far this one is, not even the server knows.
fn subscriptions(library: &Library, elapsed: Option<Duration>) -> Option<Value> {
    let step = SUBSCRIPTIONS.step(elapsed)?;
    Some(json!({
        "uuid": SUBSCRIPTIONS.uuid(library, &step),
        "type": "provider.subscriptions.process",
        "cancellable": false,
        "userID": OWNER,
        "title": "Processing subscriptions",
        "progress": -1,
    }))
}

/// Most kinds of work report whole percents, as integers.
fn whole(percent: f64) -> Value {
    (0..=100_u32)
        .rev()
        .find(|whole| f64::from(*whole) <= percent)
        .unwrap_or(0)
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_still_scene_has_one_of_each() {
        let library = Library::new(1, 1_700_000_000);
        let still = activities(&library, None);
        let kinds: Vec<_> = still
            .iter()
            .filter_map(|entry| entry["type"].as_str())
            .collect();
        assert_eq!(
            kinds,
            [
                "library.update.section",
                "media.download",
                "butler",
                "provider.subscriptions.process"
            ]
        );
        assert_eq!(still, activities(&library, None));
        assert_eq!(still[0]["progress"], 42);
        assert_eq!(still[3]["progress"], -1);
    }

    #[test]
    fn progress_moves_and_starts_over_as_something_new() {
        let library = Library::new(1, 1_700_000_000);
        let scan_at = |second| scan(&library, Some(Duration::from_secs(second)));
        let (first, later) = (scan_at(10).unwrap(), scan_at(50).unwrap());
        assert_eq!(first["uuid"], later["uuid"]);
        assert!(first["progress"].as_u64() < later["progress"].as_u64());
        assert!(scan_at(70).is_none(), "done");
        let next = scan_at(90).unwrap();
        assert_ne!(next["uuid"], first["uuid"]);
        assert_ne!(next["subtitle"], first["subtitle"]);
    }
}
