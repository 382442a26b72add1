//! Bodies that are measured while they pass.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Buf;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::exchange::{Ending, Exchange};

pin_project! {
    /// Is the body of a request, measured while the service reads it.
    pub struct MeasuredRequestBody<B> {
        #[pin]
        inner: B,
        exchange: Option<Arc<Exchange>>,
    }
}

impl<B> MeasuredRequestBody<B> {
    /// Wraps a body; without an exchange it only passes.
    pub(super) fn new(inner: B, exchange: Option<Arc<Exchange>>) -> Self {
        Self { inner, exchange }
    }
}

impl<B: Body> Body for MeasuredRequestBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.project();
        let polled = this.inner.poll_frame(context);
        if let (Poll::Ready(Some(Ok(frame))), Some(exchange)) = (&polled, this.exchange) {
            exchange.add_request_bytes(data_bytes(frame));
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

pin_project! {
    /// Is the body of a response, measured while it is sent. When it ends, or is dropped before that, the request has
    /// ended.
    pub struct MeasuredResponseBody<B> {
        #[pin]
        inner: B,
        // After the body, whose end may take time.
        ending: Option<Ending>,
    }
}

impl<B: Body> MeasuredResponseBody<B> {
    /// Wraps a body; without an ending it only passes.
    pub(super) fn new(inner: B, ending: Option<Ending>) -> Self {
        // Whoever sends an empty body does not ask for its end.
        let ending = ending.filter(|_| !inner.is_end_stream());
        Self { inner, ending }
    }
}

impl<B: Body> Body for MeasuredResponseBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let mut this = self.project();
        let polled = this.inner.as_mut().poll_frame(context);
        let has_ended = match &polled {
            Poll::Pending => false,
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(ending) = this.ending {
                    ending.add_response_bytes(data_bytes(frame));
                }
                // Where the length is known, nobody asks again after the last byte.
                this.inner.is_end_stream()
            }
            Poll::Ready(_) => true,
        };
        if has_ended {
            *this.ending = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

fn data_bytes<D: Buf>(frame: &Frame<D>) -> usize {
    frame.data_ref().map_or(0, Buf::remaining)
}

impl<B: fmt::Debug> fmt::Debug for MeasuredRequestBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MeasuredRequestBody")
            .field(&self.inner)
            .finish()
    }
}

impl<B: fmt::Debug> fmt::Debug for MeasuredResponseBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MeasuredResponseBody")
            .field(&self.inner)
            .finish()
    }
}
