//! What goes back to the client: answers, and refusals in the shape of Qdrant's errors.

use std::fmt::Display;

use hyper::StatusCode;
use serde_json::{Value as Json, json};

/// An answer that may be handed out.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The `result` of the body, or the whole body.
    pub(crate) body: Json,
    /// What the search behind it found, in headers.
    pub(crate) said: Option<Said>,
}

/// What an answer says of itself: see [`tamis_retrieve::Found`]. Never how much was denied.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Said {
    /// The generation of the policy that answered all of it.
    pub(crate) generation: u64,
    /// Whether this is all there is, up to the number that was asked for.
    pub(crate) complete: bool,
    /// Whether the database's filter matched only what the policy allows.
    pub(crate) exact: bool,
}

impl Answer {
    /// An answer in Qdrant's envelope.
    pub(crate) fn result(result: Json, said: Option<Said>) -> Self {
        Self { body: json!({"result": result, "status": "ok", "time": 0.0}), said }
    }

    /// An answer without an envelope.
    pub(crate) fn plain(body: Json) -> Self {
        Self { body, said: None }
    }
}

/// Why there is no answer: what the client is told, and what only the log is told.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    /// For the client.
    pub(crate) message: String,
    /// For the log.
    pub(crate) detail: Option<String>,
    /// Points that may not be stored, each with its reasons.
    pub(crate) rejected: Vec<Json>,
}

impl Refusal {
    fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), detail: None, rejected: Vec::new() }
    }

    /// A request that makes no sense; the message says where.
    pub(crate) fn bad(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// A request that is understood and not served.
    pub(crate) fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, message)
    }

    /// Something that does not exist, as far as the user may know.
    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("Not found: {}", message.into()))
    }

    /// A request beyond a limit.
    pub(crate) fn too_much(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, message)
    }

    /// A body that is too long.
    pub(crate) fn too_long(limit: usize) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, format!("the body is longer than {limit} bytes"))
    }

    /// Nobody is told why.
    pub(crate) fn unauthorized(detail: impl Display) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized").because(detail)
    }

    /// The policy or the gateway itself failed.
    pub(crate) fn failed(detail: impl Display) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "the request could not be decided on").because(detail)
    }

    /// The database failed, or answered something that is not understood.
    pub(crate) fn upstream(detail: impl Display) -> Self {
        Self::new(StatusCode::BAD_GATEWAY, "the database did not answer").because(detail)
    }

    /// The database, or a client that sends a body, took too long.
    pub(crate) fn late(detail: impl Display) -> Self {
        Self::new(StatusCode::GATEWAY_TIMEOUT, "the request took too long").because(detail)
    }

    /// There is more to do than the gateway is allowed to.
    pub(crate) fn busy(detail: impl Display) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "the gateway is busy").because(detail)
    }

    /// Points that may not be stored.
    pub(crate) fn rejected(message: impl Into<String>, rejected: Vec<Json>) -> Self {
        Self { rejected, ..Self::forbidden(message) }
    }

    /// The same with something for the log.
    pub(crate) fn because(mut self, detail: impl Display) -> Self {
        self.detail = Some(detail.to_string());
        self
    }

    pub(crate) fn body(&self) -> Json {
        let mut status = json!({"error": self.message});
        if let (false, Some(status)) = (self.rejected.is_empty(), status.as_object_mut()) {
            status.insert("rejected".to_owned(), Json::Array(self.rejected.clone()));
        }
        json!({"status": status, "time": 0.0})
    }
}

impl From<tamis_runtime::Error> for Refusal {
    fn from(error: tamis_runtime::Error) -> Self {
        Self::failed(error)
    }
}

impl From<tamis_retrieve::Error> for Refusal {
    fn from(error: tamis_retrieve::Error) -> Self {
        match error {
            tamis_retrieve::Error::Question(message) => Self::bad(message),
            tamis_retrieve::Error::Policy(error) => error.into(),
            error => Self::upstream(error),
        }
    }
}
