//! Connections: HTTP/1.1, with limits on how many there are and how slow they may be.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::gateway::Gateway;
use crate::patient::Patient;

/// Headers must be here by then.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of headers: a token of 32 KiB, twice.
const MAX_HEADERS: usize = 96 << 10;
/// After an error of the system's, such as too many open files.
const PAUSE: Duration = Duration::from_millis(50);
/// Connections to the figures.
const SCRAPES: usize = 16;
/// How often it is looked whether the policy could not be replaced.
const LOOK: Duration = Duration::from_secs(1);

/// Serves clients on `listener`, and figures on `figures`, until `stop` is done. Requests in flight are answered.
pub async fn serve(
    gateway: Arc<Gateway>,
    listener: TcpListener,
    figures: Option<TcpListener>,
    stop: impl Future<Output = ()>,
) {
    let (connections, patience) = (gateway.limits().connections, gateway.limits().request);
    let open = GracefulShutdown::new();
    let clients = {
        let gateway = Arc::clone(&gateway);
        accept(listener, (connections, patience), &open, move |request: Request<Incoming>| {
            let gateway = Arc::clone(&gateway);
            async move { gateway.answer(request).await }
        })
    };
    let scraped = {
        let (gateway, open) = (Arc::clone(&gateway), &open);
        async move {
            match figures {
                None => std::future::pending().await,
                Some(listener) => {
                    accept(listener, (SCRAPES, patience), open, move |request: Request<Incoming>| {
                        let response = scrape(&gateway, &request);
                        async move { response }
                    })
                    .await;
                }
            }
        }
    };
    let looked = async {
        loop {
            tokio::time::sleep(LOOK).await;
            gateway.look();
        }
    };
    tokio::select! {
        () = clients => {}
        () = scraped => {}
        () = looked => {}
        () = stop => {}
    }
    // Those who are being served are served to the end.
    let _ = tokio::time::timeout(gateway.limits().request, open.shutdown()).await;
}

async fn accept<F, A>(
    listener: TcpListener,
    (most, patience): (usize, Duration),
    open: &GracefulShutdown,
    answer: F,
) where
    F: Fn(Request<Incoming>) -> A + Clone + Send + 'static,
    A: Future<Output = Response<Full<Bytes>>> + Send + 'static,
{
    let room = Arc::new(Semaphore::new(most));
    loop {
        // Whoever comes when there is no room waits.
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let _ = stream.set_nodelay(true);
                let answer = answer.clone();
                let service = service_fn(move |request| {
                    let answered = answer(request);
                    async move { Ok::<_, Infallible>(answered.await) }
                });
                let served = Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(PATIENCE)
                    .max_buf_size(MAX_HEADERS)
                    .serve_connection(Patient::new(TokioIo::new(stream), patience), service);
                let served = open.watch(served);
                tokio::spawn(async move {
                    if let Err(error) = served.await {
                        tracing::debug!(%error, "a connection broke");
                    }
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be taken");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// The figures, and nothing else.
fn scrape(gateway: &Gateway, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    if request.method() != Method::GET || request.uri().path() != "/metrics" {
        let mut response = Response::new(Full::default());
        *response.status_mut() = StatusCode::NOT_FOUND;
        return response;
    }
    let mut response = Response::new(Full::new(Bytes::from(gateway.figures())));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4"));
    response
}
