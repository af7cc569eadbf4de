//! Notices that the stored history was written in another time zone than ours.
//!
//! `viewed_at` is local time of whichever process wrote it, and it is part of what makes a play
//! unique. In another zone every play would look new and be imported once more, shifted.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, NaiveDateTime, Utc};
use chrono_tz::{TZ_VARIANTS, Tz};

use super::entry::Play;
use super::store::Records;
use super::walk::PAGE;
use crate::store::StoreError;

/// As many plays must be found at one distance, before that is more than chance.
const TELLING: usize = 20;
/// All zones are whole quarters of an hour apart.
const QUARTER: i64 = 900;
/// Named in preference to others that fit as well.
const WELL_KNOWN: [Tz; 10] = [
    Tz::UTC,
    Tz::Europe__London,
    Tz::Europe__Berlin,
    Tz::Europe__Helsinki,
    Tz::America__New_York,
    Tz::America__Chicago,
    Tz::America__Denver,
    Tz::America__Los_Angeles,
    Tz::Asia__Tokyo,
    Tz::Australia__Sydney,
];

/// A play that is stored at another local time than ours.
struct Shifted {
    at: DateTime<Utc>,
    ours: NaiveDateTime,
    theirs: Vec<NaiveDateTime>,
}

/// Looks for Plex's newest plays in the database. If many are there at one and the same distance
/// from where they should be, says so in words for people.
///
/// A play that is stored at the right time is no sign of another zone, whatever else there is: it
/// would not be imported again. Nor is a row that is another play of the same item by the same
/// user: music of a quarter of an hour may be played all night.
pub(super) async fn foreign(
    records: &Records<'_>,
    plays: &[Play],
    dashboard: Tz,
) -> Result<Option<String>, StoreError> {
    let plays = plays.get(..PAGE as usize).unwrap_or(plays);
    let right: HashSet<_> = plays.iter().map(|play| (what(play), play.local)).collect();
    let mut shifted = Vec::new();
    for play in plays {
        let mut theirs = records.times_around(play).await?;
        if theirs.contains(&play.local) {
            continue;
        }
        theirs.retain(|at| !right.contains(&(what(play), *at)));
        if !theirs.is_empty() {
            shifted.push(Shifted {
                at: play.at,
                ours: play.local,
                theirs,
            });
        }
    }
    Ok(verdict(&shifted, dashboard))
}

/// Who played which item, as [`Records::times_around`] looks for it.
fn what(play: &Play) -> (Option<&str>, Option<&str>, Option<&str>) {
    let key = play.rating_key.as_deref();
    let title = key.is_none().then_some(play.title.as_str());
    (play.user_id.as_deref(), key, title)
}

fn verdict(shifted: &[Shifted], dashboard: Tz) -> Option<String> {
    let mut votes: HashMap<i64, usize> = HashMap::new();
    for play in shifted {
        let shifts = play
            .theirs
            .iter()
            .map(|theirs| (*theirs - play.ours).num_seconds());
        for shift in shifts.filter(|shift| shift % QUARTER == 0) {
            *votes.entry(shift).or_default() += 1;
        }
    }
    let most = votes.values().copied().max().unwrap_or_default();
    if most < TELLING {
        return None;
    }
    let zone = best(shifted, dashboard);
    Some(format!(
        "The stored watch history is in another time zone than this process: set TZ={zone} \
         (or the zone it was written in) and restart. Nothing was imported"
    ))
}

/// The zone that explains most of the plays.
fn best(shifted: &[Shifted], dashboard: Tz) -> Tz {
    let explained = |zone: Tz| {
        let fits = |play: &&Shifted| {
            let local = play.at.with_timezone(&zone).naive_local();
            play.theirs.contains(&local)
        };
        shifted.iter().filter(fits).count()
    };
    let zones = [dashboard].into_iter().chain(WELL_KNOWN).chain(TZ_VARIANTS);
    let mut best = (dashboard, 0);
    for zone in zones {
        let count = explained(zone);
        if count > best.1 {
            best = (zone, count);
        }
    }
    best.0
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    /// Plays an hour apart, written in `theirs` and read in `ours`.
    fn plays(count: i64, theirs: Tz, ours: Tz) -> Vec<Shifted> {
        let first: DateTime<Utc> = "2024-10-20T00:00:00Z".parse().unwrap();
        let play = |hour| {
            let at = first + TimeDelta::hours(hour);
            Shifted {
                at,
                ours: at.with_timezone(&ours).naive_local(),
                theirs: vec![at.with_timezone(&theirs).naive_local()],
            }
        };
        (0..count).map(play).collect()
    }

    #[test]
    fn the_zone_that_explains_most_is_named() {
        let named = |theirs, dashboard| {
            let text = verdict(&plays(200, theirs, Tz::UTC), dashboard).unwrap();
            text.split_once("TZ=")
                .unwrap()
                .1
                .split(' ')
                .next()
                .unwrap()
                .to_owned()
        };
        assert_eq!(named(Tz::Europe__Berlin, Tz::UTC), "Europe/Berlin");
        assert_eq!(
            named(Tz::Europe__Berlin, Tz::Europe__Vienna),
            "Europe/Vienna"
        );
        assert_eq!(named(Tz::Asia__Kathmandu, Tz::UTC), "Asia/Kathmandu");
    }

    #[test]
    fn few_plays_or_odd_distances_say_nothing() {
        assert_eq!(verdict(&plays(19, Tz::Asia__Tokyo, Tz::UTC), Tz::UTC), None);
        assert!(verdict(&plays(20, Tz::Asia__Tokyo, Tz::UTC), Tz::UTC).is_some());
        let mut odd = plays(200, Tz::UTC, Tz::UTC);
        for play in &mut odd {
            play.theirs = vec![play.ours + TimeDelta::seconds(3601)];
        }
        assert_eq!(verdict(&odd, Tz::UTC), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        /// The plays are of one year, so that clocks are changed in between.
        #[test]
        fn the_zone_that_is_named_explains_every_play(
            theirs in select(&TZ_VARIANTS[..]), ours in select(&TZ_VARIANTS[..]), day in 0..10_000_i64,
        ) {
            let first: DateTime<Utc> = "2000-01-01T12:00:00Z".parse().unwrap();
            let plays = (0..60).map(|n| {
                let at = first + TimeDelta::days(day + 6 * n);
                let local = |zone: Tz| at.with_timezone(&zone).naive_local();
                Shifted { at, ours: local(ours), theirs: vec![local(theirs)] }
            });
            let plays: Vec<Shifted> = plays.filter(|play| !play.theirs.contains(&play.ours)).collect();
            if let Some(text) = verdict(&plays, ours) {
                let named = text.split_once("TZ=").unwrap().1;
                let named: Tz = named.split(' ').next().unwrap().parse().unwrap();
                for play in &plays {
                    let local = play.at.with_timezone(&named).naive_local();
                    prop_assert_eq!(local, play.theirs[0], "{}", named);
                }
            } else {
                // Half of a year at one distance is 30 plays.
                prop_assert!(plays.len() < 2 * TELLING);
            }
        }
    }
}
