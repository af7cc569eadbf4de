//! The time-outs of a connection.
//!
//! hyper can time headers only, with one time-out for waiting and receiving, a timer per request,
//! and nothing for a client that does not read. Here it is one timer per connection, which is set
//! anew only when it goes off.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// From the first byte of a request to the end of its headers.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// Between two requests on one connection. Longer than what proxies keep theirs for (60 s), so
/// that they don't write into a connection that is being closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(75);
/// Without a byte that the client takes. Otherwise those who never read would hold all places.
const STALL_TIMEOUT: Duration = Duration::from_secs(60);

/// A stream that gives up on a client which sends its headers, or takes its answer, too slowly,
/// or which has had nothing to ask for a while.
pub(super) struct Patient<S> {
    stream: S,
    answering: Arc<AtomicBool>,
    /// Bytes of a request have come, but not yet all of its headers.
    receiving: bool,
    /// Since when there has been nothing to read, or no way to write.
    waiting_since: Option<Instant>,
    timer: Pin<Box<Sleep>>,
}

impl<S> Patient<S> {
    /// `answering` is true while a request is being answered or after an upgrade.
    pub(super) fn new(stream: S, answering: Arc<AtomicBool>) -> Self {
        let timer = Box::pin(sleep(IDLE_TIMEOUT));
        Self {
            stream,
            answering,
            receiving: false,
            waiting_since: None,
            timer,
        }
    }

    /// Something has moved.
    const fn moved(&mut self) {
        self.receiving = false;
        self.waiting_since = None;
    }

    /// Nothing moves: pending until `limit` is over, then an error.
    fn wait<T>(&mut self, limit: Duration, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        let deadline = *self.waiting_since.get_or_insert_with(Instant::now) + limit;
        if self.timer.deadline() > deadline {
            self.timer.as_mut().reset(deadline);
        }
        while self.timer.as_mut().poll(context).is_ready() {
            if Instant::now() >= deadline {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            self.timer.as_mut().reset(deadline);
        }
        Poll::Pending
    }

    /// Looks at the result of a write.
    fn written<T>(
        &mut self,
        polled: Poll<io::Result<T>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.moved();
            return polled;
        }
        self.wait(STALL_TIMEOUT, context)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let polled = Pin::new(&mut this.stream).poll_read(context, buffer);
        if this.answering.load(Ordering::Relaxed) {
            // The headers are complete; how long the rest may take is not decided here.
            this.moved();
            return polled;
        }
        if polled.is_ready() {
            if !this.receiving {
                this.moved();
                this.receiving = true;
            }
            return polled;
        }
        let limit = if this.receiving {
            HEADER_TIMEOUT
        } else {
            IDLE_TIMEOUT
        };
        this.wait(limit, context)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
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

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

    use super::*;

    /// A connection with room for 16 bytes on the way, and its client.
    fn connection() -> (Patient<DuplexStream>, DuplexStream, Arc<AtomicBool>) {
        let (ours, theirs) = duplex(16);
        let answering = Arc::new(AtomicBool::new(false));
        (
            Patient::new(ours, Arc::clone(&answering)),
            theirs,
            answering,
        )
    }

    /// Reads until the end or an error, and says when that came and what it was.
    async fn read_on(mut connection: Patient<DuplexStream>) -> (u64, Option<io::ErrorKind>) {
        let started = Instant::now();
        let ended = connection.read_to_end(&mut Vec::new()).await;
        (
            started.elapsed().as_secs(),
            ended.err().map(|error| error.kind()),
        )
    }

    const TIMED_OUT: Option<io::ErrorKind> = Some(io::ErrorKind::TimedOut);

    #[tokio::test(start_paused = true)]
    async fn a_client_that_asks_nothing_is_sent_away_after_75_seconds() {
        let (connection, _client, _) = connection();
        assert_eq!(read_on(connection).await, (75, TIMED_OUT));
    }

    #[tokio::test(start_paused = true)]
    async fn headers_have_ten_seconds_however_they_drip() {
        let (connection, mut client, _) = connection();
        let dripping = tokio::spawn(async move {
            sleep(Duration::from_secs(30)).await;
            while client.write_all(b"x").await.is_ok() {
                sleep(Duration::from_secs(1)).await;
            }
        });
        assert_eq!(
            read_on(connection).await,
            (40, TIMED_OUT),
            "30 s idle, 10 s of headers"
        );
        dripping.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn while_a_request_is_answered_its_body_may_take_its_time() {
        let (connection, mut client, answering) = connection();
        answering.store(true, Ordering::Relaxed);
        tokio::spawn(async move {
            for _ in 0..5 {
                sleep(Duration::from_secs(100)).await;
                client.write_all(b"x").await.unwrap();
            }
        });
        assert_eq!(read_on(connection).await, (500, None));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_does_not_read_is_given_up_after_60_seconds() {
        let (mut connection, mut client, _) = connection();
        let reading = tokio::spawn(async move {
            let mut some = [0; 16];
            for _ in 0..5 {
                sleep(Duration::from_secs(50)).await;
                client.read_exact(&mut some).await.unwrap();
            }
            client
        });
        let started = Instant::now();
        let error = connection.write_all(&[0; 1000]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(
            started.elapsed().as_secs(),
            5 * 50 + 60,
            "each byte taken buys time"
        );
        drop(reading.await.unwrap());
    }
}
