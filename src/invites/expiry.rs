//! The end of a friend's time: what the server shares with them ends, and their row goes (contract
//! 04, section 8).
//!
//! It can be cut off anywhere and done again: who is gone from Plex already is content with that.

use std::time::Duration;

use chrono::Utc;

use super::door::Door;
use super::model::PlexUser;
use super::{changes, rows};
use crate::app::AppState;
use crate::compat::Stamp;
use crate::plex::PlexError;
use crate::plex::cloud::CloudError;
use crate::store::StoreError;
use crate::tasks::Tasks;

/// The first look comes soon after the start (contract 08, item 99).
const FIRST: Duration = Duration::from_secs(60);
/// A clock further off than this from plex.tv's removes nobody: after a flat battery it may be in
/// any year.
const CLOCKS_AGREE: Duration = Duration::from_secs(300);

/// Why nobody was removed.
#[derive(Debug, thiserror::Error)]
enum ExpiryError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Server(#[from] PlexError),
    #[error(transparent)]
    Cloud(#[from] CloudError),
    #[error("this machine's clock and plex.tv's differ by more than five minutes")]
    Clock,
}

/// Looks every `EXPIRY_INTERVAL`; 0: never.
pub fn start_expiring(app: &AppState, tasks: &Tasks) {
    let Some(interval) = app.settings.current().expiry_interval else {
        return;
    };
    let app = app.clone();
    tasks.every_after(
        "Expiry of users",
        FIRST.min(interval),
        interval,
        move || {
            let app = app.clone();
            async move { expire(&app).await }
        },
    );
}

async fn expire(app: &AppState) -> Result<(), ExpiryError> {
    let expired = expired(app).await?;
    if expired.is_empty() || !app.store.is_writable() {
        return Ok(());
    }
    let count = expired.len();
    tracing::info!("Found {count} expired user accounts");
    let Some(door) = Door::find(app).await? else {
        tracing::warn!("Plex config not available, cannot remove expired users");
        return Ok(());
    };
    let apart = (door.tv.clock().await? - Utc::now()).abs();
    if apart.to_std().is_ok_and(|apart| apart > CLOCKS_AGREE) {
        return Err(ExpiryError::Clock);
    }
    for friend in expired {
        if let Err(error) = end(app, &door, &friend).await {
            let email = friend.email;
            tracing::warn!("Failed to remove expired user {email} from Plex: {error}");
        }
    }
    tracing::info!("Processed {count} expired user accounts");
    Ok(())
}

async fn end(app: &AppState, door: &Door, friend: &PlexUser) -> Result<(), ExpiryError> {
    // Somebody may have given them more time since the list was read.
    let now = rows::user(app.store.reader(), friend.id).await;
    if now.map_err(StoreError::from)?.as_ref() != Some(friend) {
        return Ok(());
    }
    let machine = Some(door.machine.as_str());
    door.tv.remove(&door.owner, machine, friend.who()).await?;
    let shut_out = friend.clone();
    app.store
        .write_for_certain(|c| {
            Box::pin(async move {
                // With more time given meanwhile, the row tells whom to invite again.
                if rows::user(&mut *c, shut_out.id).await?.as_ref() == Some(&shut_out) {
                    changes::forget_user(c, shut_out.id).await?;
                }
                Ok(())
            })
        })
        .await?;
    tracing::info!("Removed expired user {} from Plex", friend.email);
    Ok(())
}

async fn expired(app: &AppState) -> Result<Vec<PlexUser>, StoreError> {
    let friends = rows::users_with_end(app.store.reader()).await?;
    let now = Stamp::now();
    let is_over = |friend: &PlexUser| friend.expires_at.is_some_and(|at| at < now);
    Ok(friends.into_iter().filter(is_over).collect())
}
