//! What people do to the list of services: first in the database, then in memory. They wait until it
//! is on disk.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use url::Url;
use uuid::Uuid;

use super::model::{Form, Service};
use super::registry::Watched;
use super::{rows, traffic_hours};
use crate::app::AppState;
use crate::store::StoreError;
use crate::web::error::{ApiError, ApiResult};

/// For one edit in all, those before it included.
const PATIENCE: Duration = Duration::from_secs(5);

/// Adds a service behind all others.
///
/// # Errors
/// It could not be stored.
pub(super) async fn add(app: &AppState, form: Form) -> ApiResult<Arc<Watched>> {
    in_turn(app, async move |app| {
        let service = Service::new(Uuid::new_v4().to_string(), form);
        let (id, stored) = (service.id.clone(), service.form.clone());
        app.store
            .write_for_certain(|c| Box::pin(async move { rows::create(c, &id, stored).await }))
            .await
            .map_err(failed)?;
        tracing::info!("Added service: {}", named(&service.form));
        let watched = app.monitor.insert(service);
        Ok(watched)
    })
    .await
}

/// Changes what is said about a service.
///
/// # Errors
/// There is no such service, or it could not be stored.
pub(super) async fn change(
    app: &AppState,
    id: String,
    change: impl FnOnce(&mut Form) + Send + 'static,
) -> ApiResult<Arc<Watched>> {
    in_turn(app, async move |app| {
        let watched = app.monitor.known(&id)?;
        let mut form = watched.lock().service.form.clone();
        change(&mut form);
        let stored = form.clone();
        let found = app
            .store
            .write_for_certain(|c| Box::pin(async move { rows::change(c, &id, stored).await }))
            .await
            .map_err(failed)?;
        if !found {
            // Somebody has removed the row by other means.
            return Err(ApiError::missing("Service not found"));
        }
        tracing::info!("Updated service: {}", form.name);
        watched.lock().service.form = form;
        Ok(watched)
    })
    .await
}

/// Removes a service with all that is known of it.
///
/// # Errors
/// There is no such service, or that could not be stored.
pub(super) async fn remove(app: &AppState, id: String) -> ApiResult<()> {
    in_turn(app, async move |app| {
        let watched = app.monitor.known(&id)?;
        let removed = id.clone();
        app.store
            .write_for_certain(|c| {
                Box::pin(async move {
                    rows::remove(c, &removed).await?;
                    traffic_hours::forget(c, &removed).await
                })
            })
            .await
            .map_err(failed)?;
        app.monitor.remove(&id);
        tracing::info!("Removed service: {}", watched.lock().service.form.name);
        Ok(())
    })
    .await
}

/// Makes one edit after the other, each to its end even if its client leaves or is told to try
/// later: what is in the database is in memory too.
async fn in_turn<T, F>(
    app: &AppState,
    edit: impl FnOnce(AppState) -> F + Send + 'static,
) -> ApiResult<T>
where
    T: Send + 'static,
    F: Future<Output = ApiResult<T>> + Send,
{
    let app = app.clone();
    let edited = tokio::spawn(async move {
        let turn = timeout(PATIENCE, app.monitor.editing.lock()).await;
        let _turn = turn.map_err(|_| failed(StoreError::Busy))?;
        edit(app.clone()).await
    });
    match timeout(PATIENCE, edited).await {
        Ok(Ok(edited)) => edited,
        Ok(Err(panic)) => Err(ApiError::internal("Internal Server Error", panic)),
        Err(_) => Err(failed(StoreError::Busy)),
    }
}

fn failed(error: StoreError) -> ApiError {
    ApiError::of_store(format!("The service was not saved: {error}"), error)
}

/// For the log. Of the address only what can hold no password and no key.
fn named(form: &Form) -> String {
    match Url::parse(&form.url) {
        Ok(url) if url.has_host() => {
            format!("{} ({})", form.name, url.origin().ascii_serialization())
        }
        _ => form.name.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_is_told_no_password_and_no_key() {
        let logged = |url: &str| {
            named(&Form {
                name: "Wiki".to_owned(),
                url: url.to_owned(),
                kind: "app".to_owned(),
                description: None,
                icon: None,
                group: None,
            })
        };
        assert_eq!(
            logged("http://user:secret@nas.lan:8080/secret?key=secret#secret"),
            "Wiki (http://nas.lan:8080)"
        );
        assert_eq!(logged("user:secret"), "Wiki");
        assert_eq!(logged(""), "Wiki");
    }
}
