//! The rounds: all services are checked every `MONITOR_INTERVAL`.

use std::convert::Infallible;

use super::check::check_all;
use crate::app::AppState;
use crate::tasks::Tasks;

/// Starts the rounds, the first one at once. One that takes longer than the interval delays the
/// next.
pub fn start_rounds(app: &AppState, tasks: &Tasks) {
    let Some(interval) = app.settings.current().monitor_interval else {
        tracing::info!("MONITOR_INTERVAL is 0: services are checked by hand only");
        return;
    };
    tracing::info!(
        "Starting service monitoring (interval: {}s)",
        interval.as_secs_f64()
    );
    let rounds = app.clone();
    tasks.every_from_now("Service monitoring", interval, move || {
        let app = rounds.clone();
        async move {
            check_all(&app).await;
            Ok::<(), Infallible>(())
        }
    });
    tasks.run("End of service monitoring", |stop| async move {
        stop.cancelled().await;
        tracing::info!("Stopping service monitoring");
    });
}
