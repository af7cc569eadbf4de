//! The accept loop.
//!
//! `axum::serve` has no time-outs and no bound on connections, so this goes one level below it,
//! to hyper: headers must arrive within ten seconds, an idle connection is closed after 75, and
//! no more than 2,048 are open at a time.

use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{Sleep, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use super::without_final_slash;

/// From the first byte of a request to the end of its headers.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// Between two requests on one connection. Longer than what proxies keep theirs for (60 s), so
/// that they don't write into a connection that is being closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(75);
/// Without a byte that the client takes. Otherwise those who never read would hold all places.
const STALL_TIMEOUT: Duration = Duration::from_secs(60);
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
        let (stream, place) = match accepted {
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
            connection(stream, router, shutdown).await;
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
) -> io::Result<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let place = Arc::clone(places)
        .acquire_owned()
        .await
        .map_err(io::Error::other)?;
    let (stream, _peer) = listener.accept().await?;
    // Answers are written in one go; waiting for more would only delay them. It fails only for a
    // connection that has ended already.
    let _ = stream.set_nodelay(true);
    Ok((stream, place))
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
async fn connection(stream: TcpStream, router: Router, shutdown: CancellationToken) {
    let answering = Arc::new(AtomicBool::new(false));
    let stream = Patient::new(stream, Arc::clone(&answering));
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let answering = Arc::clone(&answering);
        answering.store(true, Ordering::Relaxed);
        let request = without_final_slash(request.map(axum::body::Body::new));
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
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE_TIMEOUT)
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

/// A stream that gives up on a client which sends its headers, or takes its answer, too slowly.
///
/// hyper has one time-out for two things: waiting for a request, which may be long, and
/// receiving its headers, which must be short. It is set to the long one; the short one is kept
/// here. It starts with the first byte that comes while no request is being answered. For a
/// client that does not read hyper has none.
struct Patient {
    stream: TcpStream,
    answering: Arc<AtomicBool>,
    headers: Deadline,
    stall: Deadline,
}

/// A time-out that is mostly not running.
#[derive(Default)]
struct Deadline(Option<Pin<Box<Sleep>>>);

impl Deadline {
    fn start(&mut self, after: Duration) {
        self.0.get_or_insert_with(|| Box::pin(sleep(after)));
    }

    fn stop(&mut self) {
        self.0 = None;
    }

    /// An error once the time is over; until then the task is woken when it will be.
    fn check(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        let over = |sleep: &mut Pin<Box<Sleep>>| sleep.as_mut().poll(context).is_ready();
        if self.0.as_mut().is_some_and(over) {
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(())
    }
}

impl Patient {
    fn new(stream: TcpStream, answering: Arc<AtomicBool>) -> Self {
        let (headers, stall) = (Deadline::default(), Deadline::default());
        Self {
            stream,
            answering,
            headers,
            stall,
        }
    }

    /// Looks at the result of a write.
    fn written<T>(
        &mut self,
        polled: Poll<io::Result<T>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        // Something is being answered, so its headers were complete.
        self.headers.stop();
        if polled.is_ready() {
            self.stall.stop();
            return polled;
        }
        self.stall.start(STALL_TIMEOUT);
        match self.stall.check(context) {
            Ok(()) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}

impl AsyncRead for Patient {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buffer.filled().len();
        let polled = Pin::new(&mut this.stream).poll_read(context, buffer);
        if this.answering.load(Ordering::Relaxed) {
            this.headers.stop();
            return polled;
        }
        if polled.is_ready() {
            if buffer.filled().len() > before {
                this.headers.start(HEADER_TIMEOUT);
            }
            return polled;
        }
        match this.headers.check(context) {
            Ok(()) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}

impl AsyncWrite for Patient {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.written(polled, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(context, pieces);
        self.written(polled, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
