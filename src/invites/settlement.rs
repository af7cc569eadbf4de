//! Setting right what was cut off: redemptions of which nobody knows whether plex.tv has invited the
//! friend, because the program ended, or plex.tv gave no clear answer, in between.

use std::time::Duration;

use super::door::Door;
use super::redemption::{self, Redemption};
use super::under_way::is_under_way;
use crate::app::AppState;
use crate::compat::Stamp;
use crate::plex::cloud::CloudError;
use crate::store::StoreError;
use crate::tasks::Tasks;

/// Between two looks.
const INTERVAL: Duration = Duration::from_secs(20);
/// plex.tv may show an invitation later than it has made it, or be at it still: that there is none
/// counts from so long after the beginning. Also covers the moment in which a redemption is noted
/// and not yet known to be under way.
const SURE: Duration = Duration::from_secs(60);
/// After so long it is taken for failed, whatever plex.tv does not say: a use that nobody gets must
/// not be lost for ever.
const GIVEN_UP: Duration = Duration::from_secs(24 * 3600);

/// Why it goes on being open.
#[derive(Debug, thiserror::Error)]
enum Open {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Cloud(#[from] CloudError),
}

/// Looks at once, and then every 20 s.
pub fn start_settling(app: &AppState, tasks: &Tasks) {
    let app = app.clone();
    tasks.every_from_now("Cut off redemptions", INTERVAL, move || {
        let app = app.clone();
        async move { settle(&app).await }
    });
}

async fn settle(app: &AppState) -> Result<(), StoreError> {
    if !app.store.is_writable() {
        return Ok(());
    }
    let open = redemption::unsettled(app).await?;
    let cut_off = open.into_iter().filter(|one| !is_under_way(one));
    for redemption in cut_off {
        let email = redemption.redeemer.email.clone();
        let age = age(&redemption, Stamp::now());
        match settle_one(app, redemption, age).await {
            Ok(()) => {}
            Err(Open::Store(error)) => return Err(error),
            // The next one would meet the same.
            Err(Open::Cloud(error)) => {
                tracing::warn!("It is still open whether {email} was invited: {error}");
                break;
            }
        }
    }
    Ok(())
}

/// How long ago it began. A clock that was wrong by then may make that the future, which must not
/// keep it open for ever.
fn age(redemption: &Redemption, now: Stamp) -> Duration {
    Duration::from_micros(now.micros().abs_diff(redemption.started_at.micros()))
}

/// What plex.tv shows of one that is so old, once it can be relied on.
fn settled(invited: bool, age: Duration) -> Option<bool> {
    (invited || age >= SURE).then_some(invited)
}

async fn settle_one(app: &AppState, redemption: Redemption, age: Duration) -> Result<(), Open> {
    let email = redemption.redeemer.email.clone();
    let is_given_up = age >= GIVEN_UP;
    let invited = match Door::to(app, &redemption.machine) {
        Some(door) => door.has_invited(&redemption).await,
        None if is_given_up => Ok(false),
        None => return Ok(()),
    };
    match invited.map(|invited| settled(invited, age)) {
        Ok(Some(true)) => {
            redemption::keep(app, redemption).await?;
            tracing::info!("plex.tv has invited {email} after all: counted");
        }
        Ok(None) => {}
        Ok(Some(false)) => {
            redemption::undo(app, redemption).await?;
            tracing::info!("plex.tv has not invited {email}: not counted");
        }
        Err(error) if is_given_up => {
            tracing::warn!("Whether {email} was invited can't be found out: not counted. {error}");
            redemption::undo(app, redemption).await?;
        }
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::redemption::Redeemer;
    use super::*;

    #[test]
    fn a_yes_counts_at_once_and_a_no_after_a_minute() {
        let young = Duration::from_secs(59);
        assert_eq!(
            (settled(true, young), settled(false, young)),
            (Some(true), None)
        );
        assert_eq!(
            (settled(true, SURE), settled(false, SURE)),
            (Some(true), Some(false))
        );
    }

    #[test]
    fn an_age_is_never_negative() {
        let stamp = |seconds| Stamp::EPOCH + Duration::from_secs(seconds);
        let redemption = Redemption {
            id: 1,
            invite_id: 1,
            redeemer: Redeemer {
                email: "a@b.c".to_owned(),
                account: None,
            },
            machine: "m".to_owned(),
            home: false,
            started_at: stamp(1000),
        };
        for (now, expected) in [(1000, 0), (1059, 59), (1060, 60), (900, 100)] {
            assert_eq!(age(&redemption, stamp(now)).as_secs(), expected);
        }
    }
}
