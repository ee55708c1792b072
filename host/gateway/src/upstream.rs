//! The database behind the gateway, over HTTP. Redirects are not followed, no proxy is asked, and every request is made here: nothing of
//! what a client sent is passed on but what was read and understood.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderValue, USER_AGENT};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde_json::Value as Json;
use tokio::runtime::Handle;

use crate::answer::Refusal;

/// A connection is not waited for any longer.
const CONNECT: Duration = Duration::from_secs(5);
/// An answer is read up to here: a page of 1024 chunks with long texts.
const MAX_ANSWER: usize = 256 << 20;
const AGENT: &str = concat!("tamis-gateway/", env!("CARGO_PKG_VERSION"));

/// The database.
#[derive(Debug)]
pub(crate) struct Upstream {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    base: String,
    key: Option<HeaderValue>,
    /// No single question is waited for any longer.
    patience: Duration,
    runtime: Handle,
}

impl Upstream {
    /// The database at a URL. Must be called within a runtime, which drives the connections.
    ///
    /// # Errors
    /// With what is wrong with the URL.
    pub(crate) fn new(url: &str, key: Option<HeaderValue>, patience: Duration) -> Result<Self, String> {
        let parsed: Uri = url.parse().map_err(|error| format!("`{url}` is no URL: {error}"))?;
        // A name and a password in it would not be used.
        let named = parsed.authority().is_some_and(|authority| authority.as_str().contains('@'));
        let plain = !named && parsed.query().is_none();
        if !matches!(parsed.scheme_str(), Some("http" | "https")) || parsed.host().is_none() || !plain {
            return Err(format!("`{url}` is no URL such as `http://127.0.0.1:6333`"));
        }
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_connect_timeout(Some(CONNECT));
        connector.set_nodelay(true);
        let connector = HttpsConnectorBuilder::new()
            .with_webpki_roots()
            .https_or_http()
            .enable_http1()
            .wrap_connector(connector);
        let client = Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(connector);
        Ok(Self {
            client,
            base: url.trim_end_matches('/').to_owned(),
            key,
            patience,
            runtime: Handle::current(),
        })
    }

    /// The `result` of an answer. Blocks, so it must not be called from a task.
    pub(crate) fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Json>,
        until: Instant,
    ) -> Result<Json, Refusal> {
        let mut json = self.runtime.block_on(self.send(method, path, body, until))?;
        match json.get_mut("result").map(Json::take) {
            Some(result) => Ok(result),
            None => Err(Refusal::upstream(format!("{path}: the answer has no result"))),
        }
    }

    /// A whole answer, as [`Self::ask`].
    pub(crate) fn whole(&self, method: Method, path: &str, until: Instant) -> Result<Json, Refusal> {
        self.runtime.block_on(self.send(method, path, None, until))
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Json>,
        until: Instant,
    ) -> Result<Json, Refusal> {
        let left = until.saturating_duration_since(Instant::now()).min(self.patience);
        // With no time left, a timeout would still let pass what is quick.
        if left.is_zero() {
            return Err(Refusal::late(format!("{path}: there is no time left to ask")));
        }
        match tokio::time::timeout(left, self.exchange(method, path, body)).await {
            Ok(result) => result,
            Err(_) => Err(Refusal::late(format!("{path}: no answer within {left:?}"))),
        }
    }

    async fn exchange(&self, method: Method, path: &str, body: Option<&Json>) -> Result<Json, Refusal> {
        let failed = |error: &dyn std::fmt::Display| Refusal::upstream(format!("{path}: {error}"));
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header(USER_AGENT, AGENT)
            .header(ACCEPT, "application/json");
        if let Some(key) = &self.key {
            request = request.header("api-key", key);
        }
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let body = body.map(Json::to_string).unwrap_or_default();
        let request = request.body(Full::new(Bytes::from(body))).map_err(|error| failed(&error))?;
        let response = self.client.request(request).await.map_err(|error| failed(&causes(&error)))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await;
        let body = body.map_err(|error| failed(&error))?.to_bytes();
        let text = std::str::from_utf8(&body).map_err(|error| failed(&error))?;
        if status == StatusCode::OK {
            return tamis_core::input::parse_json(text).map_err(|error| failed(&error));
        }
        let reason: String = text.chars().take(500).collect();
        let detail = format!("{path}: it answered {status}: {reason}");
        Err(match status {
            // The request is at fault. What the database says of it may quote what it stores.
            StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => {
                Refusal::bad("the database refused this request").because(detail)
            }
            StatusCode::NOT_FOUND => Refusal::not_found("the database has no such thing").because(detail),
            _ => Refusal::upstream(detail),
        })
    }
}

/// An error with what is behind it, which hyper's own text leaves out.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::sync::mpsc::channel;

    use super::*;

    /// What nobody waits for any more must not be stored: others may be storing by then.
    #[test]
    fn what_is_too_late_is_not_asked() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (seen, asked) = channel();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut buffer = [0; 4096];
            while stream.read(&mut buffer).is_ok_and(|read| read > 0) {
                seen.send(()).unwrap();
                let body = r#"{"result":1}"#;
                write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()).unwrap();
            }
        });
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let patience = Duration::from_secs(5);
        let upstream = {
            let _within = runtime.enter();
            Upstream::new(&url, None, patience).unwrap()
        };
        let ask = |until| upstream.ask(Method::PUT, "/", None, until);
        assert!(ask(Instant::now() + patience).is_ok());
        asked.recv_timeout(patience).unwrap();
        // The connection is there, and would take it at once.
        std::thread::sleep(Duration::from_millis(50));
        assert_eq!(ask(Instant::now()).unwrap_err().status, StatusCode::GATEWAY_TIMEOUT);
        assert!(asked.recv_timeout(Duration::from_millis(200)).is_err(), "it was asked");
    }
}
