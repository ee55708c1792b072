//! From a request to an answer: who asks, what serves it, what the answer looks like.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Body;
use hyper::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderValue, TRANSFER_ENCODING, WWW_AUTHENTICATE,
};
use hyper::{Method, Request, Response, StatusCode};
use tamis_core::request::RETRIEVE;
use tamis_runtime::{PolicyHandle, Watch};
use tokio::sync::Semaphore;

use crate::answer::{Answer, Refusal};
use crate::config::{Config, Kind, Limits, UpstreamConfig};
use crate::database::{Call, Database};
use crate::error::Error;
use crate::identity::Verifier;
use crate::keys::secret;
use crate::members::check_weight;
use crate::metrics::Metrics;
use crate::qdrant::Qdrant;
use crate::upstream::Upstream;
use crate::{policy, route};

/// Requests without a token that ask the database at the same time.
const LOOKING: usize = 4;

/// A gateway: everything that requests share.
pub struct Gateway {
    database: Box<dyn Database>,
    verifier: Verifier,
    handle: Arc<PolicyHandle>,
    limits: Limits,
    metrics: Arc<Metrics>,
    running: Arc<Semaphore>,
    /// Whether the database answers is asked by whoever wants, so it takes no room from others.
    looking: Arc<Semaphore>,
    _watch: Watch,
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gateway")
            .field("handle", &self.handle)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl Gateway {
    /// Reads keys and policy, and follows the policy's file. Must be called within a runtime. The database is not asked for anything yet.
    ///
    /// # Errors
    /// With the file, or the variable, and what is wrong with it.
    pub fn new(config: &Config) -> Result<Self, Error> {
        let handle = Arc::new(policy::load(&config.policy)?);
        let verifier = Verifier::new(&config.tokens).map_err(Error::Secret)?;
        let UpstreamConfig { url, api_key_env, api_key_file, timeout, kind } = &config.upstream;
        let key = secret(api_key_env.as_deref(), api_key_file.as_deref()).map_err(Error::Secret)?;
        let key = key.map(|(key, place)| {
            let value = HeaderValue::from_str(&key);
            let mut value = value.map_err(|error| Error::Secret(format!("{place}: {error}")))?;
            value.set_sensitive(true);
            Ok::<_, Error>(value)
        });
        let upstream = Upstream::new(url, key.transpose()?, *timeout).map_err(Error::Upstream)?;
        let metrics = Arc::new(Metrics::default());
        let database = match kind {
            Kind::Qdrant => Qdrant::new(upstream, &config.collections, &config.limits, Arc::clone(&metrics)),
        };
        let watch = policy::watch(&handle, &config.policy).map_err(|source| {
            let path = config.policy.path.display().to_string();
            Error::Policy { path, source }
        })?;
        Ok(Self {
            database: Box::new(database),
            verifier,
            handle,
            limits: config.limits.clone(),
            metrics,
            running: Arc::new(Semaphore::new(config.limits.requests)),
            looking: Arc::new(Semaphore::new(LOOKING)),
            _watch: watch,
        })
    }

    /// The policy that serves.
    pub fn policy(&self) -> &Arc<PolicyHandle> {
        &self.handle
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// What is counted, for `/metrics`.
    pub(crate) fn figures(&self) -> String {
        self.metrics.text(&self.handle)
    }

    /// Counts what went wrong when the policy was replaced.
    pub(crate) fn look(&self) {
        self.metrics.look_at(&self.handle);
    }

    /// Answers a request, whatever it is.
    pub(crate) async fn answer<B>(self: Arc<Self>, request: Request<B>) -> Response<Full<Bytes>>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let begun = Instant::now();
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let chunked = request.headers().contains_key(TRANSFER_ENCODING);
        let result = Arc::clone(&self).serve(request, begun).await;
        let mut response = match result {
            Ok(answer) => respond(StatusCode::OK, answer),
            Err(refusal) => {
                let Refusal { status, message, detail, .. } = &refusal;
                let (told, detail) = (message.as_str(), detail.as_deref().unwrap_or_default());
                if status.is_server_error() {
                    tracing::error!(%method, path, status = status.as_u16(), told, detail, "failed");
                } else {
                    tracing::info!(%method, path, status = status.as_u16(), told, detail, "refused");
                }
                refuse(&refusal)
            }
        };
        if chunked {
            // hyper goes by this length and drops a second one unseen. Whoever went by that one on the way here has more to send.
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        self.metrics.answered(response.status().as_u16(), begun.elapsed());
        response
    }

    async fn serve<B>(self: Arc<Self>, request: Request<B>, begun: Instant) -> Result<Answer, Refusal>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let until = begun + self.limits.request;
        let (parts, body) = request.into_parts();
        route::check_framing(parts.version, &parts.headers)?;
        let path = route::segments(&parts.uri)?;
        match (&parts.method, path.as_slice()) {
            (&Method::GET, ["healthz" | "livez"]) => return Ok(Answer::plain("ok".into())),
            (&Method::GET, ["readyz"]) => return self.ready(until).await,
            _ => {}
        }
        let token = route::token(&parts.headers)?;
        let request = self.verifier.request(token, RETRIEVE).map_err(Refusal::unauthorized)?;
        route::query(&parts.uri)?;
        let Ok(permit) = Arc::clone(&self.running).try_acquire_owned() else {
            return Err(Refusal::busy("as many requests as may be are being answered"));
        };
        let limit = self.limits.body;
        let body = tokio::time::timeout_at(until.into(), Limited::new(body, limit).collect()).await;
        let body = match body {
            Err(_) => return Err(Refusal::late("the body did not come")),
            Ok(Err(error)) if error.is::<LengthLimitError>() => return Err(Refusal::too_long(limit)),
            Ok(Err(error)) => return Err(Refusal::bad("the body did not come").because(error)),
            Ok(Ok(body)) => body.to_bytes(),
        };
        let gateway = Arc::clone(&self);
        let answered = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            check_weight(&body, limit)?;
            let call = Call {
                method: &parts.method,
                path: route::segments(&parts.uri)?,
                query: route::query(&parts.uri)?,
                body: &body,
                request,
                // One for all of the request.
                generation: gateway.handle.current(),
                until,
            };
            let result = gateway.database.serve(&call);
            tracing::info!(
                subject = call.request.subject().to_string(),
                actors = call.request.actors().len(),
                method = %call.method,
                path = parts.uri.path(),
                generation = call.generation.number(),
                served = result.is_ok(),
                milliseconds = begun.elapsed().as_millis() as u64,
                "request"
            );
            result
        });
        // A panic is a failure like any other.
        answered.await.unwrap_or_else(|error| Err(Refusal::failed(error)))
    }

    async fn ready(self: Arc<Self>, until: Instant) -> Result<Answer, Refusal> {
        let Ok(permit) = Arc::clone(&self.looking).try_acquire_owned() else {
            return Err(Refusal::busy("as many requests as may be are being answered"));
        };
        let answered = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            self.database.ready(until)
        });
        let answered = answered.await;
        match answered {
            Ok(Ok(())) => Ok(Answer::plain("ready".into())),
            Ok(Err(refusal)) => Err(Refusal::busy(refusal.detail.unwrap_or_default())),
            Err(error) => Err(Refusal::failed(error)),
        }
    }
}

fn respond(status: StatusCode, answer: Answer) -> Response<Full<Bytes>> {
    let mut response = plain(status, &answer.body);
    if let Some(said) = answer.said {
        let headers = response.headers_mut();
        headers.insert("tamis-generation", said.generation.into());
        headers.insert("tamis-complete", truth(said.complete));
        headers.insert("tamis-exact", truth(said.exact));
    }
    response
}

fn refuse(refusal: &Refusal) -> Response<Full<Bytes>> {
    let mut response = plain(refusal.status, &refusal.body());
    let headers = response.headers_mut();
    if refusal.status == StatusCode::UNAUTHORIZED {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

fn plain(status: StatusCode, body: &serde_json::Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    // What one user may read is no other's.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn truth(value: bool) -> HeaderValue {
    HeaderValue::from_static(if value { "true" } else { "false" })
}
