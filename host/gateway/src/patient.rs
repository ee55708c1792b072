//! Connections to clients that take what they asked for. One that does not would keep its place, and its answer in memory, for ever.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::rt::{Read, ReadBufCursor, Write};
use tokio::time::Sleep;

/// A connection that breaks when what is written to it is not taken in time.
#[derive(Debug)]
pub(crate) struct Patient<C> {
    connection: C,
    patience: Duration,
    /// Runs while something waits to be taken. That a little was is not enough.
    waiting: Option<Pin<Box<Sleep>>>,
}

impl<C> Patient<C> {
    /// Must be used within a runtime.
    pub(crate) fn new(connection: C, patience: Duration) -> Self {
        Self { connection, patience, waiting: None }
    }

    /// What became of a write, unless it waits for too long.
    fn within<T>(&mut self, context: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_pending() {
            let patience = self.patience;
            let waiting = self.waiting.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
            if waiting.as_mut().poll(context).is_ready() {
                return Poll::Ready(Err(io::Error::from(io::ErrorKind::TimedOut)));
            }
        }
        written
    }
}

impl<C: Read + Unpin> Read for Patient<C> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_read(context, buffer)
    }
}

impl<C: Write + Unpin> Write for Patient<C> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.connection).poll_write(context, bytes);
        self.within(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.connection).poll_write_vectored(context, parts);
        self.within(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.connection.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.connection).poll_flush(context);
        if flushed.is_ready() {
            self.waiting = None;
        }
        self.within(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let ended = Pin::new(&mut self.connection).poll_shutdown(context);
        self.within(context, ended)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http_body_util::Full;
    use hyper::server::conn::http1::Builder;
    use hyper::service::service_fn;
    use hyper::{Request, Response};
    use hyper_util::rt::TokioIo;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const LONG: usize = 100_000;

    /// Serves a long answer to a client that takes so many bytes at a time, and says whether that went well.
    fn served(at_a_time: usize) -> bool {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (mut client, server) = tokio::io::duplex(1024);
            let answer = |_: Request<hyper::body::Incoming>| async {
                Ok::<_, io::Error>(Response::new(Full::new(Bytes::from(vec![b'x'; LONG]))))
            };
            let connection = Patient::new(TokioIo::new(server), Duration::from_millis(300));
            let serving = Builder::new().serve_connection(connection, service_fn(answer));
            let asking = async {
                client.write_all(b"GET / HTTP/1.1\r\nconnection: close\r\n\r\n").await.unwrap();
                let mut buffer = vec![0; at_a_time];
                while client.read(&mut buffer).await.unwrap() > 0 {
                    if at_a_time < LONG {
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                }
            };
            tokio::join!(serving, asking).0.is_ok()
        })
    }

    #[test]
    fn who_takes_too_long_is_not_waited_for() {
        assert!(served(LONG));
        // A little of it every now and then.
        assert!(!served(100));
    }
}
