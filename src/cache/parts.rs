//! [`Parts`]: a response body of ready pieces.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

/// A body of two ready pieces: no copy into one buffer, and an exact length.
pub(super) struct Parts {
    parts: [Bytes; 2],
    sent: usize,
}

impl Parts {
    pub(super) const fn new(parts: [Bytes; 2]) -> Self {
        Self { parts, sent: 0 }
    }
}

impl http_body::Body for Parts {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = self.sent;
        self.sent += 1;
        Poll::Ready(
            self.parts
                .get_mut(next)
                .map(|part| Ok(Frame::data(std::mem::take(part)))),
        )
    }

    fn is_end_stream(&self) -> bool {
        self.sent >= self.parts.len()
    }

    fn size_hint(&self) -> SizeHint {
        // What has been sent is empty.
        SizeHint::with_exact(self.parts.iter().map(|part| part.len() as u64).sum())
    }
}
