//! What plex.tv knows of friends: asked in the background, and when somebody wants it now. Removing
//! them (contract 04, section 2).

use std::time::Duration;

use axum::Json;
use serde::Serialize;
use tokio::sync::Notify;
use tokio::time::sleep;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::door::Door;
use super::model::PlexUser;
use super::redeem::{NOT_CONFIGURED, to_the_end};
use super::{changes, failed, rows};
use crate::app::AppState;
use crate::compat::validation::{PathInteger, ValidationError};
use crate::plex::cloud::{self, CloudError, Person, PlexTv, Removal};
use crate::store::StoreError;
use crate::tasks::Tasks;
use crate::web::error::{ApiError, ApiResult, Detail};

/// plex.tv needs a moment to know of an invitation.
const MOMENT: Duration = Duration::from_secs(2);
/// Between two looks while somebody is unknown: doubled while nothing comes of it …
const SHORTEST_PAUSE: Duration = Duration::from_secs(60);
/// … up to this. Who does not accept an invitation stays unknown.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// Somebody was invited.
static INVITED: Notify = Notify::const_new();

/// Lets the background look for somebody who was just invited.
pub(super) fn look_soon() {
    INVITED.notify_one();
}

/// Looks for friends whose name or picture is not known: one call for all of them, less and less
/// often while that brings nothing. The list of invites never waits for it (contract 08, item 67).
pub fn start_looking(app: &AppState, tasks: &Tasks) {
    let app = app.clone();
    tasks.run("Friends", |stop| async move {
        let mut pause = SHORTEST_PAUSE;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(pause) => {}
                () = INVITED.notified() => {
                    pause = SHORTEST_PAUSE;
                    sleep(MOMENT).await;
                }
            }
            let found = tokio::select! {
                () = stop.cancelled() => return,
                found = fill_in(&app) => found,
            };
            pause = match found {
                Ok(1..) => SHORTEST_PAUSE,
                Ok(0) => (pause * 2).min(LONGEST_PAUSE),
                Err(error) => {
                    tracing::debug!("Friends could not be looked for: {error}");
                    (pause * 2).min(LONGEST_PAUSE)
                }
            };
        }
    });
}

/// Why friends were not looked for.
#[derive(Debug, thiserror::Error)]
enum LookError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Cloud(#[from] CloudError),
}

/// Of how many of the unknown something new is known now.
async fn fill_in(app: &AppState) -> Result<usize, LookError> {
    let settings = app.settings.current();
    let Some(target) = &settings.plex else {
        return Ok(0);
    };
    let unknown = rows::unknown_users(app.store.reader()).await;
    let unknown = unknown.map_err(StoreError::from)?;
    if unknown.is_empty() || !app.store.is_writable() {
        return Ok(0);
    }
    let people = PlexTv::of(app).people(&target.token).await?;
    let mut found = 0;
    for friend in unknown {
        let person = cloud::find_in(&people, friend.who());
        if let Some(person) = person.filter(|person| is_news(person, &friend)) {
            learn(app, friend.id, person).await?;
            found += 1;
        }
    }
    Ok(found)
}

/// Whether plex.tv says anything that is not known. Who has no picture there never gets one, and
/// must not be asked for as often as somebody new.
fn is_news(person: &Person, friend: &PlexUser) -> bool {
    [
        (name_of(person), &friend.username),
        (&person.id, &friend.plex_id),
        (&person.thumb, &friend.thumb),
    ]
    .into_iter()
    .any(|(said, known)| !said.is_empty() && known.as_deref() != Some(said))
}

/// What a friend is called.
fn name_of(person: &Person) -> &str {
    if person.username.is_empty() {
        &person.title
    } else {
        &person.username
    }
}

/// Writes down what plex.tv says.
async fn learn(app: &AppState, id: i64, person: &Person) -> Result<Option<PlexUser>, StoreError> {
    let name = name_of(person).to_owned();
    let Person {
        id: plex_id, thumb, ..
    } = person.clone();
    app.store
        .write_for_certain(move |c| {
            Box::pin(async move { changes::describe_user(c, id, name, plex_id, thumb).await })
        })
        .await
}

/// Asks plex.tv who a friend is.
#[utoipa::path(post, path = "/api/invites/users/{user_id}/refresh", tag = "invites",
    params(("user_id" = i64, Path)),
    responses((status = 200, body = PlexUser), (status = 404, body = Detail),
        (status = 422, body = ValidationError), (status = 500, body = Detail),
        (status = 502, body = Detail), (status = 503, body = Detail)))]
async fn refresh_user(app: AppState, PathInteger(id): PathInteger) -> ApiResult<Json<PlexUser>> {
    let friend = known(&app, id).await?;
    let settings = app.settings.current();
    let target = settings.plex.as_ref();
    let target = target.ok_or_else(|| ApiError::internal(NOT_CONFIGURED, NOT_CONFIGURED))?;
    let found = PlexTv::of(&app).find(&target.token, friend.who()).await;
    let found = found.map_err(|error| {
        ApiError::bad_gateway(format!("Failed to refresh user from Plex: {error}"))
    })?;
    let Some(person) = found else {
        tracing::warn!("User {} was not found on Plex", friend.email);
        return Ok(Json(friend));
    };
    let learnt = learn(&app, friend.id, &person).await;
    let learnt = learnt.map_err(|error| failed("refreshing user", error))?;
    learnt.map(Json).ok_or_else(no_user)
}

/// A friend who is none any more.
#[derive(Serialize, ToSchema)]
struct Removed {
    success: bool,
    message: String,
}

/// Ends what is shared with a friend, and forgets them. The invite stays.
#[utoipa::path(delete, path = "/api/invites/users/{user_id}", tag = "invites",
    params(("user_id" = i64, Path)),
    responses((status = 200, body = Removed), (status = 404, body = Detail),
        (status = 422, body = ValidationError), (status = 502, body = Detail),
        (status = 503, body = Detail), (status = 504, body = Detail)))]
async fn remove_user(app: AppState, PathInteger(id): PathInteger) -> ApiResult<Json<Removed>> {
    let friend = known(&app, id).await?;
    to_the_end(async move {
        shut_out(&app, &friend).await?;
        let email = &friend.email;
        let forgotten = forget(&app, friend.id).await;
        forgotten.map_err(|error| failed("removing user", error))?;
        tracing::info!("Removed user {email} from Plex");
        Ok(Json(Removed {
            success: true,
            message: format!("User {email} removed from Plex and database"),
        }))
    })
    .await
}

/// Ends what the configured server shares with somebody. Who has nothing is content.
async fn shut_out(app: &AppState, friend: &PlexUser) -> ApiResult<()> {
    let (who, email) = (friend.who(), &friend.email);
    let refused = |error: String| {
        tracing::warn!("Failed to remove {email} from Plex: {error}");
        ApiError::bad_gateway(format!("Failed to remove {email} from Plex: {error}"))
    };
    let settings = app.settings.current();
    let Some(target) = &settings.plex else {
        return Ok(());
    };
    match Door::find(app).await {
        Ok(Some(door)) => {
            let removed = door.tv.remove(&door.owner, Some(&door.machine), who).await;
            removed.map_err(|error| refused(error.to_string()))?;
        }
        Ok(None) => {}
        // Friends can be removed without the server, open invitations to it can't.
        Err(server) => {
            let removed = PlexTv::of(app).remove(&target.token, None, who).await;
            match removed.map_err(|error| refused(error.to_string()))? {
                Removal::Removed => {}
                Removal::NotFound => return Err(refused(server.to_string())),
            }
        }
    }
    Ok(())
}

async fn forget(app: &AppState, id: i64) -> Result<(), StoreError> {
    app.store
        .write_for_certain(move |c| Box::pin(async move { changes::forget_user(c, id).await }))
        .await
}

async fn known(app: &AppState, id: i64) -> ApiResult<PlexUser> {
    let friend = rows::user(app.store.reader(), id).await;
    let friend = friend.map_err(|error| failed("looking for user", error))?;
    friend.ok_or_else(no_user)
}

fn no_user() -> ApiError {
    ApiError::missing("User not found")
}

/// The routes of this file.
pub(super) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(refresh_user))
        .routes(routes!(remove_user))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compat::Stamp;

    #[test]
    fn only_what_was_not_known_is_news() {
        let friend = PlexUser {
            id: 1,
            email: "ann@example.org".to_owned(),
            username: Some("ann".to_owned()),
            plex_id: Some("7".to_owned()),
            thumb: None,
            invite_id: 1,
            created_at: Stamp::EPOCH,
            last_seen: None,
            expires_at: None,
            is_active: true,
        };
        let person = |username: &str, title: &str, thumb: &str| Person {
            id: "7".to_owned(),
            username: username.to_owned(),
            title: title.to_owned(),
            thumb: thumb.to_owned(),
            ..Person::default()
        };
        assert!(!is_news(&person("ann", "Ann", ""), &friend));
        assert!(!is_news(&person("", "ann", ""), &friend));
        assert!(!is_news(&person("", "", ""), &friend));
        assert!(is_news(&person("ann", "", "https://plex.tv/a"), &friend));
        assert!(is_news(&person("anna", "", ""), &friend));
    }
}
