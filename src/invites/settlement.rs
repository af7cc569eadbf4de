//! Setting right what was cut off: redemptions of which nobody knows whether plex.tv has invited the
//! friend, because the program ended, or plex.tv fell silent, in between.

use std::time::Duration;

use super::door::Door;
use super::redemption::{self, Redemption};
use crate::app::AppState;
use crate::compat::Stamp;
use crate::plex::cloud::CloudError;
use crate::store::StoreError;
use crate::tasks::Tasks;

/// Between two looks.
const INTERVAL: Duration = Duration::from_secs(60);
/// Longer than a redemption that is under way takes.
const UNDER_WAY: Duration = Duration::from_secs(120);
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

/// Looks at once, and then every minute.
pub fn start_settling(app: &AppState, tasks: &Tasks) {
    let (app, started) = (app.clone(), Stamp::now());
    tasks.every_from_now("Cut off redemptions", INTERVAL, move || {
        let app = app.clone();
        async move { settle(&app, started).await }
    });
}

async fn settle(app: &AppState, started: Stamp) -> Result<(), StoreError> {
    if !app.store.is_writable() {
        return Ok(());
    }
    let now = Stamp::now();
    let open = redemption::unsettled(app).await?;
    let cut_off = open.into_iter().filter(|one| is_cut_off(one, started, now));
    for redemption in cut_off {
        let email = redemption.redeemer.email.clone();
        if let Err(error) = settle_one(app, redemption, now).await {
            tracing::warn!("It is still open whether {email} was invited: {error}");
        }
    }
    Ok(())
}

/// Nobody works on it any more. One of the future is of a clock that was wrong.
fn is_cut_off(redemption: &Redemption, started: Stamp, now: Stamp) -> bool {
    let at = redemption.started_at;
    at < started || at + UNDER_WAY < now || now < at
}

async fn settle_one(app: &AppState, redemption: Redemption, now: Stamp) -> Result<(), Open> {
    let email = redemption.redeemer.email.clone();
    let is_given_up = redemption.started_at + GIVEN_UP < now;
    let invited = match Door::to(app, &redemption.machine) {
        Some(door) => door.has_invited(&redemption).await,
        None if is_given_up => Ok(false),
        None => return Ok(()),
    };
    match invited {
        Ok(true) => {
            redemption::keep(app, redemption).await?;
            tracing::info!("{email} was invited before the program ended: counted");
        }
        Ok(false) => {
            redemption::undo(app, redemption).await?;
            tracing::info!("{email} was not invited before the program ended: not counted");
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
    fn what_is_under_way_is_left_alone() {
        let stamp = |minutes: u64| Stamp::EPOCH + Duration::from_secs(60 * minutes);
        let cut_off = |at| {
            let redemption = Redemption {
                id: 1,
                invite_id: 1,
                redeemer: Redeemer {
                    email: "a@b.c".to_owned(),
                    account: None,
                },
                machine: "m".to_owned(),
                home: false,
                started_at: stamp(at),
            };
            is_cut_off(&redemption, stamp(100), stamp(200))
        };
        assert!(cut_off(99), "of an earlier run");
        assert!(cut_off(197));
        assert!(!cut_off(199));
        assert!(!cut_off(200));
        assert!(cut_off(201));
    }
}
