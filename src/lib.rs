//! Komandorr's backend: a self-hosted dashboard for people who run a Plex server.
//!
//! One axum binary. `docs/architecture.md` is the map of this crate; imports point one way:
//! `main → web → features (plex, monitor, invites, integrations) → access, cache, store, settings`.

pub mod access;
pub mod app;
#[cfg(test)]
mod arbitrary;
pub mod backup;
pub mod cache;
pub mod check;
pub mod cli;
pub mod compat;
pub mod demo;
pub mod healthcheck;
pub mod instance;
pub mod integrations;
pub mod invites;
pub mod logging;
pub mod monitor;
pub mod outgoing;
pub mod passwd;
pub mod plex;
pub mod settings;
pub mod store;
pub mod tasks;
pub mod web;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::app::{App, AppState};
use crate::instance::Instance;
use crate::logging::Log;
use crate::settings::SettingsStore;
use crate::store::Store;
use crate::tasks::Tasks;

/// How often rows of `traffic_history` that others wrote are looked for, and old sums removed.
const TRAFFIC_LOOK: Duration = Duration::from_secs(3600);
/// How often `config.json` is looked at for hand edits.
const SETTINGS_LOOK: Duration = Duration::from_secs(1);
/// Background loops may take so long to end.
const STOP_GRACE: Duration = Duration::from_secs(2);

/// Runs the server until `shutdown` in the data directory that `instance` has claimed: listens,
/// starts the background loops, serves, and stops all of it in the reverse order.
///
/// # Errors
/// It can't start: the address is taken, TLS can't be set up, or the database can't be used.
pub async fn run(
    settings: SettingsStore,
    mut instance: Instance,
    log: Arc<Log>,
    shutdown: CancellationToken,
    announce: impl FnOnce(std::net::SocketAddr) -> std::io::Result<()>,
) -> anyhow::Result<()> {
    let now = settings.current();
    tracing::info!("Starting Komandorr {}", env!("CARGO_PKG_VERSION"));
    tracing::info!("Debug mode: {}", now.debug);
    tracing::info!("Authentication enabled: {}", now.auth.enabled);
    tracing::info!("Timezone: {}", now.timezone);
    now.warnings
        .iter()
        .for_each(|warning| tracing::warn!("{warning}"));
    if !now.auth.enabled {
        tracing::warn!("Without log-in, everybody on this network can read the settings");
    }
    if !instance.is_exclusive() {
        tracing::warn!("The data directory can't be locked: see that only one Komandorr uses it");
    }
    raise_file_limit();

    let listener = TcpListener::bind((now.host.as_str(), now.port))
        .await
        .with_context(|| format!("can't listen on {}:{}", now.host, now.port))?;
    let address = listener.local_addr()?;
    plex::configure_caches(&now.cache);
    let store = tokio::select! {
        opened = Store::open(&now.data_dir) => opened?,
        // A large database of 3.3.0 takes longer to adopt than Docker waits. What is left undone
        // the next start does.
        () = shutdown.cancelled() => {
            tracing::info!("Stopped while the database was being opened");
            return Ok(());
        }
    };
    if let Err(error) = web::icons::prepare(&now.data_dir) {
        tracing::warn!("The directory of icons: {error}");
    }
    plex::adopt_old_config(&settings, &store).await;
    plex::load_peak(&store).await;
    let monitor = monitor::load(&store).await;
    let app = App::new(settings, store, monitor, log, shutdown.clone());
    let app = AppState::new(app.context("can't set up TLS")?);

    let tasks = Tasks::new(shutdown.child_token());
    follow_settings(&app, &tasks);
    access::start(&app, &tasks).await;
    plex::share_caches(&app, &tasks);
    plex::restore_answers(&app).await;
    plex::start_warmer(&app, &tasks);
    plex::start_keeping_answers(&app, &tasks);
    account_traffic(&app, &tasks);
    integrations::start_sending(&app, &tasks);
    monitor::start_recorder(&app, &tasks);
    monitor::start_rounds(&app, &tasks);
    invites::start_settling(&app, &tasks);
    invites::start_looking(&app, &tasks);
    invites::start_expiring(&app, &tasks);
    plex::start_history_sync(&app, &tasks);
    plex::start_refresher(&app, &tasks);
    monitor::start_sockets(&app, &tasks);

    if let Err(error) = instance.listens_on(address) {
        tracing::warn!("The address could not be noted in the data directory: {error}");
    }
    announce(address)?;
    // What was measured is saved at once, whatever the last requests take: Docker may not wait.
    let early = async {
        app.stop.cancelled().await;
        monitor::save_rest(&app).await;
    };
    tokio::join!(
        web::serve::serve(listener, web::router(app.clone()), shutdown),
        early
    );

    tracing::info!("Shutting down Komandorr");
    tasks.stop(STOP_GRACE).await;
    if let Err(error) = plex::keep_answers(&app).await {
        tracing::warn!("The last answers were not kept: {error}");
    }
    monitor::save_rest(&app).await;
    app.store.close().await;
    Ok(())
}

/// Notices hand edits of `config.json` and puts in force what a change of settings means
/// elsewhere.
fn follow_settings(app: &AppState, tasks: &Tasks) {
    let app = app.clone();
    tasks.every("Settings", SETTINGS_LOOK, move || {
        let app = app.clone();
        async move {
            let reloaded = app.settings.reload_if_changed().await;
            app.put_settings_in_force().await;
            reloaded.map(|_| ())
        }
    });
}

/// Adds up what 3.3.0 has recorded since the last run, beside everything else. Being stopped
/// anywhere does it no harm, and what a full disk has prevented is done later.
fn account_traffic(app: &AppState, tasks: &Tasks) {
    let app = app.clone();
    tasks.every_from_now("Traffic totals", TRAFFIC_LOOK, move || {
        let app = app.clone();
        async move {
            monitor::traffic_hours::seed(&app.store).await?;
            monitor::traffic_hours::prune(&app.store).await
        }
    });
}

/// Connections, files and upstream calls each take a descriptor; the soft limit is often 1024.
fn raise_file_limit() {
    if let Err(error) = rlimit::increase_nofile_limit(rlimit::INFINITY) {
        tracing::debug!("The limit of open files stays as it is: {error}");
    }
}
