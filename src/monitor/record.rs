//! The recorder: writes behind the memory what the database does not have yet, in batches. Nobody
//! waits for it.
//!
//! A batch that could not be written is tried again, the same one, until it is: what is new
//! meanwhile stays with its service, which keeps no more of it than the database would.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use sqlx::SqliteConnection;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use super::model::{Status, StorageMetrics, TrafficMetrics};
use super::registry::{Monitor, State, Unsaved};
use super::rows::{self, History};
use super::traffic_hours;
use crate::app::AppState;
use crate::compat::Stamp;
use crate::store::{StoreError, set_state, state_in};
use crate::tasks::Tasks;

/// From the first change to its batch. A kill loses what came within this and the time that the
/// write takes: together less than a second.
const COLLECT: Duration = Duration::from_millis(500);
/// Between the end of a batch and the look for the next one.
const BREATH: Duration = Duration::from_millis(10);
/// The wait after a write that failed, doubled with each further one …
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// … up to this.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// How long a stop waits for the last batch.
const LAST_SAVE: Duration = Duration::from_secs(1);
/// Rows of traffic that a batch accounts for: more than agents bring in while one is written.
const ACCOUNTED_AT_ONCE: i64 = 50_000;
/// Rows that a batch removes beyond as many as it adds: 3.3.0 may have left any number, and other
/// writes wait.
const PRUNED_AT_ONCE: i64 = 10_000;
/// Name of the last batch, in the store's state.
const LAST_BATCH: &str = "monitor_batch";

/// What is being written.
#[derive(Debug, Default)]
pub(super) struct Recorder {
    /// The batch that has still to be written.
    pending: Option<Arc<Batch>>,
    /// Tries in a row that have failed.
    failures: u32,
}

/// What all services had to be written at one moment.
#[derive(Debug)]
struct Batch {
    /// Stored with it. A try that took too long may have come to its end all the same.
    name: String,
    entries: Vec<Entry>,
}

/// What one service has to be written.
#[derive(Debug)]
struct Entry {
    id: String,
    check: Option<(Status, Option<Stamp>, Option<f64>)>,
    traffic: Option<TrafficMetrics>,
    storage: Option<StorageMetrics>,
    points: Unsaved,
}

/// Starts writing in the background. Where nothing can be written nothing is tried.
pub fn start_recorder(app: &AppState, tasks: &Tasks) {
    if !app.store.is_writable() {
        return;
    }
    let app = app.clone();
    tasks.every("Recorder of services", BREATH, move || {
        let app = app.clone();
        async move {
            app.monitor.unsaved.notified().await;
            sleep(COLLECT).await;
            if let Err((error, wait)) = save(&app).await {
                tracing::error!("Failed to save services to database: {error}");
                app.monitor.unsaved.notify_one();
                sleep(wait).await;
            }
            Ok::<(), Infallible>(())
        }
    });
}

/// Writes what is left, when nothing more is to come. A stop does not wait for it as long as the
/// recorder does; what is queued by then is still written when the store is closed, so all of it is
/// queued before any of it is waited for.
pub async fn save_rest(app: &AppState) {
    if !app.store.is_writable() {
        return;
    }
    let pending = app.monitor.recorder.lock().await.pending.take();
    let rest = Batch::collect(&app.monitor).map(Arc::new);
    let write = async |batch: Option<Arc<Batch>>| match batch {
        Some(batch) => {
            app.store
                .write(move |c| Box::pin(async move { batch.write(c).await }))
                .await
        }
        None => Ok(()),
    };
    let both = async { tokio::join!(write(pending), write(rest)) };
    match timeout(LAST_SAVE, both).await {
        Ok((Ok(()), Ok(()))) => {}
        Ok((Err(error), _) | (_, Err(error))) => {
            tracing::error!("Failed to save services to database: {error}");
        }
        Err(_) => tracing::warn!("The last measurements are still being written"),
    }
}

impl Recorder {
    /// Writes what could not be written before, then what is new. If that fails, says how long to
    /// wait before the next try.
    async fn save(&mut self, app: &AppState) -> Result<(), (StoreError, Duration)> {
        if self.pending.is_some() {
            self.write(app).await?;
        }
        self.pending = Batch::collect(&app.monitor).map(Arc::new);
        self.write(app).await
    }

    async fn write(&mut self, app: &AppState) -> Result<(), (StoreError, Duration)> {
        let Some(batch) = self.pending.clone() else {
            return Ok(());
        };
        let written = app
            .store
            .write(move |c| Box::pin(async move { batch.write(c).await }))
            .await;
        if let Err(error) = written {
            let wait = FIRST_WAIT.saturating_mul(1 << self.failures.min(5));
            self.failures = self.failures.saturating_add(1);
            return Err((error, wait.min(LONGEST_WAIT)));
        }
        *self = Self::default();
        Ok(())
    }
}

async fn save(app: &AppState) -> Result<(), (StoreError, Duration)> {
    app.monitor.recorder.lock().await.save(app).await
}

impl Batch {
    /// Takes over all that is to be written; `None` if there is nothing.
    fn collect(monitor: &Monitor) -> Option<Self> {
        let services = monitor.all();
        let entries = services
            .iter()
            .filter_map(|one| Entry::take(&mut one.lock()));
        let entries: Vec<Entry> = entries.collect();
        (!entries.is_empty()).then(|| Self {
            name: Uuid::new_v4().to_string(),
            entries,
        })
    }

    async fn write(&self, connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        if state_in(connection, LAST_BATCH).await?.as_ref() == Some(&self.name) {
            return Ok(());
        }
        let mut written = Vec::new();
        for entry in &self.entries {
            // It may have been deleted meanwhile.
            if rows::exists(connection, &entry.id).await? {
                entry.write(connection).await?;
                written.push(entry);
            }
        }
        // Rows that have not been counted must not be removed.
        let accounted = traffic_hours::account(connection, ACCOUNTED_AT_ONCE).await?;
        let accounted = accounted.map_or(0, |accounted| accounted.up_to);
        let added: usize = written.iter().map(|entry| entry.points.len()).sum();
        let mut budget = i64::try_from(added)
            .unwrap_or(i64::MAX)
            .saturating_add(PRUNED_AT_ONCE);
        for entry in written {
            entry.prune(connection, accounted, &mut budget).await?;
        }
        set_state(connection, LAST_BATCH, &self.name).await
    }
}

impl Entry {
    fn take(state: &mut State) -> Option<Self> {
        if state.unsaved.is_empty() {
            return None;
        }
        let unsaved = std::mem::take(&mut state.unsaved);
        let service = &state.service;
        let check = (service.status, service.last_check, service.response_time);
        Some(Self {
            id: service.id.clone(),
            check: unsaved.check.then_some(check),
            traffic: service.traffic.clone().filter(|_| unsaved.traffic),
            storage: service.storage.clone().filter(|_| unsaved.storage),
            points: unsaved,
        })
    }

    async fn write(&self, connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        let Self { id, points, .. } = self;
        if let Some((status, last_check, response_time)) = self.check {
            rows::set_check(connection, id, status, last_check, response_time).await?;
        }
        if let Some(traffic) = &self.traffic {
            rows::set_traffic(connection, id, traffic).await?;
        }
        if let Some(storage) = &self.storage {
            rows::set_storage(connection, id, storage).await?;
        }
        rows::add_responses(connection, id, &points.responses).await?;
        rows::add_traffic(connection, id, &points.traffic_points).await?;
        rows::add_storage(connection, id, &points.storage_points).await
    }

    /// Of each history that has grown.
    async fn prune(
        &self,
        connection: &mut SqliteConnection,
        accounted: i64,
        budget: &mut i64,
    ) -> Result<(), sqlx::Error> {
        let points = &self.points;
        for (history, grown, up_to) in [
            (History::Responses, !points.responses.is_empty(), i64::MAX),
            (
                History::Traffic,
                !points.traffic_points.is_empty(),
                accounted,
            ),
            (
                History::Storage,
                !points.storage_points.is_empty(),
                i64::MAX,
            ),
        ] {
            if grown {
                *budget -= rows::prune(connection, history, &self.id, up_to, *budget).await?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
