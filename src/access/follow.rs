//! Ends all log-ins when user name, password or switch change, however that came about.

use crate::app::AppState;
use crate::settings::AuthSettings;
use crate::store::set_state;
use crate::tasks::Tasks;

/// What the seals of sessions depend on, in the store's state.
const GENERATION: &str = "session_generation";

/// Goes on with the sessions of the last run, and watches the settings from now on.
pub async fn start(app: &AppState, tasks: &Tasks) {
    match app.store.state(GENERATION).await {
        Ok(Some(generation)) => app.access.sessions.resume(generation),
        Ok(None) => keep_generation(app).await,
        Err(error) => tracing::warn!("Log-ins of the last run are lost: {error}"),
    }
    let app = app.clone();
    let mut changes = app.settings.subscribe();
    let mut before = changes.borrow_and_update().auth.clone();
    tasks.run("Log-ins", move |stop| async move {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                heard = changes.changed() => if heard.is_err() {
                    return;
                },
            }
            let now: AuthSettings = changes.borrow_and_update().auth.clone();
            if now != before {
                app.access.end_all();
                keep_generation(&app).await;
                before = now;
            }
        }
    });
}

/// Over a restart, so that sessions which Redis knows go on, but not those that have ended.
async fn keep_generation(app: &AppState) {
    let generation = app.access.sessions.generation();
    let kept = app
        .store
        .write(|c| Box::pin(async move { set_state(c, GENERATION, &generation).await }));
    if let Err(error) = kept.await {
        tracing::debug!("Log-ins will not survive a restart: {error}");
    }
}
