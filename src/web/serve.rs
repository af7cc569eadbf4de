//! The accept loop.
//!
//! `axum::serve` has no time-outs and no bound on connections, so this goes one level below it,
//! to hyper: connections have time-outs (`patient`), and no more than 2,048 are open at a
//! time.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use super::client::Peer;
use super::patient::Patient;
use super::without_final_slash;

const MOST_CONNECTIONS: usize = 2048;
/// After a failed accept (no file descriptors left, for instance).
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);
/// What runs when the stop comes may take so long to end.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// Serves `router` on `listener` until `shutdown`; then accepts nothing more, finishes what runs
/// within ten seconds, and returns.
pub async fn serve(listener: TcpListener, router: Router, shutdown: CancellationToken) {
    let connections = TaskTracker::new();
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            accepted = accept(&listener, &places) => accepted,
        };
        let (stream, peer, place) = match accepted {
            Ok(accepted) => accepted,
            Err(error) if is_of_one_connection(&error) => continue,
            Err(error) => {
                // No descriptors left, for instance; others will end and free some.
                tracing::error!("Can't accept connections: {error}");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (router, shutdown) = (router.clone(), shutdown.clone());
        connections.spawn(async move {
            connection(stream, peer, router, shutdown).await;
            drop(place);
        });
    }
    drop(listener);
    connections.close();
    if tokio::time::timeout(DRAIN_TIMEOUT, connections.wait())
        .await
        .is_err()
    {
        tracing::warn!("{} connections did not end in time", connections.len());
    }
}

/// The next connection, once there is room for one.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, Peer, tokio::sync::OwnedSemaphorePermit)> {
    let place = Arc::clone(places)
        .acquire_owned()
        .await
        .map_err(io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    // Answers are written in one go; waiting for more would only delay them. It fails only for a
    // connection that has ended already.
    let _ = stream.set_nodelay(true);
    Ok((stream, Peer(peer), place))
}

/// Whether a failed accept says something of one client only, which went away again.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset
    )
}

/// One connection from its first request to its last.
async fn connection(stream: TcpStream, peer: Peer, router: Router, shutdown: CancellationToken) {
    let answering = Arc::new(AtomicBool::new(false));
    let stream = Patient::new(stream, Arc::clone(&answering));
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let answering = Arc::clone(&answering);
        answering.store(true, Ordering::Relaxed);
        let mut request = without_final_slash(request.map(axum::body::Body::new));
        request.extensions_mut().insert(peer);
        let router = router.clone();
        async move {
            let response = router.oneshot(request).await;
            // An upgraded connection is no longer ours to time.
            let upgraded = response
                .as_ref()
                .is_ok_and(|r| r.status() == StatusCode::SWITCHING_PROTOCOLS);
            answering.store(upgraded, Ordering::Relaxed);
            response
        }
    });
    let served = http1::Builder::new()
        .header_read_timeout(None)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut served = pin!(served);
    let ended = tokio::select! {
        ended = served.as_mut() => ended,
        () = shutdown.cancelled() => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = ended {
        tracing::trace!("A connection ended: {error}");
    }
}
