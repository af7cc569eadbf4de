//! Checking services: who is asked, and what the outcome means (contract 03, section 3).

use std::sync::Arc;

use futures_util::future::join_all;
use tokio::sync::watch;

use super::model::{ResponsePoint, Status, push};
use super::notify;
use super::probe::Outcome;
use super::registry::{State, Unsaved, Watched};
use crate::app::AppState;
use crate::compat::Stamp;

/// A check that was started.
#[derive(Debug)]
pub(super) struct Running {
    url: String,
    /// Closed when it has ended.
    ended: watch::Receiver<()>,
}

/// Checks a service, or waits for the check of the same address that runs already. It goes on if
/// the caller leaves.
pub(super) async fn check(app: &AppState, watched: &Arc<Watched>) {
    let mut ended = join_or_start(app, watched);
    while ended.changed().await.is_ok() {}
}

/// Checks all services at once and gives them back.
pub(super) async fn check_all(app: &AppState) -> Vec<Arc<Watched>> {
    let services = app.monitor.all();
    join_all(services.iter().map(|watched| check(app, watched))).await;
    services
}

fn join_or_start(app: &AppState, watched: &Arc<Watched>) -> watch::Receiver<()> {
    let mut state = watched.lock();
    let url = state.service.form.url.clone();
    let same = |running: &&Running| running.url == url && running.ended.has_changed().is_ok();
    if let Some(running) = state.running.as_ref().filter(same) {
        return running.ended.clone();
    }
    let (end, ended) = watch::channel(());
    state.running = Some(Running {
        url: url.clone(),
        ended: ended.clone(),
    });
    drop(state);
    let (app, watched) = (app.clone(), Arc::clone(watched));
    tokio::spawn(async move {
        // Dropped at the end, whatever that is.
        let _end = end;
        tokio::select! {
            () = app.stop.cancelled() => {}
            outcome = app.checker.ask(&url) => settle(&app, &watched, &url, &outcome),
        }
    });
    ended
}

/// Takes down what came out, and tells who wants to know.
fn settle(app: &AppState, watched: &Arc<Watched>, url: &str, outcome: &Outcome) {
    if !app.monitor.holds(watched) {
        return;
    }
    let settings = app.settings.current();
    let mut state = watched.lock();
    if state.service.form.url != url {
        // Changed meanwhile: the outcome is about another address.
        return;
    }
    let at = Stamp::now();
    let service = &state.service;
    let before = service.last_check.map(|_| service.status);
    let telegram = &settings.integrations.telegram;
    let notice = notify::notice(&service.form, before, outcome, at, telegram);
    apply(&mut state, outcome, at);
    let name = state.service.form.name.clone();
    let complaint = complaint(outcome);
    let last = std::mem::replace(&mut state.complaint, complaint.clone());
    drop(state);
    app.monitor.unsaved.notify_one();
    if complaint != last {
        log(&name, outcome, complaint.as_deref());
    }
    if let Some(html) = notice {
        app.telegram.tell(html);
    }
}

fn apply(state: &mut State, outcome: &Outcome, at: Stamp) {
    let State {
        service, unsaved, ..
    } = state;
    service.status = status(outcome);
    service.last_check = Some(at);
    service.response_time = None;
    unsaved.check = true;
    if let Outcome::Answered { milliseconds, .. } = *outcome {
        service.response_time = Some(milliseconds);
        let point = ResponsePoint {
            timestamp: at,
            response_time: milliseconds,
        };
        push(&mut service.response_history, point);
        Unsaved::keep(&mut unsaved.responses, point);
    }
}

/// What an outcome makes of a service.
pub(super) const fn status(outcome: &Outcome) -> Status {
    match outcome {
        Outcome::Answered { status, .. } if *status < 400 => Status::Online,
        Outcome::Answered { .. } | Outcome::TimedOut => Status::Problem,
        Outcome::Failed(_) => Status::Offline,
    }
}

/// What the log says of an outcome that is not as it should be.
fn complaint(outcome: &Outcome) -> Option<String> {
    match outcome {
        Outcome::Answered { status, .. } if *status < 400 => None,
        Outcome::Answered { status, .. } => Some(format!("returned status {status}")),
        Outcome::TimedOut => Some("timed out".to_owned()),
        Outcome::Failed(why) => Some(format!("check failed: {why}")),
    }
}

/// One line per change: one per check would be thousands a day.
fn log(name: &str, outcome: &Outcome, complaint: Option<&str>) {
    match (outcome, complaint) {
        (_, None) => tracing::info!("Service {name} is online again"),
        (Outcome::Failed(_), Some(complaint)) => tracing::error!("Service {name} {complaint}"),
        (_, Some(complaint)) => tracing::warn!("Service {name} {complaint}"),
    }
}
