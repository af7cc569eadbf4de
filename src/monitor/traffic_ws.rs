//! `GET /api/traffic/ws`: the summary of traffic, sent whenever it changes.
//!
//! One step, four times a second, writes what has changed for all clients. Each client has a task
//! of its own and takes the newest frame when it has sent the one before, so a slow one misses
//! frames, holds nobody up, and is dropped when it takes none for ten seconds.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade, close_code};
use axum::response::Response;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, interval_at, sleep_until, timeout};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::rendered::NotRendered;
use super::summary;
use crate::app::AppState;
use crate::tasks::Tasks;
use crate::web::error::{ApiError, ApiResult, Detail};

/// Tabs pile up: leaving and entering the dashboard leaves a socket behind (contract 09, section 9).
const MOST_SOCKETS: u32 = 512;
/// Between two frames: people can't read more than four in a second.
const PERIOD: Duration = Duration::from_millis(250);
/// Who takes nothing for so long is gone, or as good as.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);
/// As uvicorn's.
const PING_EVERY: Duration = Duration::from_secs(20);
/// Two pings without an answer.
const SILENCE: Duration = Duration::from_secs(40);
/// For the Close frame and its answer. Less than background tasks have to stop.
const GOODBYE: Duration = Duration::from_millis(1500);
/// The frontend sends nothing at all.
const LARGEST_MESSAGE: usize = 64 * 1024;

/// All open sockets.
#[derive(Debug)]
pub(super) struct Sockets {
    places: Arc<Semaphore>,
    /// The newest frame, empty until there is one.
    frames: watch::Sender<Utf8Bytes>,
}

impl Default for Sockets {
    fn default() -> Self {
        Self {
            places: Arc::new(Semaphore::new(MOST_SOCKETS as usize)),
            frames: watch::Sender::default(),
        }
    }
}

/// The summary of traffic as text frames: one at once, then one with each change, four a second at
/// most. What the client sends is ignored.
#[utoipa::path(get, path = "/api/traffic/ws", tag = "traffic",
    responses(
        (status = 101, description = "A WebSocket"),
        (status = 400, body = Detail, description = "No handshake of a WebSocket"),
        (status = 403, body = Detail, description = "From a page of another site"),
        (status = 503, body = Detail, description = "There are too many"),
    ))]
async fn open_socket(
    app: AppState,
    handshake: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> ApiResult<Response> {
    let handshake = handshake.map_err(|error| ApiError::bad_request(error.body_text()))?;
    // From now on: the log-in that has let it in may end before the socket is open.
    let log_ins = app.access.ends();
    let place = Arc::clone(&app.monitor.sockets.places)
        .try_acquire_owned()
        .map_err(|_full| ApiError::unavailable("Too many live connections"))?;
    Ok(handshake
        .max_message_size(LARGEST_MESSAGE)
        .max_frame_size(LARGEST_MESSAGE)
        .on_upgrade(async move |mut socket| {
            let reason = tokio::select! {
                biased;
                reason = told_to_go(&app, log_ins) => Some(reason),
                _gone = converse(&app, &mut socket) => None,
            };
            if let Some(reason) = reason {
                say_goodbye(&mut socket, reason).await;
            }
            drop((socket, place));
        }))
}

/// Serves one client until it is gone.
async fn converse(app: &AppState, socket: &mut WebSocket) -> Option<()> {
    let mut frames = app.monitor.sockets.frames.subscribe();
    let first = app.monitor.summary.current(app, summary::render).await;
    let mut shown = first.ok()?.text();
    send(socket, Message::Text(shown.clone())).await?;
    let mut next = Instant::now() + PERIOD;
    let mut heard = Instant::now();
    let mut pings = interval_at(heard + PING_EVERY, PING_EVERY);
    loop {
        tokio::select! {
            received = socket.recv() => {
                received?.ok()?;
                heard = Instant::now();
            }
            _ = pings.tick() => {
                if heard.elapsed() >= SILENCE {
                    return None;
                }
                send(socket, Message::Ping(Bytes::new())).await?;
            }
            () = news(&mut frames, next) => {
                let newest = frames.borrow_and_update().clone();
                if newest != shown {
                    send(socket, Message::Text(newest.clone())).await?;
                    shown = newest;
                    next = Instant::now() + PERIOD;
                }
            }
        }
    }
}

/// Why a client has to go, once it has to.
async fn told_to_go(app: &AppState, mut log_ins: watch::Receiver<u64>) -> CloseFrame {
    let (code, reason) = tokio::select! {
        () = app.stop.cancelled() => (close_code::AWAY, "The server is being stopped"),
        _ = log_ins.changed() => (close_code::POLICY, "The log-in was changed"),
    };
    CloseFrame {
        code,
        reason: Utf8Bytes::from_static(reason),
    }
}

/// Waits for a frame that may be sent. Nothing is lost if this is dropped.
async fn news(frames: &mut watch::Receiver<Utf8Bytes>, next: Instant) {
    sleep_until(next).await;
    if frames.changed().await.is_err() {
        pending::<()>().await;
    }
}

/// Sends to a client, unless it is gone or takes nothing.
async fn send(socket: &mut WebSocket, message: Message) -> Option<()> {
    timeout(SEND_TIMEOUT, socket.send(message)).await.ok()?.ok()
}

/// Closes as the protocol wants it, without waiting long for the client's part in it.
async fn say_goodbye(socket: &mut WebSocket, reason: CloseFrame) {
    let closing = async {
        socket.send(Message::Close(Some(reason))).await.ok()?;
        while socket.recv().await?.is_ok() {}
        Some(())
    };
    // Gone, or too slow: both end it.
    let _ = timeout(GOODBYE, closing).await;
}

/// Starts what tells clients of changes, and what waits for their Close frames at the end.
pub fn start_sockets(app: &AppState, tasks: &Tasks) {
    let publishing = app.clone();
    tasks.every("Traffic sockets", PERIOD, move || {
        let app = publishing.clone();
        async move { publish(&app).await }
    });
    let places = Arc::clone(&app.monitor.sockets.places);
    tasks.run("Open sockets", |stop| async move {
        stop.cancelled().await;
        let _ = timeout(GOODBYE, places.acquire_many(MOST_SOCKETS)).await;
    });
}

/// Writes a frame if there are clients and what they see has changed.
async fn publish(app: &AppState) -> Result<(), NotRendered> {
    let frames = &app.monitor.sockets.frames;
    if frames.receiver_count() == 0 {
        return Ok(());
    }
    let body = app.monitor.summary.current(app, summary::render).await?;
    let text = body.text();
    frames.send_if_modified(|newest| {
        let is_new = *newest != text;
        if is_new {
            *newest = text;
        }
        is_new
    });
    Ok(())
}

/// The routes of this file.
pub(super) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(open_socket))
}

#[cfg(test)]
mod tests;
