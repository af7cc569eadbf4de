//! Ends all log-ins when user name, password or switch change, however that came about.

use std::time::Duration;

use tokio::time::sleep;

use crate::app::AppState;
use crate::store::{StoreError, set_state};
use crate::tasks::Tasks;

/// What the seals of sessions depend on, in the store's state.
const GENERATION: &str = "session_generation";
/// After a failure to store it.
const AGAIN: Duration = Duration::from_secs(5);

/// Goes on with the sessions of the last run, and watches the settings from now on.
pub async fn start(app: &AppState, tasks: &Tasks) {
    match app.store.state(GENERATION).await {
        Ok(Some(generation)) => app.access.sessions.resume(generation),
        Ok(None) => {
            if let Err(error) = keep_generation(app).await {
                tracing::debug!("Log-ins will not survive a restart: {error}");
            }
        }
        Err(error) => tracing::warn!("Log-ins of the last run are lost: {error}"),
    }
    end_with_changes(app, tasks);
    keep_over_restarts(app, tasks);
}

fn end_with_changes(app: &AppState, tasks: &Tasks) {
    let app = app.clone();
    let mut settings = app.settings.subscribe();
    let mut last = settings.borrow_and_update().auth_revision;
    tasks.run("Log-ins", move |stop| async move {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                changed = settings.changed() => if changed.is_err() {
                    return;
                },
            }
            let revision = settings.borrow_and_update().auth_revision;
            if revision != last {
                app.access.end_all();
                last = revision;
            }
        }
    });
}

/// Stores what tells sessions that have ended from those that go on; until that is done, a restart
/// would bring ended ones back.
fn keep_over_restarts(app: &AppState, tasks: &Tasks) {
    let app = app.clone();
    let mut ends = app.access.ends();
    tasks.run("Ended log-ins", move |stop| async move {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                ended = ends.changed() => if ended.is_err() {
                    return;
                },
            }
            while let Err(error) = keep_generation(&app).await {
                tracing::warn!("A restart would bring ended log-ins back: {error}");
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = sleep(AGAIN) => {}
                }
            }
        }
    });
}

async fn keep_generation(app: &AppState) -> Result<(), StoreError> {
    let generation = app.access.sessions.generation();
    app.store
        .write(|c| Box::pin(async move { set_state(c, GENERATION, &generation).await }))
        .await
}
